def array(shape, text, dtype={{dtype}}):
    """The numbers of a text as an array."""
    return np.array([float(word) for word in text.split()], dtype).reshape(shape)
