def scaled(unit, scales, data):
    """Rows of whole numbers, each times its scale in units, one after the other."""
    scales, whole = array("H", scales), array("b", data)
    size = len(whole) // len(scales)
    return array(FLOAT, (unit * scales[k // size] * whole[k] for k in range(len(whole))))
