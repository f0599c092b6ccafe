def read_whole(values, shape, name, low, high):
    flat = read(values, shape, name)
    for value in flat:
        if not (low <= value <= high and value == int(value)):
            raise ValueError("%s: expected integers, found %s" % (name, value))
    return array("i", [int(value) for value in flat])
