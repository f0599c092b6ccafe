"""Rows of integers: each row of a matrix as int8 or int16 with a scale.

Row r of W becomes q = W_r / s_r, rounded half to even, with s_r = 2^-k m_r and a whole m_r below
2^15. It is the smallest step for which |q| is at most 127 (32767 with 16 bits) and the sum of |q|
at most 65535: with that many times 2^15 a sum of products stays in int32 whatever it multiplies.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from codegen.integers.fixed import exponent
from codegen.program.derived import numbers_of
from codegen.program.ops import Array, Buffer

LARGEST = {"int8": 127, "int16": 32767}
LARGEST_SUM = 65535
LARGEST_MULTIPLE = 32767
MOST_SHIFT = 34  # of the unit: smaller weights than it can hold are nothing beside the others


def rounded(buffer: Buffer, length: int, dtype: str) -> tuple[Buffer, int]:
    """The constant as rows of integers, and how many rows took a larger step to keep their sums."""
    given = np.asarray(numbers_of(buffer), np.float64).reshape(-1, length)
    size = np.abs(given)
    largest, total = size.max(axis=1), size.sum(axis=1)
    if not np.isfinite(total).all():
        return replace(buffer, unit=math.inf), 0
    steps = np.maximum(largest / LARGEST[dtype], total / LARGEST_SUM)
    most = float(steps.max())
    power = min(MOST_SHIFT, 16 - exponent(most))
    while most * 2.0**power > LARGEST_MULTIPLE:
        power -= 1
    unit = 2.0**-power
    scales = np.clip(np.ceil(steps / unit), 1, LARGEST_MULTIPLE)
    while True:
        data = np.rint(given / (scales[:, None] * unit))
        over = np.abs(data).sum(axis=1) > LARGEST_SUM
        over |= np.abs(data).max(axis=1) > LARGEST[dtype]
        if not over.any():
            break
        # the next step of which the largest weight of the row is a whole number
        count = np.maximum(1.0, np.ceil(largest / (scales * unit)) - 1)
        grown = np.maximum(scales + 1, np.ceil(largest / (count * unit)))
        scales = np.where(over, np.minimum(grown, LARGEST_MULTIPLE), scales)
        if (scales[over] >= LARGEST_MULTIPLE).any():
            power, unit = power - 1, unit * 2
            scales = np.clip(np.ceil(scales / 2), 1, LARGEST_MULTIPLE)
    wider = int(np.sum(largest / LARGEST["int8"] < total / LARGEST_SUM)) if dtype == "int8" else 0
    codes: Array = data.astype(dtype).reshape(-1)
    multiples = scales.astype(np.uint16)
    codes.flags.writeable = multiples.flags.writeable = False
    return replace(
        buffer, dtype=dtype, data=codes, parts=(), scales=multiples, unit=unit, fraction=power
    ), wider
