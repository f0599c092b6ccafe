@micropython.viper
def saturated(q: int) -> int:
    return 0 - 32768 if q < 0 - 32768 else 32767 if q > 32767 else q
