"""Conv1DTranspose and Conv2DTranspose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import LayerError, NotStreamable
from codegen.layers.convolution import WithFilters
from codegen.layers.shared.windows import (
    Geometry,
    activated,
    activation_note,
    layout_note,
    pad_columns,
    part_of,
    products,
    reach,
    width,
)
from codegen.model import Array
from codegen.program.dims import Dim
from codegen.program.ops import Number, Vec

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor, Window


@dataclass(frozen=True, eq=False, kw_only=True)
class TransposedConvolution(WithFilters):
    """Conv1DTranspose, Conv2DTranspose: every input adds its kernel to the output, strides apart.

    Output p = s u + f (phase f < s) sums the inputs u, u - 1, ... times the kernel's rows
    f, f + s, ...: for each phase a causal convolution.
    """

    kernel: Array  # (size, [size,] filters of a group, inputs)
    bias: Array | None
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str | tuple[tuple[int, int], ...] = "valid"  # or rows cut off at each end of an axis
    output_padding: tuple[int, ...] | None = None
    groups: int = 1  # of the inputs, each of which gives `filters` outputs

    @property
    def describe(self) -> str:
        """Filters, window and activation."""
        shape = Geometry(self.kernel.shape[:-2], self.strides, self.dilations, self.padding)
        groups = f", {self.groups} groups" if self.groups != 1 else ""
        return (
            f"{self.class_name}({self.kernel.shape[-2] * self.groups}, {shape}{groups}"
            f"{activation_note(self.activation)}{layout_note(self.channels_first)})"
        )

    def _crop(self, axis: int, size: int) -> tuple[int, int]:
        """Rows cut off at the start, and how many more than stride * length are left.

        As Keras computes them (`_convert_conv_transpose_padding_args_from_keras_to_jax`).
        """
        stride = self.strides[axis]
        given = None if self.output_padding is None else self.output_padding[axis]
        if not isinstance(self.padding, str):
            before, after = self.padding[axis]
            return before, size + (given or 0) - stride - before - after
        if self.padding == "valid":
            extra = max(size, stride) - size if given is None else given
            return 0, size + extra - stride
        if self.padding != "same":
            raise LayerError(f"padding {self.padding!r} is not supported; valid and same are")
        total = stride + size - 2 if given is None else size + size % 2 - 2 + given
        left = min((total + 1) // 2, size - 1)
        return size - 1 - left, 1 - stride + total - (size - 1)

    def run(self, b: Builder, x: Tensor) -> Tensor:
        """One product for each phase, at each position."""
        rank = len(self.kernel.shape) - 2
        if len(x.shape) != rank + 1:
            raise LayerError(f"its input has {len(x.shape)} axes, expected {rank + 1}")
        own, channels = self.kernel.shape[-2:]
        filters = own * self.groups
        if x.shape[-1] != channels:
            raise LayerError(f"its kernel expects {channels} channels, found {x.shape[-1]}")
        kernel = self.kernel
        for axis, dilation in enumerate(self.dilations):
            kernel = _spread(kernel, axis, dilation)
        sizes = kernel.shape[:-2]
        # Along each axis: taps of a phase, rows cut off, surplus, positions past the last input.
        taps = [-(-size // s) for size, s in zip(sizes, self.strides, strict=True)]
        crops = [self._crop(axis, size) for axis, size in enumerate(sizes)]
        past = [
            max(0, -(-(cut + more) // s))
            for (cut, more), s in zip(crops, self.strides, strict=True)
        ]
        streams = b.step and x.time
        if streams and (crops[0][0] or crops[0][1] < 0):
            raise NotStreamable("its output is cut at the start: rows come from later steps")
        if rank == 2:
            x = pad_columns(b, x, ((taps[1] - 1, past[1]),))
        offset = b.vector("bias", self.bias)
        places = () if rank == 1 else (x.shape[1] - taps[1] + 1,)
        strides = self.strides
        with b.window(x, taps[0], left=taps[0] - 1, right=0 if streams else past[0]) as window:
            wide = tuple(n * s for n, s in zip(places, strides[1:], strict=True))
            shape = (window.count * strides[0], *wide, width(filters, self.activation))
            full = b.tensor("output", shape)
            with window.positions() as o, b.each(places, "column") as at:
                for phase in np.ndindex(*strides):
                    target = [c * s + f for c, s, f in zip((o, *at), strides, phase, strict=True)]
                    met = list(self._met(kernel, taps, phase, window, (o, *at)))
                    name = "kernel_" + "_".join(map(str, phase))
                    emit = partial(self._products, b, name, met, offset)
                    activated(b, full.row(*target), filters, self.activation, emit)
        (cut, more), stride = crops[0], strides[0]
        y = replace(window.like(full), ahead=window.ahead * stride, behind=x.behind * stride)
        if not streams:
            length = x.shape[0] * stride + more
            b.check(length, ">=", 1)
            y = replace(b.like(y.at(cut), y), shape=(length, *full.shape[1:]))
        if more and x.time:
            y = b.late(
                y, more, f"rows come after the last step: {more} more than stride times steps"
            )
        if rank == 2:
            cut, more = crops[1]
            columns = x.shape[1] - (taps[1] - 1) - past[1]
            y = _crop_columns(b, y, cut, columns * strides[1] + more)
        return y

    def _met(
        self,
        kernel: Array,
        taps: Sequence[int],
        phase: tuple[int, ...],
        window: Window,
        at: Sequence[Dim],
    ) -> Iterator[tuple[Vec, Array]]:
        """The rows of the input that a phase meets at a position, and the weights of each."""
        for tap in np.ndindex(*taps):
            where = tuple(
                f + s * (n - 1 - k)
                for f, s, n, k in zip(phase, self.strides, taps, tap, strict=True)
            )
            if all(k < size for k, size in zip(where, kernel.shape, strict=False)):
                row = window.tap(at[0], tap[0])
                yield row.vec() if len(tap) == 1 else row.row(at[1] + tap[1]), kernel[where]

    def _products(
        self, b: Builder, name: str, met: list[tuple[Vec, Array]], offset: Vec | None, y: Vec
    ) -> None:
        """Emit the sum of one phase, a product for each group."""
        if not met:
            b.copy(y, Number(0.0) if offset is None else offset)
            return
        own, channels = self.kernel.shape[-2:]
        inputs = channels // self.groups
        weight = b.weight(name, self._matrix([piece for _, piece in met]))
        with b.loop(self.groups, counter="group") as g:
            columns = [(n * inputs, part_of(row, g, inputs)) for n, (row, _) in enumerate(met)]
            b.affine(
                part_of(y, g, own),
                None if offset is None else part_of(offset, g, own),
                *products(replace(weight, rows=own), columns, g * own),
            )

    def _matrix(self, pieces: list[Array]) -> Array:
        """The rows of all groups, one group below the other, from (filters, inputs) of each tap."""
        parts = [np.split(piece, self.groups, axis=1) for piece in pieces]
        return np.concatenate([np.concatenate(group, 1) for group in zip(*parts, strict=True)])


def _spread(kernel: Array, axis: int, dilation: int) -> Array:
    """The kernel with zeros between its rows along an axis."""
    if dilation == 1:
        return kernel
    shape = list(kernel.shape)
    shape[axis] = reach(shape[axis], dilation)
    spread = np.zeros(shape, kernel.dtype)
    spread[(slice(None),) * axis + (slice(None, None, dilation),)] = kernel
    return spread


def _crop_columns(b: Builder, x: Tensor, start: int, count: int) -> Tensor:
    if start == 0 and x.shape[1] == count:
        return x
    out = b.tensor("cropped", (x.shape[0], count, x.shape[2]))
    with b.loop(x.shape[0], counter="row") as t:
        part = x.at(t, start).vec()
        b.copy(out.row(t), replace(part, size=out.row(t).size))
    return b.like(out, x)
