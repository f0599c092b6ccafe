/* clip(0.2 x + 0.5, 0, 1), the hard sigmoid of Keras 1 and 2. */
static RNN_INLINE float rnn_hard_sigmoid(float x)
{
    const float y = 0.2f * x + 0.5f;
    const float low = y < 0.0f ? 0.0f : y;
    return low > 1.0f ? 1.0f : low;
}
