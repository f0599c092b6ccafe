/* The place, in a ring of `rows`, of the row that comes `row` rows after the oldest at `at`. */
static RNN_INLINE int rnn_ring(int at, int row, int rows)
{
    at += row;
    return at < rows ? at : at - rows;
}
