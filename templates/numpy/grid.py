def grid(array, start, *axes):
    """A view of `array` from `start` on: an axis (length, distance) for each of `axes`."""
    size = array.strides[0]
    shape = tuple(length for length, _ in axes) + array.shape[1:]
    strides = tuple(distance * size for _, distance in axes) + array.strides[1:]
    return np.lib.stride_tricks.as_strided(array[start:], shape, strides)
