def accept_whole(x, name, shape, low, high):
    """`x` as integers of this shape, each of them from `low` to `high`."""
    if type(x) is int and shape == () and low <= x <= high:
        return np.int32(x)
    found = accept(x, name, None, shape)
    wrong = np.ones(found.shape, bool)
    if found.dtype.kind in "iuf":
        wrong = ~((found >= low) & (found <= high) & (found == np.floor(found)))
    if wrong.any():
        expected = "expected %s of whole numbers from %d to %d, found %s"
        raise ValueError(expected % (name, low, high, found[wrong][0]))
    return found.astype(np.int32)
