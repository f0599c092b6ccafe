"""Normalisation, by statistics of the model or of the input itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.errors import LayerError
from codegen.layers.core import BatchNormalization
from codegen.layers.normalization import AxisNormalization, scale_and_offset
from codegen.layers.wrappers import TimeDistributed
from codegen.model import Array, Graph, Input, Layer, Node, Ref
from codegen.program import dims
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator
from codegen.readers.onnx.rules.elementwise import formula
from codegen.readers.onnx.rules.reductions import reduced
from codegen.readers.onnx.values import Value


def _batch(c: Call) -> Value:
    """X * scale + offset along axis 1, from the statistics of the training."""
    x = c.value(0)
    epsilon = c.attributes.number("epsilon", 1e-5)
    if c.attributes.integer("training_mode", 0, 0, 1) or any(c.wanted[1:]):
        raise LayerError("it is in training mode, where it takes the statistics of the batch")
    if not c.attributes.integer("spatial", 1, 0, 1):
        raise LayerError("spatial is 0: each element has statistics of its own")
    if x.rank < 2:
        raise LayerError("its input has no channels")
    names = ("scale", "B", "mean", "var")
    gamma, beta, mean, variance = (
        c.weights(number, name, dims.fixed(x.shape[1])) for number, name in enumerate(names, 1)
    )
    scale, offset = scale_and_offset(
        mean, variance, epsilon, gamma, beta, c.assembly.options.allow_nonfinite
    )
    held = x.held if 1 in x.held else (*x.held, 1)
    layer = c.layer(BatchNormalization, scale=scale, offset=offset, axis=held.index(1) + 1)
    return Value(c.add(layer, c.arranged(x, held)), x.shape, held, x.dtype, x.time)


def _over_axes(c: Call, kind: str) -> Sequence[Value | None]:
    """LayerNormalization and RMSNormalization: over the axes from one on together."""
    x = c.value(0)
    first = c.axis(c.attributes.integer("axis", -1, -32, 32), x.rank)
    epsilon = c.attributes.number("epsilon", 1e-5)
    if c.attributes.integer("stash_type", 1, 0, 16) != 1:
        raise LayerError("its statistics are of another type than float32")
    axes = tuple(range(first, x.rank))
    weights: list[Array | None] = []
    for number, name in ((1, "scale"), (2, "B"))[: 2 if kind == "layer" else 1]:
        given = c.checked(c.known(number, name), name) if c.has(number) else None
        weights.append(None if given is None else _laid(given, x, first, name))
    ref, held = c.ordered(x, axes)
    layer = c.layer(
        AxisNormalization,
        kind=kind,
        axes=tuple(held.index(axis) + 1 for axis in axes),
        epsilon=epsilon,
        gamma=weights[0],
        beta=weights[1] if len(weights) > 1 else None,
    )
    y = Value(c.add(layer, ref), x.shape, held, x.dtype, x.time)
    return [y, *_statistics(c, x, axes, epsilon)]


def _laid(weight: Array, x: Value, first: int, name: str) -> Array:
    """Scale or offset with a length for each of the axes from `first` on."""
    lengths = [dims.fixed(n) for n in x.shape[first:]]
    rank = len(lengths)
    surplus, own = weight.shape[: max(0, weight.ndim - rank)], weight.shape[-rank:]
    try:
        if any(n != 1 for n in surplus):
            raise ValueError
        return np.ascontiguousarray(np.broadcast_to(weight.reshape(own), lengths))
    except ValueError:
        raise LayerError(
            f"its {name} is of shape {list(weight.shape)}, expected {lengths}"
        ) from None


def _statistics(
    c: Call, x: Value, axes: Sequence[int], epsilon: float
) -> tuple[Value | None, Value | None]:
    """The mean and 1 / deviation, where they are wanted."""
    mean = spread = None
    if len(c.wanted) > 1 and c.wanted[1]:
        mean = reduced(c, x, axes, True, kind="mean")
    if len(c.wanted) > 2 and c.wanted[2]:
        variance = reduced(c, x, axes, True, "statistic", kind="variance")
        variance = formula(c, "add", (variance, np.asarray(epsilon, np.float32)))
        spread = formula(c, "rsqrt", (variance,))
    return mean, spread


def per_sample(c: Call, x: Value, layer: Layer, held: tuple[int, ...]) -> Value:
    """A layer on the axes `held`, for each element along the first axis by itself."""
    if 0 not in x.needed:
        return Value(c.add(layer, c.arranged(x, held)), x.shape, held, x.dtype, x.time)
    if x.time and x.held[0] != 0:
        raise LayerError(f"its batch axis has length {x.shape[0]}, expected 1")
    shape = tuple(dims.fixed(x.shape[axis]) for axis in held)
    one = Node(c.aside(Input, "sample", shape=shape))
    graph = Graph((one, Node(layer, (Ref(0),))), (0,), (Ref(1),))
    each = c.layer(TimeDistributed, graph=graph)
    held = (0, *held)
    return Value(c.add(each, c.arranged(x, held)), x.shape, held, x.dtype, x.time)


def _groups(c: Call) -> Value:
    """GroupNormalization: channels in groups, each normalised by itself."""
    x = c.value(0)
    groups, channels = c.attributes.integer("num_groups"), dims.fixed(x.shape[1])
    if c.attributes.integer("stash_type", 1, 0, 16) != 1:
        raise LayerError("its statistics are of another type than float32")
    if channels % groups:
        raise LayerError(f"{channels} channels in {groups} groups")
    by_group = c.opset < 21
    weights = [c.weights(n, what, groups if by_group else channels) for n, what in _SCALES]
    if by_group:
        weights = [np.repeat(weight, channels // groups) for weight in weights]
    return _in_groups(c, x, groups, weights)


_SCALES = ((1, "scale"), (2, "bias"))


def _instance(c: Call) -> Value:
    """InstanceNormalization: each channel by itself."""
    x = c.value(0)
    weights = [c.weights(n, what, dims.fixed(x.shape[1])) for n, what in _SCALES]
    return _in_groups(c, x, -1, weights)


def _in_groups(c: Call, x: Value, groups: int, weights: Sequence[Array]) -> Value:
    epsilon = c.attributes.number("epsilon", 1e-5)
    if x.rank < 3 or (x.time and x.held[0] == 1):
        raise LayerError(f"its input has {x.rank} axes, expected 3 or more, the second of channels")
    first = x.held[:1] if x.time and x.held[0] != 0 else ()
    held = (*first, *(axis for axis in range(2, x.rank) if axis not in first), 1)
    layer = c.layer(
        AxisNormalization,
        kind="layer",
        axes=(len(held),),
        epsilon=epsilon,
        gamma=weights[0],
        beta=weights[1],
        groups=groups,
    )
    return per_sample(c, x, layer, held)


def _mean_variance(c: Call) -> Value:
    """(x - mean) / (deviation + 1e-9) over axes."""
    x = c.value(0)
    axes = c.attributes.wholes("axes", (0, 2, 3), -32, 32)
    along = tuple(c.axis(axis, x.rank) for axis in axes)
    mean = reduced(c, x, along, True, kind="mean")
    spread = reduced(c, x, along, True, "statistic", kind="deviation")
    spread = formula(c, "add", (spread, np.asarray(1e-9, np.float32)))
    return formula(c, "divide", (formula(c, "subtract", (x, mean)), spread))


def _across_channels(c: Call) -> Value:
    """LRN: x / (bias + alpha / size * sum of squares of the channels around)^beta."""
    x = c.value(0)
    number = c.attributes.number
    alpha, beta, bias = number("alpha", 1e-4), number("beta", 0.75), number("bias", 1.0)
    size, channels = c.attributes.integer("size"), dims.fixed(x.shape[1])
    before, places = (size - 1) // 2, np.arange(channels)
    distance = places[None] - places[:, None]
    near = (distance >= -before) & (distance <= size - 1 - before)
    square = formula(c, "square", (x,))
    held = square.held if 1 in square.held else (*square.held, 1)
    band = np.asarray(near * (alpha / size), np.float32)
    offset = np.full(channels, bias, np.float32)
    ref = c.arranged(square, held)
    ref = c.operation("mix", ref, axis=held.index(1) + 1, matrix=band, offset=offset)
    total = Value(ref, x.shape, held, x.dtype, x.time)
    return formula(c, "divide", (x, formula(c, "power", (total, np.asarray(beta, np.float32)))))


TABLE = (
    Operator("BatchNormalization", _batch, ignored=("momentum",), note="at inference"),
    Operator("LayerNormalization", lambda c: _over_axes(c, "layer")),
    Operator("RMSNormalization", lambda c: _over_axes(c, "rms")[0]),
    Operator("GroupNormalization", _groups),
    Operator("InstanceNormalization", _instance),
    Operator("MeanVarianceNormalization", _mean_variance),
    Operator("LRN", _across_channels),
)
