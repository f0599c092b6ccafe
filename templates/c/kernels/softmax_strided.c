/* y = exp(x - max x) / sum exp(x - max x) for elements with strides; y may be x. */
static void rnn_softmax_strided(float *y, int y_stride, const float *x, int x_stride, int n)
{
    float largest = x[0], sum = 0.0f;
    int i;
    for (i = 1; i < n; ++i) {
        largest = x[i * x_stride] > largest ? x[i * x_stride] : largest;
    }
    for (i = 0; i < n; ++i) {
        y[i * y_stride] = RNN_EXP(x[i * x_stride] - largest);
        sum += y[i * y_stride];
    }
    for (i = 0; i < n; ++i) {
        y[i * y_stride] /= sum;
    }
}
