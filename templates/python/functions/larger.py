def larger(a, b):
    """The larger one, or the one that is NaN, which max would drop."""
    return a if a >= b or a != a else b
