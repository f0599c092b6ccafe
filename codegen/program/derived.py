"""Constants that passes make of others: rows in another order, scaled, or put together.

They have no data but `parts`: a target prints how they are made, or asks for one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from codegen.model import Array
from codegen.program import dims
from codegen.program.ops import Buffer, Mat, Part, Program, Vec, constants, map_buffers, matrix_of


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
        return matrix_of(mat)
    parts = parts_of(mat)
    given = [None if part.mat is None else matrix_of(part.mat) for part in parts]
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
        return buffer.data
    rows, columns = (dims.fixed(n) for n in buffer.shape)
    return np.ravel(matrix(Mat(buffer, 0, rows, columns, columns)))


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
