/* The larger length. */
static RNN_INLINE int rnn_max_length(int a, int b)
{
    return a > b ? a : b;
}
