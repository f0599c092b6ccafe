def inside(array, lead):
    """What a user gave, with the axis of a batch last."""
    return np.ascontiguousarray(np.moveaxis(array, 0, -1)) if lead else array
