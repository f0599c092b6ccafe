"""Models made by hand, as a reader would make them."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.model import Graph, Input, Layer, Model, Node, Ref


def of_nodes(
    nodes: Sequence[Node],
    outputs: Sequence[Ref] = (),
    name: str = "model",
    dtype: str = "float32",
    source: str = "",
) -> Model:
    """The model of the nodes; its inputs are those that are Input, its output the last of them."""
    inputs = tuple(k for k, node in enumerate(nodes) if isinstance(node.layer, Input))
    ends = tuple(outputs) or (Ref(len(nodes) - 1),)
    graph = Graph(tuple(nodes), inputs, ends)
    return Model(name, graph, "keras_h5", "Keras 2.1.5", source or f"{name}.h5", "0" * 16, dtype)


def chain(
    layers: Sequence[Layer],
    shape: tuple[int | None, ...],
    name: str = "model",
    dtype: str = "float32",
    source: str = "",
    given: str = "input",
    kind: str = "float32",
) -> Model:
    """One layer after the other; `given` and `kind` are name and type of the input."""
    nodes = [Node(Input(name=given, class_name="InputLayer", shape=shape, dtype=kind))]
    nodes += [Node(layer, (Ref(number),)) for number, layer in enumerate(layers)]
    return of_nodes(nodes, (), name, dtype, source)
