def numbers(values, count):
    if len(values) != count:
        raise ValueError("expected %d numbers, found %d" % (count, len(values)))
    return values
