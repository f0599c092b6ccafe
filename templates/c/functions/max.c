/* The larger one; `a` if it is NaN. */
static RNN_INLINE float rnn_max(float a, float b)
{
    return a < b ? b : a;
}
