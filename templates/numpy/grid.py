def grid(flat, start, *axes):
    """A view of the last axis of `flat`, with an axis (length, distance) for each of `axes`."""
    size = flat.strides[-1]
    shape = flat.shape[:-1] + tuple(length for length, _ in axes)
    strides = flat.strides[:-1] + tuple(distance * size for _, distance in axes)
    return np.lib.stride_tricks.as_strided(flat[..., start:], shape, strides)
