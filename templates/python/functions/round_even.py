def round_even(x):
    """The nearest whole number; of two, the even one."""
    # From 2^52 on every float is whole.
    return float(round(x)) if abs(x) < 4503599627370496.0 else x
