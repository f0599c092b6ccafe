/* Says where somebody speaks in a sound.
 *
 *     gcc -std=c99 -O2 detect.c -o detect -lm
 *     ./detect sample.wav                      start and end of each stretch of speech, in seconds
 *     ./detect -p sample.wav                   the probability of speech, for every 10 ms
 *     arecord -q -f S16_LE -r 16000 | ./detect     a microphone: 16 kHz, 16 bits, one channel
 *
 *     -t T     what counts as speech: a probability of at least T (0.5)
 *
 * -DVOICE='"voice_int8.h"' takes another of the generated files.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef VOICE
#define VOICE "voice.h"
#endif
#define VOICE_IMPLEMENTATION
#include VOICE
#include "mel.h"

enum {
    LOOK_AHEAD = 2, /* hops: what comes out is about the sound this long ago */
    GAP = 10        /* shorter gaps do not end a stretch of speech */
};

static double seconds(long hop) { return (double)(hop - LOOK_AHEAD) * MEL_HOP / MEL_RATE; }

static unsigned long number(const unsigned char *bytes, int count)
{
    unsigned long value = 0;
    while (count--) value = value << 8 | bytes[count];
    return value;
}

/* Goes to the samples of a WAV file, and says how many bytes they have; 0 where it is none of 16 kHz,
 * 16 bits, one channel. */
static int find_samples(FILE *file, unsigned long *bytes)
{
    unsigned char head[16];
    if (fread(head, 1, 12, file) != 12 || memcmp(head, "RIFF", 4) || memcmp(head + 8, "WAVE", 4))
        return 0;
    for (int format = 0; fread(head, 1, 8, file) == 8;) {
        unsigned long size = number(head + 4, 4);
        *bytes = size;
        if (!memcmp(head, "data", 4)) return format;
        if (!memcmp(head, "fmt ", 4) && size >= 16 && fread(head, 1, 16, file) == 16) {
            format = number(head, 2) == 1 && number(head + 2, 2) == 1 &&
                     number(head + 4, 4) == MEL_RATE && number(head + 14, 2) == 16;
            size -= 16;
        }
        for (size += size & 1; size && fgetc(file) != EOF; --size) {}
    }
    return 0;
}

int main(int count, char **arguments)
{
    static mel_state mel;
    static voice_state voice;
    unsigned char bytes[2 * MEL_HOP];
    int16_t pcm[MEL_HOP];
    float bands[MEL_BANDS], probability, threshold = 0.5f;
    int all = 0, speaking = 0, i = 1; /* speaking: how many hops may still be quiet */
    long hop = 0, end = 0;
    unsigned long left = ULONG_MAX; /* bytes: a microphone goes on and on */
    FILE *file = stdin;

    for (; i < count && arguments[i][0] == '-'; ++i) {
        if (!strcmp(arguments[i], "-p"))
            all = 1;
        else if (!strcmp(arguments[i], "-t") && i + 1 < count)
            threshold = (float)atof(arguments[++i]);
        else
            break;
    }
    if (i < count - 1 || (i < count && arguments[i][0] == '-')) {
        fprintf(stderr, "usage: detect [-p] [-t THRESHOLD] [FILE.wav]\n");
        return 2;
    }
    if (i < count && (!(file = fopen(arguments[i], "rb")) || !find_samples(file, &left))) {
        fprintf(stderr, "detect: %s is no WAV file of 16 kHz, 16 bits, one channel\n", arguments[i]);
        return 1;
    }

    mel_init(&mel);
    voice_reset(&voice);
    for (; left >= sizeof bytes && fread(bytes, 1, sizeof bytes, file) == sizeof bytes; ++hop) {
        if (file != stdin) left -= sizeof bytes; /* other chunks may follow */
        for (int n = 0; n < MEL_HOP; ++n) pcm[n] = (int16_t)number(bytes + 2 * n, 2);
        mel_step(&mel, pcm, bands);
        voice_step(&voice, bands, &probability);
        if (all) {
            printf("%.6f\n", (double)probability);
        } else if (probability >= threshold) {
            if (!speaking) printf("%.2f ", seconds(hop));
            speaking = GAP;
            end = hop + 1;
        } else if (speaking && --speaking == 0) {
            printf("%.2f\n", seconds(end));
        }
        fflush(stdout);
    }
    if (speaking) printf("%.2f\n", seconds(end));
    return 0;
}
