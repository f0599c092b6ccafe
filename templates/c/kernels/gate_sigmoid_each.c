/* v = (tanh(v / 2) + 1) / 2: sigmoid v where only the absolute error counts. */
static RNN_ALWAYS_INLINE void rnn_gate_sigmoid_each(float *v, int n)
{
    int i;
    RNN_STORED;
    for (i = 0; i < n; ++i) {
        v[i] *= 0.5f;
    }
    rnn_tanh_each(v, n);
    for (i = 0; i < n; ++i) {
        v[i] = 0.5f * v[i] + 0.5f;
    }
}
