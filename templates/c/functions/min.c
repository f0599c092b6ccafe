/* The smaller one. */
static RNN_INLINE float rnn_min(float a, float b)
{
    return a < b ? a : b;
}
