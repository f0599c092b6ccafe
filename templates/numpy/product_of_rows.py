def product_of_rows(x, matrix, axes):
    """`x @ matrix.T` for matrices whose rows lie along the last of the first so many axes."""
    batch = x.ndim > axes + 1
    if batch:
        x, matrix = (np.ascontiguousarray(np.moveaxis(a, -1, 0)) for a in (x, matrix))
    found = np.matmul(x, matrix.swapaxes(-1, -2))
    return np.moveaxis(found, 0, -1) if batch else found
