"""What joins the elements along axes to one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from codegen.errors import LayerError
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator
from codegen.readers.onnx.rules.elementwise import check_range, formula
from codegen.readers.onnx.values import Value


def places(x: Value, axes: Sequence[int]) -> tuple[int, ...]:
    """Axes as operations count them; those of length 1 that are not held are left out."""
    return tuple(place + 1 for place, axis in enumerate(x.held) if axis in axes)


def reduced(
    c: Call, x: Value, axes: Sequence[int], keep: bool, rule: str = "reduce", **settings: object
) -> Value:
    """`x` with the elements along axes joined by an operation that leaves a single one as it is."""
    check_range(str(settings.get("kind", rule)), (x,))
    along = places(x, axes)
    ref = c.operation(rule, x.ref, axis=along, keepdims=False, **settings) if along else x.ref
    return without(Value(ref, x.shape, x.held, x.dtype, x.time), axes, keep)


def without(x: Value, axes: Sequence[int], keep: bool = False) -> Value:
    """`x`, whose tensor holds the axes no more; with `keep` they stay, with length 1."""
    left = [axis for axis in range(x.rank) if keep or axis not in axes]
    shape = tuple(1 if axis in axes else x.shape[axis] for axis in left)
    held = tuple(left.index(axis) for axis in x.held if axis not in axes)
    return Value(x.ref, shape, held, x.dtype, x.time and x.held[0] not in axes)


@dataclass(frozen=True)
class _Kind:
    """A formula before, the reduction, and a formula after."""

    kind: str
    before: str = ""
    after: str = ""
    rule: str = "reduce"
    since: int = 18  # the opset from which on the axes are an input


_KINDS = {
    "ReduceSum": _Kind("sum", since=13),
    "ReduceMean": _Kind("mean"),
    "ReduceMax": _Kind("max"),
    "ReduceMin": _Kind("min"),
    "ReduceProd": _Kind("", rule="prod"),
    "ReduceL1": _Kind("sum", "absolute"),
    "ReduceL2": _Kind("sum", "square", "sqrt"),
    "ReduceSumSquare": _Kind("sum", "square"),
    "ReduceLogSum": _Kind("sum", after="log"),
    "ReduceLogSumExp": _Kind("logsumexp", rule="statistic"),
}


def _reduce(c: Call, kind: _Kind) -> Value:
    """A reduction along the axes that are given, else along all."""
    x = c.value(0)
    axes = c.axes(x.rank, since=kind.since)
    keep = bool(c.attributes.integer("keepdims", 1, 0, 1))
    nothing = bool(c.attributes.integer("noop_with_empty_axes", 0, 0, 1))
    if not axes:
        axes = () if nothing else tuple(range(x.rank))
    if kind.before:
        x = formula(c, kind.before, (x,))
    settings = {"kind": kind.kind} if kind.kind else {}
    y = reduced(c, x, axes, keep, kind.rule, **settings)
    if kind.kind == "mean" and np.dtype(x.dtype).kind in "iu":
        y = formula(c, "trunc", (y,))
    return formula(c, kind.after, (y,)) if kind.after else y


def _arg(c: Call, least: bool) -> Value:
    """The index of the largest or the smallest element, the first or the last of them."""
    x = c.value(0)
    axis = c.axis(c.attributes.integer("axis", 0, -32, 32), x.rank)
    keep = bool(c.attributes.integer("keepdims", 1, 0, 1))
    last = bool(c.attributes.integer("select_last_index", 0, 0, 1))
    (along,) = places(x, (axis,)) or (0,)
    if not along:
        y = formula(c, "zeros_like", (x,), "int64")
        return without(y, (axis,), keep)
    settings = {"least": True} if least else {}
    settings |= {"last": True} if last else {}
    ref = c.operation("argmax", x.ref, axis=along, keepdims=False, **settings)
    return without(Value(ref, x.shape, x.held, "int64", x.time), (axis,), keep)


def _global(c: Call, kind: str) -> Value:
    """The mean or the maximum of all that a channel has."""
    x = c.value(0)
    return reduced(c, x, range(2, x.rank), True, kind=kind)


def _global_norm(c: Call) -> Value:
    """The p-norm of all that a channel has."""
    x, p = c.value(0), c.attributes.integer("p", 2)
    return root(c, reduced(c, power(c, x, p), range(2, x.rank), True, kind="sum"), p)


def power(c: Call, x: Value, p: int) -> Value:
    """|x|^p."""
    if p == 2:
        return formula(c, "square", (x,))
    size = formula(c, "absolute", (x,))
    return size if p == 1 else formula(c, "power", (size, np.asarray(p, np.float32)))


def root(c: Call, x: Value, p: int) -> Value:
    """x^(1/p)."""
    if p == 2:
        return formula(c, "sqrt", (x,))
    return x if p == 1 else formula(c, "power", (x, np.asarray(1 / p, np.float64)))


def _norm(c: Call) -> Value:
    """X / (its p-norm along one axis); 0 where that is 0."""
    x, p = c.value(0), c.attributes.integer("p", 2, 1, 2)
    axis = c.axis(c.attributes.integer("axis", -1, -32, 32), x.rank)
    size = root(c, reduced(c, power(c, x, p), (axis,), True, kind="sum"), p)
    zero = formula(c, "equal", (size, np.zeros((), np.float32)))
    part = formula(c, "divide", (x, size))
    return formula(c, "where", (zero, np.zeros((), np.float32), part), x.dtype)


def _running(c: Call) -> Value:
    """Sums of the elements up to each."""
    x = c.value(0)
    given = c.whole(1, "axis") or ()
    if len(given) != 1:
        raise LayerError("its axis is not one number")
    check_range("sum", (x,))
    axis = c.axis(given[0], x.rank)
    flags = {key: bool(c.attributes.integer(key, 0, 0, 1)) for key in ("exclusive", "reverse")}
    held = x.held if axis in x.held else (*x.held, axis)
    ref = c.operation("cumsum", c.arranged(x, held), axis=held.index(axis) + 1, **flags)
    return Value(ref, x.shape, held, x.dtype, x.time)


def _row(name: str, rule: Callable[..., Value], **given: object) -> Operator:
    return Operator(name, partial(rule, **given))


TABLE = (
    *(_row(name, _reduce, kind=kind) for name, kind in _KINDS.items()),
    _row("ArgMax", _arg, least=False),
    _row("ArgMin", _arg, least=True),
    _row("GlobalAveragePool", _global, kind="mean"),
    _row("GlobalMaxPool", _global, kind="max"),
    Operator("GlobalLpPool", _global_norm),
    Operator("LpNormalization", _norm),
    Operator("CumSum", _running, note="the axis a constant"),
)
