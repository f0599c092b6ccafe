/* Feeds the model one sample of four signals at a time; build and run with `make`. */
#define SEED_IMPLEMENTATION
#include "seed.h"

#include <math.h>
#include <stdio.h>

int main(void)
{
    seed_state state; /* one per stream; any number of them */
    float x[SEED_INPUT_SIZE], y[SEED_OUTPUT_SIZE];
    int t, channel;

    seed_reset(&state);
    for (t = 0; t < 120; ++t) {
        for (channel = 0; channel < SEED_INPUT_SIZE; ++channel)
            x[channel] = 0.5f * sinf(0.15f * (float)t + (float)channel);
        if (t >= 40 && t < 80) /* a chirp on the second channel */
            x[1] += 0.6f * sinf(0.3f * (float)(t - 40) + 0.02f * (float)((t - 40) * (t - 40)));
        seed_step(&state, x, y);
        if (t % 10 == 9) printf("%3d  chirp %.4f\n", t + 1, (double)y[1]);
    }
    return 0;
}
