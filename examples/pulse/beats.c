/* Finds the heart beats in a recording of a pulse sensor: one number a line, 50 lines a second.
 *
 *     gcc -O2 beats.c -o beats -lm
 *     ./beats < recording.csv
 *
 * Prints a line for each beat: the second at which it was, and beats a minute (0: not known yet).
 * With -p it prints the probability of a beat for each sample. */
#include <stdio.h>
#include <string.h>

#ifndef NETWORK
#define NETWORK "Pulse/src/Pulse.h" /* or "pulse_float.h", "pulse_int16.h" */
#endif
#define PULSE_IMPLEMENTATION
#include NETWORK

#include "heartbeat/beat.h"

int main(int argc, char **argv)
{
    const int probabilities = argc > 1 && strcmp(argv[1], "-p") == 0;
    static pulse_state network;
    static beat_scale scale;
    static beat_finder finder;
    char line[80];

    pulse_reset(&network);
    while (fgets(line, sizeof line, stdin) != NULL) {
        float count, x, probability;

        if (sscanf(line, "%f", &count) != 1 || !isfinite(count)) {
            if (scale.seen == 0 || strspn(line, " \r\n") == strlen(line)) continue; /* a heading */
            fprintf(stderr, "beats: no number: %s", line);
            return 1;
        }
        x = beat_scaled(&scale, count);
        pulse_step(&network, &x, &probability);
        if (probabilities) {
            printf("%.9g\n", (double)probability);
        } else if (beat_found(&finder, probability)) {
            const double second = ((double)finder.last - BEAT_DELAY) / BEAT_RATE;
            printf("%.2f %.0f\n", second, (double)beat_rate(&finder));
        }
    }
    return 0;
}
