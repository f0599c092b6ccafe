def beside(rows, *parts):
    """Matrices of so many rows, side by side."""
    found = array(FLOAT)
    for r in range(rows):
        for part in parts:
            size = len(part) // rows
            found.extend(part[size * r : size * r + size])
    return found
