@micropython.viper
def product(out: ptr32, rows: int, weights: ptr8, scales: ptr8, shift: int, x: ptr32, size: int):
    less = 0
    for k in range(size):
        less += x[k] << 7
    at = 0
    for r in range(rows):
        total = 0 - less
        for k in range(size):
            total += weights[at] * x[k]
            at += 1
        high = ((total >> 16 & 65535) ^ 32768) - 32768
        low = total & 65535
        m = scales[2 * r] + (scales[2 * r + 1] << 8)
        rest = (low * (m >> 1) + (low * (m & 1) >> 1)) >> 15  # low * m >> 16 in 30 bits
        out[r] += (high * m + rest + (1 << shift - 1)) >> shift
