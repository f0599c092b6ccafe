/* y = x - max x - log sum exp(x - max x); y may be x. */
static void rnn_log_softmax(float *y, const float *x, int n)
{
    float largest = x[0], sum = 0.0f;
    int i;
    for (i = 1; i < n; ++i) {
        largest = x[i] > largest ? x[i] : largest;
    }
    for (i = 0; i < n; ++i) {
        sum += RNN_EXP(x[i] - largest);
    }
    sum = RNN_LOG(sum);
    for (i = 0; i < n; ++i) {
        y[i] = x[i] - largest - sum;
    }
}
