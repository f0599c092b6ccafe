def requantised(total, scale, shift):
    """A sum of products times the scale of its row."""
    return ((total * scale >> 16) + (1 << (shift - 1))) >> shift
