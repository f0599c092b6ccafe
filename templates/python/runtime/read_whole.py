def read_whole(values, shape, name, low, high):
    """The whole numbers from low to high in nested lists of this shape, in one flat list."""
    read(values, shape, name)  # refuses what has another shape, and turns all into floats
    flat = [values]
    for count in shape:
        flat = [value for part in flat for value in part]
    for value in flat:
        if not (low <= value <= high and value == int(value)):
            raise ValueError(
                "%s: expected whole numbers from %d to %d, found %s" % (name, low, high, value)
            )
    return [int(value) for value in flat]
