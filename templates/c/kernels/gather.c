/* y = one row of the table. An index out of range takes the nearest row. */
static void rnn_gather(float *y, const float *table, int rows, int columns, int32_t index)
{
    const int row = index < 0 ? 0 : index >= rows ? rows - 1 : (int)index;
    int i;
    table += row * columns;
    for (i = 0; i < columns; ++i) {
        y[i] = RNN_READ(table[i]);
    }
}
