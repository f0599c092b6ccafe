/* tanh x = x P(x x) / Q(x x), within 3 last places and never above 1; P and Q fit |x| < 9. */
static RNN_INLINE float rnn_tanh(float x)
{
    const float t = x * x;
    float p = 1.3184066e-8f, q = 7.702598e-7f;
    if (t > 64.0f) {
        return x > 0.0f ? 1.0f : -1.0f;
    }
    p = p * t + 2.0471714e-5f;
    q = q * t + 3.271374e-4f;
    p = p * t + 3.4865749e-3f;
    q = q * t + 2.5841951e-2f;
    p = p * t + 0.13373192f;
    q = q * t + 0.4670649f;
    p = p * t + 0.9999999f;
    q = q * t + 1.0f;
    return x * p / q;
}
