/* v = tanh v, by the rational function of rnn_tanh. The bounds are volatile since gcc makes one
   instruction of a clamp to a number that it does not know, and up to five of one that it knows. */
static RNN_ALWAYS_INLINE void rnn_tanh_each(float *v, int n)
{
    const volatile float largest = 81.0f, one = 1.0f;
    const float top = largest, high = one, low = -high;
    int i;
    RNN_STORED;
    for (i = 0; i < n; ++i) {
        const float x = v[i], square = x * x, t = square > top ? top : square;
        float p = 1.3184066e-8f, q = 7.702598e-7f;
        p = p * t + 2.0471714e-5f;
        q = q * t + 3.271374e-4f;
        p = p * t + 3.4865749e-3f;
        q = q * t + 2.5841951e-2f;
        p = p * t + 0.13373192f;
        q = q * t + 0.4670649f;
        p = p * t + 0.9999999f;
        q = q * t + 1.0f;
        v[i] = x * p / q;
    }
    for (i = 0; i < n; ++i) {
        const float y = v[i] < low ? low : v[i];
        v[i] = y > high ? high : y;
    }
}
