def softmax(x, axis, exp, out):
    """Shares of 2^15 in proportion to e to the power of x / 2^16; their sum is 2^15."""
    e = exp(x.max(axis, keepdims=True) - x)
    total = e.sum(axis, keepdims=True)
    # What one division leaves goes into the next.
    shares = floor((32768 * e.cumsum(axis) + floor(total / 2)) / total)
    in_order = np.moveaxis(shares, axis, 0)
    in_order[1:] -= in_order[:-1].copy()
    out[...] = shares
