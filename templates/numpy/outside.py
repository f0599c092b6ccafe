def outside(array, lead):
    """An array as users see it, with the axis of a batch first."""
    return np.moveaxis(array, -1, 0) if lead else array
