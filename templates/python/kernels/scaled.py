@micropython.viper
def scaled(q: int, r: int) -> int:
    return (q >> 15) * r + ((q & 32767) * r >> 15)
