def lookup(table, index):
    code, rows, scales, shift = table
    count = len(scales) // 2
    if not 0 <= index < count:
        raise ValueError("expected an index from 0 to %d, found %d" % (count - 1, index))
    size = len(rows) // count
    m, half = scales[2 * index] + (scales[2 * index + 1] << 8), 1 << (shift - 1)
    row = array(code, rows[size * index : size * index + size])
    return array("i", [(q * m + half) >> shift for q in row])
