"""Small headers, written by hand as the generator writes them, to try the support itself with."""

from __future__ import annotations

# y = h = h / 2 + x + 1, three wide; sums of halves are exact in binary floating point.
LEAKY = """\
#ifndef LEAKY_H
#define LEAKY_H

#define LEAKY_INPUT_0_SIZE 3
#define LEAKY_INPUT_SIZE LEAKY_INPUT_0_SIZE
#define LEAKY_OUTPUT_0_SIZE 3
#define LEAKY_OUTPUT_SIZE LEAKY_OUTPUT_0_SIZE
#define LEAKY_OUTPUT_0_STEPS(steps) (steps)
#define LEAKY_STATE_SIZE 3

#ifndef LEAKY_TABLE
#define LEAKY_TABLE static const
#endif
#ifndef LEAKY_READ
#define LEAKY_READ(address) (*(address))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    float h[3];
} leaky_state;

void leaky_reset(leaky_state *s);
int leaky_step(leaky_state *s, const float *x, float *y);
int leaky_predict(leaky_state *s, int steps, const float *x, float *y);
void leaky_get_state(const leaky_state *s, float *state);
void leaky_set_state(leaky_state *s, const float *state);
#ifdef LEAKY_SELFTEST
int leaky_selftest(void);
#endif

#ifdef __cplusplus
}
#endif
#endif

#ifdef LEAKY_IMPLEMENTATION
LEAKY_TABLE float leaky_bias[3] = {1.0f, 1.0f, 1.0f};

void leaky_reset(leaky_state *s)
{
    int i;
    for (i = 0; i < 3; ++i) s->h[i] = 0.0f;
}

int leaky_step(leaky_state *s, const float *x, float *y)
{
    int i;
    for (i = 0; i < 3; ++i) {
        s->h[i] = 0.5f * s->h[i] + x[i] + LEAKY_READ(&leaky_bias[i]);
        y[i] = s->h[i];
    }
    return 1;
}

int leaky_predict(leaky_state *s, int steps, const float *x, float *y)
{
    int t;
    if (steps < 1) return -1;
    leaky_reset(s);
    for (t = 0; t < steps; ++t) (void)leaky_step(s, x + 3 * t, y + 3 * t);
    return 0;
}

void leaky_get_state(const leaky_state *s, float *state)
{
    int i;
    for (i = 0; i < 3; ++i) state[i] = s->h[i];
}

void leaky_set_state(leaky_state *s, const float *state)
{
    int i;
    for (i = 0; i < 3; ++i) s->h[i] = state[i];
}

#ifdef LEAKY_SELFTEST
int leaky_selftest(void)
{
    static const float x[3] = {0.0f, 1.0f, 2.0f};
    float y[3];
    leaky_state s;
    leaky_reset(&s);
    (void)leaky_step(&s, x, y);
    return y[2] == 3.0f ? 0 : 1;
}
#endif
#endif
"""

# Not streamable; two inputs with free lengths, one of them whole numbers; two outputs in double.
PAIR = """\
#ifndef PAIR_H
#define PAIR_H
#include <stdint.h>

#define PAIR_INPUT_0_SIZE 2
#define PAIR_INPUT_1_SIZE 1
#define PAIR_OUTPUT_0_SIZE 1
#define PAIR_OUTPUT_0_STEPS(steps_1) (steps_1)
#define PAIR_OUTPUT_1_SIZE 2
#define PAIR_MAX_STEPS 9
#define PAIR_STATE_SIZE 0

typedef struct {
    double scratch[PAIR_MAX_STEPS];
} pair_state;

void pair_reset(pair_state *s);
int pair_predict(pair_state *s, int steps_0, int steps_1, const double x_0[], const int32_t *x_1,
                 double *y_0, double *y_1);
void pair_get_state(const pair_state *s, double *state);
void pair_set_state(pair_state *s, const double *state);
#endif

#ifdef PAIR_IMPLEMENTATION
void pair_reset(pair_state *s) { s->scratch[0] = 0.0; }

/* y_0: the whole numbers backwards, halved; y_1: the column sums of the first input. */
int pair_predict(pair_state *s, int steps_0, int steps_1, const double x_0[], const int32_t *x_1,
                 double *y_0, double *y_1)
{
    int t;
    if (steps_0 < 1 || steps_1 < 1) return -1;
    if (steps_0 > PAIR_MAX_STEPS || steps_1 > PAIR_MAX_STEPS) return -1;
    for (t = 0; t < steps_1; ++t) s->scratch[t] = 0.5 * x_1[steps_1 - 1 - t];
    for (t = 0; t < steps_1; ++t) y_0[t] = s->scratch[t];
    y_1[0] = y_1[1] = 0.0;
    for (t = 0; t < steps_0; ++t) {
        y_1[0] += x_0[2 * t];
        y_1[1] += x_0[2 * t + 1];
    }
    return 0;
}

void pair_get_state(const pair_state *s, double *state) { (void)s; (void)state; }
void pair_set_state(pair_state *s, const double *state) { (void)s; (void)state; }
#endif
"""
