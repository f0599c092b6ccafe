"""Operations of Keras 3 that functional models save as nodes of their own.

Truth values are 1 and 0. Axes count the batch axis as 0, or from the end, as in the file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from codegen import dims
from codegen.dims import Dim
from codegen.errors import LayerError
from codegen.layers.core import axis_of, broadcast, broadcast_shape, widen
from codegen.layers.padding import crop_rows
from codegen.model import Layer
from codegen.program import LOWEST, At, Compare, Count, Expr, Mat, Number, Vec, call

if TYPE_CHECKING:
    from codegen.builder import Builder, Tensor

Tensors = tuple["Tensor", ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Reduction(Layer):
    """Sum, mean, max, min, any or all along axes."""

    kind: str
    axes: tuple[int, ...]
    keepdims: bool = False

    @property
    def describe(self) -> str:
        """What over which axes."""
        return f"{self.class_name}(axis={', '.join(map(str, self.axes))})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """One reduction along the last axis where it stays; over a stream a running one."""
        x = inputs[0]
        axes = sorted(axis_of(axis, x) for axis in self.axes)
        kept = [axis for axis in range(len(x.shape)) if axis not in axes]
        inner = kept[-1:] == [len(x.shape) - 1]
        loops = kept[:-1] if inner else kept
        shape = [1 if axis in axes else n for axis, n in enumerate(x.shape)]
        over_time = x.time and 0 in axes
        how = {"any": "max", "all": "min", "mean": "sum"}.get(self.kind, self.kind)
        out = b.tensor("output", shape)
        total = out
        if over_time:
            start = {"any": 0.0, "all": 1.0, "max": LOWEST, "min": -LOWEST}.get(self.kind, 0.0)
            total = b.running("total", [dims.fixed(n) for n in shape], start)
        counters = tuple((f"k{axis}", x.shape[axis]) for axis in axes)
        with b.each([x.shape[axis] for axis in loops]) as at:
            source: list[Dim] = [0] * len(x.shape)
            target: list[Dim] = [0] * len(x.shape)
            for axis, index in zip(loops, at, strict=True):
                source[axis] = target[axis] = index
            for axis, (name, _) in zip(axes, counters, strict=True):
                source[axis] = dims.symbol(name)
            end = len(x.shape) - inner
            value: Expr = At(x.row(*source[:end]))
            if self.kind in ("any", "all"):
                value = Compare("!=", value, Number(0.0))
            reduce = b.reduce_so_far if over_time else b.reduce
            reduce(total.row(*target[:end]), how, counters, value)
        if total is not out or self.kind == "mean":
            self._finish(b, out, total, x, axes, over_time)
        if not self.keepdims:
            out = out.reshape([x.shape[axis] for axis in kept])
        y = b.like(out, x)
        return (replace(y, time=x.time and not over_time, last=x.last or over_time),)

    def _finish(
        self, b: Builder, out: Tensor, total: Tensor, x: Tensor, axes: list[int], over_time: bool
    ) -> None:
        """The totals, of a mean divided by their number."""
        if self.kind != "mean":
            b.copy(out.vec(), total.vec())
            return
        rest = dims.product(tuple(x.shape[axis] for axis in axes if axis or not over_time))
        divisor: Expr = Count(rest)
        if over_time:
            seen = b.running("count", (1,))
            rows: Expr = Count(x.shape[0])
            b.copy(seen.vec(), At(seen.vec()) + rows if b.step else rows)
            divisor = At(seen.vec().every(out.size)) * divisor
        b.copy(out.vec(), At(total.vec()) / divisor)


@dataclass(frozen=True, eq=False, kw_only=True)
class GetItem(Layer):
    """x[...] with whole numbers and slices, batch axis first.

    Each item is an int or (start, stop, step) with None as in Python; the first is the batch
    axis' full slice and not kept here. None stands for an ellipsis.
    """

    items: tuple[int | tuple[int | None, int | None, int | None] | None, ...]

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """A copy of the elements taken; x[:, -1] of a sequence is its last step."""
        x = inputs[0]
        full: tuple[None, None, None] = (None, None, None)
        given, rank = list(self.items), len(x.shape)
        at_ellipsis = given.index(None) if None in given else len(given)
        rest = given[at_ellipsis + 1 :]
        middle = (full,) * (rank - at_ellipsis - len(rest))
        items = tuple(i for i in (*given[:at_ellipsis], *middle, *rest) if i is not None)
        if len(items) != rank:
            raise LayerError(f"{len(items)} indices of an input with {rank} axes")
        if x.time and b.step and items[0] == -1 and all(i == full for i in items[1:]):
            b.refuse_late(x)
            return (replace(x.at(x.shape[0] - 1), lead=x.lead, last=True),)
        along = items[0] if items else None
        if x.time and isinstance(along, tuple) and (b.step or not isinstance(x.shape[0], int)):
            taken = _rows_taken(b, x, *along)
            if taken is not None:
                x, items = taken, (full, *items[1:])
        if all(item == full for item in items):
            return (replace(x, mask=None),)
        if items and items[0] != full:
            b.needs_whole(x, "it takes single steps out of the sequence")
        picks: list[tuple[Dim, Dim, int]] = []  # start, count, step for each axis of x
        shape: list[Dim] = []
        for item, length in zip(items, x.shape, strict=True):
            if isinstance(item, int):
                picks.append((item if item >= 0 else length + item, 1, 1))
            elif item == full:
                picks.append((0, length, 1))
                shape.append(length)
            elif isinstance(length, int):
                chosen = range(*slice(*item).indices(length))
                picks.append((chosen.start, len(chosen), chosen.step))
                shape.append(len(chosen))
            else:
                first, stop, every = item[0] or 0, item[1], item[2]
                if first < 0 or every not in (None, 1) or (stop is not None and stop >= 0):
                    raise LayerError(f"slice {item} along an axis whose length is free")
                picks.append((first, length - first + (stop or 0), 1))
                shape.append(length - first + (stop or 0))
        out = b.tensor("output", shape)
        flat = out.reshape(tuple(count for _, count, _ in picks))
        with b.each(flat.shape[:-1]) as at:
            source = [start + i * step for (start, _, step), i in zip(picks, at, strict=False)]
            start, count, step = picks[-1]
            row = x.row(*source)
            part = Vec(row.buffer, row.offset + start, count, step)
            b.copy(flat.row(*at), At(part))
        y = b.like(out, x)
        return (replace(y, time=x.time and items[0] == full),)


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


@dataclass(frozen=True, eq=False, kw_only=True)
class NewShape(Layer):
    """ExpandDims and Squeeze: an axis of length 1 put in at `axis`, or taken away."""

    axis: int
    expand: bool

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """No ops."""
        x = inputs[0]
        rank = len(x.shape) + (1 if self.expand else 0)
        axis = self.axis - 1 if self.axis > 0 else self.axis + rank
        if self.axis == 0 or not 0 <= axis < rank:
            raise LayerError(f"axis {self.axis} of an input with {len(x.shape)} axes")
        row = None if axis or self.expand else b.only_row(x)
        if row is not None:
            return (row,)
        if axis == 0:
            b.needs_whole(x, "it moves the time axis")
        if self.expand:
            shape = (*x.shape[:axis], 1, *x.shape[axis:])
        else:
            b.check(x.shape[axis], "==", 1)
            shape = (*x.shape[:axis], *x.shape[axis + 1 :])
        return (replace(b.like(x.reshape(shape), x), time=x.time and axis != 0),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Filled(Layer):
    """ZerosLike and OnesLike: the shape of the input, one value everywhere."""

    value: float

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """One store."""
        out = b.tensor("output", inputs[0].shape)
        b.copy(out.vec(), Number(self.value))
        return (b.like(out, inputs[0]),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison(Layer):
    """Left compared with right, which is a second tensor or a constant."""

    operator: str
    constant: float | None = None

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Element by element, broadcast."""
        rank = max(len(x.shape) for x in inputs)
        widened = [widen(x, rank) for x in inputs]
        shape = broadcast_shape(b, widened)
        out = b.tensor("output", shape)
        with b.each(shape[:-1]) as at:
            left: Expr = At(broadcast(widened[0], shape, at))
            right: Expr
            if self.constant is None:
                right = At(broadcast(widened[1], shape, at))
            else:
                right = Number(self.constant)
            b.copy(out.row(*at), Compare(self.operator, left, right))
        return (b.like(out, *inputs),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Clip(Layer):
    """min(max(x, low), high)."""

    low: float
    high: float

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Element by element."""
        x = inputs[0]
        out = b.tensor("output", x.shape)
        b.copy(out.vec(), call("min", call("max", x.vec(), self.low), self.high))
        return (b.like(out, x, mask=x.mask),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Stack(Layer):
    """Tensors side by side along a new axis."""

    axis: int

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Copies."""
        first = inputs[0].shape
        rank = len(first) + 1
        axis = self.axis - 1 if self.axis > 0 else self.axis + rank
        if self.axis == 0 or not 0 <= axis < rank:
            raise LayerError(f"axis {self.axis} of an input with {len(first)} axes")
        for x in inputs:
            if axis == 0:
                b.needs_whole(x, "it puts whole sequences side by side")
            for left, right in zip(first, x.shape, strict=True):
                b.check(left, "==", right)
        out = b.tensor("output", (*first[:axis], len(inputs), *first[axis:]))
        with b.each(first[:axis]) as at:
            for number, x in enumerate(inputs):
                b.copy(out.row(*at, number), x.row(*at))
        return (b.like(out, *inputs),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Flip(Layer):
    """The elements along one axis in reverse order."""

    axis: int

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Copies."""
        x = inputs[0]
        axis = axis_of(self.axis, x)
        if axis == 0:
            b.needs_whole(x, "it reads the sequence backwards")
        out = b.tensor("output", x.shape)
        with b.each(x.shape[: axis + 1]) as at:
            turned = x.shape[axis] - 1 - at[-1]
            b.copy(out.row(*at), x.row(*at[:-1], turned))
        return (b.like(out, x),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Matmul(Layer):
    """The product of two matrices, or of a matrix and a vector along its last axis."""

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """One row of the result at a time."""
        left, right = inputs
        if len(right.shape) != 2 or len(left.shape) not in (1, 2):
            raise LayerError(f"a product of tensors with {left.shape} and {right.shape}")
        for x in inputs:
            if len(x.shape) > 1:
                b.needs_whole(x, "it multiplies whole sequences")
        b.check(left.shape[-1], "==", right.shape[0])
        inner, columns = right.shape
        stride = dims.fixed(columns)
        matrix = Mat(right.buffer, right.offset, columns, inner, 1, stride)
        out = b.tensor("output", (*left.shape[:-1], columns))
        with b.each(left.shape[:-1]) as at:
            b.affine(out.row(*at), None, (matrix, left.row(*at)))
        return (b.like(out, *inputs),)
