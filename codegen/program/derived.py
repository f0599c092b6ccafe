"""Constants that passes make of others: rows in another order, scaled, or put together.

They have no data but `parts`: a target prints how they are made, or asks for one at a time. What
is made of int8 constants is int8 again: factors and rows in another order touch their scales alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from codegen.program import dims
from codegen.program.ops import (
    Array,
    Buffer,
    Mat,
    Part,
    Program,
    Vec,
    constants,
    first_row,
    map_buffers,
    matrix_of,
)


def made(name: str, parts: Sequence[Part], columns: int) -> Mat:
    """A matrix with the rows of the parts one below the other."""
    flat: list[Part] = []
    for part in parts:
        for piece in _flattened(part):
            if flat and (both := _joined(flat[-1], piece)):
                flat[-1] = both
            else:
                flat.append(piece)
    if len(flat) == 1 and flat[0].mat and flat[0].factor == 1 and flat[0].shift == 0:
        return flat[0].mat
    rows = sum(part.rows for part in flat)
    shape = (rows, columns)
    buffer = Buffer(name, rows * columns, "const", shape=shape, parts=tuple(flat))
    return Mat(buffer, 0, rows, columns, columns)


def shared(programs: Sequence[Program]) -> tuple[Program, ...]:
    """The programs, in which constants that are made of the same parts are one."""
    known: dict[object, Buffer] = {}
    same: dict[Buffer, Buffer] = {}
    for buffer in (buffer for program in programs for buffer in constants(program)):
        if buffer.parts:
            same[buffer] = known.setdefault((buffer.parts, buffer.shape), buffer)

    return tuple(
        program.map_blocks(lambda block: map_buffers(block.ops, lambda b: same.get(b, b)))
        for program in programs
    )


def matrix(mat: Mat) -> Array:
    """The numbers of a constant matrix: a view where it is one of the model."""
    if not mat.buffer.parts:
        return _given(mat)
    parts = parts_of(mat)
    given = [None if part.mat is None else _given(part.mat) for part in parts]
    kind = np.result_type(np.float32, *(numbers for numbers in given if numbers is not None))
    result = np.empty((dims.fixed(mat.rows), dims.fixed(mat.columns)), kind)
    row = 0
    for part, numbers in zip(parts, given, strict=True):
        rows = result[row : row + part.rows]
        if numbers is None:
            rows[:] = part.shift
        else:
            np.multiply(numbers, part.factor, rows, dtype=np.float64, casting="same_kind")
            np.add(rows, part.shift, rows, dtype=np.float64, casting="same_kind")
        row += part.rows
    return result


def numbers_of(buffer: Buffer) -> Array:
    """All numbers of a constant, flat."""
    if buffer.data is not None:
        if buffer.scales is None:
            return buffer.data
        return np.ravel(
            _scaled(buffer.data.reshape(len(buffer.scales), -1), buffer.scales * buffer.unit)
        )
    rows, columns = (dims.fixed(n) for n in buffer.shape)
    return np.ravel(matrix(Mat(buffer, 0, rows, columns, columns)))


def is_int8(mat: Mat) -> bool:
    """Whether a constant matrix is one of int8 with a scale for each row."""
    return all(p.mat is not None and p.mat.buffer.scales is not None for p in parts_of(mat))


def int8_of(mat: Mat) -> Array:
    """The int8 numbers of a constant matrix."""
    return np.concatenate([matrix_of(part.mat) for part in parts_of(mat) if part.mat is not None])


def scales_of(mat: Mat) -> tuple[float, Array]:
    """The scales of the rows of a constant matrix of int8: a unit, and uint16 multiples of it."""
    found: list[tuple[float, Array]] = []
    for part in parts_of(mat):
        if part.mat is not None and part.mat.buffer.scales is not None:
            start = dims.fixed(first_row(part.mat))
            rows = part.mat.buffer.scales[start : start + part.rows]
            found.append((part.mat.buffer.unit * part.factor, rows))
    unit = min(one for one, _ in found)
    multiples = [rows * (one / unit) for one, rows in found]
    whole = np.concatenate(multiples).astype(np.uint16)
    assert np.array_equal(whole, np.concatenate(multiples)), "rows of one matrix, or halves of them"
    return unit, whole


def _given(mat: Mat) -> Array:
    """The numbers of a matrix of the model, not copied where they are floats."""
    if mat.buffer.scales is None:
        return matrix_of(mat)
    start, rows = dims.fixed(first_row(mat)), dims.fixed(mat.rows)
    return _scaled(matrix_of(mat), mat.buffer.scales[start : start + rows] * mat.buffer.unit)


def _scaled(numbers: Array, scales: Array) -> Array:
    return np.multiply(numbers, scales[:, None], dtype=np.float64)


def parts_of(mat: Mat) -> tuple[Part, ...]:
    """What a constant matrix is made of, in terms of the model's own constants."""
    return tuple(_flattened(Part(mat, dims.fixed(mat.rows))))


def column(vec: Vec) -> Mat:
    """A vector as a matrix of one column."""
    return Mat(vec.buffer, vec.offset, vec.size, 1, vec.stride)


def rows_of(mat: Mat, start: int, count: int) -> Mat:
    """Some rows of a matrix."""
    return replace(mat, offset=mat.offset + start * mat.row_stride, rows=count)


def _flattened(part: Part) -> list[Part]:
    mat = part.mat
    if mat is None or not mat.buffer.parts:
        return [part]
    columns = dims.fixed(mat.columns)
    first = dims.fixed(mat.offset) // columns
    result: list[Part] = []
    row = 0
    for inner in mat.buffer.parts:
        start, stop = max(row, first), min(row + inner.rows, first + part.rows)
        if start < stop:
            result.append(
                Part(
                    _rows(inner.mat, start - row, stop - start),
                    stop - start,
                    part.factor * inner.factor,
                    part.factor * inner.shift + part.shift,
                )
            )
        row += inner.rows
    return result


def _rows(mat: Mat | None, start: int, count: int) -> Mat | None:
    return None if mat is None else rows_of(mat, start, count)


def _joined(upper: Part, lower: Part) -> Part | None:
    """One part for two where the lower goes on where the upper ends."""
    if (upper.factor, upper.shift) != (lower.factor, lower.shift):
        return None
    rows = upper.rows + lower.rows
    if upper.mat is None or lower.mat is None:
        return Part(None, rows, 1.0, upper.shift) if upper.mat is lower.mat else None
    if rows_of(upper.mat, upper.rows, lower.rows) != lower.mat:
        return None
    return replace(upper, mat=replace(upper.mat, rows=rows), rows=rows)
