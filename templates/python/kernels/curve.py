@micropython.viper
def curve(q: int, table: ptr16, top: int, shift: int, mirror: int) -> int:
    a = q if q >= 0 else 0 - q
    if a > top:
        a = top
    k = a >> shift
    low = (table[k] ^ 32768) - 32768
    high = (table[k + 1] ^ 32768) - 32768
    low += ((high - low) * (a & (1 << shift) - 1) + (1 << shift - 1)) >> shift
    return low if q >= 0 else mirror - low
