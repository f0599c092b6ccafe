/* y = b + u s (W x) for `rows` rows; y is added to where b is null. For eight rows at once their
   eight weights stand in w for each x, so that eight sums stay in registers; each of the last
   rows % 8 rows stands whole. */
static RNN_COMPACT void rnn_affine_int8(float *y, const float *b, int rows,
                                        const int8_t *RNN_RESTRICT w,
                                        const uint16_t *RNN_RESTRICT s, float u,
                                        const float *RNN_RESTRICT x, int n)
{
    int k;
    for (; rows >= 8; rows -= 8, s += 8, y += 8) {
        const float *v = x;
        float sum0 = 0.0f, sum1 = 0.0f, sum2 = 0.0f, sum3 = 0.0f;
        float sum4 = 0.0f, sum5 = 0.0f, sum6 = 0.0f, sum7 = 0.0f;
        for (k = n; k != 0; --k, w += 8) {
            const float a = *v++;
            sum0 += a * (float)RNN_READ_INT8(w[0]);
            sum1 += a * (float)RNN_READ_INT8(w[1]);
            sum2 += a * (float)RNN_READ_INT8(w[2]);
            sum3 += a * (float)RNN_READ_INT8(w[3]);
            sum4 += a * (float)RNN_READ_INT8(w[4]);
            sum5 += a * (float)RNN_READ_INT8(w[5]);
            sum6 += a * (float)RNN_READ_INT8(w[6]);
            sum7 += a * (float)RNN_READ_INT8(w[7]);
        }
        if (b != 0) {
            for (k = 0; k < 8; ++k) {
                y[k] = RNN_READ(b[k]);
            }
            b += 8;
        }
        y[0] += u * (float)RNN_READ_UINT16(s[0]) * sum0;
        y[1] += u * (float)RNN_READ_UINT16(s[1]) * sum1;
        y[2] += u * (float)RNN_READ_UINT16(s[2]) * sum2;
        y[3] += u * (float)RNN_READ_UINT16(s[3]) * sum3;
        y[4] += u * (float)RNN_READ_UINT16(s[4]) * sum4;
        y[5] += u * (float)RNN_READ_UINT16(s[5]) * sum5;
        y[6] += u * (float)RNN_READ_UINT16(s[6]) * sum6;
        y[7] += u * (float)RNN_READ_UINT16(s[7]) * sum7;
    }
    for (; rows > 0; --rows, ++s, ++y) {
        float sum = 0.0f;
        for (k = 0; k < n; ++k) {
            sum += x[k] * (float)RNN_READ_INT8(w[k]);
        }
        w += n;
        if (b != 0) {
            *y = RNN_READ(*b);
            ++b;
        }
        *y += u * (float)RNN_READ_UINT16(*s) * sum;
    }
}
