/* Sound files: reads WAV of 16, 24 or 32 bits or floats, writes floats. */

#ifndef WAV_H
#define WAV_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAV_MOST 0x3fffff00u /* samples, as floats: a WAV file counts its bytes in 32 bits */

typedef struct {
    unsigned rate, channels;
    size_t frames;
    float *samples; /* frames rows of one sample for each channel; free() it */
} wav;

static uint32_t wav_number(const unsigned char *at, int bytes)
{
    uint32_t value = 0;
    while (bytes--) value = value << 8 | at[bytes];
    return value;
}

static float wav_sample(const unsigned char *at, unsigned bits, int is_float)
{
    uint32_t word = wav_number(at, (int)bits / 8);
    float value;
    if (is_float) {
        memcpy(&value, &word, sizeof value);
        return value;
    }
    word <<= 32 - bits;
    return (float)((word ^ 0x80000000u) / 2147483648.0 - 1.0); /* two's complement */
}

/* NULL, or what is wrong with the file. */
static const char *wav_decode(const unsigned char *data, size_t size, wav *out)
{
    unsigned bits = 0, kind = 0;
    size_t at = 12, i;
    if (size < 12 || memcmp(data, "RIFF", 4) || memcmp(data + 8, "WAVE", 4)) return "no WAV file";
    while (size - at >= 8) {
        const unsigned char *body = data + at + 8;
        size_t length = wav_number(data + at + 4, 4);
        if (length > size - at - 8) length = size - at - 8; /* a file that was cut off */
        if (!memcmp(data + at, "fmt ", 4) && length >= 16) {
            kind = wav_number(body, 2);
            out->channels = wav_number(body + 2, 2);
            out->rate = wav_number(body + 4, 4);
            bits = wav_number(body + 14, 2);
            if (kind == 0xfffe && length >= 26) kind = wav_number(body + 24, 2); /* extensible */
        } else if (!memcmp(data + at, "data", 4)) {
            const int whole = kind == 1 && (bits == 16 || bits == 24 || bits == 32);
            if (!whole && !(kind == 3 && bits == 32))
                return "neither 16, 24 or 32 bits nor floats of 32";
            if (!out->channels || !out->rate) return "no channel or no sample rate";
            if (out->rate > 768000) return "a sample rate above 768 kHz";
            out->frames = length / (bits / 8 * out->channels);
            if (out->frames > WAV_MOST / out->channels) return "too long for a WAV file of floats";
            out->samples = malloc((out->frames * out->channels + 1) * sizeof *out->samples);
            if (!out->samples) return "out of memory";
            for (i = 0; i < out->frames * out->channels; ++i)
                out->samples[i] = wav_sample(body + i * (bits / 8), bits, kind == 3);
            return NULL;
        }
        at += 8 + length + (length & 1);
        if (at > size) break;
    }
    return "no samples";
}

static const char *wav_read(const char *path, wav *out)
{
    const char *wrong = "cannot be read";
    unsigned char *data = NULL;
    long size;
    FILE *file = fopen(path, "rb");
    if (!file) return wrong;
    if (!fseek(file, 0, SEEK_END) && (size = ftell(file)) >= 0 && !fseek(file, 0, SEEK_SET)
        && (data = malloc((size_t)size + 1)) && fread(data, 1, (size_t)size, file) == (size_t)size)
        wrong = wav_decode(data, (size_t)size, out);
    free(data);
    fclose(file);
    return wrong;
}

static void wav_put(FILE *file, uint32_t value, int bytes)
{
    for (; bytes--; value >>= 8) putc((int)(value & 255), file);
}

static const char *wav_write(const char *path, const wav *sound)
{
    const size_t count = sound->frames * sound->channels;
    const uint32_t size = (uint32_t)(4 * count);
    uint32_t word;
    size_t i;
    int failed;
    FILE *file = fopen(path, "wb");
    if (!file) return "cannot be written";
    fputs("RIFF", file), wav_put(file, 36 + size, 4), fputs("WAVEfmt ", file);
    wav_put(file, 16, 4), wav_put(file, 3, 2), wav_put(file, sound->channels, 2);
    wav_put(file, sound->rate, 4), wav_put(file, sound->rate * 4 * sound->channels, 4);
    wav_put(file, 4 * sound->channels, 2), wav_put(file, 32, 2);
    fputs("data", file), wav_put(file, size, 4);
    for (i = 0; i < count; ++i) {
        memcpy(&word, &sound->samples[i], sizeof word);
        wav_put(file, word, 4);
    }
    failed = ferror(file);
    return fclose(file) || failed ? "cannot be written" : NULL;
}

#endif
