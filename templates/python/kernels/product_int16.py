@micropython.viper
def product_int16(out: ptr32, rows: int, weights: ptr16, scales: ptr16, shift: int, x: ptr32, size: int
):
    less = 0
    for k in range(size):
        less += x[k] << 15
    at = 0
    for r in range(rows):
        total = 0 - less
        for k in range(size):
            total += weights[at] * x[k]
            at += 1
        high = ((total >> 16 & 65535) ^ 32768) - 32768
        m = scales[r]
        out[r] += (high * m + ((total & 65535) * m >> 16) + (1 << shift - 1)) >> shift
