# ---- What this Python has, found out once --------------------------------------------------

try:
    from math import fsum  # every Python but MicroPython has it

    SMALL = False
except ImportError:
    SMALL = True

if array("f", b"\x00\x00\x80\x3f")[0] != 1.0:
    raise RuntimeError("the weights in this file are little-endian, this machine is not")

if SMALL:
    # Arrays are small and stay where they are. 1e-10 is lost beside 1 in single precision.
    REAL = "f" if 1.0 + 1e-10 == 1.0 else "d"

    def zeros(count):
        return array(REAL, [0.0] * count)

    def vector(data):
        return array(FLOAT, data)

    def store(buffer, at, values):
        for value in values:
            buffer[at] = value
            at = at + 1

else:
    # Lists are the fastest.
    def zeros(count):
        return [0.0] * count

    def vector(data):
        return list(array(FLOAT, data))

    def store(buffer, at, values):
        buffer[at : at + len(values)] = values
