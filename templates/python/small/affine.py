# weights @ (1 and all parts in a row); a row is unpacked when it is needed. Two rows share a loop,
# which takes a seventh less; the middle one of an odd number is computed twice.
def affine(weights, rows, *parts):
    out = [0.0] * rows
    size = len(weights) // rows
    half = rows // 2
    for r in range(rows - half):
        s = r + half
        row = array(FLOAT, weights[size * r : size * r + size])
        other = array(FLOAT, weights[size * s : size * s + size])
        total, second = row[0], other[0]
        k = 1
        for part in parts:
            for value in part:
                total = total + row[k] * value
                second = second + other[k] * value
                k = k + 1
        out[r], out[s] = total, second
    return out
