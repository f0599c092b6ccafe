"""Axes moved, put in, taken away, or cut otherwise; most of it costs nothing.

A Value says which axis of ONNX each axis of its tensor is: to turn axes, or to put in and take
away some of length 1, is to count them otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from codegen.errors import LayerError
from codegen.layers.reshaping import Reshape
from codegen.model import Array
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator
from codegen.readers.onnx.values import Value


def _transpose(c: Call) -> Value:
    x = c.value(0)
    order = c.attributes.get("perm", tuple(reversed(range(x.rank))))
    if sorted(order) != list(range(x.rank)):
        raise LayerError(f"perm is {list(order)[:16]} for an input with {x.rank} axes")
    held = tuple(order.index(axis) for axis in x.held)
    return Value(x.ref, tuple(x.shape[axis] for axis in order), held, x.dtype, x.time)


def _unsqueeze(c: Call) -> Value:
    x = c.value(0)
    given = c.whole(1, "axes") if c.opset >= 13 else c.attributes.get("axes")
    rank = x.rank + len(given or ())
    new = {c.axis(axis, rank) for axis in given or ()}
    if len(new) != rank - x.rank:
        raise LayerError("the same axis twice")
    kept = [axis for axis in range(rank) if axis not in new]
    shape: list[Dim] = [1] * rank
    for axis, n in zip(kept, x.shape, strict=True):
        shape[axis] = n
    return Value(x.ref, tuple(shape), tuple(kept[axis] for axis in x.held), x.dtype, x.time)


def _squeeze(c: Call) -> Value:
    x = c.value(0)
    gone = c.axes(x.rank)
    if gone is None:
        gone = tuple(axis for axis, n in enumerate(x.shape) if n == 1)
    if any(x.shape[axis] != 1 or axis == x.time_axis for axis in gone):
        raise LayerError(f"axes {gone} of {x.shape} are not all of length 1")
    kept = [axis for axis in range(x.rank) if axis not in gone]
    where = {axis: place for place, axis in enumerate(kept)}
    return c.moved(x, [x.shape[axis] for axis in kept], where)


def reshaped(c: Call, x: Value, shape: Sequence[Dim]) -> Value:
    """The elements of `x`, in the order of ONNX, in another shape; time stays a whole axis."""
    if not x.time:
        order = [axis for axis, n in enumerate(x.shape) if n != 1]
        held = [axis for axis, n in enumerate(shape) if n != 1]
        ref = c.arranged(x, order)
        if [x.shape[axis] for axis in order] != [shape[axis] for axis in held]:
            lengths = tuple(dims.fixed(shape[axis]) for axis in held)
            ref = c.add(c.layer(Reshape, shape=lengths), ref)
        return Value(ref, tuple(shape), tuple(held), x.dtype)
    old = x.held[0]
    before, after = _sizes(x.shape, old)
    places = [
        k for k, n in enumerate(shape) if n == x.shape[old] and _sizes(shape, k) == (before, after)
    ]
    if not places:
        raise LayerError(
            f"it cuts the time axis of {x.shape} into {tuple(shape)}; export the model with "
            "another number of steps, or tell time by --axes"
        )
    new = places[0]
    rest = [axis for axis, n in enumerate(x.shape) if n != 1 and axis != old]
    held = [axis for axis, n in enumerate(shape) if n != 1 and axis != new]
    ref = c.arranged(x, (old, *rest))
    if [x.shape[axis] for axis in rest] != [shape[axis] for axis in held]:
        lengths = (-1, *(dims.fixed(shape[axis]) for axis in held))
        ref = c.add(c.layer(Reshape, shape=lengths), ref)
    return Value(ref, tuple(shape), (new, *held), x.dtype, time=True)


def _sizes(shape: Sequence[Dim], axis: int) -> tuple[int, int]:
    """How many elements lie before and behind an axis."""
    before, after = shape[:axis], shape[axis + 1 :]
    if not all(isinstance(n, int) for n in (*before, *after)):
        return (-1, -1)
    return math.prod(map(dims.fixed, before)), math.prod(map(dims.fixed, after))


def _reshape(c: Call) -> Value:
    x = c.value(0)
    given = c.known(1, "shape").ravel()
    keeps = not (c.opset >= 14 and c.attributes.integer("allowzero", 0, 0, 1))
    return reshaped(c, x, meant(x.shape, given, keeps))


def meant(old: Sequence[Dim], given: Array, keeps: bool = True) -> list[Dim]:
    """The shape that is asked for: 0 stands for the length that is there, -1 for what is left."""
    asked = [n if isinstance(n, dims.Sum) else int(n) for n in given]
    shape: list[Dim] = []
    for place, n in enumerate(asked):
        if n == 0 and keeps and place >= len(old):
            raise LayerError(f"a shape {asked} for an input with {len(old)} axes")
        shape.append(old[place] if n == 0 and keeps else n)
    left = [place for place, n in enumerate(shape) if n == -1]
    if len(left) > 1 or any(isinstance(n, int) and n < -1 for n in shape):
        raise LayerError(f"a shape {asked}")
    if left:
        shape[left[0]] = _quotient(old, [n for n in shape if n != -1])
    return shape


def _quotient(old: Sequence[Dim], known: Sequence[Dim]) -> Dim:
    """The length that is left: lengths that are free are on both sides, or it is the one."""
    free = [n for n in old if not isinstance(n, int)]
    for n in known:
        if not isinstance(n, int):
            if n not in free:
                raise LayerError(f"lengths {tuple(known)} of {tuple(old)}")
            free.remove(n)
    total = math.prod(n for n in old if isinstance(n, int))
    divisor = math.prod(n for n in known if isinstance(n, int))
    if not divisor or total % divisor or len(free) > 1:
        raise LayerError(f"lengths {tuple(known)} of {tuple(old)}")
    return total // divisor * free[0] if free else total // divisor


def _flatten(c: Call) -> Value:
    x = c.value(0)
    axis = c.attributes.integer("axis", 1, -x.rank, x.rank)
    axis += x.rank if axis < 0 else 0
    return reshaped(c, x, [dims.product(x.shape[:axis]), dims.product(x.shape[axis:])])


TABLE = (
    Operator("Transpose", _transpose),
    Operator("Unsqueeze", _unsqueeze),
    Operator("Squeeze", _squeeze),
    Operator("Reshape", _reshape),
    Operator("Flatten", _flatten),
)
