def smaller(a, b):
    """The smaller one, or the one that is NaN, which min would drop."""
    return a if a <= b or a != a else b
