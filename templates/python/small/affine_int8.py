# The sum of bias and, for each part, unit * scales * (whole numbers @ part); a row is unpacked when
# it is needed.
def affine_int8(weights, rows, *parts):
    out = list(array(FLOAT, weights[0]))
    at = 1
    for part in parts:
        unit, scales, whole = weights[at : at + 3]
        scales = array("H", scales)
        at = at + 3
        size = len(part)
        for r in range(rows):
            row = array("b", whole[size * r : size * r + size])
            total = 0.0
            k = 0
            for value in part:
                total = total + row[k] * value
                k = k + 1
            out[r] = out[r] + unit * scales[r] * total
    return out
