"""A product and the sum with a constant after it are one Dense layer with a bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codegen.layers.core import Dense
from codegen.layers.operations import Operation
from codegen.model import Array, Graph, Layer, Ref
from codegen.program.activations import LINEAR


def with_biases(graph: Graph) -> Graph:
    """The graph with such sums in the layers before them."""
    nodes, gone = list(graph.nodes), dict[int, Ref | None]()
    for number, node in enumerate(graph.nodes):
        if not isinstance(node.layer, Operation) or len(node.inputs) != 1:
            continue
        source = node.inputs[0].node
        before = graph.nodes[source]
        if graph.readers[source] != [number] or not isinstance(before.layer, Dense):
            continue
        bias = _bias(before.layer, node.layer)
        if bias is not None:
            layer: Layer = replace(before.layer, bias=bias)
            nodes[source] = replace(before, layer=layer)
            gone[number] = Ref(source)
    return replace(graph, nodes=tuple(nodes)).without(gone) if gone else graph


def _bias(dense: Dense, sum_: Operation) -> Array | None:
    """What the operation adds to every row of the layer's output; None for any other."""
    terms = [term for term in sum_.settings.get("operands", ()) if term is not None]
    plain = dense.bias is None and dense.activation == LINEAR and sum_.rule == "add"
    if not plain or len(terms) != 1:
        return None
    term, units = np.asarray(terms[0]), dense.kernel.shape[1]
    if term.size != 1 and (term.size != units or term.shape[-1] != units):
        return None
    return np.array(np.broadcast_to(term.ravel(), (units,)), dense.kernel.dtype)
