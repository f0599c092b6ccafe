def dot(total, matrix, at, stride, values):
    """total + the sum of values times every stride-th element of matrix from `at` on."""
    for value in values:
        total = total + matrix[at] * value
        at = at + stride
    return total
