/* v = sigmoid v = (tanh(v / 2) + 1) / 2. */
static RNN_ALWAYS_INLINE void rnn_sigmoid_each(float *v, int n)
{
    int i;
    for (i = 0; i < n; ++i) {
        v[i] *= 0.5f;
    }
    rnn_tanh_each(v, n);
    for (i = 0; i < n; ++i) {
        v[i] = 0.5f * v[i] + 0.5f;
    }
}
