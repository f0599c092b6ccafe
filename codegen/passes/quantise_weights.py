"""Weights of one byte: each row of a matrix as int8 with a scale, all else as it was.

Row r of a matrix W becomes q = W_r / s_r rounded to whole numbers, half to even. It stands for
s_r q. The scale is s_r = u m_r with a whole m_r of two bytes and one float32 u for the matrix:
u = max |W| / (127 * 32767), and m_r is the smallest for which |q| <= 127. A scale for each row, not
one for the matrix, leaves a fifth of the error. The matrices of products and the tables of
embeddings are rounded; biases and vectors stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from codegen.program import dims
from codegen.program.ops import Affine, Buffer, Gather, Mat, Program, map_buffers, reads, walk_ops

LARGEST = 127
LARGEST_SCALE = 32767  # twice that still fits two bytes: other rows may be halved
AT_ONCE = 1 << 16  # weights


def quantise_weights(programs: Sequence[Program]) -> tuple[Program, ...]:
    """The programs with rounded weights, the same in all of them.

    A matrix that holds what no float32 stands for has a unit that is not finite.
    """
    rounded = {buffer: _rounded(buffer, length) for buffer, length in in_rows(programs).items()}
    return tuple(
        program.map_blocks(lambda b: map_buffers(b.ops, lambda old: rounded.get(old, old)))
        for program in programs
    )


def in_rows(programs: Sequence[Program]) -> dict[Buffer, int]:
    """Every constant that is read by rows alone, with the length of its rows.

    All matrices of a product are such constants, or none is taken: it is rounded whole.
    """
    found: dict[Buffer, int] = {}
    others: set[Buffer] = set()
    together: list[set[Buffer]] = []
    for op in (op for program in programs for op in walk_ops(program.ops)):
        mats: tuple[Mat, ...] = ()
        if isinstance(op, Affine):
            mats = tuple(mat for mat, _ in op.products)
        elif isinstance(op, Gather):
            mats = (op.table,)
        together.append({mat.buffer for mat in mats})
        for mat in mats:
            known = found.setdefault(mat.buffer, mat.row_stride)
            if mat.row_stride != known or not _is_in_rows(mat):
                others.add(mat.buffer)
        others.update(source.buffer for source in reads(op) if not isinstance(source, Mat))
    while more := {b for buffers in together if buffers & others for b in buffers} - others:
        others |= more
    return {buffer: length for buffer, length in found.items() if buffer not in others}


def _is_in_rows(mat: Mat) -> bool:
    """Whether each row of the matrix is a part of a row of the constant."""
    length, columns, offset = mat.row_stride, mat.columns, mat.offset
    if mat.buffer.kind != "const" or mat.buffer.dtype != "float32" or mat.column_stride != 1:
        return False
    if not isinstance(columns, int) or length < columns or dims.fixed(mat.buffer.size) % length:
        return False
    if isinstance(offset, int):
        return offset % length + columns <= length
    whole = all(factor % length == 0 for _, factor in offset.terms)
    return whole and offset.constant % length + columns <= length


def _rounded(buffer: Buffer, length: int) -> Buffer:
    """The constant as int8 with scales."""
    assert buffer.data is not None
    given = buffer.data.reshape(-1, length)
    data = np.empty(given.shape, np.int8)
    count = max(1, AT_ONCE // length)
    parts = [slice(start, start + count) for start in range(0, len(given), count)]
    with np.errstate(all="ignore"):  # of what cannot be rounded the unit tells
        each = [np.max(np.abs(given[rows].astype(np.float64)), axis=1) for rows in parts]
        largest = np.concatenate(each)
        wanted = np.float32(largest.max() / (LARGEST * LARGEST_SCALE))
        unit = float(np.maximum(wanted, np.finfo(np.float32).tiny))
        scales = np.minimum(np.ceil(largest / (LARGEST * unit)), LARGEST_SCALE)
        scales = np.nan_to_num(scales).astype(np.uint16)
        steps = np.maximum(scales, 1) * unit
        for rows in parts:
            codes = np.rint(given[rows].astype(np.float64) / steps[rows, None])
            data[rows] = np.nan_to_num(np.clip(codes, -LARGEST, LARGEST))
    scales.flags.writeable = data.flags.writeable = False
    return replace(buffer, dtype="int8", data=data.reshape(-1), scales=scales, unit=unit)
