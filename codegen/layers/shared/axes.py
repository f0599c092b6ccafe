"""How layers count axes, and how tensors of unequal shape meet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from codegen.errors import LayerError, NotStreamable
from codegen.program.dims import Dim
from codegen.program.ops import Vec

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor


def axis_of(axis: int | tuple[int, ...], x: Tensor) -> int:
    """An axis as Keras counts it (batch axis 0, or from the end) as an index into `x.shape`."""
    return place_of(axis, len(x.shape))


def place_of(axis: int | tuple[int, ...], rank: int) -> int:
    """The same for a tensor of `rank` axes besides the batch axis."""
    if isinstance(axis, tuple):
        if len(axis) != 1:
            raise LayerError(f"several axes {axis} are not supported")
        axis = axis[0]
    found = axis - 1 if axis > 0 else axis + rank
    if axis == 0 or not 0 <= found < rank:
        raise LayerError(f"axis {axis} of an input with {rank} axes and a batch axis")
    return found


def widen(x: Tensor, rank: int) -> Tensor:
    """`x` with axes of length 1 put before its own, as Keras aligns tensors of unequal rank."""
    missing = rank - len(x.shape)
    if missing and x.time:
        raise LayerError("it combines a sequence with a tensor of more axes")
    return x.reshape((1,) * missing + x.shape)


def broadcast_shape(b: Builder, tensors: list[Tensor]) -> tuple[Dim, ...]:
    """The common shape; unequal lengths must be 1."""
    if b.step and len({x.shape[0] for x in tensors if x.time}) > 1:
        raise NotStreamable("it combines sequences of different lengths")
    shape: list[Dim] = []
    for axis in range(len(tensors[0].shape)):
        lengths = [x.shape[axis] for x in tensors]
        longer = [n for n in lengths if n != 1]
        if not longer:
            # In a step program a row of a sequence may meet a whole tensor of one row.
            shape.append(1)
            continue
        meets = b.step and axis == 0 and any(x.time for x in tensors)
        if meets and any(not x.time and x.shape[0] != 1 for x in tensors):
            raise NotStreamable("it combines the sequence with a tensor along time")
        for other in longer[1:]:
            b.check(longer[0], "==", other)
        shape.append(longer[0])
    return tuple(shape)


def broadcast(x: Tensor, shape: tuple[Dim, ...], at: tuple[Dim, ...]) -> Vec:
    """The row of `x` that meets row `at` of a tensor of `shape`."""
    indices = tuple(0 if n == 1 else i for n, i in zip(x.shape, at, strict=False))
    row = x.row(*indices)
    if row.size == 1:
        return row if shape[-1:] in ((), (1,)) else row.every(shape[-1])
    return replace(row, size=shape[-1])  # of the same length, perhaps by another name


def transpose(b: Builder, x: Tensor, order: tuple[int, ...]) -> Tensor:
    """A copy of `x` whose axis k is axis `order[k]` of `x`."""
    if sorted(order) != list(range(len(x.shape))):
        raise LayerError(f"axes {order} of an input with {len(x.shape)} axes")
    shape = tuple(x.shape[axis] for axis in order)
    out = b.tensor("output", shape)
    # The innermost op runs along the last axis of x, whose elements lie side by side.
    last = order.index(len(order) - 1)
    outer = [axis for axis in range(len(order)) if axis != last]
    if any(not isinstance(n, int) for n in shape[last + 1 :]):
        last, outer = len(order) - 1, list(range(len(order) - 1))
    with b.each([shape[axis] for axis in outer], "row") as counters:
        indices: list[Dim] = [0] * len(order)
        for axis, counter in zip(outer, counters, strict=True):
            indices[axis] = counter
        source: list[Dim] = [0] * len(order)
        for axis, index in enumerate(indices):
            source[order[axis]] = index
        before, after = indices[:last], indices[last + 1 :]
        inner = order[last]
        b.copy(
            out.along(last, before, after),
            x.along(inner, source[:inner], source[inner + 1 :]),
        )
    return out
