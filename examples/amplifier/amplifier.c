/* The amplifier on a file of sound at 44.1 or 48 kHz: amplifier IN.wav OUT.wav [DRIVE in dB] */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "wav.h"

#define AMP_IMPLEMENTATION
#include "amp.h"
#define AMP48_IMPLEMENTATION
#include "amp48.h"

/* One channel, in place. Both rates have the same weights; --rate-ratio made the second file. */
static void play(const wav *sound, unsigned channel, float gain)
{
    float *at = sound->samples + channel, x;
    size_t n;
    if (sound->rate == AMP_SAMPLE_RATE) {
        amp_state s;
        amp_reset(&s);
        for (n = 0; n < sound->frames; ++n, at += sound->channels) {
            x = gain * *at;
            amp_step(&s, &x, at);
        }
    } else {
        amp48_state s;
        amp48_reset(&s);
        for (n = 0; n < sound->frames; ++n, at += sound->channels) {
            x = gain * *at;
            amp48_step(&s, &x, at);
        }
    }
}

int main(int argc, char **argv)
{
    wav sound = {0};
    const char *wrong;
    double seconds, taken;
    unsigned channel;
    clock_t start;
    float gain;
    char *rest = NULL;

    gain = powf(10.0f, argc == 4 ? strtof(argv[3], &rest) / 20.0f : 0.0f);
    if ((argc != 3 && argc != 4) || (rest && *rest) || !(gain < 1e3f)) {
        fputs("usage: amplifier IN.wav OUT.wav [DRIVE in dB]\n", stderr);
        return 2;
    }
    wrong = wav_read(argv[1], &sound);
    if (!wrong && sound.rate != AMP_SAMPLE_RATE && sound.rate != AMP48_SAMPLE_RATE)
        wrong = "neither 44.1 nor 48 kHz";
    if (wrong) {
        fprintf(stderr, "amplifier: %s: %s\n", argv[1], wrong);
        return 1;
    }
    start = clock();
    for (channel = 0; channel < sound.channels; ++channel) play(&sound, channel, gain);
    taken = (double)(clock() - start) / CLOCKS_PER_SEC;
    seconds = (double)sound.frames / sound.rate;
    printf("%.2f s of sound in %.4f s: %.0f times real time\n", seconds, taken, seconds / taken);
    wrong = wav_write(argv[2], &sound);
    if (wrong) fprintf(stderr, "amplifier: %s: %s\n", argv[2], wrong);
    free(sound.samples);
    return wrong != NULL;
}
