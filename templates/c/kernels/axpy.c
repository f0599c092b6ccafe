/* y += x W with `n` rows of W, `size` weights each. Four rows in one pass: every y[c] is loaded and
   stored once for four products, and the loop over y vectorises as it stands. */
static RNN_ALWAYS_INLINE void rnn_axpy(float *RNN_RESTRICT y, const float *RNN_RESTRICT w,
                                       const float *RNN_RESTRICT x, int n, int size)
{
    int j, c;
    for (j = 0; j + 4 <= n; j += 4, w += 4 * size) {
        const float x0 = x[j], x1 = x[j + 1], x2 = x[j + 2], x3 = x[j + 3];
        const float *RNN_RESTRICT w1 = w + size;
        const float *RNN_RESTRICT w2 = w1 + size;
        const float *RNN_RESTRICT w3 = w2 + size;
        for (c = 0; c < size; ++c) {
            y[c] += x0 * RNN_READ(w[c]) + x1 * RNN_READ(w1[c]) + x2 * RNN_READ(w2[c])
                    + x3 * RNN_READ(w3[c]);
        }
    }
    for (; j < n; ++j, w += size) {
        const float x0 = x[j];
        for (c = 0; c < size; ++c) {
            y[c] += x0 * RNN_READ(w[c]);
        }
    }
}
