def read(values, shape, name):
    flat = [values]
    for count in shape:
        inner = []
        for part in flat:
            if len(part) != count:
                raise ValueError("%s: expected %d, found %d" % (name, count, len(part)))
            inner.extend(part)
        flat = inner
    return flat
