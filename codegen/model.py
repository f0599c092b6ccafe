"""A trained model in Keras' own words: a graph of layers with canonical weights.

All differences between file formats and Keras versions end in the reader: here every weight has
one shape and one gate order, and every activation one meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import Problem
from codegen.program import ops

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Array = ops.Array

# Of audio models: in hertz, dB and dBu. The generated file has each as a constant.
FACTS = ("sample_rate", "loudness", "input_level_dbu", "output_level_dbu")


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """One layer: its path in the model (`encoder/gru_1`), and its class as the file names it."""

    name: str
    class_name: str
    stored: int | None = None  # numbers in the file for this layer alone, as Keras counts them

    def lower(
        self, b: Builder, *inputs: Tensor, **keywords: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Emit the ops of one call; returns the output tensors in Keras' order."""
        raise NotImplementedError

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """The layer for inputs whose axis k is held as axis `order[k]`, and its output's order.

        None, which is right for every layer: its inputs are brought into Keras' order first.
        """
        return None

    @property
    def aligns(self) -> bool:
        """Whether its operands meet as NumPy's arrays do: at the last axis, batch axis included."""
        return False

    @property
    def inner(self) -> tuple[Layer, ...]:
        """The layers that this one wraps."""
        return ()

    @property
    def parameters(self) -> int:
        """How many parameters Keras counts, those of wrapped layers included."""
        own = self.stored
        if own is None:
            own = sum(v.size for v in vars(self).values() if isinstance(v, np.ndarray))
        return own + sum(layer.parameters for layer in self.inner)

    @property
    def describe(self) -> str:
        """The layer and its settings on one line, for headings."""
        return self.class_name

    @property
    def is_stateful(self) -> bool:
        """Whether Keras carries a state of this layer from one predict call to the next."""
        return False


@dataclass(frozen=True, eq=False, kw_only=True)
class Unsupported(Layer):
    """Stands where the file holds a layer that is not converted; `message` says why."""

    message: str
    path: str | None = None  # of the innermost layer, where the problem sits inside a wrapper

    @property
    def problem(self) -> Problem:
        """The problem as it is reported."""
        return Problem(self.path or self.name, self.class_name, self.message)


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Layer):
    """An input of the model; `shape` has no batch axis and None where a length is free."""

    shape: tuple[int | None, ...]
    dtype: str = "float32"  # or "int32" where only Embeddings read it (in a file: what it says)
    time: bool | None = None  # whether its first axis is time; None where its rank tells


@dataclass(frozen=True, eq=False, kw_only=True)
class State(Input):
    """A state of a graph that runs once a step: what an output of the run before has become."""

    start: Array | None = None  # before the first run; None for zeros

    @property
    def is_stateful(self) -> bool:
        """Always: it is kept from one predict to the next."""
        return True


@dataclass(frozen=True, eq=False, kw_only=True)
class Constant(Layer):
    """An array that stands in a call in place of a tensor, with all its axes.

    Whether the first is the batch axis is told by the layer that is called on it: see
    `settled` in `codegen/layers/shared/calls.py`.
    """

    value: Array

    @property
    def describe(self) -> str:
        """Its shape in the file."""
        return f"Constant{self.value.shape}"

    def lower(
        self, b: Builder, *inputs: Tensor, **keywords: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """The array."""
        return (replace(b.const("value", self.value), stored=True),)


@dataclass(frozen=True)
class Ref:
    """Output number `index` of node number `node`."""

    node: int
    index: int = 0


@dataclass(frozen=True, eq=False)
class Node:
    """One call of a layer. Keywords are `initial_state`, `mask`, `states`, as in Keras.

    A mask that is given without a tensor stands for none, whatever mask the input has.
    """

    layer: Layer
    inputs: tuple[Ref, ...] = ()
    keywords: Mapping[str, tuple[Ref, ...]] = field(default_factory=dict)
    stops_mask: bool = False  # what comes out has no mask

    def unmasked(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What comes out, without masks if it has none."""
        return tuple(replace(y, mask=None) for y in outputs) if self.stops_mask else outputs


@dataclass(frozen=True, eq=False)
class Graph:
    """Calls in an order in which each node only refers to earlier ones; nested models inlined.

    A graph with states is run once a step: its calls take a single row of each input, whose shape
    begins with None all the same, and give a row of each output.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]  # the nodes that are `Input`, in Keras' order
    outputs: tuple[Ref, ...]
    states: Mapping[int, Ref] = field(default_factory=dict)  # the nodes `State`: what each becomes

    @cached_property
    def users(self) -> dict[int, list[int]]:
        """The numbers of the nodes that take outputs of a node as their inputs."""
        found: dict[int, list[int]] = {}
        for number, node in enumerate(self.nodes):
            for source in dict.fromkeys(ref.node for ref in node.inputs):
                found.setdefault(source, []).append(number)
        return found

    @cached_property
    def readers(self) -> dict[int, list[int]]:
        """The nodes that read each node; for what a state becomes, the state; -1 for the caller."""
        found: dict[int, list[int]] = {number: [] for number in range(len(self.nodes))}
        for number, node in enumerate(self.nodes):
            for refs in (node.inputs, *node.keywords.values()):
                for ref in refs:
                    found[ref.node].append(number)
        for state, ref in self.states.items():
            found[ref.node].append(state)
        for ref in self.outputs:
            found[ref.node].append(-1)
        return found

    def without(self, gone: Mapping[int, Ref | None]) -> Graph:
        """The graph without these nodes; what has read one reads what is given in its place."""
        kept = [number for number in range(len(self.nodes)) if number not in gone]
        place = {number: k for k, number in enumerate(kept)}

        def moved(refs: tuple[Ref, ...]) -> tuple[Ref, ...]:
            return tuple(instead(ref) for ref in refs)

        def instead(ref: Ref) -> Ref:
            other = gone.get(ref.node)
            return Ref(place[ref.node], ref.index) if other is None else instead(other)

        nodes = []
        for number in kept:
            one = self.nodes[number]
            keywords = {key: moved(refs) for key, refs in one.keywords.items()}
            nodes.append(replace(one, inputs=moved(one.inputs), keywords=keywords))
        return Graph(
            tuple(nodes),
            tuple(place[number] for number in self.inputs),
            moved(self.outputs),
            {place[s]: instead(ref) for s, ref in self.states.items() if s not in gone},
        )

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Each layer once, in the order of its first call."""
        return tuple({id(node.layer): node.layer for node in self.nodes}.values())


@dataclass(frozen=True, eq=False)
class Model:
    """A model as read from `source`."""

    name: str
    graph: Graph
    format: str  # "keras_h5", "keras_zip", "weights_h5", ...
    writer: str  # "Keras 2.1.5", "PyTorch 2.13.0"; "" where the file does not say
    source: str  # base name of the file, for messages and the banner
    digest: str  # first 16 hexadecimal digits of the SHA-256 over the model's files
    dtype: str = "float32"  # of the variables: float32, or float64 (half types count as float32)
    problems: tuple[Problem, ...] = ()  # that belong to no single layer
    at_inference: tuple[str, ...] = ()  # layers called with training=True, taken as without it
    proposed_states: tuple[tuple[str, str], ...] = ()  # inputs and outputs that may be states
    facts: tuple[tuple[str, float], ...] = ()  # what the file says about its use; names of FACTS
    rate_ratio: float = 1.0  # of the rate at which it runs to that of its training
    prewarm: int = 0  # steps of silence that have gone by when it starts

    @property
    def keras_version(self) -> str:
        """Of the Keras that wrote it; "" where the file does not say, or another program did."""
        return self.writer.removeprefix("Keras ") if self.writer.startswith("Keras ") else ""

    @property
    def running(self) -> tuple[str, ...]:
        """What is otherwise than in its training, a sentence each."""
        rate = f"Runs at {self.rate_ratio:g} times the sample rate of its training."
        start = f"Starts from the state after {self.prewarm} steps of silence."
        said = ((self.rate_ratio != 1, rate), (self.prewarm != 0, start))
        return tuple(sentence for is_so, sentence in said if is_so)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The input layers in Keras' order."""
        layers = (self.graph.nodes[i].layer for i in self.graph.inputs)
        return tuple(layer for layer in layers if isinstance(layer, Input))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Each layer once, in the order of its first call."""
        return self.graph.layers
