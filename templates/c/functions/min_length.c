/* The smaller length. */
static RNN_INLINE int rnn_min_length(int a, int b)
{
    return a < b ? a : b;
}
