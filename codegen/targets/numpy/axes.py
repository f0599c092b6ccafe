"""Loops as axes of arrays, and where vectors lie along them.

A loop whose iterations are independent becomes an axis; only one that carries something stays a
loop.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, TypeAlias

from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import (
    Buffer,
    Loop,
    Mat,
    Op,
    Program,
    Reduce,
    Shift,
    Vec,
    When,
    reads,
    writes,
)
from codegen.program.spread import along, moved, spread


class Axis(NamedTuple):
    """A loop counter that became an axis of the arrays."""

    counter: str
    length: Dim


Axes: TypeAlias = tuple[Axis, ...]


def moves(source: Vec | Mat, axis: Axis) -> bool:
    """Whether the source is another one in each iteration."""
    return dims.slope(source.offset, axis.counter) != 0


def can_be_axis(loop: Loop, counters: frozenset[str] = frozenset()) -> bool:
    """Whether all iterations can run at once, as an axis of the arrays.

    Inside, no length may depend on the counter and every offset must be affine in it.
    """
    mine = counters | {loop.counter}
    return not loop.carried and all(_fits_axis(op, mine) for op in loop.body)


def _fits_axis(op: Op, counters: frozenset[str]) -> bool:
    if isinstance(op, Loop):
        return not _mentions(op.count, counters) and all(_fits_axis(o, counters) for o in op.body)
    if isinstance(op, (When, Shift)):
        return False
    if isinstance(op, Reduce):
        if any(_mentions(count, counters) for _, count in op.counters):
            return False
        counters = counters | {name for name, _ in op.counters}
    for source in (*reads(op), *writes(op)):
        lengths = (source.rows, source.columns) if isinstance(source, Mat) else (source.size,)
        if any(_mentions(n, counters) for n in lengths) or not _is_affine(source.offset, counters):
            return False
    return True


def _mentions(dim: Dim, counters: frozenset[str]) -> bool:
    return bool(dims.symbols(dim) & counters)


def _is_affine(dim: Dim, counters: frozenset[str]) -> bool:
    """A product of a counter and a length is affine; of two counters it is not."""
    for atom, _ in () if isinstance(dim, int) else dim.terms:
        if isinstance(atom, dims.Compound):
            left, right = _mentions(atom.left, counters), _mentions(atom.right, counters)
            if (left and right) or (atom.operator != "*" and (left or right)):
                return False
    return True


def expand(program: Program) -> Program:
    """Give every temp inside a loop that becomes an axis that axis, too."""
    found: dict[Buffer, tuple[Buffer, Dim]] = {}

    def place(buffer: Buffer, axes: Axes) -> tuple[Buffer, Dim]:
        own = [axis for axis in axes if axis.counter in buffer.scope]
        if buffer.kind == "temp" and own and buffer not in found:
            found[buffer] = spread(buffer, own)
        return found.get(buffer, (buffer, 0))

    def one(op: Op, axes: Axes) -> Op:
        if not isinstance(op, (Loop, When)):
            return moved(op, lambda buffer: place(buffer, axes))
        if isinstance(op, Loop) and can_be_axis(op):
            axes = (*axes, Axis(op.counter, op.count))
        return replace(op, body=tuple(one(o, axes) for o in op.body))

    return program.map_ops(lambda op: one(op, ()))


# ---- where vectors lie ---------------------------------------------------------------------


def is_full(vec: Vec, axes: Axes, size: Dim) -> bool:
    """Whether every element along the axes is an element of its own, so it can be written."""
    if vec.size != size or (vec.stride == 0 and size != 1):
        return False
    spans: list[tuple[Dim, Dim]] = [(size, vec.stride)]
    for axis in axes:
        slope = dims.slope(vec.offset, axis.counter)
        if slope == 0:
            return False
        spans.append((axis.length, slope))
    known = [(abs(s), n) for n, s in spans if isinstance(s, int)]
    free = [(s, n) for n, s in spans if not isinstance(s, int)]
    extent: Dim = 1
    ordered: list[tuple[Dim, Dim]] = [*sorted(known, key=lambda span: span[0]), *free]
    for stride, count in ordered:
        # Each axis must step over all that the axes inside it cover.
        steps_over = isinstance(stride, int) and isinstance(extent, int) and stride >= extent
        if stride != extent and not steps_over:
            return False
        extent = count * stride
    return True


def is_whole(vec: Vec, axes: Axes) -> bool:
    """Whether the vector with its axes is all of an array, in order."""
    return vec.stride == 1 and (vec.offset, vec.buffer.size) == along(axes, vec.size)


def overlap(left: Vec, right: Vec) -> bool:
    """Whether the two may share an element, in any iterations of the loops around them."""
    if left.buffer is not right.buffer:
        return False
    distance = right.offset - left.offset
    if not isinstance(distance, int):
        return True
    if distance < 0:
        left, right, distance = right, left, -distance
    if not (isinstance(left.size, int) and isinstance(right.size, int)):
        return True
    left_extent = (left.size - 1) * left.stride + 1
    right_extent = (right.size - 1) * right.stride + 1
    slopes = [abs(dims.factor_of(left.offset, name)) for name in dims.symbols(left.offset)]
    # One iteration steps over what the two cover, unless the slope is not a plain number.
    return distance < left_extent or any(s == 0 or distance + right_extent > s for s in slopes)
