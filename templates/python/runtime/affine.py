# ---- Products: affine(weights, bias, *parts) = weights @ (all parts in a row) + bias --------
# Nearly all the time goes here, so each Python gets the form that is fastest on it.

try:
    from math import sumprod  # Python 3.12 and later
except ImportError:
    sumprod = None


def split(data, rows):
    size = len(data) // rows
    return [vector(data[size * r : size * r + size]) for r in range(rows)]


def join(parts):
    values = []
    for part in parts:
        values.extend(part)
    return values


if sumprod is not None:

    def matrix(rows, data):
        return split(data, rows)

    def affine(weights, bias, *parts):
        values = join(parts)
        return [b + sumprod(row, values) for b, row in zip(bias, weights)]

elif SMALL:
    # A row is unpacked when it is needed, since all weights together may need half the memory.
    def matrix(rows, data):
        return data

    # Two rows share a loop; the middle one of an odd number is computed twice.
    def affine(weights, bias, *parts):
        rows = len(bias)
        out = [0.0] * rows
        size = len(weights) // rows
        half = rows // 2
        for r in range(rows - half):
            s = r + half
            row = array(FLOAT, weights[size * r : size * r + size])
            other = array(FLOAT, weights[size * s : size * s + size])
            total, second = bias[r], bias[s]
            k = 0
            for part in parts:
                for value in part:
                    total = total + row[k] * value
                    second = second + other[k] * value
                    k = k + 1
            out[r], out[s] = total, second
        return out

elif "built-in" in str([].append):
    # CPython up to 3.11: eight columns at a time, which halves the cost of going through them.
    def matrix(rows, data):
        columns = [list(column) for column in zip(*split(data, rows))]
        while len(columns) % 8:
            columns.append([0.0] * rows)
        return [columns[k : k + 8] for k in range(0, len(columns), 8)]

    def affine(weights, bias, *parts):
        values = join(parts)
        values.extend([0.0] * (-len(values) % 8))
        total = bias
        at = 0
        for columns in weights:
            a, b, c, d, e, f, g, h = values[at : at + 8]
            total = [
                s + a * p + b * q + c * r + d * t + e * u + f * v + g * w + h * x
                for s, p, q, r, t, u, v, w, x in zip(total, *columns)
            ]
            at = at + 8
        return total

else:
    # PyPy compiles plain loops.
    def matrix(rows, data):
        return vector(data)

    def affine(weights, bias, *parts):
        out = list(bias)
        k = 0
        for r in range(len(out)):
            total = out[r]
            for part in parts:
                for value in part:
                    total = total + weights[k] * value
                    k = k + 1
            out[r] = total
        return out
