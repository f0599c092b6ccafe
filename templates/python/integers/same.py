def same(found, expected):
    """Whether both have the same nesting and the same numbers."""
    if isinstance(expected, (tuple, list)):
        return len(found) == len(expected) and all([same(f, e) for f, e in zip(found, expected)])
    return found == expected
