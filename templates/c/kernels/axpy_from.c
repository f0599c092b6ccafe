/* y = b + x W: as rnn_axpy, but the first rows start from b, so that y is not read for them.
   (Clang with AVX is faster with a copy of b where there are many rows.) */
static RNN_ALWAYS_INLINE void rnn_axpy_from(float *RNN_RESTRICT y, const float *RNN_RESTRICT b,
                                            const float *RNN_RESTRICT w,
                                            const float *RNN_RESTRICT x, int n, int size)
{
    int j = 0, c;
#ifdef RNN_BLOCK
    if (rnn_axpy_blocks(y, b, w, x, n, size)) {
        return;
    }
#endif
#if defined(__clang__) && defined(__AVX__)
    const int copy = n >= 4;
#else
    const int copy = 0;
#endif
    if (copy) {
        for (c = 0; c < size; ++c) {
            y[c] = RNN_READ(b[c]);
        }
    } else if (n >= 8) {
        const float x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
        const float x4 = x[4], x5 = x[5], x6 = x[6], x7 = x[7];
        const float *RNN_RESTRICT w1 = w + size;
        const float *RNN_RESTRICT w2 = w1 + size;
        const float *RNN_RESTRICT w3 = w2 + size;
        const float *RNN_RESTRICT w4 = w3 + size;
        const float *RNN_RESTRICT w5 = w4 + size;
        const float *RNN_RESTRICT w6 = w5 + size;
        const float *RNN_RESTRICT w7 = w6 + size;
        for (c = 0; c < size; ++c) {
            y[c] = RNN_READ(b[c])
                   + (((x0 * RNN_READ(w[c]) + x1 * RNN_READ(w1[c]))
                       + (x2 * RNN_READ(w2[c]) + x3 * RNN_READ(w3[c])))
                      + ((x4 * RNN_READ(w4[c]) + x5 * RNN_READ(w5[c]))
                         + (x6 * RNN_READ(w6[c]) + x7 * RNN_READ(w7[c]))));
        }
        j = 8;
    } else if (n >= 4) {
        const float x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
        const float *RNN_RESTRICT w1 = w + size;
        const float *RNN_RESTRICT w2 = w1 + size;
        const float *RNN_RESTRICT w3 = w2 + size;
        for (c = 0; c < size; ++c) {
            y[c] = RNN_READ(b[c])
                   + ((x0 * RNN_READ(w[c]) + x1 * RNN_READ(w1[c]))
                      + (x2 * RNN_READ(w2[c]) + x3 * RNN_READ(w3[c])));
        }
        j = 4;
    } else {
        for (c = 0; c < size; ++c) {
            y[c] = RNN_READ(b[c]) + x[0] * RNN_READ(w[c]);
        }
        j = 1;
    }
    rnn_axpy(y, w + j * size, x + j, n - j, size);
}
