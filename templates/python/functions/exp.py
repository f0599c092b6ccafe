def exp(x):
    try:
        return math.exp(x)
    except (OverflowError, ValueError):
        return INF
