/* v = tanh v, by the rational function of rnn_tanh. The clamps have loops of their own: compilers
   vectorise three plain loops, but not one that does it all. */
static RNN_ALWAYS_INLINE void rnn_tanh_each(float *v, int n)
{
    int i;
    for (i = 0; i < n; ++i) {
        const float low = v[i] < -9.0f ? -9.0f : v[i];
        v[i] = low > 9.0f ? 9.0f : low;
    }
    for (i = 0; i < n; ++i) {
        const float x = v[i], t = x * x;
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
        const float low = v[i] < -1.0f ? -1.0f : v[i];
        v[i] = low > 1.0f ? 1.0f : low;
    }
}
