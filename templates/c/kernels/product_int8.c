/* Words of four weights; shifts bring one of these to the top of its word and back with its sign,
   since GCC converts vectors of bytes one by one. */
#if RNN_LANES && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && (defined(__clang__) || __GNUC__ > 8)
#define RNN_WORDS
typedef int32_t rnn_words __attribute__((vector_size(RNN_LANES * 4), aligned(1), may_alias));
typedef uint32_t rnn_bits __attribute__((vector_size(RNN_LANES * 4)));
#define RNN_WEIGHT(words, j) \
    __builtin_convertvector((rnn_words)((rnn_bits)(words) << (24 - 8 * (j))) >> 24, rnn_lanes)

/* y = b + u s (x W) for `width` columns, whose sums stay in registers while the words go by. Where
   columns are few, each input of a word has sums of its own. */
static RNN_ALWAYS_INLINE void rnn_tile_int8(float *y, const float *b, const int8_t *RNN_RESTRICT w,
                                            const uint16_t *RNN_RESTRICT s, float u,
                                            const float *RNN_RESTRICT x, int n, int size,
                                            int width)
{
    const int count = (width + RNN_LANES - 1) / RNN_LANES;
    const int apart = count <= RNN_SUMS / 4 ? count : 0;
    const rnn_lanes zero = {0.0f};
    rnn_lanes sum[RNN_SUMS];
    int j, k;
    RNN_UNROLL
    for (k = 0; k < count + 3 * apart; ++k) {
        sum[k] = zero;
    }
    RNN_ROLL
    for (j = 0; j < n; j += 4, w += 4 * size) {
        const float x1 = j + 1 < n ? x[j + 1] : 0.0f;
        const float x2 = j + 2 < n ? x[j + 2] : 0.0f;
        const float x3 = j + 3 < n ? x[j + 3] : 0.0f;
        RNN_UNROLL
        for (k = 0; k < count; ++k) {
            const rnn_words words = *(const rnn_words *)(w + 4 * rnn_column(k, width));
            sum[k] += x[j] * RNN_WEIGHT(words, 0);
            sum[k + apart] += x1 * RNN_WEIGHT(words, 1);
            sum[k + 2 * apart] += x2 * RNN_WEIGHT(words, 2);
            sum[k + 3 * apart] += x3 * RNN_WEIGHT(words, 3);
        }
    }
    RNN_UNROLL
    for (k = 0; k < 2 * apart; ++k) {
        sum[k] += sum[k + 2 * apart];
    }
    RNN_UNROLL
    for (k = 0; k < apart; ++k) {
        sum[k] += sum[k + apart];
    }
    RNN_UNROLL
    for (k = 0; k < count; ++k) {
        const int at = rnn_column(k, width);
        float scale[RNN_LANES];
        for (j = 0; j < RNN_LANES; ++j) {
            scale[j] = u * (float)s[at + j];
        }
        sum[k] = RNN_AT(b + at) + RNN_AT(scale) * sum[k];
    }
    RNN_UNROLL
    for (k = 0; k < count; ++k) {
        *(rnn_lanes *)(y + rnn_column(k, width)) = sum[k];
    }
}
#endif

/* y = b + u s (x W) for `size` columns of W; b may be y, which is then added to. W has four rows
   side by side, zeros where `n` rows are no multiple of four. */
static RNN_ALWAYS_INLINE void rnn_product_int8(float *y, const float *b, const int8_t *w,
                                               const uint16_t *s, float u, const float *x, int n,
                                               int size)
{
    int c = 0, j;
#ifdef RNN_WORDS
    if (size >= RNN_LANES) {
        /* The last tile takes less than a vector more. */
        const int whole = (RNN_SUMS - 1) * RNN_LANES, width = size < whole ? size : whole;
        const int last = (size - RNN_LANES) / width * width;
        RNN_ROLL
        for (; c < last; c += width) {
            rnn_tile_int8(y + c, b + c, w + 4 * c, s + c, u, x, n, size, width);
        }
        rnn_tile_int8(y + last, b + last, w + 4 * last, s + last, u, x, n, size,
                      size - last);
        return;
    }
#endif
    for (; c < size; ++c) {
        float sum[4] = {0.0f};
        for (j = 0; j < n; ++j) {
            sum[j % 4] += x[j] * (float)RNN_READ_INT8(w[4 * (j / 4 * size + c) + j % 4]);
        }
        const float scale = u * (float)RNN_READ_UINT16(s[c]);
        y[c] = RNN_READ(b[c]) + scale * ((sum[0] + sum[2]) + (sum[1] + sum[3]));
    }
}
