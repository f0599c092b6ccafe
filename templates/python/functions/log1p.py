def log1p(x):
    """log(1 + x), after W. Kahan: the second factor undoes the rounding of 1 + x."""
    grown = 1.0 + x
    if grown == 1.0 or grown == INF:
        return x
    return log(grown) * (x / (grown - 1.0)) if grown > 0.0 else log(grown)
