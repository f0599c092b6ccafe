/* y = b + x W for `width` columns, whose sums stay in registers while the rows of W go by. Where
   columns are few, each has several sums: row j goes into sum j % rows, so that additions need not
   wait for each other. They start at -0, since -0 + a is a for every a: nothing to compute. */
#if RNN_LANES
static RNN_ALWAYS_INLINE void rnn_tile(float *y, const float *b, const float *RNN_RESTRICT w,
                                       const float *RNN_RESTRICT x, int n, int size, int width)
{
    const int count = (width + RNN_LANES - 1) / RNN_LANES, spare = RNN_SUMS * 2 / 3 / count;
    const int most = n < 4 ? 1 : n < 8 ? 4 : 8;
    const int wanted = spare >= 8 ? 8 : spare >= 4 ? 4 : spare >= 2 ? 2 : 1;
    const int rows = wanted < most ? wanted : most;
    const rnn_lanes zero = {0.0f};
    rnn_lanes sum[RNN_SUMS];
    int j, k;
    RNN_UNROLL
    for (k = 0; k < count * rows; ++k) {
        sum[k] = -zero;
    }
    RNN_ROLL
    for (j = 0; j + rows <= n; j += rows, w += rows * size) {
        RNN_UNROLL
        for (k = 0; k < count * rows; ++k) {
            sum[k] += x[j + k / count] * RNN_AT(w + k / count * size + rnn_column(k, width));
        }
    }
    RNN_ROLL
    for (; j < n; ++j, w += size) {
        RNN_UNROLL
        for (k = 0; k < count; ++k) {
            sum[k] += x[j] * RNN_AT(w + rnn_column(k, width));
        }
    }
    RNN_UNROLL
    for (j = rows / 2; j > 0; j /= 2) {
        RNN_UNROLL
        for (k = 0; k < count * j; ++k) {
            sum[k] += sum[k + count * j];
        }
    }
    RNN_UNROLL
    for (k = 0; k < count; ++k) {
        sum[k] += RNN_AT(b + rnn_column(k, width));
    }
    RNN_UNROLL
    for (k = 0; k < count; ++k) {
        *(rnn_lanes *)(y + rnn_column(k, width)) = sum[k];
    }
}

/* y = b + x W for all columns, `width` at a time; the last tile takes what is left. */
static RNN_ALWAYS_INLINE void rnn_tiles(float *y, const float *b, const float *w, const float *x,
                                        int n, int size, int width)
{
    const int last = (size - RNN_LANES) / width * width;
    int c;
    RNN_ROLL
    for (c = 0; c < last; c += width) {
        rnn_tile(y + c, b + c, w + c, x, n, size, width);
    }
    rnn_tile(y + last, b + last, w + last, x, n, size, size - last);
}
#endif

/* y = b + x W for the `n` rows of W, `size` weights each; b may be y, which is then added to. */
static RNN_ALWAYS_INLINE void rnn_product(float *y, const float *b, const float *w, const float *x,
                                          int n, int size)
{
    int j = 0, c;
#if RNN_LANES
    if (size >= RNN_LANES) {
        /* One tile, or two of half the columns. More would read W in too many strips: then each y
           is loaded and stored once for every four rows. 512 rows: rounding must not show. */
        const int whole = RNN_SUMS * RNN_LANES, four = size > 2 * whole;
        const int half = (size / 2 + RNN_LANES - 1) / RNN_LANES * RNN_LANES;
        const int width = four ? RNN_LANES : size > whole ? half : size;
        const int most = four ? 4 : 512, rest = n % most;
        RNN_ROLL
        for (; j < n - rest; j += most, b = y) {
            rnn_tiles(y, b, w + j * size, x + j, most, size, width);
        }
        if (rest) {
            rnn_tiles(y, b, w + j * size, x + j, rest, size, width);
        }
        return;
    }
#endif
    for (; j < n - n % 4; j += 4, w += 4 * size, b = y) {
        for (c = 0; c < size; ++c) {
            y[c] = RNN_READ(b[c])
                   + ((x[j] * RNN_READ(w[c]) + x[j + 1] * RNN_READ(w[size + c]))
                      + (x[j + 2] * RNN_READ(w[2 * size + c])
                         + x[j + 3] * RNN_READ(w[3 * size + c])));
        }
    }
    for (; j < n; ++j, w += size, b = y) {
        for (c = 0; c < size; ++c) {
            y[c] = RNN_READ(b[c]) + x[j] * RNN_READ(w[c]);
        }
    }
}
