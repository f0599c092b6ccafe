"""Conv1DTranspose and Conv2DTranspose."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from codegen.program.ops import Number, Vec

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor


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
        filters, inputs = own * self.groups, channels // self.groups
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
                    rows = []
                    pieces = []
                    for i in range(taps[0]):
                        for j in range(taps[1] if rank == 2 else 1):
                            where = [phase[0] + strides[0] * (taps[0] - 1 - i)]
                            if rank == 2:
                                where.append(phase[1] + strides[1] * (taps[1] - 1 - j))
                            if any(k >= size for k, size in zip(where, sizes, strict=True)):
                                continue
                            row = window.tap(o, i)
                            rows.append(row.vec() if rank == 1 else row.row(at[0] + j))
                            pieces.append(kernel[tuple(where)])  # (filters, inputs)
                    target = [o * strides[0] + phase[0]]
                    target += [
                        c * s + f for c, s, f in zip(at, strides[1:], phase[1:], strict=True)
                    ]
                    name = "kernel_" + "_".join(map(str, phase))

                    def emit(
                        y: Vec,
                        rows: list[Vec] = rows,
                        pieces: list[Array] = pieces,
                        name: str = name,
                    ) -> None:
                        if not pieces:
                            b.copy(y, Number(0.0) if offset is None else offset)
                            return
                        weight = b.weight(name, self._matrix(pieces))
                        with b.loop(self.groups, counter="group") as g:
                            columns = [
                                (n * inputs, part_of(row, g, inputs)) for n, row in enumerate(rows)
                            ]
                            b.affine(
                                part_of(y, g, own),
                                None if offset is None else part_of(offset, g, own),
                                *products(replace(weight, rows=own), columns, g * own),
                            )

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
