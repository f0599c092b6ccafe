"""Normalisation by statistics of the input itself; BatchNormalization is in `core`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import LayerError
from codegen.layers.core import Rescaling
from codegen.layers.shared.axes import axis_of
from codegen.model import Array, Layer
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import At, Count, Expr, Number, Vec, call

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]


def scale_and_offset(
    mean: Array,
    variance: Array,
    epsilon: float,
    gamma: Array | None,
    beta: Array | None,
    allow_nonfinite: bool,
) -> tuple[Array, Array]:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta as x * scale + offset, in float64."""
    total = positive(variance, epsilon, allow_nonfinite)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = 1.0 / np.sqrt(total)
    if gamma is not None:
        scale = scale * gamma
    offset = -mean.astype(np.float64) * scale
    return scale, offset if beta is None else offset + beta


def positive(variance: Array, epsilon: float, allow_nonfinite: bool) -> Array:
    """`variance + epsilon` in float64; refused where its root would be no number."""
    total = variance.astype(np.float64) + epsilon
    if not allow_nonfinite and not (total > 0).all():
        raise LayerError("its variance is negative somewhere; --allow-nonfinite takes it as it is")
    return total


@dataclass(frozen=True, eq=False, kw_only=True)
class AxisNormalization(Layer):
    """LayerNormalization, RMSNormalization, UnitNormalization, GroupNormalization and their like.

    Over the chosen axes together:
    - layer: (x - mean) / sqrt(variance + epsilon) * gamma + beta
    - rms: x / sqrt(mean of squares + epsilon) * gamma
    - scale: x / sqrt(variance + epsilon) * gamma (LayerNormalization with rms_scaling=True)
    - unit: x / sqrt(max(sum of squares, epsilon))
    - sample: (x - mean) / (sqrt(variance + epsilon) + epsilon) * gamma + beta (Keras 1's
      BatchNormalization with mode=1)
    With `groups`, `axes` is the one axis that is cut into groups; each group is normalised by
    itself, over all other axes too.

    gamma and beta have an axis for each of `axes`, in that order, and their numbers are laid along
    these axes as the input has them (row-major). With `weight_axes` they broadcast along those.
    """

    kind: str
    axes: tuple[int, ...] = (-1,)  # as Keras counts them, with the batch axis
    epsilon: float
    gamma: Array | None = None
    beta: Array | None = None
    groups: int | None = None
    weight_axes: tuple[int, ...] | None = None

    @property
    def describe(self) -> str:
        """Axes and groups."""
        axes = ", ".join(map(str, self.axes))
        groups = f", {self.groups} groups" if self.groups is not None else ""
        return f"{self.class_name}(axis {axes}{groups})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """For each place on the other axes: the statistics, then one expression for each row."""
        x = inputs[0]
        rank = len(x.shape)
        axes = sorted({axis_of(axis, x) for axis in self.axes})
        along = self.axes if self.weight_axes is None else self.weight_axes
        weights = sorted({axis_of(axis, x) for axis in along})
        groups, part = 1, 0
        if self.groups is not None:
            (part,) = axes
            axes = list(range(rank))
            channels = dims.fixed(x.shape[part])
            groups = channels if self.groups == -1 else self.groups
            if channels % groups:
                raise LayerError(f"{channels} channels in {groups} groups")
        if 0 in axes:
            b.needs_whole(x, "it normalises over time: all steps count for each")
        gamma, beta = self._weight(b, "gamma", x, along), self._weight(b, "beta", x, along)
        out = b.tensor("output", x.shape)
        others = [axis for axis in range(rank) if axis not in axes]
        with (
            b.each([x.shape[axis] for axis in others]) as outer,
            b.loop(groups, counter="group") as g,
        ):
            place = dict(zip(others, outer, strict=True))
            counts = {axis: x.shape[axis] for axis in axes}
            start: dict[int, Dim] = {}
            if groups > 1 or self.groups is not None:
                size = dims.fixed(x.shape[part]) // groups
                counts[part], start[part] = size, g * size

            # Statistics: sums over all elements of the chosen axes.
            symbols = {axis: dims.symbol(f"k_{axis}") for axis in axes}
            where = [
                place[axis] if axis in place else symbols[axis] + start.get(axis, 0)
                for axis in range(rank)
            ]
            element = At(x.row(*where))
            counters = [(f"k_{axis}", counts[axis]) for axis in axes]
            total = dims.product(tuple(counts.values()))
            number: Expr = Number(float(total)) if isinstance(total, int) else Count(total)
            mean, scale = self._statistics(b, element, counters, number)

            # Then one row after the other, along the innermost of the chosen axes.
            inner = axes[-1]
            rows = [axis for axis in axes if axis != inner]
            with b.each([counts[axis] for axis in rows], "row_of") as chosen:
                for axis, index in zip(rows, chosen, strict=True):
                    place[axis] = index + start.get(axis, 0)
                begin = start.get(inner, 0)
                source = self._row(x, place, inner, begin, counts[inner])
                target = self._row(out, place, inner, begin, counts[inner])
                value: Expr = At(source)
                if mean is not None:
                    value = value - At(mean.every(source.size))
                value = value * At(scale.every(source.size))
                for weight, operator in ((gamma, "*"), (beta, "+")):
                    if weight is None:
                        continue
                    factor = At(self._weight_row(weight, weights, place, inner, begin, source.size))
                    value = value * factor if operator == "*" else value + factor
                b.copy(target, value)
        return (b.like(out, x, mask=x.mask),)

    def _weight(self, b: Builder, role: str, x: Tensor, along: tuple[int, ...]) -> Tensor | None:
        """Gamma or beta with its axes in the input's order."""
        data = getattr(self, role)
        if data is None:
            return None
        lengths = {axis_of(axis, x): n for axis, n in zip(along, np.shape(data), strict=False)}
        if not len(lengths) == len(along) == np.ndim(data):
            raise LayerError(f"{role} of shape {np.shape(data)} for axes {along}")
        for axis, length in lengths.items():
            if length != 1 or self.weight_axes is None:
                b.check(x.shape[axis], "==", length)
        return b.const(role, np.reshape(data, [lengths[axis] for axis in sorted(lengths)]))

    def _row(self, x: Tensor, place: dict[int, Dim], axis: int, start: Dim, size: Dim) -> Vec:
        rank = len(x.shape)
        before = [place[n] for n in range(axis)]
        after = [place[n] for n in range(axis + 1, rank)]
        line = x.along(axis, before, after)
        return replace(line, offset=line.offset + start * line.stride, size=size)

    def _weight_row(
        self,
        weight: Tensor,
        axes: list[int],
        place: dict[int, Dim],
        inner: int,
        start: Dim,
        size: Dim,
    ) -> Vec:
        """The weights that meet the row along axis `inner`."""
        lengths = dict(zip(axes, weight.shape, strict=True))
        at = {axis: 0 if n == 1 else place.get(axis, 0) for axis, n in lengths.items()}
        if lengths.get(inner, 1) == 1:
            return weight.row(*at.values()).every(size)
        number = axes.index(inner)
        line = weight.along(number, [*at.values()][:number], [*at.values()][number + 1 :])
        return replace(line, offset=line.offset + start * line.stride, size=size)

    def _statistics(
        self, b: Builder, element: Expr, counters: list[tuple[str, Dim]], number: Expr
    ) -> tuple[Vec | None, Vec]:
        """The mean to subtract (or None) and the factor."""
        scale = b.temp("scale", 1)
        if self.kind in ("unit", "rms"):
            b.reduce(scale, "sum", counters, element * element)
            if self.kind == "unit":
                norm = call("sqrt", call("max", At(scale), self.epsilon))
            else:
                norm = call("sqrt", At(scale) / number + self.epsilon)
            b.copy(scale, 1.0 / norm)
            return None, scale
        if self.kind not in ("layer", "scale", "sample"):
            raise LayerError(f"normalisation {self.kind!r} is not supported")
        mean = b.temp("mean", 1)
        b.reduce(mean, "sum", counters, element)
        b.copy(mean, At(mean) / number)
        difference = element - At(mean)
        b.reduce(scale, "sum", counters, difference * difference)
        deviation = call("sqrt", At(scale) / number + self.epsilon)
        b.copy(scale, 1.0 / (deviation + self.epsilon if self.kind == "sample" else deviation))
        return (None if self.kind == "scale" else mean), scale


@dataclass(frozen=True, eq=False, kw_only=True)
class AdaptedNormalization(Layer):
    """Normalization: x * scale + offset, from the adapted mean and variance.

    The arrays broadcast with the input along `axes`, in the input's order, as if it had no others;
    without `axes` with the whole input.
    """

    scale: Array
    offset: Array
    axes: tuple[int, ...] | None = None  # as Keras counts them, with the batch axis

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Row by row."""
        x = inputs[0]
        scale, offset = self._placed(x, self.scale), self._placed(x, self.offset)
        while scale.ndim > len(x.shape) and scale.shape[0] == 1:
            scale, offset = scale[0], offset[0]
        if scale.ndim <= 1 or all(n == 1 for n in scale.shape[:-1]):
            flat = (scale.reshape(-1), offset.reshape(-1)) if scale.ndim else (scale, offset)
            part = Rescaling(
                name=self.name, class_name=self.class_name, scale=flat[0], offset=flat[1]
            )
            return part.lower(b, x)
        if scale.ndim != len(x.shape):
            raise LayerError(f"statistics of shape {scale.shape}, input of shape {x.shape}")
        if scale.shape[0] != 1:
            b.needs_whole(x, "it normalises each time step in its own way")
        for length, own in zip(x.shape, scale.shape, strict=True):
            if own != 1:
                b.check(length, "==", own)
        s, o = b.const("scale", scale), b.const("offset", offset)
        out = b.tensor("output", x.shape)
        with b.each(x.shape[:-1]) as at:
            where = tuple(0 if n == 1 else i for n, i in zip(scale.shape, at, strict=False))
            rows = [part.row(*where) for part in (s, o)]
            wide = [r if r.size == x.shape[-1] else r.every(x.shape[-1]) for r in rows]
            b.copy(out.row(*at), At(x.row(*at)) * At(wide[0]) + At(wide[1]))
        return (b.like(out, x, mask=x.mask),)

    def _placed(self, x: Tensor, values: Array) -> Array:
        """The numbers with a length of 1 on every axis that is not kept apart."""
        if self.axes is None:
            return values
        places = sorted({axis_of(axis, x) for axis in self.axes})
        if len(places) != len(self.axes):
            raise LayerError(f"axis {self.axes} names an axis of its input twice")
        while values.ndim > len(places) and values.shape[0] == 1:
            values = values[0]
        if values.ndim > len(places):
            raise LayerError(f"statistics of shape {values.shape} for axis {self.axes}")
        shape = [1] * len(x.shape)
        for place, n in zip(reversed(places), reversed(values.shape), strict=False):
            if n == 1 and values.size != 1 and x.shape[place] != 1:  # Keras 3.9 aligned otherwise
                raise LayerError(f"statistics of shape {values.shape} for an axis that is longer")
            shape[place] = n
        return values.reshape(shape)
