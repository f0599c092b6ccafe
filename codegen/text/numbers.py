"""Numbers as text: the shortest that reads back exactly."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from codegen.errors import NumberError
from codegen.program.ops import Array

PER_LINE = 6
SHORT_PER_LINE = 12  # of int8, int16 and uint16
LONGEST_LINE = 88  # columns of numbers; with an indent and brackets that is 100 at most
BLOCK = 3 << 13  # a multiple of PER_LINE; numbers turned into text at once
BASE64_LINE = 66  # bytes: 88 columns
FEW = 64  # so few that it is not worth while
_EXPONENT = re.compile(r"e([+-])0*(\d+)")
NumberText = Callable[[float, str, str], str]  # of a number, its type and the suffix


def number(value: float, dtype: str = "float32", suffix: str = "") -> str:
    """The shortest text that reads back exactly, in C and in Python: `0.1`, `1e-7`."""
    if not np.isfinite(value):
        raise NumberError(f"{value} cannot be written as a number")
    with np.errstate(over="ignore"):
        text = str(np.float32(value)) if dtype == "float32" else repr(float(value))
    if text.endswith("inf"):
        raise NumberError(f"{value} is too large for {dtype}")
    # A reader that goes through double, as Python does, must arrive at the same float32.
    if dtype == "float32" and np.float32(float(text)) != np.float32(value):
        text = f"{float(np.float32(value)):.9g}"  # pragma: no cover (halfway cases, if any)
    if dtype == "float32" and abs(value) >= 1e6 and "e" not in text:  # NumPy before 2.3
        text = np.format_float_scientific(np.float32(value), trim="-")
    if "e" in text:
        text = _EXPONENT.sub(lambda m: f"e{m[1].replace('+', '')}{m[2]}", text)
    return text + suffix


def c_number(value: float, dtype: str = "float32", suffix: str = "") -> str:
    """What `number` gives; for NaN and infinity the macros of `<math.h>`, which are floats."""
    if np.isfinite(value):
        return number(value, dtype, suffix)
    word = "NAN" if np.isnan(value) else "INFINITY"
    sign = "-" if value < 0 else ""
    return sign + (word if dtype == "float32" else f"(double){word}")


def blocks(values: Array, size: int = BLOCK) -> Iterator[Array]:
    """All elements in row-major order, some at a time; a large array is never copied whole."""
    flat = values.flat
    return (flat[start : start + size] for start in range(0, values.size, size))


def block_texts(
    values: Array, dtype: str, suffix: str = "", special: NumberText = c_number
) -> list[str]:
    """The texts of some values, integers as they are; `special` writes what is not finite."""
    if values.dtype.kind in "iu":
        return [str(v) for v in values.tolist()]
    with np.errstate(over="ignore"):
        narrow = values.astype(dtype)
    finite = np.isfinite(narrow)
    if not np.array_equal(finite, np.isfinite(values)):
        raise NumberError(f"an array holds a value too large for {dtype}")
    if finite.all():
        return texts(narrow, dtype, suffix)
    return [
        number(v, dtype, suffix) if ordinary else special(v, dtype, suffix)
        for v, ordinary in zip(narrow, finite, strict=True)
    ]


def texts(values: Array, dtype: str = "float32", suffix: str = "") -> list[str]:
    """What `number` gives for each of many finite values, faster.

    The shortest decimal that reads back as v is, for some number of places k, v 10^k rounded to a
    whole number. Up to k = 12 that product is exact in float64: 5^12 has 28 bits, v has 24.
    """
    if dtype != "float32" or values.size < FEW:
        return [number(v, dtype, suffix) for v in values]
    narrow = values.astype(np.float32)
    wide = narrow.astype(np.float64)
    size = np.abs(wide)
    usual = (size >= 1e-4) & (size < 1e6)
    # Beside a power of two the numbers below are closer than those above: that is left to NumPy.
    usual &= (narrow.view(np.uint32) & 0x7FFFFF) != 0
    rounded, left = wide.copy(), usual.copy()
    digits_before = np.floor(np.log10(np.where(usual, size, 1.0))).astype(np.int64) + 1
    for digits in range(1, 10):
        scale = 10.0 ** np.clip(digits - digits_before, 0, 12)
        nearest = np.rint(wide * scale) / scale
        found = left & (nearest.astype(np.float32) == narrow)
        rounded[found] = nearest[found]
        left &= ~found
    result = [repr(v) + suffix for v in rounded.tolist()]
    for place in np.flatnonzero((~usual | left) & (size != 0)).tolist():
        result[place] = number(narrow[place], dtype, suffix)
    return result


def per_line(values: Array) -> int:
    """How many numbers stand in a line."""
    return SHORT_PER_LINE if values.dtype.name in ("int8", "int16", "uint16") else PER_LINE


def lines(found: Sequence[str], count: int = PER_LINE) -> Iterator[Sequence[str]]:
    """So many numbers a line, or half of them where these are too long for one.

    The place of a number does not depend on the numbers before it, so that a changed weight
    changes one line.
    """
    for start in range(0, len(found), count):
        line = found[start : start + count]
        if sum(len(text) + 2 for text in line) <= LONGEST_LINE:
            yield line
        else:
            yield from (line[k : k + count // 2] for k in range(0, len(line), count // 2))


def rows(
    values: Array,
    dtype: str = "float32",
    suffix: str = "",
    indent: str = "    ",
    special: NumberText = c_number,
) -> Iterator[str]:
    """The numbers in lines (`lines`), each indented; all but the last end with a comma."""
    end = ""
    for part in blocks(values):
        found = block_texts(part, dtype, suffix, special)
        count = per_line(values)
        yield end + ",\n".join(indent + ", ".join(line) for line in lines(found, count))
        end = ",\n"
    yield "\n"


def base64_lines(values: Array, dtype: str) -> Iterator[str]:
    """The bytes of the numbers, little-endian, as lines of base64; many lines in a piece."""
    kind = np.dtype(dtype).newbyteorder("<")
    for part in blocks(values, BASE64_LINE * 1024):
        with np.errstate(over="ignore"):
            data = part.astype(kind).tobytes()
        yield "".join(
            base64.b64encode(data[k : k + BASE64_LINE]).decode() + "\n"
            for k in range(0, len(data), BASE64_LINE)
        )
