"""What windows over one or two axes share: sizes, padding, layout and products.

The window over the first axis is the builder's (`Builder.window`), so a layer with one streams
where the window needs no future; the second axis is padded and looped over inside each row.
Kernels are in Keras' channels_last layout; a `channels_first` layer is transposed before and
after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import LayerError, NotStreamable
from codegen.layers.shared.axes import transpose
from codegen.program import dims
from codegen.program.activations import LINEAR, Activation
from codegen.program.builder import SAME
from codegen.program.dims import Dim
from codegen.program.ops import At, Mat, Number, Vec

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor, Window


def reach(size: int, dilation: int) -> int:
    """Rows from the first to the last tap of a window."""
    return (size - 1) * dilation + 1


def padding_of(padding: str, length: Dim, size: int, stride: int, dilation: int) -> tuple[Dim, Dim]:
    """Rows to add before and after an axis, for `valid`, `same` or `causal`."""
    needed = reach(size, dilation)
    if padding == "valid":
        return 0, 0
    if padding == "causal":
        return needed - 1, 0
    if padding != "same":
        raise LayerError(f"padding {padding!r} is not supported; valid, same and causal are")
    last = (dims.ceil_div(length, stride) - 1) * stride
    total = dims.maximum(last + needed - length, 0)
    left = total // 2
    return left, total - left


def time_padding(
    b: Builder, x: Tensor, padding: str, size: int, stride: int, dilation: int
) -> tuple[Dim, Dim]:
    """`padding_of` axis 0. One step does not know the length: it must be the same for all."""
    if padding == "same" and stride > 1 and b.step and x.time:
        if reach(size, dilation) > stride:
            raise NotStreamable(SAME)
        if dims.fixed(x.shape[0]) % stride == 0 and x.ahead % stride:
            raise NotStreamable("padding='same' fills up its last window, whose rows come later")
        return 0, 0
    return padding_of(padding, x.shape[0], size, stride, dilation)


def pad_columns(
    b: Builder, x: Tensor, pads: Sequence[tuple[int, int]], fill: float = 0.0
) -> Tensor:
    """`x` with `fill` around its axes from the second on; a copy, row by row."""
    if not any(n for pair in pads for n in pair):
        return x
    shape = list(x.shape)
    for axis, (left, right) in enumerate(pads, 1):
        shape[axis] = shape[axis] + left + right
    out = b.tensor("widened", shape)
    b.copy(out.vec(), Number(fill))
    # Rows of all axes but the last two are copied as one run where the last is not padded.
    inner = len(shape) - 1
    with b.each(x.shape[:inner]) as at:
        where = [at[0], *(i + left for i, (left, _) in zip(at[1:], pads, strict=False))]
        left = pads[inner - 1][0] if len(pads) >= inner else 0
        b.copy(out.row(*where)[left : left + x.shape[inner]], x.row(*at))
    if x.prefix is None or x.ahead <= 0:
        return replace(b.like(out, x), mask=None)
    around = [(0, 0), *pads, *[(0, 0)] * (len(shape) - 1 - len(pads))]
    prefix = np.pad(x.prefix, around, constant_values=fill)
    return replace(b.like(out, x), mask=None, prefix=prefix)


def in_channels_last(
    b: Builder, x: Tensor, channels_first: bool, run: Callable[[Tensor], Tensor]
) -> Tensor:
    """`run` on `x`; with channels_first on its transpose, and the result transposed back."""
    if not channels_first:
        return run(x)
    b.needs_whole(x, "data_format='channels_first' puts the channels where time would be")
    rank = len(x.shape)
    y = run(replace(transpose(b, x, (*range(1, rank), 0)), time=False))
    return replace(transpose(b, y, (rank - 1, *range(rank - 1))), last=x.last, lead=x.lead)


def products(
    weight: Mat, taps: Sequence[tuple[int, Vec]], row: Dim = 0
) -> Iterator[tuple[Mat, Vec]]:
    """One (matrix, vector) pair for each run of taps that lie side by side.

    `taps` are (first column of the weight, vector); the rows of the weight start at `row`.
    """
    runs: list[tuple[int, Vec]] = []
    for column, vec in taps:
        if runs:
            start, run = runs[-1]
            joins = run.buffer is vec.buffer and run.offset + run.size == vec.offset
            # A delay line is read one row at a time, so that a target may keep it as a ring.
            if joins and start + run.size == column and run.buffer.kind != "state":
                runs[-1] = (start, replace(run, size=run.size + vec.size))
                continue
        runs.append((column, vec))
    for column, vec in runs:
        offset = weight.offset + row * weight.row_stride + column
        yield replace(weight, offset=offset, columns=vec.size), vec


def activated(
    b: Builder, y: Vec, units: int, activation: Activation, emit: Callable[[Vec], None]
) -> None:
    """`emit` writes the product of `units` values; its activation ends in `y`."""
    if y.size == units:
        emit(y)
        b.activate(y, activation)
        return
    both = b.temp("both", units)
    emit(both)
    b.copy(y, At(b.activate(both, activation)))


def width(units: int, activation: Activation) -> int:
    """Values that are left after the activation."""
    return units // 2 if activation.name == "glu" else units


@dataclass(frozen=True)
class Geometry:
    """Sizes, strides and dilations of a window over one or two axes, and its padding."""

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str | tuple[tuple[Dim, Dim], ...] = "valid"  # or rows before and after, on each axis
    ceil: bool = False  # a last window may have a part of its rows alone: torch's ceil_mode

    def check(self, x: Tensor) -> None:
        """A LayerError where the input has another number of axes."""
        if len(x.shape) != len(self.sizes) + 1:
            raise LayerError(
                f"its input has {len(x.shape)} axes, expected {len(self.sizes)} and the channels"
            )

    def columns(self, b: Builder, x: Tensor, fill: float = 0.0) -> Tensor:
        """`x` padded along the second axis."""
        if len(self.sizes) == 1:
            return x
        before, after = self.around(1, x.shape[1])
        return pad_columns(b, x, ((dims.fixed(before), dims.fixed(after)),), fill)

    def places(self, b: Builder, x: Tensor) -> tuple[Dim, ...]:
        """The number of positions along the second axis of the padded `x`."""
        if len(self.sizes) == 1:
            return ()
        count = (x.shape[1] - reach(self.sizes[1], self.dilations[1])) // self.strides[1] + 1
        b.check(count, ">=", 1)
        return (count,)

    def within(self, row: Tensor, at: tuple[Dim, ...], column: Dim) -> Vec:
        """The channels at tap `column` of a row, at a position of the second axis."""
        if not at:
            return row.vec()
        return row.row(at[0] * self.strides[1] + column * self.dilations[1])

    @property
    def taps(self) -> tuple[tuple[int, int], ...]:
        """(row, column) of every tap, in the order of the kernel."""
        wide = self.sizes[1] if len(self.sizes) > 1 else 1
        return tuple((i, j) for i in range(self.sizes[0]) for j in range(wide))

    def window(
        self, b: Builder, x: Tensor, fill: float = 0.0, role: str = "line"
    ) -> AbstractContextManager[Window]:
        """The builder's window over axis 0."""
        size, stride, dilation = self.sizes[0], self.strides[0], self.dilations[0]
        if isinstance(self.padding, str):
            left, right = time_padding(b, x, self.padding, size, stride, dilation)
        else:
            if self.ceil and stride > 1:
                b.needs_whole(x, "with ceil_mode its last window holds what is left")
            left, right = self.around(0, x.shape[0])
        return b.window(x, size, stride, dilation, left, right, fill, role)

    def around(self, axis: int, length: Dim) -> tuple[Dim, Dim]:
        """Rows before and after an axis of this length."""
        size, stride, dilation = self.sizes[axis], self.strides[axis], self.dilations[axis]
        if isinstance(self.padding, str):
            return padding_of(self.padding, length, size, stride, dilation)
        left, right = self.padding[axis]
        if not self.ceil or stride == 1:
            return left, right
        # As torch has it: the last window starts at a row that is no padding on the right.
        needed = reach(size, dilation)
        count = dims.ceil_div(length + left + right - needed, stride) + 1
        count = dims.minimum(count, dims.ceil_div(length + left, stride))
        return left, dims.maximum((count - 1) * stride + needed - length - left, 0)

    def __str__(self) -> str:
        """Size and what differs from the usual."""
        sizes = "x".join(map(str, self.sizes))
        notes = [f"kernel {sizes}"]
        if any(n != 1 for n in self.strides):
            notes.append("stride " + "x".join(map(str, self.strides)))
        if any(n != 1 for n in self.dilations):
            notes.append("dilation " + "x".join(map(str, self.dilations)))
        return ", ".join([*notes, padding_note(self.padding)])


def padding_note(padding: str | tuple[tuple[Dim, Dim], ...]) -> str:
    """The padding for a heading."""
    if isinstance(padding, str):
        return padding
    return "padded by " + " and ".join(f"{before}, {after}" for before, after in padding)


def part_of(vec: Vec, number: Dim, size: int) -> Vec:
    """Part `number` of those of `size` elements that the vector consists of."""
    return vec if vec.size == size else vec[number * size : number * size + size]


def activation_note(activation: Activation) -> str:
    """The activation for a heading; nothing for a linear one."""
    return "" if activation == LINEAR else f", {activation}"


def layout_note(channels_first: bool) -> str:
    """The layout for a heading; nothing for the usual one."""
    return ", channels_first" if channels_first else ""
