/* Runs one generated header behind pipes, for compilers.py, which fills the holes between two @.
 *
 * A command is one letter, mostly followed by the number of a state (0 or 1) and by what the
 * command takes; all numbers are 32-bit integers or values of the model, least byte first.
 * Outputs have exactly the size that the header promises, so that a sanitizer sees any excess,
 * and are filled with 0xA5 before each call.
 */
#if !defined(__cplusplus) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 199309L
#endif
@DEFINES@
#define @UPPER@_IMPLEMENTATION
#include "@HEADER@"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INPUTS @INPUTS@
#define OUTPUTS @OUTPUTS@
#define LENGTHS @LENGTHS@

typedef @STATE@ state_number;

/* The memory sanitizer has to see that memory is fresh; everyone else gets a pattern. */
#if defined(__clang__)
#if __has_feature(memory_sanitizer)
#define FRESH 1
#endif
#endif
#ifndef FRESH
#define FRESH 0
#endif

static void get(void *to, size_t size)
{
    if (size != 0u && fread(to, 1, size, stdin) != size) {
        fprintf(stderr, "harness: the command ended early\n");
        exit(3);
    }
}

static void put(const void *from, size_t size)
{
    if (size != 0u && fwrite(from, 1, size, stdout) != size) exit(3);
}

static void put_int(int32_t value) { put(&value, sizeof value); }

static int32_t get_int(void)
{
    int32_t value = 0;
    get(&value, sizeof value);
    return value;
}

/* Never NULL, and of no byte more than asked for. */
static void *reserve(size_t size, int fill)
{
    void *memory = malloc(size);
    if (memory == NULL && size != 0u) {
        fprintf(stderr, "harness: out of memory\n");
        exit(3);
    }
    if (size != 0u && !FRESH) memset(memory, fill, size);
    return memory;
}

static size_t input_size(int i)
{
    static const size_t sizes[INPUTS] = {@INPUT_SIZES@};
    return sizes[i];
}

static size_t input_width(int i)
{
    static const size_t widths[INPUTS] = {@INPUT_WIDTHS@};
    return widths[i];
}

static size_t output_size(int j)
{
    static const size_t sizes[OUTPUTS] = {@OUTPUT_SIZES@};
    return sizes[j];
}

static size_t output_width(int j)
{
    static const size_t widths[OUTPUTS] = {@OUTPUT_WIDTHS@};
    return widths[j];
}

static void release(void **memory, int count)
{
    while (count > 0) free(memory[--count]);
}

static void describe(void)
{
    int i;
    put_int((int32_t)sizeof(@lower@_state));
    put_int((int32_t)@UPPER@_STATE_SIZE);
#ifdef @UPPER@_MAX_STEPS
    put_int((int32_t)@UPPER@_MAX_STEPS);
#else
    put_int(-1);
#endif
    for (i = 0; i < INPUTS; ++i) put_int((int32_t)input_size(i));
    for (i = 0; i < OUTPUTS; ++i) put_int((int32_t)output_size(i));
}

static void predict(@lower@_state *s)
{
    void *x[INPUTS];
    void *y[OUTPUTS];
    int i, status;
#if LENGTHS > 0
    int lengths[LENGTHS];
    for (i = 0; i < LENGTHS; ++i) lengths[i] = (int)get_int();
#endif
    for (i = 0; i < INPUTS; ++i) {
        const size_t size = (size_t)get_int() * input_width(i);
        x[i] = reserve(size, 0);
        get(x[i], size);
    }
    {
        const int32_t steps[OUTPUTS] = {@OUTPUT_STEPS@};
        for (i = 0; i < OUTPUTS; ++i)
            y[i] = reserve((steps[i] > 0 ? (size_t)steps[i] : 1u) * output_size(i) * output_width(i), 0xA5);
        status = @lower@_predict(s, @PREDICT@);
        put_int((int32_t)status);
        for (i = 0; i < OUTPUTS; ++i) put_int(steps[i]);
        for (i = 0; i < OUTPUTS; ++i)
            put(y[i], (steps[i] > 0 ? (size_t)steps[i] : 1u) * output_size(i) * output_width(i));
    }
    release(x, INPUTS);
    release(y, OUTPUTS);
}

#if @STREAMABLE@
static void step(@lower@_state *s, int32_t count)
{
    void *x[INPUTS];
    void *y[OUTPUTS];
    int32_t n;
    int i, status = 0;
    struct timespec from, to;
    double nanoseconds;

    for (i = 0; i < INPUTS; ++i) {
        x[i] = reserve(input_size(i) * input_width(i), 0);
        get(x[i], input_size(i) * input_width(i));
    }
    for (i = 0; i < OUTPUTS; ++i) y[i] = reserve(output_size(i) * output_width(i), 0xA5);
    if (count < 0) {
        status = @lower@_step(s, @STEP@);
        put_int((int32_t)status);
        for (i = 0; i < OUTPUTS; ++i) put(y[i], output_size(i) * output_width(i));
    } else {
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (n = 0; n < count; ++n) status |= @lower@_step(s, @STEP@);
        clock_gettime(CLOCK_MONOTONIC, &to);
        nanoseconds = 1e9 * (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec);
        nanoseconds /= count > 0 ? (double)count : 1.0;
        put(&nanoseconds, sizeof nanoseconds);
    }
    release(x, INPUTS);
    release(y, OUTPUTS);
}
#endif

static void transfer_state(@lower@_state *s, int reading)
{
    const size_t size = (size_t)(@UPPER@_STATE_SIZE) * sizeof(state_number);
    state_number *values = (state_number *)reserve(size, 0xA5);
    if (reading) {
        @lower@_get_state(s, values);
        put(values, size);
    } else {
        get(values, size);
        @lower@_set_state(s, values);
        putchar('.');
    }
    free(values);
}

int main(void)
{
    @lower@_state *states = (@lower@_state *)reserve(2u * sizeof(@lower@_state), 0xA5);
    int command;

    while ((command = getchar()) != EOF) {
        @lower@_state *s = states;
        if (strchr("rspgtcm", command) != NULL) s += getchar() == 1;
        switch (command) {
        case 'd': describe(); break;
        case 'r': @lower@_reset(s); putchar('.'); break;
        case 'p': predict(s); break;
#if @STREAMABLE@
        case 's': step(s, -1); break;
        case 'm': step(s, get_int()); break;
#endif
        case 'g': transfer_state(s, 1); break;
        case 't': transfer_state(s, 0); break;
        case 'c': states[getchar() == 1] = *s; putchar('.'); break;
#ifdef @UPPER@_SELFTEST
        case 'q': put_int((int32_t)@lower@_selftest()); break;
#endif
        default: fprintf(stderr, "harness: no command %d\n", command); exit(3);
        }
        fflush(stdout);
    }
    free(states);
    return 0;
}
