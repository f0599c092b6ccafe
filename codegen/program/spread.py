"""Scratch that holds what all iterations of loops write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import Buffer, Mat, Op, Vec, map_op


def along(loops: Sequence[tuple[str, Dim]], size: Dim) -> tuple[Dim, Dim]:
    """Where `size` elements of an iteration begin in what all hold, and the size of that.

    loops: counter and count of each, the outermost first.
    """
    offset: Dim = 0
    for counter, count in reversed(loops):
        offset = offset + dims.symbol(counter) * size
        size = size * count
    return offset, size


def spread(buffer: Buffer, loops: Sequence[tuple[str, Dim]]) -> tuple[Buffer, Dim]:
    """A temp that holds what all iterations write, and where that of one begins."""
    offset, size = along(loops, buffer.size)
    shape = (*(count for _, count in loops), *(buffer.shape or (buffer.size,)))
    scope = tuple(name for name in buffer.scope if name not in dict(loops))
    return replace(buffer, size=size, shape=shape, scope=scope), offset


def moved(op: Op, place: Callable[[Buffer], tuple[Buffer, Dim]]) -> Op:
    """The op with all in other places: a buffer for each buffer, and how much further on there."""

    def vec(v: Vec) -> Vec:
        buffer, offset = place(v.buffer)
        return replace(v, buffer=buffer, offset=v.offset + offset)

    def mat(m: Mat) -> Mat:
        buffer, offset = place(m.buffer)
        return replace(m, buffer=buffer, offset=m.offset + offset)

    return map_op(op, vec, mat)
