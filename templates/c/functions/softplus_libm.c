/* log(1 + exp x), which overflows for no x. */
static RNN_INLINE float rnn_softplus(float x)
{
    return (x > 0.0f ? x : 0.0f) + RNN_LOG1P(RNN_EXP(x < 0.0f ? x : -x));
}
