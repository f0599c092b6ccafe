def power(x, y):
    """x to the power of y."""
    try:
        return math.pow(x, y)
    except (OverflowError, ValueError, ZeroDivisionError):
        if x < 0.0 and y % 1.0 != 0.0:
            return NAN
        return -INF if x < 0.0 and y % 2.0 == 1.0 else INF
