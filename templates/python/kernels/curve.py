@micropython.viper
def curve(q: int, table: ptr8, top: int, shift: int, mirror: int) -> int:
    a = q if q >= 0 else 0 - q
    if a > top:
        a = top
    k = a >> shift << 1
    low = ((table[k] | table[k + 1] << 8) ^ 32768) - 32768
    high = ((table[k + 2] | table[k + 3] << 8) ^ 32768) - 32768
    low += ((high - low) * (a & (1 << shift) - 1) + (1 << shift - 1)) >> shift
    return low if q >= 0 else mirror - low
