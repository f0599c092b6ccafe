/* y = one row of the table times its scale u s. An index out of range takes the nearest row. */
static void rnn_gather_int8(float *y, const int8_t *table, const uint16_t *s, float u, int rows,
                            int columns, int32_t index)
{
    const int row = index < 0 ? 0 : index >= rows ? rows - 1 : (int)index;
    const float scale = u * (float)RNN_READ_UINT16(s[row]);
    int i;
    table += row * columns;
    for (i = 0; i < columns; ++i) {
        y[i] = scale * (float)RNN_READ_INT8(table[i]);
    }
}
