def hard_sigmoid_3(x):
    """x / 6 + 0.5 between 0 and 1, as Keras 3 has it."""
    y = x / 6.0 + 0.5
    return 0.0 if y < 0.0 else 1.0 if y > 1.0 else y
