def array(shape, text, dtype={{dtype}}):
    """The numbers of a base64 text, little-endian, as an array."""
    stored = np.dtype(dtype).newbyteorder("<")
    return np.frombuffer(b64decode(text), stored).astype(dtype).reshape(shape)
