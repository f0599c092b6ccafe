/* exp x = 2^k exp r with |r| <= ln 2 / 2; 0 or infinity beyond the range of a float. */
static float rnn_exp(float x)
{
    float r, p, half;
    uint32_t bits;
    int k;
    if (x != x) {
        return x;
    }
    x = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x;
    k = (int)(x * 1.442695f + (x < 0.0f ? -0.5f : 0.5f));
    r = x - (float)k * 0.693359375f + (float)k * 2.1219444e-4f;
    p = 1.9875691e-4f;
    p = p * r + 1.3981999e-3f;
    p = p * r + 8.3334519e-3f;
    p = p * r + 4.1665796e-2f;
    p = p * r + 0.16666666f;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    /* 2^k in two factors, so that neither leaves the range of a float. */
    bits = (uint32_t)(k / 2 + 127) << 23;
    memcpy(&half, &bits, sizeof half);
    p *= half;
    bits = (uint32_t)(k - k / 2 + 127) << 23;
    memcpy(&half, &bits, sizeof half);
    return p * half;
}
