"""LocallyConnected1D and 2D."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import LayerError
from codegen.layers.convolution import WithFilters
from codegen.layers.shared.windows import (
    Geometry,
    activated,
    activation_note,
    layout_note,
    pad_columns,
    products,
    width,
)
from codegen.model import Array, Layer
from codegen.program import dims
from codegen.program.ops import Mat, Vec

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor


def local_windows(length: int, size: int, stride: int, padding: str) -> list[range]:
    """The rows that each window of a locally connected layer covers; `same` goes beyond both ends.

    Unlike that of a convolution, its window is always centred on the row that it stands for.
    """
    left, count = 0, (length - size) // stride + 1
    if padding == "same":
        left, count = size // 2, -(-length // stride)
    return [range(o * stride - left, o * stride - left + size) for o in range(count)]


@dataclass(frozen=True, eq=False, kw_only=True)
class LocallyConnected(WithFilters):
    """LocallyConnected1D, 2D: a convolution whose weights differ from position to position."""

    kernel: Array  # (positions, size * [size *] inputs, filters), or a list of all in use
    bias: Array | None  # (positions, filters)
    filters: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str = "valid"

    @property
    def describe(self) -> str:
        """Filters and window."""
        shape = Geometry(self.sizes, self.strides, (1,) * len(self.sizes), self.padding)
        return (
            f"{self.class_name}({self.filters}, {shape}"
            f"{activation_note(self.activation)}{layout_note(self.channels_first)})"
        )

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """None: its weights are in the order of its axes."""
        return None

    def run(self, b: Builder, x: Tensor) -> Tensor:
        """A loop over positions, with a matrix for each."""
        b.needs_whole(x, "its weights differ from step to step")
        if len(x.shape) != len(self.sizes) + 1:
            raise LayerError(f"its input has {len(x.shape)} axes, not {len(self.sizes) + 1}")
        if not all(isinstance(n, int) for n in x.shape):
            raise LayerError("the length of its input is free, which it cannot be")
        *lengths, channels = (dims.fixed(n) for n in x.shape)
        parts = zip(lengths, self.sizes, self.strides, strict=True)
        windows = [local_windows(n, size, stride, self.padding) for n, size, stride in parts]
        positions, filters = tuple(map(len, windows)), self.filters
        columns = channels * math.prod(self.sizes)
        kernel = self.kernel
        if kernel.ndim == 1:
            kernel = self._unlisted(windows, lengths, channels)
        if kernel.shape != (math.prod(positions), columns, filters):
            raise LayerError(f"kernel of shape {kernel.shape}, input of shape {x.shape}")
        pads = [
            (-w[0].start, max(0, w[-1].stop - n)) for w, n in zip(windows, lengths, strict=True)
        ]
        weights = b.const("kernel", np.ascontiguousarray(kernel.swapaxes(1, 2)))
        bias = None if self.bias is None else b.const("bias", self.bias)
        x = pad_columns(b, x, pads[1:])
        geometry = Geometry(self.sizes, self.strides, (1,) * len(self.sizes))
        with b.window(x, self.sizes[0], self.strides[0], 1, *pads[0]) as window:
            out = b.tensor("output", (*positions, width(filters, self.activation)))
            with window.positions() as o, b.each(positions[1:], "column") as at:
                rows = window.taps(o)
                place = o * positions[1] + at[0] if at else o

                def emit(y: Vec) -> None:
                    start = weights.at(place).offset
                    matrix = Mat(weights.buffer, start, filters, columns, columns)
                    taps = [
                        (n * channels, geometry.within(rows[i], at, j))
                        for n, (i, j) in enumerate(geometry.taps)
                    ]
                    offset = None if bias is None else bias.row(place)
                    b.affine(y, offset, *products(matrix, taps))

                activated(b, out.row(o, *at), filters, self.activation, emit)
        return window.like(out)

    def _unlisted(self, windows: list[list[range]], lengths: list[int], channels: int) -> Array:
        """The kernel from its list: for each output those of the inputs in its window, in order.

        Outputs and inputs are in the order of their elements in memory.
        """
        positions = [len(w) for w in windows]
        full = np.zeros((*positions, *self.sizes, channels, self.filters), self.kernel.dtype)
        inside = [
            [slice(max(0, -r.start), len(r) - max(0, r.stop - n)) for r in w]
            for w, n in zip(windows, lengths, strict=True)
        ]
        spatial = [*np.ndindex(*positions)]
        every = range(self.filters)
        if self.channels_first:
            outputs = [(o, f) for f in every for o in spatial]
        else:
            outputs = [(o, f) for o in spatial for f in every]
        start = 0
        for o, f in outputs:
            place = (*o, *(taps[k] for taps, k in zip(inside, o, strict=True)))
            part = full[place][..., f]
            part = np.moveaxis(part, -1, 0) if self.channels_first else part
            values = self.kernel[start : start + part.size]
            start += part.size
            if values.size == part.size:
                part[...] = values.reshape(part.shape)
        if start != self.kernel.size:
            raise LayerError(f"its kernel has {self.kernel.size} weights, its windows {start}")
        return full.reshape(math.prod(positions), -1, self.filters)
