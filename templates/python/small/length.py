def length(values, name):
    if not values:
        raise ValueError("%s: expected time steps, found none" % name)
    return len(values)
