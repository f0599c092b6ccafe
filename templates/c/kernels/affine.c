/* y = b + W x + U h for `rows` rows, b, W and U packed in w: for eight rows at once their b, then
   for each x, then for each h, their eight weights, so that eight sums stay in registers; each of
   the last rows % 8 rows stands whole. With `more`, y is added to and w has no b. */
static void rnn_affine(float *RNN_RESTRICT y, int rows, int more, const float *RNN_RESTRICT w,
                       const float *RNN_RESTRICT x, int nx, const float *RNN_RESTRICT h, int nh)
{
    for (; rows >= 8; rows -= 8, y += 8) {
        float y0, y1, y2, y3, y4, y5, y6, y7;
        const float *v = x;
        int left = nx, next = nh;
        if (more) {
            y0 = y[0], y1 = y[1], y2 = y[2], y3 = y[3];
            y4 = y[4], y5 = y[5], y6 = y[6], y7 = y[7];
        } else {
            y0 = RNN_READ(w[0]), y1 = RNN_READ(w[1]), y2 = RNN_READ(w[2]), y3 = RNN_READ(w[3]);
            y4 = RNN_READ(w[4]), y5 = RNN_READ(w[5]), y6 = RNN_READ(w[6]), y7 = RNN_READ(w[7]);
            w += 8;
        }
        for (;;) {
            for (; left > 0; --left, w += 8) {
                const float a = *v++;
                y0 += a * RNN_READ(w[0]);
                y1 += a * RNN_READ(w[1]);
                y2 += a * RNN_READ(w[2]);
                y3 += a * RNN_READ(w[3]);
                y4 += a * RNN_READ(w[4]);
                y5 += a * RNN_READ(w[5]);
                y6 += a * RNN_READ(w[6]);
                y7 += a * RNN_READ(w[7]);
            }
            if (next == 0) {
                break;
            }
            v = h, left = next, next = 0;
        }
        y[0] = y0, y[1] = y1, y[2] = y2, y[3] = y3;
        y[4] = y4, y[5] = y5, y[6] = y6, y[7] = y7;
    }
    for (; rows > 0; --rows, ++y) {
        float sum = more ? *y : RNN_READ(*w);
        int k;
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
