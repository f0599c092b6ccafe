"""BatchNormalization folded into the product before or after it.

y = s (W x + b) + o is one product with s W and s b + o, and W (s x + o) + b one with W s and
W o + b; equal to rounding. The second is exact only where no padding comes between.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from codegen.layers.convolution import Convolution
from codegen.layers.core import BatchNormalization, Dense, Identity
from codegen.model import Array, Layer, Model
from codegen.program.activations import LINEAR

Product = Dense | Convolution


def fold(model: Model) -> tuple[Model, dict[int, Layer]]:
    """The model with fewer normalisations, and for each new layer (by id) the one it replaces."""
    graph = model.graph
    nodes = list(graph.nodes)
    calls = Counter(id(node.layer) for node in nodes)
    users = graph.readers

    def alone(number: int) -> bool:
        """Whether the layer is called once, and one other call alone reads its output."""
        return calls[id(graph.nodes[number].layer)] == 1 and len(users[number]) == 1

    def put(number: int, layer: Layer) -> None:
        nodes[number] = replace(nodes[number], layer=layer)

    for number, node in enumerate(nodes):
        norm = node.layer
        if not isinstance(norm, BatchNormalization) or len(node.inputs) != 1:
            continue
        if calls[id(norm)] != 1 or node.keywords or not _finite(norm):
            continue
        before = node.inputs[0].node
        product = nodes[before].layer
        if alone(before) and _takes(product, norm) and _is_linear(product):
            put(before, _after(product, norm))
            put(number, Identity(name=norm.name, class_name=norm.class_name))
            continue
        if not alone(number) or users[number][0] < 0:
            continue
        following = users[number][0]
        product = nodes[following].layer
        if calls[id(graph.nodes[following].layer)] == 1 and _meets(product, norm):
            put(following, _before(product, norm))
            put(number, Identity(name=norm.name, class_name=norm.class_name))
    pairs = zip(nodes, graph.nodes, strict=True)
    replaced = {id(new.layer): old.layer for new, old in pairs if new.layer is not old.layer}
    if not replaced:
        return model, {}
    return replace(model, graph=replace(graph, nodes=tuple(nodes))), replaced


def _finite(norm: BatchNormalization) -> bool:
    return bool(np.isfinite(norm.scale).all() and np.isfinite(norm.offset).all())


def _last(layer: Layer) -> bool:
    """Whether the layer's channels are on the last axis."""
    return isinstance(layer, Dense) or (isinstance(layer, Convolution) and not layer.channels_first)


def _is_linear(layer: Layer) -> bool:
    return isinstance(layer, (Dense, Convolution)) and layer.activation == LINEAR


def _axis_is_last(layer: Layer, norm: BatchNormalization) -> bool:
    # A positive axis is the last one of a convolution's output; of a Dense it need not be.
    rank = layer.kernel.ndim - 1 if isinstance(layer, Convolution) else 0
    return norm.axis == -1 or norm.axis == rank > 0


def _takes(layer: Layer, norm: BatchNormalization) -> bool:
    """Whether `norm` after the layer can be part of it."""
    if not isinstance(layer, (Dense, Convolution)) or not _last(layer):
        return False
    return _axis_is_last(layer, norm) and layer.kernel.shape[-1] == len(norm.scale)


def _meets(layer: Layer, norm: BatchNormalization) -> bool:
    """Whether `norm` before the layer can be part of it."""
    if not isinstance(layer, (Dense, Convolution)) or not _last(layer):
        return False
    padded = isinstance(layer, Convolution) and (layer.padding != "valid" or layer.groups != 1)
    known = layer.kernel.shape[-2] == len(norm.scale)
    return not padded and _axis_is_last(layer, norm) and known


def _after(layer: Layer, norm: BatchNormalization) -> Product:
    assert isinstance(layer, (Dense, Convolution))
    bias: Array = np.zeros(len(norm.scale)) if layer.bias is None else layer.bias
    bias = bias * norm.scale + norm.offset
    return replace(layer, kernel=_scaled(layer.kernel, norm.scale), bias=bias)


def _before(layer: Layer, norm: BatchNormalization) -> Product:
    assert isinstance(layer, (Dense, Convolution))
    taps = layer.kernel.reshape(-1, *layer.kernel.shape[-2:])
    moved = np.einsum("kio,i->o", taps, norm.offset, dtype=np.float64)
    bias = moved if layer.bias is None else layer.bias + moved
    kernel = _scaled(layer.kernel, np.asarray(norm.scale)[:, None])
    return replace(layer, kernel=kernel, bias=bias)


def _scaled(kernel: Array, scale: Array) -> Array:
    """The product in float64, rounded to the kernel's own type: that much memory, no more."""
    result = np.empty_like(kernel)
    return np.multiply(kernel, scale, out=result, dtype=np.float64, casting="same_kind")
