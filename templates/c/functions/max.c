/* The larger one. */
static RNN_INLINE float rnn_max(float a, float b)
{
    return a > b ? a : b;
}
