/* The sum of w[k] x[k], in four sums that do not wait for each other. */
static float rnn_dot_int8(const int8_t *RNN_RESTRICT w, const float *RNN_RESTRICT x, int n)
{
    float sum[4] = {0.0f};
    int k;
    for (k = 0; k < n; ++k) {
        sum[k % 4] += (float)RNN_READ_INT8(w[k]) * x[k];
    }
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}
