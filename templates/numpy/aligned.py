def aligned(rows, columns):
    """A matrix of zeros that starts where a cache line does: products read it faster."""
    count = rows * columns
    memory = np.zeros(count + 16, FLOAT)
    start = -memory.__array_interface__["data"][0] % 64 // memory.itemsize
    return memory[start : start + count].reshape(rows, columns)
