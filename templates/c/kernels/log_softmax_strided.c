/* y = x - max x - log sum exp(x - max x) for elements with strides; y may be x. */
static void rnn_log_softmax_strided(float *y, int y_stride, const float *x, int x_stride, int n)
{
    float largest = x[0], sum = 0.0f;
    int i;
    for (i = 1; i < n; ++i) {
        largest = x[i * x_stride] > largest ? x[i * x_stride] : largest;
    }
    for (i = 0; i < n; ++i) {
        sum += RNN_EXP(x[i * x_stride] - largest);
    }
    sum = RNN_LOG(sum);
    for (i = 0; i < n; ++i) {
        y[i * y_stride] = x[i * x_stride] - largest - sum;
    }
}
