def softplus(x):
    return (x if x > 0.0 else 0.0) + log1p(math.exp(-abs(x)))
