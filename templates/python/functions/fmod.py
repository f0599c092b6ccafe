def fmod(x, y):
    """What is left of x after whole multiples of y; it has the sign of x."""
    return math.fmod(x, y) if -INF < x < INF and y != 0.0 else NAN
