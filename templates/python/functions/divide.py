def divide(x, y):
    if y != 0.0:
        return x / y
    return NAN if x == 0.0 or x != x else INF if x > 0.0 else -INF
