/* exp x - 1, accurate near 0. */
static float rnn_expm1(float x)
{
    if (x > -0.35f && x < 0.35f) {
        float p = 1.9841270e-4f;
        p = p * x + 1.3888889e-3f;
        p = p * x + 8.3333333e-3f;
        p = p * x + 4.1666667e-2f;
        p = p * x + 0.16666667f;
        p = p * x + 0.5f;
        return p * x * x + x;
    }
    return RNN_EXP(x) - 1.0f;
}
