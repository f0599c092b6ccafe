def sqrt(x):
    return NAN if x < 0.0 else math.sqrt(x)
