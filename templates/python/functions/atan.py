def atan(x):
    """The arc tangent of x."""
    return math.atan(x)
