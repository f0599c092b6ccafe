/* log(1 + exp x) = max(x, 0) + log(1 + exp(-|x|)); the logarithm is 2 artanh z. */
static float rnn_softplus(float x)
{
    const float e = RNN_EXP(x < 0.0f ? x : -x);
    const float z = e / (2.0f + e);
    const float t = z * z;
    float p = 0.076923077f;
    p = p * t + 0.090909091f;
    p = p * t + 0.11111111f;
    p = p * t + 0.14285714f;
    p = p * t + 0.2f;
    p = p * t + 0.33333333f;
    p = p * t + 1.0f;
    return (x > 0.0f ? x : 0.0f) + 2.0f * z * p;
}
