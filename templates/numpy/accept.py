def accept(x, name, dtype, shape):
    """`x` as a contiguous array of this shape, where None stands for any length from 1 on."""
    found = np.shape(x)
    fits = len(found) == len(shape)
    if not fits or any(m < 1 if n is None else m != n for m, n in zip(found, shape)):
        expected = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError("expected %s of shape (%s), found %s" % (name, expected, found))
    return np.asarray(x, dtype, "C")
