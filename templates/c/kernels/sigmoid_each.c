/* v = sigmoid v = (1 or e) / (1 + e) with e = exp(-|v|), computed as by rnn_exp: the same factors.
   The bound is volatile since gcc makes one instruction of a clamp to a number that it does not
   know. The first clamp leaves NaN, which no int may be made of, and the second takes it away. */
static RNN_ALWAYS_INLINE void rnn_sigmoid_each(float *v, int n)
{
    const volatile float smallest = -104.0f;
    const float low = smallest;
    int i;
    RNN_STORED;
    for (i = 0; i < n; ++i) {
        const float x = v[i], down = x < 0.0f ? x : -x;
        const float t = down < low ? low : down, number = t > low ? t : low;
        const int k = (int)(number * 1.442695f - 0.5f), half = k / 2;
        const uint32_t one = (uint32_t)(half + 127) << 23, other = (uint32_t)(k - half + 127) << 23;
        const float r = t - (float)k * 0.693359375f + (float)k * 2.1219444e-4f;
        float e = 1.9875691e-4f, factor;
        e = e * r + 1.3981999e-3f;
        e = e * r + 8.3334519e-3f;
        e = e * r + 4.1665796e-2f;
        e = e * r + 0.16666666f;
        e = e * r + 0.5f;
        e = e * r * r + r + 1.0f;
        memcpy(&factor, &one, sizeof factor);
        e *= factor;
        memcpy(&factor, &other, sizeof factor);
        e *= factor;
        v[i] = (x < 0.0f ? e : 1.0f) / (1.0f + e);
    }
}
