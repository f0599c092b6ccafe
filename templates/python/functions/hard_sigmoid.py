def hard_sigmoid(x):
    y = 0.2 * x + 0.5
    return 0.0 if y < 0.0 else 1.0 if y > 1.0 else y
