def lookup(table, index):
    code, rows, scales, shift = table
    if not 0 <= index < len(scales):
        raise ValueError("expected an index from 0 to %d, found %d" % (len(scales) - 1, index))
    size = len(rows) // len(scales)
    m, half = scales[index], 1 << (shift - 1)
    row = array(code, rows[size * index : size * index + size])
    return array("i", [(q * m + half) >> shift for q in row])
