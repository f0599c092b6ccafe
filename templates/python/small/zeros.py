def zeros(count):
    return array(REAL, [0.0] * count)
