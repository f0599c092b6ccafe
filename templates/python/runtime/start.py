# ---- Lists, or arrays where memory is small --------------------------------------------------

try:
    from sys import implementation

    CPYTHON = implementation.name == "cpython"
    SMALL = implementation.name in ("micropython", "circuitpython")
except ImportError:  # a sandbox without sys
    CPYTHON, SMALL = True, False

if array("f", b"\x00\x00\x80\x3f")[0] != 1.0:
    raise RuntimeError("the weights in this file are little-endian, this machine is not")

if SMALL:
    # In single precision 1e-10 is lost beside 1.
    REAL = "f" if 1.0 + 1e-10 == 1.0 else "d"

    def zeros(count):
        """So many zeros."""
        return array(REAL, [0.0] * count)

    def vector(data):
        """The numbers that are stored in these bytes."""
        return array(FLOAT, data)

    def store(buffer, at, values):
        """Write the values into the buffer, from `at` on."""
        for value in values:
            buffer[at] = value
            at = at + 1

else:

    def zeros(count):
        """So many zeros."""
        return [0.0] * count

    def vector(data):
        """The numbers that are stored in these bytes."""
        return list(array(FLOAT, data))

    def store(buffer, at, values):
        """Write the values into the buffer, from `at` on."""
        buffer[at : at + len(values)] = values
