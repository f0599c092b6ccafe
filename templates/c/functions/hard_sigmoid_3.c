/* clip(x / 6 + 0.5, 0, 1), the hard sigmoid of Keras 3. */
static RNN_INLINE float rnn_hard_sigmoid_3(float x)
{
    const float y = x / 6.0f + 0.5f;
    const float low = y < 0.0f ? 0.0f : y;
    return low > 1.0f ? 1.0f : low;
}
