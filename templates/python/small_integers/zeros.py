def zeros(count):
    return array("i", [0] * count)
