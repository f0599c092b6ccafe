"""Models made by hand, as a reader would make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codegen.layers.convolution import Convolution
from codegen.layers.core import Dense, Embedding
from codegen.layers.recurrent import (
    Bidirectional,
    Cell,
    GRUCell,
    LSTMCell,
    Recurrent,
    SimpleRNNCell,
)
from codegen.model import Array, Graph, Input, Layer, Model, Node, Ref
from codegen.program.activations import Activation


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


# Parameters of the activations that have no defaults for them.
PARAMETERS: dict[str, tuple[float, ...]] = {
    "leaky_relu": (0.25,),
    "thresholded_relu": (0.75,),
    "threshold": (0.75, -2.0),
    "parametric_softplus": (3.0, 2.0),
    "affine": (1.3, -0.4),
    "scaled_tanh": (1.7, 0.6),
    "clipped_line": (0.3, 0.4),
}


# ---- layers ---------------------------------------------------------------------------------
# Weights are those of the shapes and of `seed`, whatever the name: layers alike have the same ones.


def weights(*shape: int, seed: int = 0) -> Array:
    """Random weights, other ones for each shape and seed."""
    random = np.random.default_rng([seed, *shape])
    return random.normal(scale=0.4, size=shape).astype(np.float32)


def dense(
    inputs: int, units: int, activation: str = "linear", name: str = "dense", seed: int = 0
) -> Dense:
    """A Dense with a bias."""
    return Dense(
        name=name,
        class_name="Dense",
        kernel=weights(inputs, units, seed=seed),
        bias=weights(units, seed=seed),
        activation=Activation(activation),
    )


def recurrent(cell: Cell, class_name: str, **settings: Any) -> Recurrent:
    """The layer around a cell; it gives every step."""
    settings = {"return_sequences": True, **settings}
    return Recurrent(name=cell.name, class_name=class_name, cell=cell, **settings)


def rnn(
    inputs: int,
    units: int,
    name: str = "rnn",
    activation: str = "tanh",
    seed: int = 0,
    **settings: Any,
) -> Recurrent:
    """A SimpleRNN."""
    cell = SimpleRNNCell(
        name=name,
        class_name="SimpleRNNCell",
        kernel=weights(inputs, units, seed=seed),
        recurrent_kernel=weights(units, units, seed=seed + 1),
        bias=weights(units, seed=seed),
        activation=Activation(activation),
    )
    return recurrent(cell, "SimpleRNN", **settings)


def gru(
    inputs: int,
    units: int,
    name: str = "gru",
    gate: str = "sigmoid",
    activation: str = "tanh",
    reset_after: bool = False,
    seed: int = 0,
    **settings: Any,
) -> Recurrent:
    """A GRU."""
    size = 3 * units
    cell = GRUCell(
        name=name,
        class_name="GRUCell",
        kernel=weights(inputs, size, seed=seed),
        recurrent_kernel=weights(units, size, seed=seed + 1),
        bias=weights(2, size, seed=seed) if reset_after else weights(size, seed=seed),
        activation=Activation(activation),
        recurrent_activation=Activation(gate),
        reset_after=reset_after,
    )
    return recurrent(cell, "GRU", **settings)


def lstm(
    inputs: int,
    units: int,
    name: str = "lstm",
    gate: str = "sigmoid",
    activation: str = "tanh",
    seed: int = 0,
    **settings: Any,
) -> Recurrent:
    """An LSTM."""
    cell = LSTMCell(
        name=name,
        class_name="LSTMCell",
        kernel=weights(inputs, 4 * units, seed=seed),
        recurrent_kernel=weights(units, 4 * units, seed=seed + 1),
        bias=weights(4 * units, seed=seed),
        activation=Activation(activation),
        recurrent_activation=Activation(gate),
    )
    return recurrent(cell, "LSTM", **settings)


def bidirectional(inputs: int, units: int, name: str = "both") -> Bidirectional:
    """Two LSTMs, whose outputs stand side by side."""
    return Bidirectional(
        name=name,
        class_name="Bidirectional",
        forward=lstm(inputs, units, "forward"),
        backward=lstm(inputs, units, "backward", go_backwards=True, seed=2),
        merge_mode="concat",
        return_sequences=True,
    )


def conv(
    inputs: int,
    filters: int,
    name: str = "conv",
    dilation: int = 1,
    padding: str = "causal",
    activation: str = "tanh",
    size: int = 3,
) -> Convolution:
    """A Conv1D."""
    return Convolution(
        name=name,
        class_name="Conv1D",
        kernel=weights(size, inputs, filters),
        bias=weights(filters),
        strides=(1,),
        dilations=(dilation,),
        padding=padding,
        activation=Activation(activation),
    )


def embedding(rows: int = 9, units: int = 5, name: str = "embedding", **settings: Any) -> Embedding:
    """A table of random rows."""
    return Embedding(name=name, class_name="Embedding", table=weights(rows, units), **settings)
