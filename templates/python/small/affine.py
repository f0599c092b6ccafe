# weights @ (1 and all parts in a row); a row is unpacked when it is needed.
def affine(weights, rows, *parts):
    out = [0.0] * rows
    size = len(weights) // rows
    for r in range(rows):
        row = array(FLOAT, weights[size * r : size * r + size])
        total = row[0]
        k = 1
        for part in parts:
            for value in part:
                total = total + row[k] * value
                k = k + 1
        out[r] = total
    return out
