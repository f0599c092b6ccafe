def integers(values, count, limit):
    if len(values) != count:
        raise ValueError("expected %d numbers, found %d" % (count, len(values)))
    for value in values:
        if not (-limit <= value < limit and value == int(value)):
            raise ValueError("expected integers of %d and more, found %s" % (-limit, value))
    return array("i", [int(value) for value in values])
