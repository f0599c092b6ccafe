# ---- Products: affine(weights, bias, *parts) = bias + weights @ (all parts in a row) --------
# Nearly all the time goes here, so each Python gets the form that is fastest on it.

try:
    from math import sumprod  # Python 3.12 and later
except ImportError:
    sumprod = None


def join(parts):
    values = []
    for part in parts:
        values.extend(part)
    return values


if sumprod is not None:

    def matrix(rows):
        return [list(array(FLOAT, row)) for row in rows]

    def affine(weights, bias, *parts):
        values = join(parts)
        return [b + sumprod(row, values) for b, row in zip(bias, weights)]

elif not SMALL and "built-in" in str([].append):
    # Older CPython: eight columns at a time, which halves the cost of going through them.
    def matrix(rows):
        columns = [list(column) for column in zip(*[array(FLOAT, row) for row in rows])]
        while len(columns) % 8:
            columns.append([0.0] * len(rows))
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
    # PyPy compiles plain loops; MicroPython keeps the rows as they are and unpacks one at a time.
    def matrix(rows):
        return rows if SMALL else [array(FLOAT, row) for row in rows]

    def affine(weights, bias, *parts):
        out = list(bias)
        for r in range(len(out)):
            row = array(FLOAT, weights[r]) if SMALL else weights[r]
            total = out[r]
            k = 0
            for part in parts:
                for value in part:
                    total = total + row[k] * value
                    k = k + 1
            out[r] = total
        return out
