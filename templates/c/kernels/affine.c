/* y = b + W x + U h for `rows` rows, b, W and U packed in w: for eight rows at once their b, then
   for each x, then for each h, their eight weights, so that eight sums stay in registers; each of
   the last rows % 8 rows stands whole. With `more`, y is added to and w has no b. */
static RNN_COMPACT void rnn_affine(float *RNN_RESTRICT y, int rows, int more,
                                   const float *RNN_RESTRICT w, const float *RNN_RESTRICT x,
                                   int nx, const float *RNN_RESTRICT h, int nh)
{
    int part, k;
    for (; rows >= 8; rows -= 8, y += 8) {
        float sum0, sum1, sum2, sum3, sum4, sum5, sum6, sum7;
        if (more) {
            sum0 = y[0], sum1 = y[1], sum2 = y[2], sum3 = y[3];
            sum4 = y[4], sum5 = y[5], sum6 = y[6], sum7 = y[7];
        } else {
            sum0 = RNN_READ(w[0]), sum1 = RNN_READ(w[1]);
            sum2 = RNN_READ(w[2]), sum3 = RNN_READ(w[3]);
            sum4 = RNN_READ(w[4]), sum5 = RNN_READ(w[5]);
            sum6 = RNN_READ(w[6]), sum7 = RNN_READ(w[7]);
            w += 8;
        }
        for (part = 0; part < 2; ++part) {
            const float *v = part == 0 ? x : h;
            const int n = part == 0 ? nx : nh;
            for (k = n / 4; k != 0; --k, w += 32) {
                const float a = *v++, b = *v++, c = *v++, d = *v++;
                sum0 += a * RNN_READ(w[0]);
                sum1 += a * RNN_READ(w[1]);
                sum2 += a * RNN_READ(w[2]);
                sum3 += a * RNN_READ(w[3]);
                sum4 += a * RNN_READ(w[4]);
                sum5 += a * RNN_READ(w[5]);
                sum6 += a * RNN_READ(w[6]);
                sum7 += a * RNN_READ(w[7]);
                sum0 += b * RNN_READ(w[8]);
                sum1 += b * RNN_READ(w[9]);
                sum2 += b * RNN_READ(w[10]);
                sum3 += b * RNN_READ(w[11]);
                sum4 += b * RNN_READ(w[12]);
                sum5 += b * RNN_READ(w[13]);
                sum6 += b * RNN_READ(w[14]);
                sum7 += b * RNN_READ(w[15]);
                sum0 += c * RNN_READ(w[16]);
                sum1 += c * RNN_READ(w[17]);
                sum2 += c * RNN_READ(w[18]);
                sum3 += c * RNN_READ(w[19]);
                sum4 += c * RNN_READ(w[20]);
                sum5 += c * RNN_READ(w[21]);
                sum6 += c * RNN_READ(w[22]);
                sum7 += c * RNN_READ(w[23]);
                sum0 += d * RNN_READ(w[24]);
                sum1 += d * RNN_READ(w[25]);
                sum2 += d * RNN_READ(w[26]);
                sum3 += d * RNN_READ(w[27]);
                sum4 += d * RNN_READ(w[28]);
                sum5 += d * RNN_READ(w[29]);
                sum6 += d * RNN_READ(w[30]);
                sum7 += d * RNN_READ(w[31]);
            }
            for (k = n % 4; k != 0; --k, w += 8) {
                const float a = *v++;
                sum0 += a * RNN_READ(w[0]);
                sum1 += a * RNN_READ(w[1]);
                sum2 += a * RNN_READ(w[2]);
                sum3 += a * RNN_READ(w[3]);
                sum4 += a * RNN_READ(w[4]);
                sum5 += a * RNN_READ(w[5]);
                sum6 += a * RNN_READ(w[6]);
                sum7 += a * RNN_READ(w[7]);
            }
        }
        y[0] = sum0, y[1] = sum1, y[2] = sum2, y[3] = sum3;
        y[4] = sum4, y[5] = sum5, y[6] = sum6, y[7] = sum7;
    }
    for (; rows > 0; --rows, ++y) {
        float sum = more ? *y : RNN_READ(*w);
        w += more ? 0 : 1;
        for (k = 0; k < nx; ++k) {
            sum += x[k] * RNN_READ(w[k]);
        }
        w += nx;
        for (k = 0; k < nh; ++k) {
            sum += h[k] * RNN_READ(w[k]);
        }
        w += nh;
        *y = sum;
    }
}
