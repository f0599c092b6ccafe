def read_ids(values, shape, name, count):
    """The whole numbers from 0 to count - 1 in nested lists of this shape, in one flat list."""
    flat = []
    for value in read(values, shape, name):
        if not (0 <= value < count and value == int(value)):
            raise ValueError(
                "%s: expected whole numbers from 0 to %d, found %s" % (name, count - 1, value)
            )
        flat.append(int(value))
    return flat
