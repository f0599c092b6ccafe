def store(buffer, at, values):
    for value in values:
        buffer[at] = value
        at = at + 1
