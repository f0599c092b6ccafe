/* What stands around the network: the scale of the signal before it, the decision after it.
 * The same as in detect.py, one sample at a time. */
#ifndef BEAT_H
#define BEAT_H

#include <math.h>
#include <string.h>

#define BEAT_RATE 50u       /* samples a second */
#define BEAT_THRESHOLD 0.4f /* a beat is where the probability rises above this */
#define BEAT_QUIET 13u      /* samples after a beat without another one */
#define BEAT_DELAY 11u      /* samples between the rise of a beat and that of its probability */
#define BEAT_KEPT 8u        /* intervals of which a rate is made */

/* ---- before the network ---- */

typedef struct {
    float mean, size;
    unsigned seen;
} beat_scale;

/* The signal without its slow part, in units of its own size, between -4 and 4. */
static float beat_scaled(beat_scale *s, float count)
{
    float off, y;

    if (s->seen == 0u) s->mean = count;
    if (s->seen < 128u) ++s->seen;
    s->mean += (count - s->mean) / 32.0f;
    off = count - s->mean;
    s->size += (fabsf(off) - s->size) / (float)s->seen;
    y = off / (2.0f * s->size + 1.0f);
    return y > 4.0f ? 4.0f : y < -4.0f ? -4.0f : y;
}

/* ---- after the network ---- */

typedef struct {
    unsigned long now;                  /* samples so far */
    unsigned long last;                 /* the sample of the last beat */
    unsigned beats;                     /* so far, at most BEAT_KEPT + 1 */
    unsigned above;                     /* whether the probability was above the threshold */
    unsigned short intervals[BEAT_KEPT]; /* the latest ones, in samples, the newest first */
} beat_finder;

/* Whether the heart beat BEAT_DELAY samples ago. */
static int beat_found(beat_finder *s, float probability)
{
    const unsigned long since = s->now - s->last;
    const unsigned above = probability > BEAT_THRESHOLD;
    const int found = above && !s->above && (s->beats == 0u || since >= BEAT_QUIET);

    s->above = above;
    if (found) {
        memmove(s->intervals + 1, s->intervals, sizeof s->intervals - sizeof s->intervals[0]);
        s->intervals[0] = (unsigned short)(since < 65535u ? since : 65535u);
        if (s->beats <= BEAT_KEPT) ++s->beats;
        s->last = s->now;
    }
    ++s->now;
    return found;
}

/* Beats a minute, from the mean of the middle half of the last intervals; 0 before there are enough. */
static float beat_rate(const beat_finder *s)
{
    unsigned short sorted[BEAT_KEPT];
    unsigned i, k, sum = 0u;

    if (s->beats <= BEAT_KEPT) return 0.0f;
    for (i = 0u; i < BEAT_KEPT; ++i) {
        for (k = i; k > 0u && sorted[k - 1u] > s->intervals[i]; --k) sorted[k] = sorted[k - 1u];
        sorted[k] = s->intervals[i];
    }
    for (i = BEAT_KEPT / 4u; i < BEAT_KEPT - BEAT_KEPT / 4u; ++i) sum += sorted[i];
    return 60.0f * (float)BEAT_RATE * (float)(BEAT_KEPT / 2u) / (float)sum;
}

#endif
