def lookup(table, index):
    """Row number `index` of the table."""
    if not 0 <= index < len(table):
        raise ValueError("expected an index from 0 to %d, found %d" % (len(table) - 1, index))
    return vector(table[int(index)])
