"""Windows that take the largest element, a mean or a norm; and transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.errors import LayerError
from codegen.layers.pooling import Pooling
from codegen.layers.transposed_convolution import TransposedConvolution
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator
from codegen.readers.onnx.rules.convolution import Pairs, pads
from codegen.readers.onnx.rules.normalization import per_sample
from codegen.readers.onnx.rules.reductions import power, root
from codegen.readers.onnx.values import Value


@dataclass(frozen=True)
class Layout:
    """How a layer with windows holds the axes of (batch, channels, ...): time first, channels last.

    `order` says which of the axes after the channels each of its axes is.
    """

    order: tuple[int, ...]

    @property
    def held(self) -> tuple[int, ...]:
        """The axes that it holds."""
        return (*(axis + 2 for axis in self.order), 1)

    def of(self, values: Sequence[int]) -> tuple[int, ...]:
        """Numbers of the axes in the order of the layer."""
        return tuple(values[axis] for axis in self.order)

    def pairs(self, values: Pairs) -> Pairs:
        """The same for pairs."""
        return tuple(values[axis] for axis in self.order)


def layout(x: Value) -> Layout:
    """The axes that windows move along; a LayerError where there are none, or three."""
    rank = x.rank - 2
    if rank not in (1, 2):
        raise LayerError(f"its input has {x.rank} axes; 3 or 4 are supported")
    if x.time and x.held[0] == 1:
        raise LayerError("its channels lie along the time axis")
    first = [x.held[0] - 2] if x.time and x.held[0] > 1 else []
    return Layout((*first, *(axis for axis in range(rank) if axis not in first)))


@dataclass(frozen=True)
class _Window:
    """What the attributes say about a window."""

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    around: Pairs
    ceil: bool

    def lengths(self, x: Value) -> list[Dim]:
        """How often it fits along each axis."""
        return [
            self._count(n, size, stride, dilation, pair)
            for n, size, stride, dilation, pair in zip(
                x.shape[2:], self.sizes, self.strides, self.dilations, self.around, strict=True
            )
        ]

    def _count(self, n: Dim, size: int, stride: int, dilation: int, pair: tuple[int, int]) -> Dim:
        rest = n + sum(pair) - ((size - 1) * dilation + 1)
        count: Dim = rest // stride + 1
        if self.ceil:  # the last window starts at a row that is no padding on the right
            count = dims.ceil_div(rest, stride) + 1
            count = dims.minimum(count, dims.ceil_div(n + pair[0], stride))
        if isinstance(count, int) and count < 1:
            raise LayerError(f"its window of {size} does not fit {n} elements and their padding")
        return count


def _window(c: Call, x: Value) -> _Window:
    rank = x.rank - 2
    given = c.attributes
    sizes = given.integers("kernel_shape", rank)
    strides = given.integers("strides", rank, 1)
    dilations = given.integers("dilations", rank, 1)
    reaches = tuple((n - 1) * d + 1 for n, d in zip(sizes, dilations, strict=True))
    around = pads(c, x, reaches, strides)
    is_same = given.text("auto_pad", "NOTSET").startswith("SAME")
    ceil = bool(given.integer("ceil_mode", 0, 0, 1)) and not is_same
    return _Window(sizes, strides, dilations, around, ceil)


def _pooled(c: Call, x: Value, kind: str, divisor: int | None = None) -> Value:
    """A maximum, mean, or (with the divisor 1) sum of a window."""
    shown, window = layout(x), _window(c, x)
    counts = bool(c.attributes.integer("count_include_pad", 0, 0, 1))
    layer = c.layer(
        Pooling,
        kind=kind,
        sizes=shown.of(window.sizes),
        strides=shown.of(window.strides),
        padding=shown.pairs(window.around),
        dilations=shown.of(window.dilations),
        ceil=window.ceil,
        counts_padding=counts,
        divisor=divisor,
    )
    y = per_sample(c, x, layer, shown.held)
    return Value(y.ref, (*x.shape[:2], *window.lengths(x)), y.held, x.dtype, x.time)


def _max(c: Call) -> Value:
    if len(c.wanted) > 1 and c.wanted[1]:
        raise LayerError("its second output, the places of the maxima, is used")
    return _pooled(c, c.value(0), "max")


def _norm(c: Call) -> Value:
    p = c.attributes.integer("p", 2)
    return root(c, _pooled(c, power(c, c.value(0), p), "average", 1), p)


def _transposed(c: Call) -> Value:
    """Every input adds its kernel to the output, strides apart; rows are cut off at the ends."""
    x, given = c.value(0), c.attributes
    shown, rank = layout(x), x.rank - 2
    groups = given.integer("group", 1)
    channels = dims.fixed(x.shape[1])
    kernel = c.weights(1, "kernel (W)", channels, *(None,) * (rank + 1))
    if channels % groups:
        raise LayerError(f"{channels} channels in {groups} groups")
    filters, sizes = kernel.shape[1] * groups, kernel.shape[2:]
    bias = c.weights(2, "bias (B)", filters) if c.has(2) else None
    given.get("kernel_shape")
    strides = given.integers("strides", rank, 1)
    dilations = given.integers("dilations", rank, 1)
    more = given.integers("output_padding", rank, 0, low=0)
    reaches = [(n - 1) * d + 1 for n, d in zip(sizes, dilations, strict=True)]
    full = [
        (n - 1) * stride + reach + extra
        for n, stride, reach, extra in zip(x.shape[2:], strides, reaches, more, strict=True)
    ]
    cuts = _cuts(c, x, full, strides)
    layer = c.layer(
        TransposedConvolution,
        kernel=np.ascontiguousarray(kernel.transpose([*(a + 2 for a in shown.order), 1, 0])),
        bias=bias,
        strides=shown.of(strides),
        dilations=shown.of(dilations),
        padding=shown.pairs(cuts),
        output_padding=shown.of(more),
        groups=groups,
    )
    y = per_sample(c, x, layer, shown.held)
    lengths = [n - sum(cut) for n, cut in zip(full, cuts, strict=True)]
    return Value(y.ref, (x.shape[0], filters, *lengths), y.held, x.dtype, x.time)


def _cuts(c: Call, x: Value, full: Sequence[Dim], strides: tuple[int, ...]) -> Pairs:
    """What is cut off at both ends, so that the output has the length that is asked for."""
    mode = c.attributes.text("auto_pad", "NOTSET")
    asked = c.attributes.get("output_shape")
    if asked is None and not mode.startswith("SAME"):
        return pads(c, x, (1,) * len(full), strides)
    lengths: Sequence[Dim] = (
        [n * stride for n, stride in zip(x.shape[2:], strides, strict=True)]
        if asked is None
        else [int(n) for n in asked][-len(full) :]
    )
    found = []
    for whole, wanted in zip(full, lengths, strict=True):
        total = dims.fixed(whole - wanted)  # below 0: rows that nothing is added to come after
        low = total // 2 if mode == "SAME_UPPER" else total - total // 2
        if low < 0:
            raise LayerError(f"an output of {wanted} elements, more than there are")
        found.append((low, total - low))
    c.attributes.get("pads")
    return tuple(found)


_AXES = "over one or two axes"
TABLE = (
    Operator("MaxPool", _max, ignored=("storage_order",), note=f"{_AXES}, without places"),
    Operator("AveragePool", lambda c: _pooled(c, c.value(0), "average"), note=_AXES),
    Operator("LpPool", _norm, note=_AXES),
    Operator("ConvTranspose", _transposed, note=f"{_AXES}, its kernel a constant"),
)
