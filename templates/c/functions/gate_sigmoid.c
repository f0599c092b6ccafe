/* sigmoid x where only the absolute error counts: below 6e-8 it is 0. */
static RNN_INLINE float rnn_gate_sigmoid(float x)
{
    return 0.5f * RNN_TANH(0.5f * x) + 0.5f;
}
