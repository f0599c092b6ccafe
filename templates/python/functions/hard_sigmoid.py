def hard_sigmoid(x):
    """0.2 x + 0.5 between 0 and 1."""
    y = 0.2 * x + 0.5
    return 0.0 if y < 0.0 else 1.0 if y > 1.0 else y
