"""Operations that graphs have as nodes of their own: one layer, and a rule for each operation.

A rule is a formula of `shared/formulas.py`, for every element, or a function of `RULES` that moves
elements, or joins them. Axes count the batch axis as 0, or from the end, as in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.padding import crop_rows
from codegen.layers.products import einsum, matmul
from codegen.layers.reshaping import Permute
from codegen.layers.shared.axes import axis_of, broadcast, broadcast_shape, widen
from codegen.layers.shared.formulas import FORMULAS
from codegen.model import Array, Layer
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import (
    LOWEST,
    At,
    Compare,
    Count,
    Expr,
    Index,
    Number,
    Select,
    Vec,
    call,
)

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Operation(Layer):
    """An operation: the name of its rule, and what the rule takes besides tensors."""

    rule: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = ""  # of its result in the file, where that says so; it is computed as floats

    @property
    def aligns(self) -> bool:
        """As NumPy does, for what is computed of several tensors element by element."""
        return self.rule in FORMULAS or self.rule == "matmul"

    @property
    def describe(self) -> str:
        """The operation, where its class does not say it, and its axes."""
        notes = [] if self.class_name.lower() == self.rule.replace("_", "") else [self.rule]
        axis = self.settings.get("axis")
        if axis is not None:
            notes.append(f"axis={', '.join(map(str, axis)) if isinstance(axis, tuple) else axis}")
        return f"{self.class_name}({', '.join(notes)})" if notes else self.class_name

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """Itself where every element is by itself; slices along the axes where they are held."""
        if self.rule in FORMULAS:
            return self, order
        items = self.settings.get("items", ())
        if not order or not items or not all(isinstance(item, tuple) for item in items):
            return None
        held: list[Slice] = [EVERYTHING] * len(order)
        for item, axis in zip(items, order, strict=False):
            held[axis] = item
        return replace(self, settings={"items": tuple(held)}), order

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """The ops of its rule."""
        if self.rule in FORMULAS:
            return (_elementwise(b, inputs, FORMULAS[self.rule], **self.settings),)
        found = RULES[self.rule](b, *inputs, **self.settings)
        return found if isinstance(found, tuple) else (found,)


def _elementwise(
    b: Builder,
    inputs: Tensors,
    formula: Callable[..., Expr],
    operands: tuple[float | Array | None, ...] = (),
) -> Tensor:
    """The formula of every element; `operands`: a number, an array, or None for the next input.

    Operations broadcast as NumPy does: axes are aligned at the end.
    """
    waiting = iter(inputs)
    given: list[Tensor | float] = []
    for number, value in enumerate(operands or (None,) * len(inputs)):
        if isinstance(value, np.ndarray):
            given.append(b.const(f"operand_{number + 1}", value))
        else:
            given.append(next(waiting) if value is None else value)
    rank = max(len(x.shape) for x in given if not isinstance(x, float))
    widened = [x if isinstance(x, float) else widen(x, rank) for x in given]
    shape = broadcast_shape(b, [x for x in widened if not isinstance(x, float)])
    out = b.tensor("output", shape)
    with b.each(shape[:-1]) as at:
        values = [
            Number(x) if isinstance(x, float) else At(broadcast(x, shape, at)) for x in widened
        ]
        b.copy(out.row(*at), formula(*values))
    return b.like(out, *inputs)


# ---- moving elements along one axis ---------------------------------------------------------


def _place_of(b: Builder, x: Tensor, axis: int, why: str) -> int:
    """The place of an axis in `x.shape`; along time the rule needs the whole sequence."""
    place = axis_of(axis, x)
    if place == 0:
        b.needs_whole(x, why)
    return place


@dataclass(frozen=True)
class Run:
    """`count` elements that go to `target` and on, from `source` and `step` apart, `times` over.

    Each time the source is `jump` further, and the target after the one before.
    """

    target: Dim
    source: Dim
    count: Dim
    step: int = 1
    times: int = 1
    jump: int = 0


def _moved(
    b: Builder, x: Tensor, axis: int, runs: Sequence[Run], length: Dim, role: str = "output"
) -> Tensor:
    """A tensor with `length` elements along one axis, of which each run is copied from `x`."""
    rest = x.shape[axis + 1 :]
    single = dims.product(rest) == 1
    out = b.tensor(role, (*x.shape[:axis], length, *rest))
    with b.each(x.shape[:axis]) as at:
        for run in runs:
            with b.loop(run.times, counter="part") as part:
                target = out.at(*at, run.target + part * run.count)
                source = x.at(*at, run.source + part * run.jump)
                if run.step == 1 or single:
                    taken = replace(source, shape=(run.count, *rest)).vec()
                    put = replace(target, shape=(run.count, *rest)).vec()
                    b.copy(put, replace(taken, stride=run.step))
                    continue
                for_each = replace(target, shape=(run.count, *rest))
                with b.loop(run.count, counter="element") as k:
                    there = x.at(*at, run.source + part * run.jump + k * run.step)
                    b.copy(for_each.row(k), there.vec())
    return out


def _runs(indices: Sequence[int]) -> list[Run]:
    """The runs that bring the elements at these indices side by side."""
    pieces: list[tuple[int, int, int]] = []  # source, count, step
    at = 0
    while at < len(indices):
        step = indices[at + 1] - indices[at] if at + 1 < len(indices) else 1
        end = at + 1
        while end < len(indices) and indices[end] - indices[end - 1] == step:
            end += 1
        if end - at == 2 and step != 1:  # two that only happen to be so far apart
            end, step = at + 1, 1
        pieces.append((indices[at], end - at, 1 if end - at == 1 else step))
        at = end
    runs: list[Run] = []
    target = at = 0
    while at < len(pieces):
        source, count, step = pieces[at]
        end = at + 1
        jump = pieces[end][0] - source if end < len(pieces) else 0
        while end < len(pieces) and pieces[end] == (source + (end - at) * jump, count, step):
            end += 1
        runs.append(Run(target, source, count, step, end - at, jump if end - at > 1 else 0))
        target, at = target + count * (end - at), end
    return runs


MOST_RUNS = 256  # that a file spells out


def runs_of(indices: Sequence[int]) -> list[Run]:
    """The runs; a LayerError where the indices are in no order that a loop could follow."""
    found = _runs(indices)
    if len(found) > MOST_RUNS:
        raise LayerError(
            f"it takes {len(indices)} elements in no order: in {len(found)} pieces, at most "
            f"{MOST_RUNS} are supported"
        )
    return found


def _not_along(b: Builder, out: Tensor, x: Tensor, axis: int) -> Tensor:
    """`out` like `x`; a sequence no more where its time axis was cut or reduced."""
    return replace(b.like(out, x), time=x.time and axis != 0)


def _flip(b: Builder, x: Tensor, *, axis: int) -> Tensor:
    """The elements along one axis in reverse order."""
    place = _place_of(b, x, axis, "it reads the sequence backwards")
    out = b.tensor("output", x.shape)
    with b.each(x.shape[: place + 1]) as at:
        turned = x.shape[place] - 1 - at[-1]
        b.copy(out.row(*at), x.row(*at[:-1], turned))
    return b.like(out, x)


def _roll(b: Builder, x: Tensor, *, axis: int, shift: int) -> Tensor:
    """The elements along one axis `shift` places further; the last ones come first."""
    place = _place_of(b, x, axis, "it puts the end of the sequence before its start")
    length = dims.fixed(x.shape[place])
    first, last = length - shift % length, shift % length
    runs = [Run(last, 0, first), *([Run(0, first, last)] if last else [])]
    return b.like(_moved(b, x, place, runs, length), x)


def _take(b: Builder, x: Tensor, *, axis: int, indices: tuple[int, ...], keeps: bool) -> Tensor:
    """The elements at fixed indices along one axis; a single one without the axis."""
    place = axis_of(axis, x)
    length = dims.fixed(x.shape[place])
    _place_of(b, x, axis, "it takes single steps out of the sequence")
    for index in indices:
        b.check(length, ">=", index + 1 if index >= 0 else -index)
    runs = runs_of([index % length for index in indices])
    out = _moved(b, x, place, runs, len(indices))
    if not keeps:
        out = out.reshape((*x.shape[:place], *x.shape[place + 1 :]))
    return _not_along(b, out, x, place)


def _repeat(b: Builder, x: Tensor, *, axis: int, repeats: int) -> Tensor:
    """Every element along one axis so many times."""
    place = _place_of(b, x, axis, "it repeats single steps")
    before, rest = x.shape[: place + 1], x.shape[place + 1 :]
    runs = [Run(number, 0, 1) for number in range(repeats)]
    out = _moved(b, x.reshape((*before, 1, *rest)), place + 1, runs, repeats)
    longer = out.reshape((*before[:-1], before[-1] * repeats, *rest))
    return _not_along(b, longer, x, place)


def _split(
    b: Builder, x: Tensor, *, axis: int, parts: int = 0, places: tuple[int, ...] = ()
) -> Tensors:
    """The input cut along one axis into equal parts, or at places."""
    place = _place_of(b, x, axis, "it cuts the sequence into pieces")
    length = dims.fixed(x.shape[place])
    if parts and length % parts:
        raise LayerError(f"{parts} equal parts of an axis of {length}")
    inner = places or tuple(range(length // parts, length, length // parts))
    ends = [0, *(min(end, length) for end in inner), length]
    found = []
    for number, (start, stop) in enumerate(pairwise(ends)):
        part = _moved(b, x, place, [Run(0, start, stop - start)], stop - start, f"split_{number}")
        found.append(_not_along(b, part, x, place))
    return tuple(found)


def _unstack(b: Builder, x: Tensor, *, axis: int) -> Tensors:
    """Every element along one axis by itself."""
    place = axis_of(axis, x)
    parts = _split(b, x, axis=axis, parts=dims.fixed(x.shape[place]))
    rest = (*x.shape[:place], *x.shape[place + 1 :])
    return tuple(part.reshape(rest) for part in parts)


# ---- moving elements along several axes -----------------------------------------------------


def _tile(b: Builder, x: Tensor, *, repeats: tuple[int, ...]) -> Tensor:
    """The input so many times along each axis; of the last axes, where there are fewer numbers."""
    missing = len(x.shape) - len(repeats)
    if missing < 0 or not x.shape:
        raise LayerError(f"{len(repeats)} repeats of an input with {len(x.shape)} axes")
    repeats = (1,) * missing + repeats
    if repeats[0] != 1:
        b.needs_whole(x, "it repeats the sequence")
    out = b.tensor("output", [n * times for n, times in zip(x.shape, repeats, strict=True)])
    pairs = [n for pair in zip(repeats, x.shape, strict=True) for n in pair]
    apart = out.reshape(pairs)
    with b.each(pairs[:-1]) as at:
        b.copy(apart.row(*at), x.row(*at[1::2]))
    return replace(b.like(out, x), time=x.time and repeats[0] == 1)


def _pad(
    b: Builder, x: Tensor, *, padding: tuple[tuple[int, int], ...], value: float = 0.0
) -> Tensor:
    """One value before and after each axis."""
    if len(padding) != len(x.shape):
        raise LayerError(f"{len(padding)} pairs for an input with {len(x.shape)} axes")
    if any(padding[0]):
        b.needs_whole(x, "it puts rows before or after the sequence")
    out = b.tensor(
        "output", [low + n + high for n, (low, high) in zip(x.shape, padding, strict=True)]
    )
    b.copy(out.vec(), Number(value))
    with b.each(x.shape[:-1]) as at:
        place = [low + i for i, (low, _) in zip(at, padding, strict=False)]
        first = padding[-1][0]
        b.copy(out.row(*place)[first : x.shape[-1] + first], x.row(*at))
    return b.like(out, x)


def _place(
    b: Builder, x: Tensor, *updates: Tensor, places: tuple[int, ...], kind: str, value: float = 0.0
) -> Tensor:
    """`x` with other numbers at fixed places, counted through all its axes: those of `updates`.

    Without them `value`, everywhere. By `kind` they take the place of a number, or are added to
    it, multiplied with it, or the larger or smaller of the two is left.
    """
    given = [x, *updates]
    for one in given:
        b.needs_whole(one, "it puts numbers into a whole sequence")
    out = b.tensor("output", x.shape)
    b.copy(out.vec(), x.vec())
    runs = [
        piece
        for run in runs_of(places)
        # What meets one place several times comes one after the other.
        for piece in ([run] if run.step else _one_by_one(run))
    ]
    for run in runs:
        with b.loop(run.times, counter="part", carried=True) as part:
            start = run.source + part * run.jump
            target = Vec(out.buffer, out.offset + start, run.count, run.step)
            new: Expr = Number(value)
            if updates:
                first = updates[0].offset + run.target + part * run.count
                new = At(Vec(updates[0].buffer, first, run.count))
            b.copy(target, new if kind == "set" else _JOINS[kind](At(target), new))
    return replace(b.like(out, *given), time=x.time)


def _one_by_one(run: Run) -> list[Run]:
    return [
        Run(run.target + k * run.count + j, run.source + k * run.jump, 1)
        for k in range(run.times)
        for j in range(dims.fixed(run.count))
    ]


_JOINS: dict[str, Callable[[Expr, Expr], Expr]] = {
    "add": lambda old, new: old + new,
    "mul": lambda old, new: old * new,
    "max": lambda old, new: call("max", old, new),
    "min": lambda old, new: call("min", old, new),
}


def _mix(b: Builder, x: Tensor, *, axis: int, matrix: Array, offset: Array | None = None) -> Tensor:
    """A fixed matrix times the elements along one axis, plus an offset for each result."""
    place = _place_of(b, x, axis, "it mixes the steps of the sequence")
    rows, columns = matrix.shape
    b.check(x.shape[place], "==", columns)
    out = b.tensor("output", (*x.shape[:place], rows, *x.shape[place + 1 :]))
    weight, bias = b.weight("matrix", matrix), b.vector("offset", offset)
    with b.each(x.shape[:place]) as before, b.each(x.shape[place + 1 :]) as after:
        y = out.along(place, before, after)
        b.affine(y, bias, (weight, x.along(place, before, after)))
    return _not_along(b, out, x, place)


def _swap(b: Builder, x: Tensor, *, axis1: int, axis2: int) -> Tensor:
    """Two axes in each other's place."""
    one, other = axis_of(axis1, x), axis_of(axis2, x)
    order = list(range(len(x.shape)))
    order[one], order[other] = order[other], order[one]
    return _permuted(b, x, order)


def _move(b: Builder, x: Tensor, *, source: int, destination: int) -> Tensor:
    """One axis moved to another place."""
    order = list(range(len(x.shape)))
    order.insert(axis_of(destination, x), order.pop(axis_of(source, x)))
    return _permuted(b, x, order)


def _permuted(b: Builder, x: Tensor, order: Sequence[int]) -> Tensor:
    turned = tuple(axis + 1 for axis in order)
    return Permute(name="", class_name="", dims=turned).lower(b, x)[0]


def _new_axis(axis: int, shape: Sequence[Dim], rank: int) -> int:
    """The place of an axis among `rank` axes besides the batch axis."""
    place = axis - 1 if axis > 0 else axis + rank
    if axis == 0 or not 0 <= place < rank:
        raise LayerError(f"axis {axis} of an input with {len(shape)} axes")
    return place


def _expand_dims(b: Builder, x: Tensor, *, axis: int) -> Tensor:
    """An axis of length 1 put in."""
    place = _new_axis(axis, x.shape, len(x.shape) + 1)
    if place == 0:
        b.needs_whole(x, "it moves the time axis")
    return _not_along(b, x.reshape((*x.shape[:place], 1, *x.shape[place:])), x, place)


def _squeeze(b: Builder, x: Tensor, *, axis: int) -> Tensor:
    """An axis of length 1 taken away."""
    place = _new_axis(axis, x.shape, len(x.shape))
    row = None if place else b.only_row(x)
    if row is not None:
        return row
    if place == 0:
        b.needs_whole(x, "it moves the time axis")
    b.check(x.shape[place], "==", 1)
    return _not_along(b, x.reshape((*x.shape[:place], *x.shape[place + 1 :])), x, place)


def _stack(b: Builder, *inputs: Tensor, axis: int) -> Tensor:
    """Tensors side by side along a new axis."""
    first = inputs[0].shape
    place = _new_axis(axis, first, len(first) + 1)
    for x in inputs:
        if place == 0:
            b.needs_whole(x, "it puts whole sequences side by side")
        for left, right in zip(first, x.shape, strict=True):
            b.check(left, "==", right)
    out = b.tensor("output", (*first[:place], len(inputs), *first[place:]))
    with b.each(first[:place]) as at:
        for number, x in enumerate(inputs):
            b.copy(out.row(*at, number), x.row(*at))
    return b.like(out, *inputs)


# ---- slices ---------------------------------------------------------------------------------

Slice = tuple[int | None, int | None, int | None]
EVERYTHING: Slice = (None, None, None)
ELLIPSIS, NEW_AXIS = "...", "newaxis"


def _get_item(b: Builder, x: Tensor, *, items: Sequence[int | Slice | str]) -> Tensor:
    """A copy of x[...]; x[:, -1] of a sequence is its last step.

    Each item is an int, (start, stop, step) with None as in Python, ELLIPSIS or NEW_AXIS; that of
    the batch axis, which takes everything, is not among them.
    """
    items = _complete(items, len(x.shape))
    if x.time and b.step and items[0] == -1 and all(i == EVERYTHING for i in items[1:]):
        b.refuse_late(x)
        return replace(x.at(x.shape[0] - 1), lead=x.lead, last=True)
    along = items[0] if items else None
    if x.time and isinstance(along, tuple) and (b.step or not isinstance(x.shape[0], int)):
        taken = _rows_taken(b, x, *along)
        if taken is not None:
            x, items = taken, (EVERYTHING, *items[1:])
    if all(item == EVERYTHING for item in items):
        return replace(x, mask=None)
    if items and items[0] != EVERYTHING:
        b.needs_whole(x, "it takes single steps out of the sequence")
    picks: list[tuple[Dim, Dim, int]] = []  # start, count, step for each axis of x
    shape: list[Dim] = []
    for item in items:
        if isinstance(item, str):
            shape.append(1)
            continue
        length = x.shape[len(picks)]
        if isinstance(item, int):
            needed = item + 1 if item >= 0 else -item
            if needed > 1 or isinstance(length, int):
                b.check(length, ">=", needed)
            picks.append((item if item >= 0 else length + item, 1, 1))
            continue
        picks.append(_picked(b, item, length))
        shape.append(picks[-1][1])
    out = b.tensor("output", shape)
    flat = out.reshape(tuple(count for _, count, _ in picks))
    with b.each(flat.shape[:-1]) as at:
        source = [start + i * step for (start, _, step), i in zip(picks, at, strict=False)]
        start, count, step = picks[-1]
        row = x.row(*source)
        part = Vec(row.buffer, row.offset + start, count, step)
        b.copy(flat.row(*at), At(part))
    return replace(b.like(out, x), time=x.time and items[0] == EVERYTHING)


def _complete(items: Sequence[int | Slice | str], rank: int) -> tuple[int | Slice | str, ...]:
    """The items with as many full slices as there are axes that none stands for."""
    given = list(items)
    missing = rank - sum(item not in (ELLIPSIS, NEW_AXIS) for item in given)
    if missing < 0:
        raise LayerError(f"{rank - missing} indices of an input with {rank} axes")
    at = given.index(ELLIPSIS) if ELLIPSIS in given else len(given)
    return (*given[:at], *[EVERYTHING] * missing, *given[at + 1 :])


def _picked(b: Builder, item: Slice, length: Dim) -> tuple[Dim, Dim, int]:
    """First index, count and step of a slice."""
    if isinstance(length, int):
        chosen = range(*slice(*item).indices(length))
        return chosen.start, len(chosen), chosen.step
    first, stop, step = item[0], item[1], item[2] or 1
    if step == -1 and first is None and stop is None:
        return length - 1, length, -1
    start: Dim = 0 if first is None else first
    end: Dim = length if stop is None else stop
    for bound in (start, end):
        if isinstance(bound, int) and bound:
            b.check(length, ">=", abs(bound))
    start = length + start if isinstance(start, int) and start < 0 else start
    end = end + length if isinstance(end, int) and end < 0 else end
    if step < 1 or (isinstance(end, int) and not isinstance(start, int)):
        raise LayerError(f"slice {item} along an axis whose length is free")
    count = end - start
    if isinstance(count, int):
        return start, len(range(0, count, step)), step
    return start, (count + (step - 1)) // step, step


def _rows_taken(
    b: Builder, x: Tensor, start: int | None, stop: int | None, every: int | None
) -> Tensor | None:
    """Rows `start:stop:every` of a sequence of any length; None where they cannot be told."""
    first, left_out, stride = start or 0, -(stop or 0), every or 1
    if stop == 0 or left_out < 0 or stride < 1:
        return None
    if first < 0:
        whole = b.saved_steps is not None and b.saved_steps + first < 0
        return None if whole or stride > 1 else _last_rows(b, x, -first - left_out, left_out)
    x = crop_rows(b, x, first, left_out)
    if stride == 1:
        return x
    with b.window(x, 1, stride) as window:
        out = b.tensor("rows_taken", (window.count, *x.shape[1:]))
        with window.positions() as o:
            b.copy(out.row(o), window.tap(o, 0).vec())
    return window.like(out)


def _last_rows(b: Builder, x: Tensor, count: int, left_out: int) -> Tensor | None:
    """The last `count` rows but for `left_out`: known only at the end of the sequence."""
    if count < 1:
        return None
    x = crop_rows(b, x, 0, left_out)
    b.refuse_late(x)
    shape = (count, *x.shape[1:])
    if not b.step:
        b.check(x.shape[0], ">=", count)
        b.leave(x, "last")
        return replace(x.at(x.shape[0] - count), shape=shape, last=True)
    with b.window(x, count, role="last") as window:
        out = b.tensor("last_rows", shape)
        for number in range(count):
            b.copy(out.row(number), window.tap(window.count - 1, number).vec())
    return replace(out, lead=window.lead, last=True)


# ---- joining elements along axes ------------------------------------------------------------

_SUMS = {"any": "max", "all": "min", "mean": "sum", "count_nonzero": "sum"}
_STARTS = {"all": 1.0, "max": LOWEST, "min": -LOWEST}

Row = Callable[[Sequence[Dim]], Vec]  # the elements at these indices along the axes that go
Counters = tuple[tuple[str, Dim], ...]


def _joined(
    b: Builder,
    x: Tensor,
    axes: Sequence[int],
    keepdims: bool,
    write: Callable[[Vec, Counters, Row], None],
    total: Tensor | None = None,
    inner: bool = False,
    finish: Callable[[Tensor], None] = lambda out: None,
) -> Tensor:
    """`x` without `axes`: `write` gives each element, or with `inner` each row of the result.

    It writes to `total` where that is given, from which `finish` makes the result.
    """
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    out = b.tensor("output", _without(x, axes))
    counters = tuple((f"k{axis}", x.shape[axis]) for axis in axes)
    loops, end = (kept[:-1], len(x.shape) - 1) if inner else (kept, len(x.shape))
    with b.each([x.shape[axis] for axis in loops]) as at:
        outer: dict[int, Dim] = dict(zip(loops, at, strict=True))

        def row(indices: Sequence[Dim]) -> Vec:
            place = outer | dict(zip(axes, indices, strict=True))
            return x.row(*(place[axis] for axis in range(end)))

        target = (total or out).row(*(outer.get(axis, 0) for axis in range(end)))
        write(target, counters, row)
    finish(out)
    if not keepdims:
        out = out.reshape([x.shape[axis] for axis in kept])
    return _not_along(b, out, x, min(axes, default=1))


def _without(x: Tensor, axes: Sequence[int]) -> list[Dim]:
    """The shape of `x` with length 1 along the axes."""
    return [1 if axis in axes else n for axis, n in enumerate(x.shape)]


def _symbols(counters: Counters) -> list[Dim]:
    return [dims.symbol(name) for name, _ in counters]


def _reduce(b: Builder, x: Tensor, *, kind: str, axis: Sequence[int], keepdims: bool) -> Tensor:
    """Sum, mean, max, min, any, all or the count of what is not 0, along axes.

    One reduction along the last axis where it stays; over a stream a running one.
    """
    axes = sorted(axis_of(one, x) for one in axis)
    over_time = x.time and 0 in axes
    reduce = b.reduce_so_far if over_time else b.reduce
    total = None
    if over_time:
        shape = [dims.fixed(n) for n in _without(x, axes)]
        total = b.running("total", shape, _STARTS.get(kind, 0.0))

    def write(target: Vec, counters: Counters, row: Row) -> None:
        value: Expr = At(row(_symbols(counters)))
        if kind in ("any", "all", "count_nonzero"):
            value = Compare("!=", value, Number(0.0))
        reduce(target, _SUMS.get(kind, kind), counters, value)

    def finish(out: Tensor) -> None:
        done = total or out
        if kind != "mean":
            if total is not None:
                b.copy(out.vec(), total.vec())
            return
        divisor: Expr = Count(
            dims.product(tuple(x.shape[one] for one in axes if one or not over_time))
        )
        if over_time:
            seen = b.running("count", (1,))
            rows: Expr = Count(x.shape[0])
            b.copy(seen.vec(), At(seen.vec()) + rows if b.step else rows)
            divisor = At(seen.vec().every(out.size)) * divisor
        b.copy(out.vec(), At(done.vec()) / divisor)

    last = len(x.shape) - 1
    y = _joined(b, x, axes, keepdims, write, total, last not in axes and last >= 0, finish)
    return replace(y, last=x.last or over_time)


def _whole_axes(b: Builder, x: Tensor, axes: Sequence[int]) -> list[int]:
    """The places of axes, of which time needs the whole sequence."""
    places = sorted(axis_of(axis, x) for axis in axes)
    if 0 in places:
        b.needs_whole(x, "it needs the whole sequence at once")
    return places


def _prod(b: Builder, x: Tensor, *, axis: Sequence[int], keepdims: bool) -> Tensor:
    """One factor after the other, for each element of the result."""

    def write(target: Vec, counters: Counters, row: Row) -> None:
        b.copy(target, Number(1.0))
        with ExitStack() as stack:
            factors = [
                stack.enter_context(b.loop(length, carried=True, counter="factor"))
                for _, length in counters
            ]
            b.copy(target, At(target) * At(row(factors)))

    return _joined(b, x, _whole_axes(b, x, axis), keepdims, write)


def _statistic(b: Builder, x: Tensor, *, kind: str, axis: Sequence[int], keepdims: bool) -> Tensor:
    """Variance, deviation, log-sum-exp or Euclidean norm: two sums for each element."""
    places = _whole_axes(b, x, axis)
    count = dims.product(tuple(x.shape[place] for place in places))

    def write(y: Vec, counters: Counters, row: Row) -> None:
        value = At(row(_symbols(counters)))
        if kind == "norm":
            b.reduce(y, "sum", counters, value * value)
            b.copy(y, call("sqrt", At(y)))
            return
        middle = b.temp("middle", 1)
        if kind == "logsumexp":
            b.reduce(middle, "max", counters, value)
            b.reduce(y, "sum", counters, call("exp", value - At(middle)))
            b.copy(y, At(middle) + call("log", At(y)))
            return
        b.reduce(middle, "sum", counters, value)
        b.copy(middle, At(middle) / Count(count))
        b.reduce(y, "sum", counters, (value - At(middle)) * (value - At(middle)))
        spread = At(y) / Count(count)
        b.copy(y, call("sqrt", spread) if kind == "deviation" else spread)

    return _joined(b, x, places, keepdims, write)


def _argmax(
    b: Builder, x: Tensor, *, axis: int, keepdims: bool, least: bool = False, last: bool = False
) -> Tensor:
    """The first index of the largest element along one axis: the least that has the maximum.

    `least`: of the smallest element. `last`: the last index of those.
    """

    def write(y: Vec, counters: Counters, row: Row) -> None:
        extreme, places = b.temp("smallest" if least else "largest", 1), _symbols(counters)
        element = At(row(places))
        b.reduce(extreme, "min" if least else "max", counters, element)
        other: Expr = Number(-1.0) if last else Count(counters[0][1])
        reached = Compare("<=" if least else ">=", element, At(extreme))
        place = Select(reached, Count(places[0]), other)
        b.reduce(y, "max" if last else "min", counters, place)

    return _joined(b, x, _whole_axes(b, x, [axis]), keepdims, write)


def _cumsum(
    b: Builder, x: Tensor, *, axis: int, exclusive: bool = False, reverse: bool = False
) -> Tensor:
    """Sums of the elements up to each along one axis (`exclusive`: before it), or from the end.

    A running total, which over time is a state.
    """
    place = axis_of(axis, x)
    if place == 0 and reverse:
        b.needs_whole(x, "it sums from the end of the sequence")
    length, rest = x.shape[place], x.shape[place + 1 :] or (1,)
    rows, out = x.reshape((*x.shape[: place + 1], *rest)), b.tensor("output", x.shape)
    total = b.state("total", [dims.fixed(n) for n in rest]).vec() if place == 0 else None
    with b.each(x.shape[:place]) as at:
        if total is None:
            total = b.tensor("total", rest).vec()
            b.copy(total, Number(0.0))
        with b.loop(length, carried=True) as t:
            here: Dim = length - 1 - t if reverse else t
            y = out.row(*at, here)
            if exclusive:
                b.copy(y, total)
            b.copy(total, At(total) + At(rows.row(*at, here)))
            if not exclusive:
                b.copy(y, total)
    return b.like(out, x)


def _one_hot(
    b: Builder, x: Tensor, *, num_classes: int, on_value: float, off_value: float
) -> Tensor:
    """`on_value` at the index that an element is, else `off_value`, along a new last axis."""
    out = b.tensor("output", (*x.shape, num_classes))
    with b.each(x.shape) as at:
        here: Expr = Compare("==", At(x.at(*at).vec().every(num_classes)), Index())
        if (on_value, off_value) != (1.0, 0.0):
            here = Select(here, Number(on_value), Number(off_value))
        b.copy(out.row(*at), here)
    return b.like(out, x)


RULES: dict[str, Callable[..., Tensor | Tensors]] = {
    "argmax": _argmax,
    "cumsum": _cumsum,
    "einsum": einsum,
    "expand_dims": _expand_dims,
    "flip": _flip,
    "get_item": _get_item,
    "matmul": matmul,
    "mix": _mix,
    "move": _move,
    "one_hot": _one_hot,
    "pad": _pad,
    "place": _place,
    "prod": _prod,
    "reduce": _reduce,
    "repeat": _repeat,
    "roll": _roll,
    "split": _split,
    "squeeze": _squeeze,
    "stack": _stack,
    "statistic": _statistic,
    "swap": _swap,
    "take": _take,
    "tile": _tile,
    "unstack": _unstack,
}
