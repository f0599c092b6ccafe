"""Models of tf.keras whose recurrent layers take time as the first axis, the batch as the second.

What Keras calls the batch axis of such a model is time. With the two swapped it is an ordinary
model, provided that all its layers work on each step by itself, or are recurrent and agree.
"""

from __future__ import annotations

from dataclasses import replace

from codegen.layers.core import ActivationLayer, Dense, Identity
from codegen.layers.merging import Merge
from codegen.layers.recurrent import Bidirectional, Recurrent
from codegen.model import Graph, Input, Layer

_POINTWISE = (Dense, Identity, Merge)


def batch_first(graph: Graph) -> Graph:
    """The graph with the batch axis first; unchanged where its layers do not all allow it."""
    layers = graph.layers
    if not any(_is_time_major(layer) for layer in layers) or not all(_agrees(x) for x in layers):
        return graph
    changed = {id(layer): _swapped(layer) for layer in layers}
    nodes = tuple(replace(node, layer=changed[id(node.layer)]) for node in graph.nodes)
    return replace(graph, nodes=nodes)


def _is_time_major(layer: Layer) -> bool:
    if isinstance(layer, Bidirectional):
        return layer.forward.time_major and layer.backward.time_major
    return isinstance(layer, Recurrent) and layer.time_major


def _agrees(layer: Layer) -> bool:
    if isinstance(layer, Input):
        return len(layer.shape) == 2  # batch and features, after time
    if isinstance(layer, ActivationLayer):
        return layer.activation.is_elementwise or layer.axis == -1
    return _is_time_major(layer) or isinstance(layer, _POINTWISE)


def _swapped(layer: Layer) -> Layer:
    if isinstance(layer, Input):
        return replace(layer, shape=(None, *layer.shape[1:]))
    if isinstance(layer, Bidirectional):
        forward = replace(layer.forward, time_major=False)
        return replace(layer, forward=forward, backward=replace(layer.backward, time_major=False))
    return replace(layer, time_major=False) if isinstance(layer, Recurrent) else layer
