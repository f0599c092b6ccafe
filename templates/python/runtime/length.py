def length(values, name):
    """The number of time steps in an input."""
    try:
        count = len(values)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError("%s: expected a list of one or more time steps, found none" % name)
    return count
