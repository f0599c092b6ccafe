/* Reads four signals, one line a step, and prints the probability of a chirp after each. */
#define SEED_SELFTEST
#include "seed.h"

#include <stdio.h>
#include <string.h>

int main(int count, char **arguments)
{
    seed_state state;
    float x[SEED_INPUT_SIZE], y[SEED_OUTPUT_SIZE];

    if (count > 1 && strcmp(arguments[1], "--selftest") == 0) return seed_selftest();
    seed_reset(&state);
    while (scanf("%f %f %f %f", &x[0], &x[1], &x[2], &x[3]) == SEED_INPUT_SIZE) {
        seed_step(&state, x, y);
        printf("%.6f\n", (double)y[1]);
    }
    return 0;
}
