def ring(line, at, count):
    """A row of a delay line, which goes round; `at` is counted from its start."""
    at = at % len(line)
    return line[at : at + count]
