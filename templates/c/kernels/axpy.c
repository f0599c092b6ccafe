/* How many sums stay in the registers of AVX-512, and of AVX: of one row at a time, and of two;
   fewer than RNN_LEAST are not worth it. Rows are then read one after the other, which is what
   memory is fastest at, and y is written once. For compilers that vectorise at -O2 already. */
#if defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__)
#if defined(__clang__) || defined(__GNUC__) && __GNUC__ >= 12
#if defined(__AVX512F__)
#define RNN_BLOCK (1536 / (int)sizeof(float))
#define RNN_PAIR (512 / (int)sizeof(float))
#elif defined(__AVX__) || RNN_AVX2
#define RNN_BLOCK (384 / (int)sizeof(float))
#endif
#endif
#endif

#ifdef RNN_BLOCK
#define RNN_LEAST (192 / (int)sizeof(float))
/* For that, the loops over columns have to be unrolled, and with Clang that over rows must not. */
#if defined(__clang__)
#define RNN_UNROLL
#define RNN_ROLL _Pragma("clang loop unroll(disable)")
#else
#define RNN_UNROLL _Pragma("GCC unroll 32")
#define RNN_ROLL
#endif

/* y = b + x W, or y += x W where b is null, for up to RNN_BLOCK columns. The x are volatile since
   gcc -O3 would join two rows otherwise, and keep the sums in memory. */
static RNN_ALWAYS_INLINE void rnn_axpy_block(float *RNN_RESTRICT y, const float *RNN_RESTRICT b,
                                             const float *RNN_RESTRICT w,
                                             const float *RNN_RESTRICT x, int n, int size,
                                             int width)
{
    float sum[RNN_BLOCK];
    const float x0 = x[0];
    int j, c;
    RNN_UNROLL
    for (c = 0; c < width; ++c) {
        sum[c] = x0 * RNN_READ(w[c]);
    }
    RNN_ROLL
    for (j = 1; j < n; ++j) {
        const float x1 = *(const volatile float *)(x + j);
        w += size;
        RNN_UNROLL
        for (c = 0; c < width; ++c) {
            sum[c] += x1 * RNN_READ(w[c]);
        }
    }
    RNN_UNROLL
    for (c = 0; c < width; ++c) {
        y[c] = (b ? RNN_READ(b[c]) : y[c]) + sum[c];
    }
}

#ifdef RNN_PAIR
/* The same for up to RNN_PAIR columns, two rows at a time: sums wait less for each other. */
static RNN_ALWAYS_INLINE void rnn_axpy_pair(float *RNN_RESTRICT y, const float *RNN_RESTRICT b,
                                            const float *RNN_RESTRICT w,
                                            const float *RNN_RESTRICT x, int n, int size,
                                            int width)
{
    float even[RNN_PAIR], odd[RNN_PAIR];
    const float x0 = x[0], x1 = x[1];
    int j, c;
    RNN_UNROLL
    for (c = 0; c < width; ++c) {
        even[c] = x0 * RNN_READ(w[c]);
    }
    RNN_UNROLL
    for (c = 0; c < width; ++c) {
        odd[c] = x1 * RNN_READ(w[size + c]);
    }
    RNN_ROLL
    for (j = 2; j + 2 <= n; j += 2) {
        const float x2 = *(const volatile float *)(x + j);
        const float x3 = *(const volatile float *)(x + j + 1);
        w += 2 * size;
        RNN_UNROLL
        for (c = 0; c < width; ++c) {
            even[c] += x2 * RNN_READ(w[c]);
        }
        RNN_UNROLL
        for (c = 0; c < width; ++c) {
            odd[c] += x3 * RNN_READ(w[size + c]);
        }
    }
    if (j < n) {
        const float x2 = *(const volatile float *)(x + j);
        w += 2 * size;
        RNN_UNROLL
        for (c = 0; c < width; ++c) {
            even[c] += x2 * RNN_READ(w[c]);
        }
    }
    RNN_UNROLL
    for (c = 0; c < width; ++c) {
        y[c] = (b ? RNN_READ(b[c]) : y[c]) + (even[c] + odd[c]);
    }
}
#endif

/* y = b + x W, or y += x W where b is null, in one block or in two halves. Gives back 1, or 0 where
   it did nothing: for rows much longer than a block, or sums so long that rounding would show. */
static RNN_ALWAYS_INLINE int rnn_axpy_blocks(float *RNN_RESTRICT y, const float *RNN_RESTRICT b,
                                             const float *RNN_RESTRICT w,
                                             const float *RNN_RESTRICT x, int n, int size)
{
    if (n < 8 || n > 512 || size < RNN_LEAST || size > 2 * RNN_BLOCK) {
        return 0;
    }
#ifdef RNN_PAIR
    if (size <= RNN_PAIR) {
        rnn_axpy_pair(y, b, w, x, n, size, size);
        return 1;
    }
#endif
    if (size <= RNN_BLOCK) {
        rnn_axpy_block(y, b, w, x, n, size, size);
    } else {
        const int half = (size / 2 + 15) / 16 * 16;
        rnn_axpy_block(y, b, w, x, n, size, half);
        rnn_axpy_block(y + half, b ? b + half : b, w + half, x, n, size, size - half);
    }
    return 1;
}
#endif

/* y += x W with `n` rows of W, `size` weights each. Eight rows in one pass, then four: every y[c]
   is loaded and stored once for eight products, and the loop over y vectorises as it stands. Sums
   are made in pairs, which wait less for each other. One x is volatile since gcc -O3 would join
   two passes otherwise, for which registers are lacking. (Clang with AVX is faster with four.) */
static RNN_ALWAYS_INLINE void rnn_axpy(float *RNN_RESTRICT y, const float *RNN_RESTRICT w,
                                       const float *RNN_RESTRICT x, int n, int size)
{
    int j = 0, c;
#ifdef RNN_BLOCK
    if (rnn_axpy_blocks(y, (const float *)0, w, x, n, size)) {
        return;
    }
#endif
#if !(defined(__clang__) && defined(__AVX__))
    for (; j < n / 8 * 8; j += 8, w += 8 * size) {
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
    j = n / 8 * 8; /* as it is: GCC would warn of a rest that it takes for possible */
#endif
    for (; j < n / 4 * 4; j += 4, w += 4 * size) {
        const float x0 = x[j], x1 = x[j + 1], x2 = x[j + 2], x3 = x[j + 3];
        const float *RNN_RESTRICT w1 = w + size;
        const float *RNN_RESTRICT w2 = w1 + size;
        const float *RNN_RESTRICT w3 = w2 + size;
        for (c = 0; c < size; ++c) {
            y[c] += (x0 * RNN_READ(w[c]) + x1 * RNN_READ(w1[c]))
                    + (x2 * RNN_READ(w2[c]) + x3 * RNN_READ(w3[c]));
        }
    }
    for (j = n / 4 * 4; j < n; ++j, w += size) {
        const float x0 = x[j];
        for (c = 0; c < size; ++c) {
            y[c] += x0 * RNN_READ(w[c]);
        }
    }
}
