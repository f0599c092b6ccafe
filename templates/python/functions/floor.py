def floor(x):
    """The largest whole number that is not above x; infinities and NaN stay what they are."""
    # From 2^52 on every float is whole.
    return float(math.floor(x)) if abs(x) < 4503599627370496.0 else x
