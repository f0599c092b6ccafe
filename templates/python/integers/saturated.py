def saturated(q):
    """q within 16 bits."""
    return -32768 if q < -32768 else 32767 if q > 32767 else q
