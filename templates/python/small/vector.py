def vector(data):
    return array(FLOAT, data)
