/* 1 / (1 + exp(-x)), which overflows for no x. */
static RNN_INLINE float rnn_sigmoid(float x)
{
    const float e = RNN_EXP(x < 0.0f ? x : -x);
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}
