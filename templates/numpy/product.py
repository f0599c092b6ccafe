def product(x, matrix):
    """`x @ matrix` along the last axis of `x`, as one product."""
    rows = x.reshape(-1, x.shape[-1]).dot(matrix)
    return rows.reshape(x.shape[:-1] + matrix.shape[1:])
