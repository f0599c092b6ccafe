def erf(x, out):
    """The error function, x P(x^2) / Q(x^2), within a few units of the last place."""
    x = np.minimum(np.maximum(x, -4), 4)
    square = x * x
    top = np.full_like(x, -2.72614225801306e-10)
    for number in (
        2.77068142495902e-08,
        -2.10102402082508e-06,
        -5.69250639462346e-05,
        -7.34990630326855e-04,
        -2.95459980854025e-03,
        -1.60960333262415e-02,
    ):
        top = top * square + number
    bottom = np.full_like(x, -1.45660718464996e-05)
    for number in (
        -2.13374055278905e-04,
        -1.68282697438203e-03,
        -7.37332916720468e-03,
        -1.42647390514189e-02,
    ):
        bottom = bottom * square + number
    out[...] = x * top / bottom
    return out
