def floor(x):
    # From 2^52 on every float is whole; infinities and NaN stay what they are.
    return float(math.floor(x)) if abs(x) < 4503599627370496.0 else x
