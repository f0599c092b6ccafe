def log_softmax(x):
    """The logarithms of the shares that softmax returns."""
    top = max(x)
    total = 0.0
    for v in x:
        total = total + math.exp(v - top)
    log_total = math.log(total)
    return [v - top - log_total for v in x]
