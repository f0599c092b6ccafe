"""Operations that repeat, turn, count or sum up along an axis.

Axes count the batch axis as 0, or from the end, as in the file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from codegen.errors import LayerError
from codegen.layers.shared.axes import axis_of
from codegen.model import Layer
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import At, Compare, Count, Expr, Index, Number, Select

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Tile(Layer):
    """The input so many times, one after the other, along each axis."""

    repeats: tuple[int, ...]  # without the batch axis; of the last axes, where there are fewer

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Copies."""
        x = inputs[0]
        missing = len(x.shape) - len(self.repeats)
        if missing < 0 or not x.shape:
            raise LayerError(f"{len(self.repeats)} repeats of an input with {len(x.shape)} axes")
        repeats = (1,) * missing + self.repeats
        if repeats[0] != 1:
            b.needs_whole(x, "it repeats the sequence")
        out = b.tensor("output", [n * times for n, times in zip(x.shape, repeats, strict=True)])
        pairs = [n for pair in zip(repeats, x.shape, strict=True) for n in pair]
        apart = out.reshape(pairs)
        with b.each(pairs[:-1]) as at:
            b.copy(apart.row(*at), x.row(*at[1::2]))
        return (replace(b.like(out, x), time=x.time and repeats[0] == 1),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Roll(Layer):
    """The elements along one axis `shift` places further; the last ones come first."""

    axis: int
    shift: int

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Two copies."""
        x = inputs[0]
        axis = axis_of(self.axis, x)
        if axis == 0:
            b.needs_whole(x, "it puts the end of the sequence before its start")
        length = dims.fixed(x.shape[axis])
        shift = self.shift % length
        out = b.tensor("output", x.shape)
        with b.each(x.shape[:axis]) as at:
            for source, target, count in ((0, shift, length - shift), (length - shift, 0, shift)):
                if count:
                    shape = (count, *x.shape[axis + 1 :])
                    part = replace(x.at(*at, source), shape=shape)
                    b.copy(replace(out.at(*at, target), shape=shape).vec(), part.vec())
        return (b.like(out, x),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Cumsum(Layer):
    """Sums of the elements up to each along one axis (`exclusive`: before it), or from the end."""

    axis: int
    exclusive: bool = False
    reverse: bool = False

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """A running total, which over time is a state."""
        x = inputs[0]
        axis = axis_of(self.axis, x)
        if axis == 0 and self.reverse:
            b.needs_whole(x, "it sums from the end of the sequence")
        length, rest = x.shape[axis], x.shape[axis + 1 :] or (1,)
        rows, out = x.reshape((*x.shape[: axis + 1], *rest)), b.tensor("output", x.shape)
        total = b.state("total", [dims.fixed(n) for n in rest]).vec() if axis == 0 else None
        with b.each(x.shape[:axis]) as at:
            if total is None:
                total = b.tensor("total", rest).vec()
                b.copy(total, Number(0.0))
            with b.loop(length, carried=True) as t:
                here: Dim = length - 1 - t if self.reverse else t
                y = out.row(*at, here)
                if self.exclusive:
                    b.copy(y, total)
                b.copy(total, At(total) + At(rows.row(*at, here)))
                if not self.exclusive:
                    b.copy(y, total)
        return (b.like(out, x),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Argmax(Layer):
    """The first index of the largest element along one axis, as a number."""

    axis: int
    keepdims: bool = False

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """The maximum, then the least index that has it."""
        x = inputs[0]
        axis = axis_of(self.axis, x)
        if axis == 0:
            b.needs_whole(x, "it needs the whole sequence at once")
        kept = [*x.shape[:axis], *x.shape[axis + 1 :]]
        out = b.tensor("output", kept)
        k, counters = dims.symbol("k"), (("k", x.shape[axis]),)
        with b.each(kept) as at:
            largest = b.temp("largest", 1)
            element = At(x.row(*at[:axis], k, *at[axis:]))
            b.reduce(largest, "max", counters, element)
            place = Select(Compare(">=", element, At(largest)), Count(k), Count(x.shape[axis]))
            b.reduce(out.row(*at), "min", counters, place)
        if self.keepdims:
            out = out.reshape((*x.shape[:axis], 1, *x.shape[axis + 1 :]))
        return (replace(b.like(out, x), time=x.time and axis != 0),)


@dataclass(frozen=True, eq=False, kw_only=True)
class OneHot(Layer):
    """`on` at the index that an element is, `off` elsewhere, along a new last axis."""

    classes: int
    on: float = 1.0
    off: float = 0.0

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Comparisons with the number of each element."""
        x = inputs[0]
        out = b.tensor("output", (*x.shape, self.classes))
        with b.each(x.shape) as at:
            here: Expr = Compare("==", At(x.at(*at).vec().every(self.classes)), Index())
            if (self.on, self.off) != (1.0, 0.0):
                here = Select(here, Number(self.on), Number(self.off))
            b.copy(out.row(*at), here)
        return (b.like(out, x),)
