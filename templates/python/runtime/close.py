def close(found, expected, size):
    """Whether both have the same nesting, and numbers that differ by no more than rounding."""
    if isinstance(expected, (tuple, list)):
        if len(found) != len(expected):
            return False
        return all([close(f, e, size) for f, e in zip(found, expected)])
    if expected != expected:  # recorded where there is no finite number, or a very large one
        return not abs(found) < 1e30
    return found == expected or abs(found - expected) <= TOLERANCE * (size + abs(expected))
