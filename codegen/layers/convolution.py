"""Convolutions over one or two axes, the first of which may be time.

All are cross-correlations, as Keras computes them. The window over the first axis is the
builder's (`Builder.window`), so each of these layers streams where the window needs no future; the
second axis is padded and looped over inside each row. Kernels are in Keras' channels_last layout;
a `channels_first` layer is transposed before and after.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen import dims
from codegen.activations import LINEAR, Activation
from codegen.builder import SAME
from codegen.dims import Dim
from codegen.errors import LayerError, NotStreamable
from codegen.layers.core import WithChannels, transpose
from codegen.layers.recurrent import SIGMOID, TANH, Cell, Recurrent, gates_note
from codegen.model import Array, Layer
from codegen.program import At, Expr, Local, Mat, Number, Vec

if TYPE_CHECKING:
    from codegen.builder import Builder, Tensor, Window

Tensors = tuple["Tensor", ...]
SMALL = 9  # taps, up to which a depthwise product is written out


# ---- what windows over several axes share --------------------------------------------------


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
    padding: str = "valid"

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
        before, after = padding_of(
            self.padding, x.shape[1], self.sizes[1], self.strides[1], self.dilations[1]
        )
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
        left, right = time_padding(b, x, self.padding, size, stride, dilation)
        return b.window(x, size, stride, dilation, left, right, fill, role)

    def __str__(self) -> str:
        """Size and what differs from the usual."""
        sizes = "x".join(map(str, self.sizes))
        notes = [f"kernel {sizes}"]
        if any(n != 1 for n in self.strides):
            notes.append("stride " + "x".join(map(str, self.strides)))
        if any(n != 1 for n in self.dilations):
            notes.append("dilation " + "x".join(map(str, self.dilations)))
        return ", ".join([*notes, self.padding])


# ---- the layers ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(WithChannels):
    """Conv1D, Conv2D: act(sum over taps of x kernel + bias), channels in `groups`."""

    kernel: Array  # (size, [size,] inputs / groups, filters)
    bias: Array | None  # (filters,)
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str = "valid"
    groups: int = 1
    activation: Activation = LINEAR

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
            f"{_noted(self.activation)}{_layout(self.channels_first)})"
        )

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """A loop over positions around one product."""

        def run(x: Tensor) -> Tensor:
            return convolve(
                b, x, self.geometry, self.kernel, self.bias, self.groups, self.activation
            )

        return (in_channels_last(b, inputs[0], self.channels_first, run),)


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
                        (n * inputs, _part(geometry.within(rows[i], at, j), g, inputs))
                        for n, (i, j) in enumerate(geometry.taps)
                    ]
                    part = replace(weight, rows=per_group)
                    b.affine(
                        _part(y, g, per_group),
                        None if offset is None else _part(offset, g, per_group),
                        *products(part, taps, g * per_group),
                    )

            activated(b, out.row(o, *at), filters, activation, emit)
    return window.like(out)


def _part(vec: Vec, number: Dim, size: int) -> Vec:
    return vec if vec.size == size else vec[number * size : number * size + size]


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthwiseConvolution(WithChannels):
    """Each channel by itself with `multiplier` kernels; SeparableConv adds a product after it.

    Channel c gives the outputs c * multiplier + m.
    """

    kernel: Array  # (size, [size,] inputs, multiplier)
    pointwise: Array | None = None  # (inputs * multiplier, filters)
    bias: Array | None
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str = "valid"
    activation: Activation = LINEAR

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
            f"{_noted(self.activation)}{_layout(self.channels_first)})"
        )

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Sums of products for each channel, then one product."""
        return (in_channels_last(b, inputs[0], self.channels_first, lambda x: self._run(b, x)),)

    def _run(self, b: Builder, x: Tensor) -> Tensor:
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


@dataclass(frozen=True, eq=False, kw_only=True)
class TransposedConvolution(WithChannels):
    """Conv1DTranspose, Conv2DTranspose: every input adds its kernel to the output, strides apart.

    Output p = s u + f (phase f < s) sums the inputs u, u - 1, ... times the kernel's rows
    f, f + s, ...: for each phase a causal convolution.
    """

    kernel: Array  # (size, [size,] filters, inputs)
    bias: Array | None
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str = "valid"
    output_padding: tuple[int, ...] | None = None
    activation: Activation = LINEAR

    @property
    def describe(self) -> str:
        """Filters, window and activation."""
        shape = Geometry(self.kernel.shape[:-2], self.strides, self.dilations, self.padding)
        return (
            f"{self.class_name}({self.kernel.shape[-2]}, {shape}"
            f"{_noted(self.activation)}{_layout(self.channels_first)})"
        )

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """One product for each phase, at each position."""
        return (in_channels_last(b, inputs[0], self.channels_first, lambda x: self._run(b, x)),)

    def _crop(self, axis: int, size: int) -> tuple[int, int]:
        """Rows cut off at the start, and how many more than stride * length are left.

        As Keras computes them (`_convert_conv_transpose_padding_args_from_keras_to_jax`).
        """
        stride = self.strides[axis]
        given = None if self.output_padding is None else self.output_padding[axis]
        if self.padding == "valid":
            extra = max(size, stride) - size if given is None else given
            return 0, size + extra - stride
        if self.padding != "same":
            raise LayerError(f"padding {self.padding!r} is not supported; valid and same are")
        total = stride + size - 2 if given is None else size + size % 2 - 2 + given
        left = min((total + 1) // 2, size - 1)
        return size - 1 - left, 1 - stride + total - (size - 1)

    def _run(self, b: Builder, x: Tensor) -> Tensor:
        rank = len(self.kernel.shape) - 2
        if len(x.shape) != rank + 1:
            raise LayerError(f"its input has {len(x.shape)} axes, expected {rank + 1}")
        filters, channels = self.kernel.shape[-2:]
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
                        weight = b.weight(name, np.concatenate(pieces, axis=1))
                        columns = [(n * channels, row) for n, row in enumerate(rows)]
                        b.affine(y, offset, *products(weight, columns))

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
            inputs = x.shape[1] - (taps[1] - 1) - past[1]
            y = _crop_columns(b, y, cut, inputs * strides[1] + more)
        return y


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


def local_windows(length: int, size: int, stride: int, padding: str) -> list[range]:
    """The rows that each window of a locally connected layer covers; `same` goes beyond both ends.

    Unlike that of a convolution, its window is always centred on the row that it stands for.
    """
    left, count = 0, (length - size) // stride + 1
    if padding == "same":
        left, count = size // 2, -(-length // stride)
    return [range(o * stride - left, o * stride - left + size) for o in range(count)]


@dataclass(frozen=True, eq=False, kw_only=True)
class LocallyConnected(Layer):
    """LocallyConnected1D, 2D: a convolution whose weights differ from position to position."""

    kernel: Array  # (positions, size * [size *] inputs, filters), or a list of all in use
    bias: Array | None  # (positions, filters)
    filters: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str = "valid"
    activation: Activation = LINEAR
    channels_first: bool = False

    @property
    def describe(self) -> str:
        """Filters and window."""
        shape = Geometry(self.sizes, self.strides, (1,) * len(self.sizes), self.padding)
        return (
            f"{self.class_name}({self.filters}, {shape}"
            f"{_noted(self.activation)}{_layout(self.channels_first)})"
        )

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """A loop over positions, with a matrix for each."""
        b.needs_whole(inputs[0], "its weights differ from step to step")
        return (in_channels_last(b, inputs[0], self.channels_first, lambda x: self._run(b, x)),)

    def _run(self, b: Builder, x: Tensor) -> Tensor:
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


# ---- a convolution inside a recurrent layer --------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvLSTMCell(Cell):
    """An LSTM cell whose products are convolutions over the axes of one step's tensor."""

    kernel: Array  # (size, [size,] inputs, 4 * filters), channels i, f, candidate, o
    recurrent_kernel: Array  # (size, [size,] filters, 4 * filters)
    bias: Array | None  # (4 * filters,)
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str = "valid"
    activation: Activation = TANH
    recurrent_activation: Activation = SIGMOID
    spatial: tuple[int, ...] = ()  # shape of the states without channels, once the input is known

    @property
    def geometry(self) -> Geometry:
        """The window over the input."""
        return Geometry(self.kernel.shape[:-2], self.strides, self.dilations, self.padding)

    @property
    def states(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The states h and c."""
        shape = (*self.spatial, int(self.recurrent_kernel.shape[-2]))
        return (("h", shape), ("c", shape))

    @property
    def describe(self) -> str:
        """Filters, window and activations."""
        filters = self.recurrent_kernel.shape[-2]
        note = gates_note(self.activation, self.recurrent_activation)
        return f"{self.class_name}({filters}, {self.geometry}{note})"

    def placed(self, shape: tuple[Dim, ...]) -> Cell:
        """The cell for inputs of this shape."""
        sizes = self.geometry.sizes
        if len(shape) != len(sizes) + 1:
            raise LayerError(f"its steps have {len(shape)} axes, expected {len(sizes) + 1}")
        spatial = []
        parts = zip(shape, sizes, self.strides, self.dilations, strict=False)
        for length, size, stride, dilation in parts:
            before, after = padding_of(self.padding, length, size, stride, dilation)
            rows = dims.fixed(length + before + after)
            spatial.append((rows - reach(size, dilation)) // stride + 1)
            if spatial[-1] < 1:
                raise LayerError(f"its window of {size} is longer than its input of {length}")
        return replace(self, spatial=tuple(spatial))

    def advance(self, b: Builder, x: Tensor, states: Tensors) -> Tensor:
        """Emit one step."""
        filters = int(self.recurrent_kernel.shape[-2])
        h, c = states
        given = convolve(b, x, self.geometry, self.kernel, self.bias, role="input_")
        ones = (1,) * len(self.spatial)
        around = Geometry(self.recurrent_kernel.shape[:-2], ones, ones, "same")
        kept = convolve(b, h, around, self.recurrent_kernel, None, role="recurrent_")
        with b.each(self.spatial, "place") as at:
            parts = [
                At(_part(given.row(*at), k, filters)) + At(_part(kept.row(*at), k, filters))
                for k in range(4)
            ]
            gate = self.recurrent_activation
            input_gate = b.apply(gate, parts[0], filters, "input_gate")
            forget_gate = b.apply(gate, parts[1], filters, "forget_gate")
            candidate = b.apply(self.activation, parts[2], filters, "candidate")
            output_gate = b.apply(gate, parts[3], filters, "output_gate")
            here_h, here_c = h.row(*at), c.row(*at)
            new_c = Local("forget_gate") * At(here_c) + Local("input_gate") * Local("candidate")
            named = {"input_gate": input_gate, "forget_gate": forget_gate, "candidate": candidate}
            if self.activation.is_elementwise:
                new_h = Local("output_gate") * self.activation(Local("cell"))
                b.elementwise(
                    (here_c, Local("cell")),
                    (here_h, new_h),
                    **named,
                    output_gate=output_gate,
                    cell=new_c,
                )
            else:
                b.elementwise((here_c, new_c), **named)
                act = b.apply(self.activation, At(here_c), filters, "activated")
                b.elementwise((here_h, Local("output_gate") * act), output_gate=output_gate)
        return h


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvRecurrent(Recurrent):
    """ConvLSTM1D, ConvLSTM2D; with channels_first every step is transposed before and after."""

    channels_first: bool = False

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """As any recurrent layer."""
        if not self.channels_first:
            return super().lower(b, *inputs, **keywords)
        x = inputs[0]
        rank = len(x.shape)
        order = (0, *range(2, rank), 1)
        mask = keywords["mask"][0] if keywords.get("mask") else x.mask
        given = b.like(transpose(b, x, order), x, mask=mask)
        if len(inputs) > 1 or keywords.get("initial_state"):
            raise LayerError("an initial state with data_format='channels_first' is not supported")
        outputs = super().lower(b, given)
        results = []
        for y in outputs:
            n = len(y.shape)
            back = (0, n - 1, *range(1, n - 1)) if n == rank else (n - 1, *range(n - 1))
            out = replace(
                transpose(b, y, back), time=y.time, lead=y.lead, ahead=y.ahead, last=y.last
            )
            results.append(replace(out, mask=y.mask))
        return tuple(results)


def _noted(activation: Activation) -> str:
    return "" if activation == LINEAR else f", {activation}"


def _layout(channels_first: bool) -> str:
    return ", channels_first" if channels_first else ""
