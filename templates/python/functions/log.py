def log(x):
    """The natural logarithm of x."""
    if x > 0.0:
        return math.log(x) if x < INF else x
    return -INF if x == 0.0 else NAN
