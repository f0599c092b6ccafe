def divide(x, y):
    """x / y, where y may be zero."""
    if y != 0.0:
        return x / y
    return NAN if x == 0.0 or x != x else INF if x > 0.0 else -INF
