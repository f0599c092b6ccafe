def exp(x):
    """e to the power of x."""
    try:
        return math.exp(x)
    except (OverflowError, ValueError):
        return INF
