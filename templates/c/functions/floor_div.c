/* a / b, rounded down. */
static RNN_INLINE int rnn_floor_div(int a, int b)
{
    return a >= 0 ? a / b : -((b - 1 - a) / b);
}
