/* Put x in place of the oldest row of a ring, at `at`; returns where the next oldest is. */
static int rnn_push(float *ring, int at, int rows, const float *x, int n)
{
    int i;
    for (i = 0; i < n; ++i) {
        ring[at * n + i] = x[i];
    }
    return at + 1 < rows ? at + 1 : 0;
}
