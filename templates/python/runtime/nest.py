def nest(flat, shape):
    """A flat list as nested lists of this shape, or as the number itself."""
    if not shape:
        return flat[0]
    for axis in range(len(shape) - 1, 0, -1):
        flat = [flat[k : k + shape[axis]] for k in range(0, len(flat), shape[axis])]
    return flat
