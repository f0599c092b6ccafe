/* v = clip(slope v + 0.5, 0, 1). The bounds are volatile since gcc makes one instruction of a clamp
   to a number that it does not know, but branches of two clamps to numbers that it knows. */
static RNN_ALWAYS_INLINE void rnn_hard_sigmoid_each(float *v, float slope, int n)
{
    const volatile float zero = 0.0f, one = 1.0f;
    const float low = zero, high = one;
    int i;
    RNN_STORED;
    for (i = 0; i < n; ++i) {
        const float x = slope * v[i] + 0.5f, y = x < low ? low : x;
        v[i] = y > high ? high : y;
    }
}
