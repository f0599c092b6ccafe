/* The sum of w[k] x[k], in four sums that do not wait for each other. */
static float rnn_dot(const float *RNN_RESTRICT w, const float *RNN_RESTRICT x, int n)
{
    float sum0 = 0.0f, sum1 = 0.0f, sum2 = 0.0f, sum3 = 0.0f;
    int k;
    for (k = 0; k + 4 <= n; k += 4) {
        sum0 += RNN_READ(w[k]) * x[k];
        sum1 += RNN_READ(w[k + 1]) * x[k + 1];
        sum2 += RNN_READ(w[k + 2]) * x[k + 2];
        sum3 += RNN_READ(w[k + 3]) * x[k + 3];
    }
    for (; k < n; ++k) {
        sum0 += RNN_READ(w[k]) * x[k];
    }
    return (sum0 + sum1) + (sum2 + sum3);
}
