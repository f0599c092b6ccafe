def lookup(table, rows, index):
    """Row number `index` of the table."""
    if not 0 <= index < rows:
        raise ValueError("expected an index from 0 to %d, found %d" % (rows - 1, index))
    size = len(table) // rows
    at = size * int(index)
    return vector(table[at : at + size])
