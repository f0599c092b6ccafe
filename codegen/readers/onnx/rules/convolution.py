"""Convolutions: with a time axis among theirs that one comes first, the channels last."""

from __future__ import annotations

import numpy as np

from codegen.errors import LayerError
from codegen.layers.convolution import Convolution, DepthwiseConvolution
from codegen.layers.padding import ZeroPadding
from codegen.model import Array, Layer
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator
from codegen.readers.onnx.values import Value

AUTO = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
Pairs = tuple[tuple[int, int], ...]


def spatial_first(x: Value) -> tuple[int, ...]:
    """The axes of (batch, channels, ...) as convolutions hold them: time, others, channels.

    A batch axis that is longer than 1 is an axis like the others.
    """
    first = x.held[:1] if x.time else ()
    if first == (1,):
        raise LayerError("its channels lie along the time axis")
    batch = (0,) if x.shape[0] != 1 and first != (0,) else ()
    return (*first, *batch, *(axis for axis in range(2, x.rank) if axis not in first), 1)


def pads(c: Call, x: Value, sizes: tuple[int, ...], strides: tuple[int, ...]) -> Pairs:
    """What is put before and after each axis; `sizes` are those of the windows, spread out."""
    rank = len(sizes)
    mode = c.attributes.text("auto_pad", "NOTSET", AUTO)
    given = c.attributes.get("pads")
    if mode == "NOTSET" and given is not None:
        if len(given) != 2 * rank or any(n < 0 for n in given):
            raise LayerError(f"its pads are {list(given)[:16]}, expected {2 * rank} numbers")
        return tuple(zip(map(int, given[:rank]), map(int, given[rank:]), strict=True))
    if mode in ("NOTSET", "VALID"):
        return ((0, 0),) * rank
    found = []
    for n, size, stride in zip(x.shape[2:], sizes, strides, strict=True):
        if stride == 1:
            total = size - 1
        else:
            length = dims.fixed(n)
            total = max((-(-length // stride) - 1) * stride + size - length, 0)
        low = total // 2 if mode == "SAME_UPPER" else total - total // 2
        found.append((low, total - low))
    return tuple(found)


def _conv(c: Call) -> Value:
    """A convolution over any number of axes that has one with kernels of constants."""
    x = c.value(0)
    rank = x.rank - 2
    if rank not in (1, 2):
        raise LayerError(f"its input has {x.rank} axes, expected 3 or 4")
    weight = c.weights(1, "kernel (W)", *(None,) * x.rank)
    filters, sizes = weight.shape[0], weight.shape[2:]
    bias = c.weights(2, "bias (B)", filters) if c.has(2) else None
    c.attributes.get("kernel_shape")
    strides = c.attributes.integers("strides", rank, 1)
    dilations = c.attributes.integers("dilations", rank, 1)
    groups = c.attributes.integer("group", 1)
    reaches = tuple((n - 1) * d + 1 for n, d in zip(sizes, dilations, strict=True))
    around = pads(c, x, reaches, strides)
    if x.shape[1] != weight.shape[1] * groups or filters % groups:
        raise LayerError(f"{x.shape[1]} channels, its kernel is for {weight.shape[1]} x {groups}")
    held = spatial_first(x)
    lengths: list[Dim] = []
    for n, reach, stride, pair in zip(x.shape[2:], reaches, strides, around, strict=True):
        length = (n + sum(pair) - reach) // stride + 1
        if isinstance(length, int) and length < 1:
            raise LayerError(f"its window of {reach} does not fit {n} elements and their padding")
        lengths.append(length)
    for axis, n in enumerate(x.shape[2:]):
        if lengths[axis] == 1 and isinstance(n, int):
            weight, around, strides = _without_padding(axis, n, weight, around, strides, dilations)
    sizes = weight.shape[2:]
    ref, layout = c.arranged(x, held), [axis - 2 for axis in held[:-1]]

    def along(values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(1 if place < 0 else values[place] for place in layout)

    pairs = tuple((0, 0) if place < 0 else around[place] for place in layout)
    order = [n + 2 for n in layout if n >= 0]
    if len(pairs) > 2:
        raise LayerError(f"its batch axis has length {x.shape[0]}, expected 1")
    if any(n for pair in pairs for n in pair):
        ref = c.add(c.aside(ZeroPadding, "padding", padding=pairs), ref)
    layer: Layer
    both = {"bias": bias, "strides": along(strides), "dilations": along(dilations)}
    if groups > 1 and weight.shape[1] == 1:
        kernel = weight.reshape(groups, -1, *sizes).transpose([*order, 0, 1])
        kernel = np.ascontiguousarray(kernel.reshape(*along(sizes), *kernel.shape[-2:]))
        layer = c.layer(DepthwiseConvolution, kernel=kernel, **both)
    else:
        kernel = weight.transpose([*order, 1, 0])
        kernel = np.ascontiguousarray(kernel.reshape(*along(sizes), *kernel.shape[-2:]))
        layer = c.layer(Convolution, kernel=kernel, groups=groups, **both)
    shape = (x.shape[0], filters, *lengths)
    return Value(c.add(layer, ref), shape, held, x.dtype, x.time)


def _without_padding(
    axis: int,
    length: int,
    weight: Array,
    around: Pairs,
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[Array, Pairs, tuple[int, ...]]:
    """The same for an axis with a single place, without the taps that lie on padding."""
    places = np.arange(weight.shape[axis + 2]) * dilations[axis] - around[axis][0]
    inside = np.flatnonzero((places >= 0) & (places < length))
    if not len(inside) or places[inside[0]] != 0:
        return weight, around, strides
    return (
        weight.take(inside, axis + 2),
        (*around[:axis], (0, 0), *around[axis + 1 :]),
        (*strides[:axis], length, *strides[axis + 1 :]),
    )


TABLE = (Operator("Conv", _conv, note="over one or two axes, its kernel a constant"),)
