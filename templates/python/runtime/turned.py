def turned(line, oldest):
    """A delay line, which goes round, from its oldest row on."""
    return list(line[oldest:]) + list(line[:oldest])
