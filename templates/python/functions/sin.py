def sin(x):
    """The sine of x; infinities have none."""
    return math.sin(x) if -INF < x < INF else NAN
