def accept_ids(x, name, shape, rows):
    """`x` as integers of this shape, each of them the number of one of so many rows."""
    if type(x) is int and shape == () and 0 <= x < rows:
        return np.int32(x)
    found = accept(x, name, None, shape)
    wrong = np.ones(found.shape, bool)
    if found.dtype.kind in "iuf":
        wrong = (found < 0) | (found >= rows) | (found != np.floor(found))
    if wrong.any():
        expected = "expected %s of whole numbers from 0 to %d, found %s"
        raise ValueError(expected % (name, rows - 1, found[wrong][0]))
    return found.astype(np.int32)
