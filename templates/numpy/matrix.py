def matrix(rows, columns):
    """A matrix of zeros, column by column from the start of a cache line: products read it fast."""
    memory = np.zeros(rows * columns + 16, {{dtype}})
    start = -memory.__array_interface__["data"][0] % 64 // memory.itemsize
    return memory[start : start + rows * columns].reshape(columns, rows).T
