def cos(x):
    """The cosine of x; infinities have none."""
    return math.cos(x) if -INF < x < INF else NAN
