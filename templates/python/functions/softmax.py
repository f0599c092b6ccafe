def softmax(x):
    """Shares of 1 in proportion to exp(x)."""
    top = max(x)
    e = [math.exp(v - top) for v in x]
    total = 0.0
    for v in e:
        total = total + v
    return [v / total for v in e]
