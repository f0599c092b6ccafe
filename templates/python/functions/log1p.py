def log1p(x):
    # math.log1p is not everywhere. After W. Kahan: the second factor undoes the rounding of 1 + x.
    grown = 1.0 + x
    if grown == 1.0 or grown == INF:
        return x
    return log(grown) * (x / (grown - 1.0)) if grown > 0.0 else log(grown)
