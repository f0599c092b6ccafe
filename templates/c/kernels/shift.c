/* Drop the oldest row of a delay line and append x: `keep` values stay. */
static void rnn_shift(float *line, int keep, const float *x, int n)
{
    int i;
    for (i = 0; i < keep; ++i) {
        line[i] = line[i + n];
    }
    for (i = 0; i < n; ++i) {
        line[keep + i] = x[i];
    }
}
