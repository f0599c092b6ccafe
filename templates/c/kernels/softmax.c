/* y = exp(x - max x) / sum exp(x - max x); y may be x. */
static void rnn_softmax(float *y, const float *x, int n)
{
    float largest = x[0], sum = 0.0f, scale;
    int i;
    for (i = 1; i < n; ++i) {
        largest = x[i] > largest ? x[i] : largest;
    }
    for (i = 0; i < n; ++i) {
        y[i] = RNN_EXP(x[i] - largest);
        sum += y[i];
    }
    scale = 1.0f / sum;
    for (i = 0; i < n; ++i) {
        y[i] *= scale;
    }
}
