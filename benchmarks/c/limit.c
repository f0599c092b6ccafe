/* Limits: what one step costs at least, whoever computes it.
 *
 *   bench_read      read every weight once (xor, four registers): the read bandwidth
 *   bench_multiply  read every weight once and multiply and add it, with no activation, no
 *                   dependency between layers and no order of the sums to keep
 *
 * WIDTH is the number of bytes in a vector. */
#include <stdint.h>

typedef float vector __attribute__((vector_size(WIDTH), aligned(4), may_alias));
typedef uint32_t bits __attribute__((vector_size(WIDTH), aligned(4), may_alias));
#define LANES (WIDTH / 4)

static volatile float kept;

void bench_read(int steps, int count, const float *w, float *unused)
{
    bits a = {0}, b = {0}, c = {0}, d = {0};
    int i, s;
    (void)unused;
    for (s = 0; s < steps; s++) {
        for (i = 0; i + 4 * LANES <= count; i += 4 * LANES) {
            a ^= *(const bits *)(w + i);
            b ^= *(const bits *)(w + i + LANES);
            c ^= *(const bits *)(w + i + 2 * LANES);
            d ^= *(const bits *)(w + i + 3 * LANES);
        }
        __asm__ volatile("" ::: "memory");
    }
    a ^= b ^ c ^ d;
    kept = (float)a[0];
}

void bench_multiply(int steps, int count, const float *w, float *unused)
{
    vector a = {0}, b = {0}, c = {0}, d = {0}, e = {0}, f = {0}, g = {0}, h = {0};
    float x = 0.5f;
    int i, s;
    (void)unused;
    for (s = 0; s < steps; s++) {
        __asm__ volatile("" : "+x"(x)::"memory");
        for (i = 0; i + 8 * LANES <= count; i += 8 * LANES) {
            a += x * *(const vector *)(w + i);
            b += x * *(const vector *)(w + i + LANES);
            c += x * *(const vector *)(w + i + 2 * LANES);
            d += x * *(const vector *)(w + i + 3 * LANES);
            e += x * *(const vector *)(w + i + 4 * LANES);
            f += x * *(const vector *)(w + i + 5 * LANES);
            g += x * *(const vector *)(w + i + 6 * LANES);
            h += x * *(const vector *)(w + i + 7 * LANES);
        }
    }
    a += b + c + d + e + f + g + h;
    kept = a[0];
}
