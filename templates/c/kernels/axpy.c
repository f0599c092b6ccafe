/* y += x W with `n` rows of W, `size` weights each. Eight rows in one pass, then four: every y[c]
   is loaded and stored once for eight products, and the loop over y vectorises as it stands. Sums
   are made in pairs, which wait less for each other. One x is volatile since gcc -O3 would join
   two passes otherwise, for which registers are lacking. (Clang with AVX is faster with four.) */
static RNN_ALWAYS_INLINE void rnn_axpy(float *RNN_RESTRICT y, const float *RNN_RESTRICT w,
                                       const float *RNN_RESTRICT x, int n, int size)
{
    int j = 0, c;
#if !(defined(__clang__) && defined(__AVX__))
    for (; j + 8 <= n; j += 8, w += 8 * size) {
        const float x0 = x[j], x1 = x[j + 1], x2 = x[j + 2], x3 = x[j + 3];
        const float x4 = x[j + 4], x5 = x[j + 5], x6 = x[j + 6];
        const float x7 = *(const volatile float *)(x + j + 7);
        const float *RNN_RESTRICT w1 = w + size;
        const float *RNN_RESTRICT w2 = w1 + size;
        const float *RNN_RESTRICT w3 = w2 + size;
        const float *RNN_RESTRICT w4 = w3 + size;
        const float *RNN_RESTRICT w5 = w4 + size;
        const float *RNN_RESTRICT w6 = w5 + size;
        const float *RNN_RESTRICT w7 = w6 + size;
        for (c = 0; c < size; ++c) {
            y[c] += ((x0 * RNN_READ(w[c]) + x1 * RNN_READ(w1[c]))
                     + (x2 * RNN_READ(w2[c]) + x3 * RNN_READ(w3[c])))
                    + ((x4 * RNN_READ(w4[c]) + x5 * RNN_READ(w5[c]))
                       + (x6 * RNN_READ(w6[c]) + x7 * RNN_READ(w7[c])));
        }
    }
#endif
    for (; j + 4 <= n; j += 4, w += 4 * size) {
        const float x0 = x[j], x1 = x[j + 1], x2 = x[j + 2], x3 = x[j + 3];
        const float *RNN_RESTRICT w1 = w + size;
        const float *RNN_RESTRICT w2 = w1 + size;
        const float *RNN_RESTRICT w3 = w2 + size;
        for (c = 0; c < size; ++c) {
            y[c] += (x0 * RNN_READ(w[c]) + x1 * RNN_READ(w1[c]))
                    + (x2 * RNN_READ(w2[c]) + x3 * RNN_READ(w3[c]));
        }
    }
    for (; j < n; ++j, w += size) {
        const float x0 = x[j];
        for (c = 0; c < size; ++c) {
            y[c] += x0 * RNN_READ(w[c]);
        }
    }
}
