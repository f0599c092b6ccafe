def lookup(table, index):
    """Row number `index` of the table, times the scale of the row."""
    numbers, scales, shift = table
    if not 0 <= index < len(scales):
        raise ValueError("expected an index from 0 to %d, found %d" % (len(scales) - 1, index))
    size, half = len(numbers) // len(scales), 1 << (shift - 1)
    return [(q * scales[index] + half) >> shift for q in numbers[size * index : size * index + size]]
