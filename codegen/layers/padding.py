"""ZeroPadding, Cropping and UpSampling, along time and along the other axes.

Zero rows before the first step cost nothing in a step program: they are constants with which the
delay lines and states of later layers start (`Tensor.prefix`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import LayerError, NotStreamable
from codegen.layers.core import WithChannels
from codegen.layers.shared.windows import in_channels_last, pad_columns
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import At, Expr, Number, Vec

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]
Pairs = tuple[tuple[int, int], ...]


def spatial(x: Tensor, values: Sequence[tuple[int, int]], channels_first: bool) -> Pairs:
    """One pair for each axis of `x`, (0, 0) for its channels."""
    if len(x.shape) != len(values) + 1:
        raise LayerError(f"its input has {len(x.shape)} axes, expected {len(values) + 1}")
    return ((0, 0), *values) if channels_first else (*values, (0, 0))


@dataclass(frozen=True, eq=False, kw_only=True)
class ZeroPadding(WithChannels):
    """Zeros, or another number, before and after each axis but the channels."""

    padding: Pairs  # (before, after) for each axis
    value: float = 0.0

    @property
    def describe(self) -> str:
        """The numbers."""
        note = f", value {self.value:g}" if self.value else ""
        return f"{self.class_name}({', '.join(map(str, self.padding))}{note})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """A copy; rows before the first step only shift what later layers start with."""
        x = replace(inputs[0], mask=None)
        pairs = spatial(x, self.padding, self.channels_first)
        x = pad_columns(b, x, pairs[1:], self.value)
        before, after = pairs[0]
        if b.step and x.time and (before or after):
            return (self._stream(b, x, before, after),)
        if before or after:
            behind = x.behind + after if x.time else 0
            x = replace(b.like(b.padded(x, before, after, self.value), x), behind=behind)
        return (x,)

    def _stream(self, b: Builder, x: Tensor, before: int, after: int) -> Tensor:
        if after:
            why = f"it puts {after} rows after the last step; padding on the left alone would do"
            x = b.late(x, after, why)
        if not before:
            return x
        if x.ahead < 0 or (x.lead and x.ahead):
            raise NotStreamable("it pads a sequence whose first row is not the first of a hop")
        rate = dims.fixed(x.shape[0])
        shape = tuple(dims.fixed(n) for n in x.shape[1:])
        ahead = x.ahead + before
        early = min(x.lead, ahead // rate)
        ahead -= early * rate
        rows = np.full((before - early * rate, *shape), self.value)
        prefix = rows if x.prefix is None else np.concatenate([rows, x.prefix])
        if early:  # they take the place of what an earlier window could not give yet
            out = b.tensor("output", x.shape)
            with b.early(x.lead - early):
                b.copy(out.vec(), Number(self.value))
            b.copy(out.vec(), x.vec())
            x = replace(b.like(out, x), lead=x.lead - early)
        return replace(x, ahead=ahead, prefix=prefix if ahead else None)


@dataclass(frozen=True, eq=False, kw_only=True)
class Cropping(WithChannels):
    """Rows taken away at both ends of each axis but the channels."""

    cropping: Pairs

    @property
    def describe(self) -> str:
        """The numbers."""
        return f"{self.class_name}({', '.join(map(str, self.cropping))})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Along time: the first rows are waited for, the last ones held back in a delay line."""
        x = replace(inputs[0], mask=None)
        pairs = spatial(x, self.cropping, self.channels_first)
        (before, after), inner = pairs[0], pairs[1:]
        for length, (left, right) in zip(x.shape[1:], inner, strict=True):
            b.check(length - left - right, ">=", 1)
        x = crop_rows(b, x, before, after)
        if not any(n for pair in inner for n in pair):
            return (x,)
        count = [n - left - right for n, (left, right) in zip(x.shape[1:], inner, strict=True)]
        out = b.tensor("output", (x.shape[0], *count))
        with b.when(x.lead if x.time else 0), b.each(out.shape[:-1]) as at:
            where = [at[0], *(i + left for i, (left, _) in zip(at[1:], inner, strict=False))]
            start = inner[-1][0]
            b.copy(out.row(*at), x.row(*where)[start : start + out.shape[-1]])
        return (b.like(out, x),)


def crop_rows(b: Builder, x: Tensor, before: int, after: int) -> Tensor:
    """`x` without its first and last rows.

    Along time the first ones are waited for. Of the last ones some may come after the last step
    anyway (padding on the right); the others are held back in a delay line.
    """
    if not before and not after:
        return x
    held = max(0, after - x.behind)
    behind = x.behind - (after - held)
    if not (b.step and x.time):
        b.check(x.shape[0] - before - after, ">=", 1)
        rows = (x.shape[0] - before - after, *x.shape[1:])
        if held:
            kept = (x.shape[0] - before, *x.shape[1:])
            b.leave(replace(x.at(before), shape=kept, time=x.time, behind=x.behind), "line")
        return replace(b.like(replace(x.at(before), shape=rows), x), behind=behind)
    lead, ahead, rate = x.lead, x.ahead - before, dims.fixed(x.shape[0])
    while ahead <= -rate:
        lead, ahead = lead + 1, ahead + rate
    known = None if x.prefix is None or ahead <= 0 else x.prefix[before:]
    x = replace(x, lead=lead, ahead=ahead, prefix=known, behind=behind)
    if not held:
        return x
    out = b.tensor("held_back", x.shape)
    with b.when(lead), b.window(x, held + 1) as window, window.positions() as o:
        b.copy(out.row(o), window.tap(o, 0).vec())
    return window.like(out)


@dataclass(frozen=True, eq=False, kw_only=True)
class UpSampling(WithChannels):
    """Every row repeated, along each axis but the channels; or `bilinear`: drawn between them.

    Of n rows that become k n, row o stands at (o + 1/2) / k - 1/2 of the old ones (at o / k with
    `from_corner`), between the two rows around that place, and beyond the ends at the last row.
    """

    factors: tuple[int, ...]
    bilinear: bool = False
    from_corner: bool = False

    @property
    def describe(self) -> str:
        """The factors."""
        return f"{self.class_name}({', '.join(map(str, self.factors))})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Copies; along time every step gives more rows."""
        x = inputs[0]
        if self.bilinear:
            return (in_channels_last(b, x, self.channels_first, lambda x: self._drawn(b, x)),)
        pairs = spatial(x, tuple((n, 0) for n in self.factors), self.channels_first)
        times = [n or 1 for n, _ in pairs]
        shape = tuple(n * k for n, k in zip(x.shape, times, strict=True))
        out = b.tensor("output", shape)
        with b.each(x.shape[:-1]) as at, b.each(times, "copy") as copies:
            where = [i * k + c for i, k, c in zip(at, times, copies, strict=False)]
            row = out.row(*where)
            target = Vec(row.buffer, row.offset + copies[-1], x.shape[-1], times[-1])
            b.copy(target, x.row(*at))
        y = b.like(out, x)
        return (replace(y, ahead=y.ahead * times[0], behind=y.behind * times[0]),)

    def _drawn(self, b: Builder, x: Tensor) -> Tensor:
        """One axis after the other, each from the rows before, at and after its own."""
        spatial(x, tuple((n, 0) for n in self.factors), False)
        for axis, factor in enumerate(self.factors):
            if factor == 1:
                continue
            if axis == 0:
                b.needs_whole(x, "it draws rows between this one and the next")
            length = x.shape[axis]
            wide = b.tensor("widened", (*x.shape[:axis], length + 2, *x.shape[axis + 1 :]))
            out = b.tensor("output", (*x.shape[:axis], length * factor, *x.shape[axis + 1 :]))
            with b.each(x.shape[:axis]) as at:
                for to, source in ((0, 0), (length + 1, length - 1)):
                    b.copy(wide.row(*at, to), x.row(*at, source))
                inside = wide.at(*at, 1)
                b.copy(replace(inside.vec(), size=x.row(*at).size), x.row(*at))
                with b.loop(length, counter="place") as place:
                    for phase in range(factor):
                        target = out.row(*at, place * factor + phase)
                        b.copy(target, self._between(wide.at(*at), place, phase, factor))
            x = replace(b.like(out, x), time=x.time and axis > 0)
        return x

    def _between(self, wide: Tensor, place: Dim, phase: int, factor: int) -> Expr:
        """Row `place * factor + phase`, where `wide` has one row more at each end."""
        here = phase / factor if self.from_corner else (phase + 0.5) / factor - 0.5
        first = -1 if here < 0 else 0
        part = here - first
        lower, upper = At(wide.row(place + first + 1)), At(wide.row(place + first + 2))
        return lower if part == 0 else lower * (1.0 - part) + upper * part
