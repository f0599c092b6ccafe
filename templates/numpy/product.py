def product(matrix, x, axes):
    """`matrix @ x` for each place along the first so many axes of `x`."""
    if x.ndim > axes + 1:  # a batch
        return np.matmul(matrix, x)
    rows = x.reshape(-1, x.shape[-1]).dot(matrix.T)
    return rows.reshape(x.shape[:-1] + (-1,))
