"""Operations of Keras 3 that functional models save as nodes of their own.

Truth values are 1 and 0. Axes count the batch axis as 0, or from the end, as in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from codegen.errors import LayerError
from codegen.layers.padding import crop_rows
from codegen.layers.reshaping import Permute
from codegen.layers.shared.axes import axis_of, broadcast, broadcast_shape, transpose, widen
from codegen.model import Layer
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import LOWEST, At, Compare, Count, Expr, Mat, Number, Select, Vec, call

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]


_SUMS = {"any": "max", "all": "min", "mean": "sum", "count_nonzero": "sum"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Reduction(Layer):
    """Sum, product, mean, max, min, any, all or the count of what is not 0, along axes."""

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
        if self.kind == "prod":
            return (self._product(b, x),)
        axes = sorted(axis_of(axis, x) for axis in self.axes)
        kept = [axis for axis in range(len(x.shape)) if axis not in axes]
        inner = kept[-1:] == [len(x.shape) - 1]
        loops = kept[:-1] if inner else kept
        shape = [1 if axis in axes else n for axis, n in enumerate(x.shape)]
        over_time = x.time and 0 in axes
        how = _SUMS.get(self.kind, self.kind)
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
            if self.kind in ("any", "all", "count_nonzero"):
                value = Compare("!=", value, Number(0.0))
            reduce = b.reduce_so_far if over_time else b.reduce
            reduce(total.row(*target[:end]), how, counters, value)
        if total is not out or self.kind == "mean":
            self._finish(b, out, total, x, axes, over_time)
        if not self.keepdims:
            out = out.reshape([x.shape[axis] for axis in kept])
        y = b.like(out, x)
        return (replace(y, time=x.time and not over_time, last=x.last or over_time),)

    def _product(self, b: Builder, x: Tensor) -> Tensor:
        """One factor after the other, for each element of the result."""
        axes = sorted(axis_of(axis, x) for axis in self.axes)
        if 0 in axes:
            b.needs_whole(x, "it needs the whole sequence at once")
        kept = [axis for axis in range(len(x.shape)) if axis not in axes]
        out = b.tensor("output", [1 if axis in axes else n for axis, n in enumerate(x.shape)])
        b.copy(out.vec(), Number(1.0))
        with b.each([x.shape[axis] for axis in kept]) as at, ExitStack() as stack:
            factors = [
                stack.enter_context(b.loop(x.shape[axis], carried=True, counter="factor"))
                for axis in axes
            ]
            place = dict(zip([*kept, *axes], [*at, *factors], strict=True))
            source = x.row(*(place[axis] for axis in range(len(x.shape))))
            target = out.row(*(0 if axis in axes else place[axis] for axis in range(len(x.shape))))
            b.copy(target, At(target) * At(source))
        if not self.keepdims:
            out = out.reshape([x.shape[axis] for axis in kept])
        return replace(b.like(out, x), time=x.time and 0 not in axes)

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


Slice = tuple[int | None, int | None, int | None]
ELLIPSIS, NEW_AXIS = "...", "newaxis"


@dataclass(frozen=True, eq=False, kw_only=True)
class GetItem(Layer):
    """x[...] with whole numbers and slices, batch axis first.

    Each item is an int, (start, stop, step) with None as in Python, ELLIPSIS or NEW_AXIS; the first
    is the batch axis' full slice and not kept here.
    """

    items: tuple[int | Slice | str, ...]

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """The same slices, each along the axis where it is held; none where an axis goes."""
        if not order or not all(isinstance(item, tuple) for item in self.items):
            return None
        items: list[int | Slice | str] = [(None, None, None)] * len(order)
        for item, axis in zip(self.items, order, strict=False):
            items[axis] = item
        return replace(self, items=tuple(items)), order

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """A copy of the elements taken; x[:, -1] of a sequence is its last step."""
        x = inputs[0]
        full: Slice = (None, None, None)
        items = self._complete(len(x.shape))
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
        y = b.like(out, x)
        return (replace(y, time=x.time and items[0] == full),)

    def _complete(self, rank: int) -> tuple[int | Slice | str, ...]:
        """The items with as many full slices as there are axes that none stands for."""
        given = list(self.items)
        missing = rank - sum(item not in (ELLIPSIS, NEW_AXIS) for item in given)
        if missing < 0:
            raise LayerError(f"{rank - missing} indices of an input with {rank} axes")
        at = given.index(ELLIPSIS) if ELLIPSIS in given else len(given)
        full: list[int | Slice | str] = [(None, None, None)] * missing
        return (*given[:at], *full, *given[at + 1 :])


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


@dataclass(frozen=True, eq=False, kw_only=True)
class Statistic(Layer):
    """Variance, deviation, log-sum-exp or Euclidean norm along axes."""

    kind: str
    axes: tuple[int, ...]
    keepdims: bool = False

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Two sums for each element of the result."""
        x = inputs[0]
        axes = sorted(axis_of(axis, x) for axis in self.axes)
        if 0 in axes:
            b.needs_whole(x, "it needs the whole sequence at once")
        kept = [axis for axis in range(len(x.shape)) if axis not in axes]
        out = b.tensor("output", [1 if axis in axes else n for axis, n in enumerate(x.shape)])
        counters = tuple((f"k{axis}", x.shape[axis]) for axis in axes)
        count = dims.product(tuple(x.shape[axis] for axis in axes))
        with b.each([x.shape[axis] for axis in kept]) as at:
            source: list[Dim] = [dims.symbol(f"k{axis}") for axis in range(len(x.shape))]
            target: list[Dim] = [0] * len(x.shape)
            for axis, index in zip(kept, at, strict=True):
                source[axis] = target[axis] = index
            self._reduce(b, out.row(*target), counters, At(x.row(*source)), count)
        if not self.keepdims:
            out = out.reshape([x.shape[axis] for axis in kept])
        return (replace(b.like(out, x), time=x.time and 0 not in axes),)

    def _reduce(
        self, b: Builder, y: Vec, counters: Sequence[tuple[str, Dim]], value: Expr, count: Dim
    ) -> None:
        """One element of the result."""
        if self.kind == "norm":
            b.reduce(y, "sum", counters, value * value)
            b.copy(y, call("sqrt", At(y)))
            return
        middle = b.temp("middle", 1)
        if self.kind == "logsumexp":
            b.reduce(middle, "max", counters, value)
            b.reduce(y, "sum", counters, call("exp", value - At(middle)))
            b.copy(y, At(middle) + call("log", At(y)))
            return
        b.reduce(middle, "sum", counters, value)
        b.copy(middle, At(middle) / Count(count))
        b.reduce(y, "sum", counters, (value - At(middle)) * (value - At(middle)))
        spread = At(y) / Count(count)
        b.copy(y, call("sqrt", spread) if self.kind == "deviation" else spread)


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

    @property
    def aligns(self) -> bool:
        """As NumPy does."""
        return True

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

    transposed: bool = False  # the second is transposed first
    first_transposed: bool = False

    @property
    def aligns(self) -> bool:
        """As NumPy does."""
        return True

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """One row of the result at a time."""
        left, right = inputs
        if self.first_transposed and len(left.shape) == 2:
            b.needs_whole(left, "it multiplies whole sequences")
            left = transpose(b, left, (1, 0))
        if len(right.shape) != 2 or len(left.shape) not in (1, 2):
            raise LayerError(f"a product of tensors with {left.shape} and {right.shape}")
        for x in inputs:
            b.needs_whole(x, "it multiplies whole sequences")
        inner, columns = right.shape[::-1] if self.transposed else right.shape
        b.check(left.shape[-1], "==", inner)
        stride = dims.fixed(right.shape[1])
        strides = (stride, 1) if self.transposed else (1, stride)
        matrix = Mat(right.buffer, right.offset, columns, inner, *strides)
        out = b.tensor("output", (*left.shape[:-1], columns))
        with b.each(left.shape[:-1]) as at:
            b.affine(out.row(*at), None, (matrix, left.row(*at)))
        y = b.like(out, *inputs)
        return (replace(y, time=y.time and not self.first_transposed),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Where(Layer):
    """The second input, or a number, where the first is not 0, else the third."""

    choices: tuple[float | None, float | None]  # a number, or None for the next input

    @property
    def aligns(self) -> bool:
        """As NumPy does."""
        return True

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Element by element, broadcast."""
        rank = max(len(x.shape) for x in inputs)
        widened = [widen(x, rank) for x in inputs]
        shape = broadcast_shape(b, widened)
        out = b.tensor("output", shape)
        with b.each(shape[:-1]) as at:
            condition, *rest = (At(broadcast(x, shape, at)) for x in widened)
            given = iter(rest)
            yes, no = (next(given) if choice is None else Number(choice) for choice in self.choices)
            b.copy(out.row(*at), Select(Compare("!=", condition, Number(0.0)), yes, no))
        return (b.like(out, *inputs),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Take(Layer):
    """The elements at fixed indices along one axis; a single one without the axis."""

    axis: int
    indices: tuple[int, ...]
    keeps: bool

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Copies."""
        x = inputs[0]
        axis = axis_of(self.axis, x)
        length = dims.fixed(x.shape[axis])
        if axis == 0:
            b.needs_whole(x, "it takes single steps out of the sequence")
        for index in self.indices:
            b.check(length, ">=", index + 1 if index >= 0 else -index)
        shape = (*x.shape[:axis], len(self.indices), *x.shape[axis + 1 :])
        out = b.tensor("output", shape)
        with b.each(x.shape[:axis]) as at:
            for number, index in enumerate(self.indices):
                b.copy(out.at(*at, number).vec(), x.at(*at, index % length).vec())
        if not self.keeps:
            out = out.reshape((*x.shape[:axis], *x.shape[axis + 1 :]))
        return (replace(b.like(out, x), time=x.time and axis != 0),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Repeat(Layer):
    """Every element along one axis so many times."""

    axis: int
    count: int

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Copies."""
        x = inputs[0]
        axis = axis_of(self.axis, x)
        if axis == 0:
            b.needs_whole(x, "it repeats single steps")
        longer = x.shape[axis] * self.count
        out = b.tensor("output", (*x.shape[:axis], longer, *x.shape[axis + 1 :]))
        apart = out.reshape((*x.shape[: axis + 1], self.count, *x.shape[axis + 1 :]))
        with b.each(x.shape[: axis + 1]) as at:
            for number in range(self.count):
                b.copy(apart.at(*at, number).vec(), x.at(*at).vec())
        return (replace(b.like(out, x), time=x.time and axis != 0),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Pad(Layer):
    """One value before and after each axis."""

    padding: tuple[tuple[int, int], ...]  # without the batch axis
    value: float = 0.0

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """A store everywhere, and a copy."""
        x = inputs[0]
        if len(self.padding) != len(x.shape):
            raise LayerError(f"{len(self.padding)} pairs for an input with {len(x.shape)} axes")
        if any(self.padding[0]):
            b.needs_whole(x, "it puts rows before or after the sequence")
        shape = [low + n + high for n, (low, high) in zip(x.shape, self.padding, strict=True)]
        out = b.tensor("output", shape)
        b.copy(out.vec(), Number(self.value))
        with b.each(x.shape[:-1]) as at:
            place = [low + i for i, (low, _) in zip(at, self.padding, strict=False)]
            first = self.padding[-1][0]
            b.copy(out.row(*place)[first : x.shape[-1] + first], x.row(*at))
        return (b.like(out, x),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Split(Layer):
    """The input cut along one axis into equal parts, or at places; or every element by itself."""

    axis: int
    parts: int = 0
    places: tuple[int, ...] = ()
    unstack: bool = False

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """A copy for each part."""
        x = inputs[0]
        axis = axis_of(self.axis, x)
        if axis == 0:
            b.needs_whole(x, "it cuts the sequence into pieces")
        length = dims.fixed(x.shape[axis])
        parts = length if self.unstack else self.parts
        if parts and length % parts:
            raise LayerError(f"{parts} equal parts of an axis of {length}")
        inner = self.places or tuple(range(length // parts, length, length // parts))
        ends = [0, *(min(place, length) for place in inner), length]
        found = []
        for number, (start, stop) in enumerate(pairwise(ends)):
            shape = (*x.shape[:axis], stop - start, *x.shape[axis + 1 :])
            out = b.tensor(f"part_{number}", shape)
            with b.each(x.shape[:axis]) as at:
                source = replace(x.at(*at, start), shape=shape[axis:])
                b.copy(out.at(*at).vec(), source.vec())
            if self.unstack:
                out = out.reshape((*x.shape[:axis], *x.shape[axis + 1 :]))
            found.append(replace(b.like(out, x), time=x.time and axis != 0))
        return tuple(found)


@dataclass(frozen=True, eq=False, kw_only=True)
class Swap(Layer):
    """Swapaxes, or Moveaxis of one axis."""

    axes: tuple[int, int]
    moves: bool

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """As Permute."""
        x = inputs[0]
        first, second = (axis_of(axis, x) for axis in self.axes)
        order = list(range(len(x.shape)))
        if self.moves:
            order.insert(second, order.pop(first))
        else:
            order[first], order[second] = order[second], order[first]
        turned = tuple(axis + 1 for axis in order)
        return Permute(name=self.name, class_name=self.class_name, dims=turned).lower(b, x)


@dataclass(frozen=True, eq=False, kw_only=True)
class Einsum(Layer):
    """Sums of products of two tensors, whose first letter is that of the batch axis."""

    equation: str

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """One element of the result at a time."""
        terms, arrow, result = self.equation.partition("->")
        letters = terms.split(",")
        batch = {term[:1] for term in (*letters, result)}
        plain = all(len({*term}) == len(term) and term.isalpha() for term in (*letters, result))
        if not arrow or not plain or len(batch) != 1 or not len(inputs) == len(letters) == 2:
            raise LayerError(f"equation {self.equation[:60]!r} is not supported")
        lengths: dict[str, Dim] = {}
        for term, x in zip(letters, inputs, strict=True):
            if len(term) != len(x.shape) + 1:
                raise LayerError(f"equation {self.equation!r} does not fit {len(x.shape)} axes")
            b.needs_whole(x, "it multiplies whole sequences")
            for letter, n in zip(term[1:], x.shape, strict=True):
                b.check(lengths.setdefault(letter, n), "==", n)
        if any(letter not in lengths for letter in result[1:]):
            raise LayerError(f"equation {self.equation!r} is not supported")
        out = b.tensor("output", [lengths[letter] for letter in result[1:]])
        summed = [letter for letter in lengths if letter not in result]
        counters = tuple((f"k_{letter}", lengths[letter]) for letter in summed)
        with b.each([lengths[letter] for letter in result[1:]], "place") as at:
            place: dict[str, Dim] = dict(zip(result[1:], at, strict=True))
            place |= {letter: dims.symbol(f"k_{letter}") for letter in summed}
            left, right = (
                At(x.at(*(place[letter] for letter in term[1:])).vec())
                for term, x in zip(letters, inputs, strict=True)
            )
            target = out.at(*at).vec()
            if counters:
                b.reduce(target, "sum", counters, left * right)
            else:
                b.copy(target, left * right)
        return (b.like(out, *inputs),)
