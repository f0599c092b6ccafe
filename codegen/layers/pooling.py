"""Max and average pooling over windows, and over everything (global pooling)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import LayerError
from codegen.layers.convolution import SMALL
from codegen.layers.core import WithChannels
from codegen.layers.shared.windows import Geometry, in_channels_last, padding_note
from codegen.model import Layer
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import LOWEST, At, Count, Expr, Number, call

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Pooling(WithChannels):
    """MaxPooling, AveragePooling over one or two axes; padding counts for neither.

    With `counts_padding` a mean counts the rows of padding that were asked for, as torch does.
    """

    kind: str  # "max" or "average"
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str | tuple[tuple[Dim, Dim], ...] = "valid"
    dilations: tuple[int, ...] | None = None
    ceil: bool = False
    counts_padding: bool = False
    divisor: int | None = None  # of a mean, in place of the number of rows

    @property
    def geometry(self) -> Geometry:
        """The window."""
        dilations = self.dilations or (1,) * len(self.sizes)
        return Geometry(self.sizes, self.strides, dilations, self.padding, self.ceil)

    @property
    def describe(self) -> str:
        """The window."""
        size, stride = ("x".join(map(str, n)) for n in (self.sizes, self.strides))
        return f"{self.class_name}({size}, stride {stride}, {padding_note(self.padding)})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """A loop over positions around one maximum or mean."""
        x = replace(inputs[0], mask=None)
        return (in_channels_last(b, x, self.channels_first, lambda x: self._run(b, x)),)

    def _run(self, b: Builder, x: Tensor) -> Tensor:
        geometry = self.geometry
        geometry.check(x)
        fill = LOWEST if self.kind == "max" else 0.0
        counts = self._counts(b, x) if self.kind == "average" else ()
        x = geometry.columns(b, x, fill)
        places = geometry.places(b, x)
        channels = x.shape[-1]
        with geometry.window(b, x, fill) as window:
            out = b.tensor("output", (window.count, *places, channels))
            with window.positions() as o, b.each(places, "column") as at:
                y = out.row(o, *at)
                if window.rows is None or len(geometry.taps) <= SMALL:
                    total: Expr | None = None
                    for i, j in geometry.taps:
                        term = At(geometry.within(window.tap(o, i), at, j))
                        if total is None:
                            total = term
                        else:
                            total = total + term if self.kind != "max" else _max(total, term)
                    assert total is not None
                    b.copy(y, total)
                else:
                    here, column = dims.symbol("tap"), dims.symbol("tap_column")
                    counters: list[tuple[str, Dim]] = [("tap", geometry.sizes[0])]
                    counters += [("tap_column", geometry.sizes[1])] if at else []
                    value = At(geometry.within(window.tap(o, here), at, column))
                    b.reduce(y, "max" if self.kind == "max" else "sum", counters, value)
                if self.kind == "average":
                    divisor: Expr = Number(1.0)
                    for part, index in zip(counts, (o, *at), strict=self.divisor is None):
                        if isinstance(part, int):
                            divisor = Number(float(part)) * divisor
                        else:
                            divisor = At(part.row(index).every(channels)) * divisor
                    b.copy(y, At(y) / _folded(divisor))
        return window.like(out)

    def _counts(self, b: Builder, x: Tensor) -> tuple[int | Tensor, ...]:
        """For each axis how many rows of the input are in a window: a number, or one by one."""
        if self.divisor is not None:
            return (self.divisor,)
        found: list[int | Tensor] = []
        streams = b.step and x.time
        for axis, (size, stride) in enumerate(zip(self.sizes, self.strides, strict=True)):
            if not self._varies(axis) or (axis == 0 and streams and isinstance(self.padding, str)):
                found.append(size)
                continue
            if axis == 0:
                b.needs_whole(x, "its means at the ends are those of fewer rows")
            length, padding = x.shape[axis], self.padding
            if not isinstance(padding, str):
                left, right = self.geometry.around(axis, length)
                if self.counts_padding:  # but not what ceil_mode adds
                    total, asked = length + left + right, sum(padding[axis])
                    length = dims.minimum(total, length + asked)
                    left, right = 0, total - length
                padding = ((left, right),)
            ones = b.tensor("ones", (length, 1))
            b.copy(ones.vec(), Number(1.0))
            geometry = Geometry((size,), (stride,), (self.geometry.dilations[axis],), padding)
            with geometry.window(b, ones, role="count") as window:
                count = b.tensor("count", (window.count,))
                with window.positions() as o:
                    tap = window.tap(o, dims.symbol("tap"))
                    b.reduce(count.row(o), "sum", (("tap", size),), At(tap.vec()))
            found.append(count)
        return tuple(found)

    def _varies(self, axis: int) -> bool:
        """Whether the windows along an axis have different numbers of rows that count."""
        if isinstance(self.padding, str):
            return self.padding == "same"
        partial = self.ceil and self.strides[axis] > 1
        return partial or (not self.counts_padding and any(self.padding[axis]))


def _max(left: Expr, right: Expr) -> Expr:
    return call("max", left, right)


def _folded(node: Expr) -> Expr:
    """A product of numbers as one number."""
    values: list[float] = []
    rest: list[Expr] = []

    def gather(part: Expr) -> None:
        left, right = getattr(part, "left", None), getattr(part, "right", None)
        if isinstance(part, Number):
            values.append(part.value)
        elif left is not None and right is not None:
            gather(left)
            gather(right)
        else:
            rest.append(part)

    gather(node)
    number = float(np.prod(values)) if values else 1.0
    result: Expr | None = Number(number) if number != 1.0 or not rest else None
    for part in rest:
        result = part if result is None else result * part
    assert result is not None
    return result


@dataclass(frozen=True, eq=False, kw_only=True)
class AdaptivePooling(WithChannels):
    """The maximum or mean over `size` windows that cover an axis of n rows.

    Window i goes from floor(i n / size) to ceil((i + 1) n / size).
    """

    kind: str  # "max" or "average"
    sizes: tuple[int, ...]

    @property
    def describe(self) -> str:
        """How many windows."""
        return f"{self.class_name}({'x'.join(map(str, self.sizes))})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """One axis after the other."""
        x = replace(inputs[0], mask=None)
        return (in_channels_last(b, x, self.channels_first, lambda x: self._run(b, x)),)

    def _run(self, b: Builder, x: Tensor) -> Tensor:
        if len(x.shape) != len(self.sizes) + 1:
            raise LayerError(f"its input has {len(x.shape)} axes, not {len(self.sizes) + 1}")
        b.needs_whole(x, "its windows follow from the length of the sequence")
        for axis, size in enumerate(self.sizes):
            if not isinstance(x.shape[axis], int):
                raise LayerError("the length of its input is free, so its windows are not known")
            x = self._pooled(b, x, axis, size)
        return x

    def _pooled(self, b: Builder, x: Tensor, axis: int, size: int) -> Tensor:
        length = dims.fixed(x.shape[axis])
        times = math.gcd(length, size)  # the windows repeat
        out = b.tensor("output", (*x.shape[:axis], size, *x.shape[axis + 1 :]))
        with b.each(x.shape[:axis]) as at, b.loop(times, counter="part") as part:
            for number in range(size // times):
                start, end = number * length // size, -((-number - 1) * length // size)
                y = out.row(*at, part * (size // times) + number)
                tap = part * (length // times) + start + dims.symbol("tap")
                value = At(x.row(*at, tap))
                b.reduce(y, "max" if self.kind == "max" else "sum", [("tap", end - start)], value)
                if self.kind == "average":
                    b.copy(y, At(y) / float(end - start))
        return replace(b.like(out, x), time=x.time and axis > 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class GlobalPooling(WithChannels):
    """The maximum or mean over all axes but the channels; a mean counts unmasked steps only.

    Where every step is masked the mean is 0 / 0, NaN, as in every Keras that counts so. Over time
    this streams: the output is that of the steps so far.
    """

    kind: str  # "max" or "average"
    axes: int  # how many are pooled
    keepdims: bool = False
    masked: bool = True  # whether the era's mean takes a mask into account

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """The same; without keepdims its output has one axis."""
        found = super().turned(order)
        return found if found is None or self.keepdims else (found[0], (0,))

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """One reduction; over a stream a running one."""
        x = inputs[0]
        if len(x.shape) != self.axes + 1:
            raise LayerError(f"its input has {len(x.shape)} axes, expected {self.axes + 1}")
        mask = b.mask_of(x, keywords)
        if self.channels_first:
            b.needs_whole(x, "data_format='channels_first' puts the channels where time would be")
            channels, lengths = dims.fixed(x.shape[0]), x.shape[1:]
            mask = None if self.axes != 1 else mask
        else:
            channels, lengths = dims.fixed(x.shape[-1]), x.shape[:-1]
        if not self.masked or self.kind == "max":
            mask = None
        out = b.tensor("output", (channels,))
        counters = tuple((f"k_{n}", length) for n, length in enumerate(lengths))
        at = tuple(dims.symbol(name) for name, _ in counters)
        source = x.along(0, (), at) if self.channels_first else x.row(*at)
        value: Expr = At(source)
        running = x.time and not self.channels_first
        if self.kind == "max":
            if running:
                best = b.running("max", (channels,), LOWEST)
                b.reduce_so_far(best.vec(), "max", counters, value)
                b.copy(out.vec(), At(best.vec()))
            else:
                b.reduce(out.vec(), "max", counters, value)
        else:
            self._mean(b, out, counters, value, mask, running)
        y = b.like(out, x)
        if self.keepdims:
            ones = (1,) * self.axes
            y = y.reshape((channels, *ones) if self.channels_first else (*ones, channels))
        return (replace(y, time=False, last=(x.time and running) or x.last),)

    def _mean(
        self,
        b: Builder,
        out: Tensor,
        counters: tuple[tuple[str, Dim], ...],
        value: Expr,
        mask: Tensor | None,
        running: bool,
    ) -> None:
        channels = dims.fixed(out.shape[0])
        counts: Expr = Number(1.0)
        if mask is not None:
            counts = At(mask.row(dims.symbol("k_0")).every(channels))
            value = value * counts
        total = b.running("sum", (channels,)) if running else out
        seen = b.running("count", (1,)) if running else b.tensor("count", (1,))
        inner = dims.product(tuple(n for _, n in counters[1:]))
        add_up = b.reduce_so_far if running else b.reduce
        add_up(total.vec(), "sum", counters, value)
        number: Expr = Count(counters[0][1])
        if mask is not None:
            here = b.temp("counted", 1)
            own = At(mask.row(dims.symbol("k_0")))
            b.reduce(here, "sum", counters[:1], own)
            number = At(here)
        b.copy(seen.vec(), At(seen.vec()) + number if b.step and running else number)
        divisor: Expr = At(seen.vec().every(channels))
        if not (isinstance(inner, int) and inner == 1):
            divisor = divisor * Count(inner)
        b.copy(out.vec(), At(total.vec()) / divisor)
