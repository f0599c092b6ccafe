"""Convolutions over one or two axes, the first of which may be time.

All are cross-correlations, as Keras computes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import LayerError
from codegen.layers.core import WithChannels
from codegen.layers.shared.windows import (
    Geometry,
    activated,
    activation_note,
    in_channels_last,
    layout_note,
    part_of,
    products,
    width,
)
from codegen.model import Array, Layer
from codegen.program import dims
from codegen.program.activations import LINEAR, Activation
from codegen.program.dims import Dim
from codegen.program.ops import At, Expr, Vec

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor, Window

Tensors = tuple["Tensor", ...]


SMALL = 9  # taps, up to which a depthwise product is written out


@dataclass(frozen=True, eq=False, kw_only=True)
class WithFilters(WithChannels):
    """A convolution of any kind: `run` on an input with its channels last.

    Keras' activations run along the last axis: with channels_first that of a softmax is not the
    channels', so it comes after the transpose.
    """

    activation: Activation = LINEAR

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """The same with its channels last, where the activation is of each element by itself."""
        return super().turned(order) if self.activation.is_elementwise else None

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """The convolution, then an activation that it cannot do itself."""
        apart = self.channels_first and not self.activation.is_elementwise
        layer = replace(self, activation=LINEAR) if apart else self
        y = in_channels_last(b, inputs[0], self.channels_first, lambda x: layer.run(b, x))
        return (b.along_last(y, "activated", self.activation) if apart else y,)

    def run(self, b: Builder, x: Tensor) -> Tensor:
        """The convolution of `x`, activated along the channels."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(WithFilters):
    """Conv1D, Conv2D: act(sum over taps of x kernel + bias), channels in `groups`."""

    kernel: Array  # (size, [size,] inputs / groups, filters)
    bias: Array | None  # (filters,)
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str = "valid"
    groups: int = 1

    @property
    def geometry(self) -> Geometry:
        """The window."""
        return Geometry(self.kernel.shape[:-2], self.strides, self.dilations, self.padding)

    @property
    def describe(self) -> str:
        """Filters, window and activation."""
        groups = f", {self.groups} groups" if self.groups != 1 else ""
        return (
            f"{self.class_name}({self.kernel.shape[-1]}, {self.geometry}{groups}"
            f"{activation_note(self.activation)}{layout_note(self.channels_first)})"
        )

    def run(self, b: Builder, x: Tensor) -> Tensor:
        """A loop over positions around one product."""
        return convolve(b, x, self.geometry, self.kernel, self.bias, self.groups, self.activation)


def convolve(
    b: Builder,
    x: Tensor,
    geometry: Geometry,
    kernel: Array,
    bias: Array | None,
    groups: int = 1,
    activation: Activation = LINEAR,
    role: str = "",
) -> Tensor:
    """The convolution of `x` (channels last); names of constants and scratch start with `role`."""
    geometry.check(x)
    inputs, filters = kernel.shape[-2:]
    if x.shape[-1] != inputs * groups:
        raise LayerError(f"its kernel expects {inputs * groups} channels, found {x.shape[-1]}")
    if filters % groups:
        raise LayerError(f"{filters} filters in {groups} groups")
    per_group = filters // groups
    matrix = np.moveaxis(kernel, -1, 0).reshape(filters, -1)
    weight = b.weight(f"{role}kernel", matrix)
    offset = b.vector(f"{role}bias", bias)
    x = geometry.columns(b, x)
    places = geometry.places(b, x)
    with geometry.window(b, x) as window:
        out = b.tensor(f"{role}output", (window.count, *places, width(filters, activation)))
        with window.positions() as o, b.each(places, "column") as at:
            rows = window.taps(o)

            def emit(y: Vec) -> None:
                with b.loop(groups, counter="group") as g:
                    taps = [
                        (n * inputs, part_of(geometry.within(rows[i], at, j), g, inputs))
                        for n, (i, j) in enumerate(geometry.taps)
                    ]
                    part = replace(weight, rows=per_group)
                    b.affine(
                        part_of(y, g, per_group),
                        None if offset is None else part_of(offset, g, per_group),
                        *products(part, taps, g * per_group),
                    )

            activated(b, out.row(o, *at), filters, activation, emit)
    return window.like(out)


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthwiseConvolution(WithFilters):
    """Each channel by itself with `multiplier` kernels; SeparableConv adds a product after it.

    Channel c gives the outputs c * multiplier + m.
    """

    kernel: Array  # (size, [size,] inputs, multiplier)
    pointwise: Array | None = None  # (inputs * multiplier, filters)
    bias: Array | None
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str = "valid"

    @property
    def geometry(self) -> Geometry:
        """The window."""
        return Geometry(self.kernel.shape[:-2], self.strides, self.dilations, self.padding)

    @property
    def describe(self) -> str:
        """Filters, window and activation."""
        filters = "" if self.pointwise is None else f"{self.pointwise.shape[1]}, "
        times = self.kernel.shape[-1]
        multiplier = f", multiplier {times}" if times != 1 else ""
        return (
            f"{self.class_name}({filters}{self.geometry}{multiplier}"
            f"{activation_note(self.activation)}{layout_note(self.channels_first)})"
        )

    def run(self, b: Builder, x: Tensor) -> Tensor:
        """Sums of products for each channel, then one product."""
        geometry = self.geometry
        geometry.check(x)
        channels, multiplier = self.kernel.shape[-2:]
        if x.shape[-1] != channels:
            raise LayerError(f"its kernel expects {channels} channels, found {x.shape[-1]}")
        depth = channels * multiplier
        filters = depth if self.pointwise is None else int(self.pointwise.shape[1])
        # One table for each multiple, a row for each tap: (multiplier, taps, channels).
        tables = np.moveaxis(self.kernel.reshape(-1, channels, multiplier), -1, 0)
        weights = b.const("kernel", np.ascontiguousarray(tables))
        bias = b.vector("bias", self.bias)
        x = geometry.columns(b, x)
        places = geometry.places(b, x)
        with geometry.window(b, x) as window:
            out = b.tensor("output", (window.count, *places, width(filters, self.activation)))
            with window.positions() as o, b.each(places, "column") as at:

                def emit(y: Vec) -> None:
                    if self.pointwise is None:
                        self._depthwise(b, window, o, at, weights, y, bias)
                        return
                    middle = b.temp("depthwise", depth)
                    self._depthwise(b, window, o, at, weights, middle, None)
                    b.affine(y, bias, (b.weight("pointwise_kernel", self.pointwise.T), middle))

                activated(b, out.row(o, *at), filters, self.activation, emit)
        return window.like(out)

    def _depthwise(
        self,
        b: Builder,
        window: Window,
        position: Dim,
        at: tuple[Dim, ...],
        weights: Tensor,
        y: Vec,
        bias: Vec | None,
    ) -> None:
        geometry = self.geometry
        channels, multiplier = self.kernel.shape[-2:]
        written_out = window.rows is None or len(geometry.taps) <= SMALL
        for m in range(multiplier):
            part = replace(y, offset=y.offset + m, size=channels, stride=multiplier)
            offset = None
            if bias is not None:
                offset = replace(bias, offset=bias.offset + m, size=channels, stride=multiplier)
            if written_out:
                total: Expr | None = None if offset is None else At(offset)
                for n, (i, j) in enumerate(geometry.taps):
                    tap = geometry.within(window.tap(position, i), at, j)
                    term = At(tap) * At(weights.row(m, n))
                    total = term if total is None else total + term
                assert total is not None
                b.copy(part, total)
                continue
            here, column = dims.symbol("tap"), dims.symbol("tap_column")
            wide = geometry.sizes[1] if at else 1
            counters: list[tuple[str, Dim]] = [("tap", geometry.sizes[0])]
            counters += [("tap_column", wide)] if at else []
            tap = geometry.within(window.tap(position, here), at, column)
            number = here * wide + column if at else here
            b.reduce(part, "sum", counters, At(tap) * At(weights.row(m, number)))
            if offset is not None:
                b.copy(part, At(part) + At(offset))
