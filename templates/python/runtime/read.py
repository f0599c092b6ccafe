def shape_of(values):
    """The shape of nested lists, as their first elements tell it."""
    shape = ()
    while not isinstance(values, (str, bytes)):
        try:
            shape = shape + (len(values),)
            values = values[0]
        except (TypeError, IndexError, KeyError):
            break
    return shape


def refuse(name, shape, values):
    """Raise ValueError: the values do not have this shape."""
    found = shape_of(values)
    if found == shape:
        found = "lists of unequal lengths, or something that is not a number"
    raise ValueError("%s: expected shape %s, found %s" % (name, shape, found))


def read(values, shape, name):
    """The numbers in nested lists of this shape, in one flat list."""
    flat = [values]
    try:
        for count in shape:
            inner = []
            for part in flat:
                if len(part) != count:
                    refuse(name, shape, values)
                inner.extend(part)
            flat = inner
        return [float(value + 0.0) for value in flat]
    except TypeError:
        refuse(name, shape, values)
