def softplus(x):
    """log(1 + exp(x))."""
    return (x if x > 0.0 else 0.0) + log1p(math.exp(-abs(x)))
