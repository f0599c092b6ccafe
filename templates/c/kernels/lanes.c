/* Products in vectors, for the compilers that have them. Loops over sums are unrolled, so that
   sums stay in registers. Loops over rows are not, or there would be too few registers. */
#if RNN_LANES
typedef float rnn_lanes
    __attribute__((vector_size(RNN_LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
#define RNN_AT(place) (*(const rnn_lanes *)(place))
#ifdef __AVX512F__
#define RNN_SUMS 24 /* of 32 registers */
#else
#define RNN_SUMS 12 /* of 16 */
#endif
#ifdef __clang__
#define RNN_UNROLL _Pragma("clang loop unroll(full)")
#define RNN_ROLL _Pragma("clang loop unroll(disable)")
#else
#define RNN_UNROLL _Pragma("GCC unroll 32")
#define RNN_ROLL _Pragma("GCC unroll 1")
#endif

/* Where the vector of sum k begins in a row: the vectors stand side by side, but the last one ends
   where the row ends. It overlaps the one before where the width is not a multiple of a vector. */
static RNN_ALWAYS_INLINE int rnn_column(int k, int width)
{
    const int count = (width + RNN_LANES - 1) / RNN_LANES;
    return k % count < count - 1 ? k % count * RNN_LANES : width - RNN_LANES;
}
#endif
