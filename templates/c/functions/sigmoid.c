/* 1 / (1 + exp(-x)), which no x makes overflow. */
static RNN_INLINE float rnn_sigmoid(float x)
{
    return 0.5f * RNN_TANH(0.5f * x) + 0.5f;
}
