/* The smaller one; `a` if it is NaN. */
static RNN_INLINE float rnn_min(float a, float b)
{
    return b < a ? b : a;
}
