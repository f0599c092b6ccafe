def sqrt(x):
    """The square root of x, NaN below zero."""
    return NAN if x < 0.0 else math.sqrt(x)
