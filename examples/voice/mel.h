/* Logarithmic mel bands of a sound, 100 times a second: what the detector of this example hears.
 *
 *     static mel_state m;
 *     mel_init(&m);
 *     mel_step(&m, pcm, bands);     const int16_t pcm[MEL_HOP], float bands[MEL_BANDS]
 *
 * One step takes the next 10 ms at 16 kHz. Its window is these and the 10 ms before them (zeros at
 * first), under a Hann window. Between 0 and 8 kHz lie 26 points, equally far apart in mel; band b is
 * log10(1e-6 + power), the power weighted by a triangle around point b + 1 that ends at its
 * neighbours. mel.py computes the same with NumPy.
 *
 * C99 and C++, no malloc, no globals. mel_init computes all tables, which are in the struct.
 */
#ifndef MEL_H
#define MEL_H

#include <math.h>
#include <stdint.h>

#define MEL_RATE 16000
#define MEL_HOP 160
#define MEL_BANDS 24
#define MEL_FFT 512 /* points; zeros follow the window of 320 samples */

typedef struct {
    int16_t history[MEL_HOP];            /* the 10 ms before */
    float window[MEL_HOP];               /* its rising half; the falling half is the mirror of it */
    float sine[MEL_FFT + MEL_FFT / 4];   /* sin(2 pi i / 512); the cosine starts at 128 */
    float place[MEL_FFT / 2];            /* where each bin lies, from point 0 to 25 */
    float re[MEL_FFT / 2], im[MEL_FFT / 2]; /* scratch */
} mel_state;

static inline void mel_init(mel_state *m)
{
    const float pi = 3.14159265f, highest = log10f(1.0f + 0.5f * MEL_RATE / 700.0f);
    for (int i = 0; i < MEL_HOP; ++i) {
        m->history[i] = 0;
        m->window[i] = 0.5f - 0.5f * cosf(pi * ((float)i + 0.5f) / MEL_HOP);
    }
    for (int i = 0; i < MEL_FFT + MEL_FFT / 4; ++i)
        m->sine[i] = sinf(2.0f * pi * (float)i / MEL_FFT);
    for (int i = 0; i < MEL_FFT / 2; ++i) {
        const float hertz = (float)i * MEL_RATE / MEL_FFT;
        m->place[i] = (MEL_BANDS + 1) * log10f(1.0f + hertz / 700.0f) / highest;
    }
}

/* The Fourier transform of the 256 complex numbers re + i im, in place, by steps of four. They come
 * in the order of their numbers with the four digits to the base of 4 reversed. */
static inline void mel_fft(mel_state *m)
{
    const float *sine = m->sine, *cosine = m->sine + MEL_FFT / 4;
    for (int q = 1, turn = MEL_FFT / 4; q < MEL_FFT / 2; q *= 4, turn /= 4) {
        for (int j = 0; j < q; ++j) {
            const float c1 = cosine[j * turn], c2 = cosine[2 * j * turn], c3 = cosine[3 * j * turn];
            const float s1 = sine[j * turn], s2 = sine[2 * j * turn], s3 = sine[3 * j * turn];
            for (int a = j; a < MEL_FFT / 2; a += 4 * q) {
                float *const re = m->re + a, *const im = m->im + a;
                const float x0 = re[0], y0 = im[0];
                const float x1 = re[q] * c1 + im[q] * s1, y1 = im[q] * c1 - re[q] * s1;
                const float x2 = re[2 * q] * c2 + im[2 * q] * s2;
                const float y2 = im[2 * q] * c2 - re[2 * q] * s2;
                const float x3 = re[3 * q] * c3 + im[3 * q] * s3;
                const float y3 = im[3 * q] * c3 - re[3 * q] * s3;
                re[0] = (x0 + x2) + (x1 + x3);
                im[0] = (y0 + y2) + (y1 + y3);
                re[q] = (x0 - x2) + (y1 - y3);
                im[q] = (y0 - y2) - (x1 - x3);
                re[2 * q] = (x0 + x2) - (x1 + x3);
                im[2 * q] = (y0 + y2) - (y1 + y3);
                re[3 * q] = (x0 - x2) - (y1 - y3);
                im[3 * q] = (y0 - y2) + (x1 - x3);
            }
        }
    }
}

/* Share the power re^2 + im^2 of a bin between the two points that it lies between. */
static inline void mel_share(float place, float re, float im, float *points)
{
    const int lower = (int)place;
    const float power = re * re + im * im, upper = power * (place - (float)lower);
    points[lower] += power - upper;
    points[lower + 1] += upper;
}

static inline void mel_step(mel_state *m, const int16_t *pcm, float *bands)
{
    const int half = MEL_FFT / 2;
    const float *sine = m->sine, *cosine = m->sine + MEL_FFT / 4;
    float points[MEL_BANDS + 2] = {0.0f};

    /* a real signal as half as many complex numbers: even samples in re, odd ones in im */
    for (int n = 0; n < MEL_FFT; n += 2) {
        const int to = (n & 6) << 5 | (n & 24) << 1 | (n & 96) >> 3 | n >> 7; /* n / 2 reversed */
        float even = 0.0f, odd = 0.0f;
        if (n < MEL_HOP) {
            even = (float)m->history[n] * m->window[n];
            odd = (float)m->history[n + 1] * m->window[n + 1];
        } else if (n < 2 * MEL_HOP) {
            even = (float)pcm[n - MEL_HOP] * m->window[2 * MEL_HOP - 1 - n];
            odd = (float)pcm[n - MEL_HOP + 1] * m->window[2 * MEL_HOP - 2 - n];
        }
        m->re[to] = even / 32768.0f;
        m->im[to] = odd / 32768.0f;
    }
    for (int i = 0; i < MEL_HOP; ++i) m->history[i] = pcm[i];
    mel_fft(m);

    for (int k = 1; k <= half / 2; ++k) {
        /* bins k and 256 - k of the real signal, out of the transforms of even and odd samples */
        const float a = m->re[k], b = m->im[k], c = m->re[half - k], d = m->im[half - k];
        const float even_re = 0.5f * (a + c), even_im = 0.5f * (b - d);
        const float odd_re = 0.5f * (b + d), odd_im = 0.5f * (c - a);
        const float x = odd_re * cosine[k] + odd_im * sine[k];
        const float y = odd_im * cosine[k] - odd_re * sine[k];
        mel_share(m->place[k], even_re + x, even_im + y, points);
        if (k < half / 2) mel_share(m->place[half - k], even_re - x, even_im - y, points);
    }
    for (int b = 0; b < MEL_BANDS; ++b) bands[b] = log10f(points[b + 1] + 1e-6f);
}

#endif
