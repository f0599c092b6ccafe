/* The sum of w[k] x[k], in eight sums that do not wait for each other. */
static float rnn_dot(const float *RNN_RESTRICT w, const float *RNN_RESTRICT x, int n)
{
    const int whole = n - n % 8;
    float sum[8] = {0.0f}, rest = 0.0f;
    int k, c;
    for (k = 0; k < whole; k += 8) {
        for (c = 0; c < 8; ++c) {
            sum[c] += RNN_READ(w[k + c]) * x[k + c];
        }
    }
    for (k = whole; k < n; ++k) {
        rest += RNN_READ(w[k]) * x[k];
    }
    sum[0] += sum[4], sum[1] += sum[5], sum[2] += sum[6], sum[3] += sum[7];
    return rest + ((sum[0] + sum[2]) + (sum[1] + sum[3]));
}
