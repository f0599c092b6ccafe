"""From the tree of items to one flat list of calls: nested models are inlined."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from codegen.errors import LayerError, ReadError
from codegen.layers.masking import GivenMask
from codegen.model import Input, Layer, Ref
from codegen.readers.keras import tf_nodes
from codegen.readers.keras.constants import Fixed, constant
from codegen.readers.keras.era import Era
from codegen.readers.keras.items import Item
from codegen.readers.keras.masks import Call
from codegen.readers.keras.nodes import (
    InboundNode,
    Operand,
    Source,
    inbound_node,
    is_default,
    leaves,
)
from codegen.readers.settings import Config, show

MAX_CALLS = 5_000  # of layers and of nested models, each use counted


def unread(key: str, value: Any = None) -> str:
    """The problem of an argument that changes what is computed in a way that nothing here reads."""
    shown = "..." if value is None else show(value)
    return f"it is called with {key}={shown}, which is not supported"


def _own_item(layer: Layer) -> Item:
    """The item of a layer that stands in no file."""
    return Item(layer.name, layer.name, layer.class_name, Config({}), None)


KernelShape = Callable[[Item], tuple[int, ...] | None]  # of a layer or of what is inside it


# Layers whose input has a time axis and features, and layers that change no axis but the last.
_SEQUENCES = (
    "Bidirectional", "Conv1D", "CuDNNGRU", "CuDNNLSTM", "GRU", "LSTM", "RNN", "SimpleRNN",
)  # fmt: skip


_ANY_AXES = (
    "Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization", "Dense",
    "Dropout", "ELU", "GaussianDropout", "GaussianNoise", "LeakyReLU", "Masking", "ReLU",
    "ThresholdedReLU",
)  # fmt: skip


class Flattener:
    """Collects the calls of a model and of the models inside it."""

    def __init__(self, era: Era, label: str, kernel_shape: KernelShape) -> None:
        self.calls: list[Call] = []
        self._kernel_shape = kernel_shape
        self._era = era
        self._label = label
        self._names: set[str] = set()
        self._models = 0
        self._constants: dict[int, Ref] = {}  # by the id of the value in the configuration

    def add(self, call: Call) -> Ref:
        """Append a call; returns its first output."""
        if len(self.calls) >= MAX_CALLS:
            raise ReadError(f"{self._label}: the model has more than {MAX_CALLS} calls of layers")
        self.calls.append(call)
        return Ref(len(self.calls) - 1)

    def top(self, model: Item) -> list[Ref]:
        """The whole model with its inputs; returns its outputs."""
        inputs = []
        for name, shape, dtype in self.inputs(model):
            item = Item(name, self._unique(name), "InputLayer", Config({}), None)
            given = Input(name=item.path, class_name="InputLayer", shape=shape, dtype=dtype)
            inputs.append(self.add(Call(item, given=given)))
        self.reserve(model)
        return self.model(model, inputs)

    def reserve(self, item: Item) -> None:
        """Keep the names of an item and all inside it from being given to anything else."""
        self._names.update(one.path for one, _ in item.walk())

    def _unique(self, name: str) -> str:
        unique, number = name, 2
        while unique in self._names:
            unique, number = f"{name}_{number}", number + 1
        self._names.add(unique)
        return unique

    def inputs(self, model: Item) -> list[tuple[str, tuple[int | None, ...], str]]:
        """Name, shape without the batch axis and type of every input that the model needs."""
        if model.class_name == "Functional":
            by_name = {part.name: part for _, part in model.parts}
            found = []
            for source in self._ends(model, "input_layers"):
                layer = by_name.get(source.layer)
                if layer is None or not layer.is_input:
                    raise ReadError(f"{self._label}: input {source.layer!r} is not an InputLayer")
                found.append((layer.name, *self._declared(layer.config, layer, model)))
            return found
        first = self._first(model)
        if first.is_input:
            return [(first.name, *self._declared(first.config, first, model))]
        if first.is_model:
            return self.inputs(first)
        if first.class_name == "Merge" and first.parts:
            return [entry for _, part in first.parts for entry in self.inputs(part)]
        return [(f"{first.name}_input", *self._declared(first.config, first, model))]

    def count(self, model: Item) -> int:
        """How many inputs the model needs."""
        if model.class_name == "Functional":
            return len(self._ends(model, "input_layers"))
        first = self._first(model)
        if first.is_model:
            return self.count(first)
        if first.class_name == "Merge" and first.parts:
            return sum(self.count(part) for _, part in first.parts)
        return 1

    def _first(self, model: Item) -> Item:
        """The first layer of a Sequential."""
        if not model.parts:
            raise ReadError(f"{self._label}: the model {model.name!r} has no layers")
        return model.parts[0][1]

    def _inferred(self, model: Item) -> list[int | None] | None:
        """The shape that the weights of a Sequential tell, with a free time axis.

        From Keras 2.2 to TensorFlow 2.1 a Sequential that starts with an InputLayer loses it when
        it is saved. The first kernel tells the features, and the first layer that minds the axes.
        """
        kernel: tuple[int, ...] | None = None
        for _, layer in model.parts:
            is_first = kernel is None
            kernel = kernel or self._kernel_shape(layer)
            if layer.class_name == "Conv1D" and is_first and kernel is not None:
                plain = layer.config.get("data_format", "channels_last") == "channels_last"
                ungrouped = layer.config.get("groups", 1) == 1
                return [None, None, kernel[1]] if plain and ungrouped and len(kernel) == 3 else None
            if layer.class_name in _SEQUENCES:
                return [None, None, kernel[0]] if kernel is not None and len(kernel) == 2 else None
            if layer.class_name not in _ANY_AXES:
                return None
        return None

    def _declared(
        self, config: Config, layer: Item, model: Item
    ) -> tuple[tuple[int | None, ...], str]:
        """The shape that a first layer or its model declares, and the dtype."""
        shape: Any = None
        for values, key in (
            (config, "batch_input_shape"),
            (config, "batch_shape"),
            (model.config, "build_input_shape"),
            (model.entry.get("build_config"), "input_shape"),
            (layer.entry.get("build_config"), "input_shape"),
        ):
            if shape is None and isinstance(values, Mapping):
                shape = values.get(key)
        if shape is None and isinstance(config.get("input_shape"), list):
            shape = [None, *config["input_shape"]]
        if shape is None and type(config.get("input_dim")) is int:  # Keras 1
            if layer.kind is not None and layer.kind.mask == "recurrent":
                shape = [None, config.get("input_length"), config["input_dim"]]
            elif layer.class_name == "Embedding":
                shape = [None, config.get("input_length")]
            else:
                shape = [None, config["input_dim"]]
        if shape is None:
            shape = self._inferred(model)
        if shape is None and layer.problem is not None:
            raise ReadError(f"{self._label}: layer {layer.path!r}: {layer.problem}")
        if not isinstance(shape, list) or not shape:
            raise ReadError(
                f"{self._label}: no input shape is stored for layer {layer.path!r} "
                f"({show(shape)} found); give the first layer an input_shape and save again"
            )
        try:
            lengths = Config({"input shape": shape}).shape("input shape")[1:]
        except LayerError as error:
            raise ReadError(f"{self._label}: layer {layer.path!r}: {error}") from None
        dtype = config.get("dtype", config.get("input_dtype"))
        if not isinstance(dtype, str) or not re.search("int|bool", dtype):
            return lengths, "float32"
        return lengths, "int32" if dtype == "int64" else dtype

    def _ends(self, model: Item, key: str) -> list[Source]:
        return leaves(model.config.get(key), f"{self._label}: model {model.name!r}: {key}")

    def model(self, model: Item, inputs: Sequence[Ref], trains: bool = False) -> list[Ref]:
        """Inline a model called on `inputs`, perhaps with training=True; returns its outputs."""
        # A model that calls an inner one twice, which calls another twice, ... may be vast
        # without any layer.
        self._models += 1
        if self._models > MAX_CALLS:
            raise ReadError(f"{self._label}: the model has more than {MAX_CALLS} calls of models")
        if model.class_name == "Functional":
            return self._functional(model, inputs, trains)
        settings = Config({"training": True} if trains else {})
        values = list(inputs)
        for number, (_, layer) in enumerate(model.parts):
            if layer.is_input:
                continue
            if number == 0 and layer.class_name == "Merge" and layer.parts:
                values = self._merged(layer, values)
            elif layer.is_model:
                values = self.model(layer, values, trains)
            else:
                first = self.add(Call(layer, tuple(values), settings=settings))
                values = [Ref(first.node, index) for index in range(_outputs(layer))]
        return values

    def _merged(self, merge: Item, values: list[Ref]) -> list[Ref]:
        """The `Merge` that starts a Sequential of Keras 1: each of its models has own inputs."""
        results: list[Ref] = []
        for _, part in merge.parts:
            count = self.count(part)
            results += self.model(part, values[:count])
            values = values[count:]
        return [self.add(Call(merge, tuple(results)))]

    def _called(self, call: Call) -> list[Ref] | Ref:
        """The outputs of a model, or a layer's first."""
        item, keywords, inputs = call.item, dict(call.keywords), list(call.inputs)
        problem = call.problem
        if item.is_model or (item.kind is not None and item.kind.hands_on_mask):
            for number, x in enumerate(inputs):
                masks = keywords.pop(f"mask_{number}" if item.is_model else "mask", ())
                inputs[number] = self._masked(item, x, masks) if masks else x
                if len(masks) > 1:
                    problem = problem or unread("mask")
        call = replace(call, inputs=tuple(inputs), keywords=keywords, problem=problem)
        if not item.is_model:
            return self.add(call)
        settings = {key: v for key, v in call.settings.items() if not is_default(v)}
        trains = settings.pop("training", False)
        for key in (*keywords, *settings):
            problem = problem or unread(key, settings.get(key))
        if trains not in (True, False):
            problem = problem or unread("training", trains)
        if problem is not None:
            return self.add(replace(call, item=replace(item, problem=problem)))
        return self.model(item, inputs, trains)

    def _constant(self, item: Item, fixed: Fixed) -> Ref:
        """An array in a call of `item`; the same for each use of the model that it stands in."""
        key = id(fixed.value)
        if key not in self._constants:
            self._constants[key] = self._array(item, partial(getattr, fixed, "value"))
        return self._constants[key]

    def _array(self, item: Item, value: Callable[[], Any]) -> Ref:
        """An array of a call of `item`, or what is wrong with it."""
        name = self._unique(f"{item.path}/constant")
        try:
            layer = constant(name, value())
        except LayerError as error:
            return self.add(Call(replace(item, problem=str(error))))
        return self.add(Call(_own_item(layer), given=layer))

    def _arrays(self, layers: Mapping[str, Item]) -> dict[tuple[str, int], list[Ref] | Ref]:
        """The arrays that stand in a TensorFlow graph as nodes, each as the first call of one."""
        found: dict[tuple[str, int], list[Ref] | Ref] = {}
        for name, layer in layers.items():
            if tf_nodes.is_constant(layer):
                found[name, 0] = self._array(layer, partial(tf_nodes.numbers, layer.config))
        return found

    def _masked(self, item: Item, x: Ref, masks: tuple[Ref, ...]) -> Ref:
        """A tensor with the mask that a call of `item` is given by name."""
        name = self._unique(f"{item.path}/mask")
        layer = GivenMask(name=name, class_name="GivenMask", stored=0)
        return self.add(Call(_own_item(layer), (x,), {"mask": masks}, given=layer))

    def _functional(self, model: Item, inputs: Sequence[Ref], trains: bool) -> list[Ref]:
        label = f"{self._label}: model {model.name!r}"
        layers = {part.name: part for _, part in model.parts}
        if len(layers) != len(model.parts):
            raise ReadError(f"{label}: two layers have the same name")
        names = frozenset(layers)
        nodes: dict[str, list[InboundNode]] = {}
        for name, layer in layers.items():
            raw = layer.entry.get("inbound_nodes", [])
            if not isinstance(raw, list):
                raise ReadError(f"{label}: inbound_nodes of {name!r} is not a list")
            nodes[name] = [
                inbound_node(one, names, f"{label}: layer {name!r}", layer) for one in raw
            ]
        outputs = [self._end(s, layers) for s in self._ends(model, "output_layers")]
        ends = self._ends(model, "input_layers")
        if len(ends) != len(inputs):
            raise ReadError(f"{label}: called on {len(inputs)} tensors, it has {len(ends)} inputs")

        everything = [s for calls in nodes.values() for node in calls for s in node.sources()]
        first = self._first_nodes(layers, nodes, [*everything, *outputs], label)
        layers |= self._untold(layers, nodes, everything)
        values: dict[tuple[str, int], list[Ref] | Ref] = self._arrays(layers)
        for source, ref in zip(ends, inputs, strict=True):
            values[source.layer, 0] = [ref]

        def lookup(source: Source) -> Ref:
            found = values.get((source.layer, source.node - first[source.layer]))
            if found is None:
                raise ReadError(f"{label}: {source.layer!r} is used but is not one of its inputs")
            if isinstance(found, Ref):
                return Ref(found.node, source.index)
            if source.index >= len(found):
                raise ReadError(f"{label}: {source.layer!r} has no output {source.index}")
            return found[source.index]

        for name, number in self._order(layers, nodes, first, label):
            layer, node = layers[name], nodes[name][number]

            def operand(one: Operand, layer: Item = layer) -> Ref:
                return self._constant(layer, one) if isinstance(one, Fixed) else lookup(one)

            arguments = tuple(operand(one) for one in node.inputs)
            keywords = {key: tuple(map(operand, ones)) for key, ones in node.keywords.items()}
            settings = dict(node.settings)
            if trains:
                settings["training"] = True
            call = Call(layer, arguments, keywords, Config(settings), node.arguments, None)
            values[name, number] = self._called(replace(call, problem=node.problem))
        for source in outputs:
            if (source.layer, source.node - first.get(source.layer, 0)) not in values:
                raise ReadError(f"{label}: its output {source.layer!r} is never computed")
        return [lookup(source) for source in outputs]

    def _end(self, source: Source, layers: Mapping[str, Item]) -> Source:
        """An output as layers name it: Keras 3 counts a nested functional model from 1 here only.

        Everywhere else, and a nested Sequential here too, it counts from 0.
        """
        layer = layers.get(source.layer)
        counts_from_1 = layer is not None and layer.class_name == "Functional" and source.node > 0
        if self._era.zero_based_nodes and counts_from_1:
            return replace(source, node=source.node - 1)
        return source

    def _untold(
        self,
        layers: Mapping[str, Item],
        nodes: Mapping[str, Sequence[InboundNode]],
        sources: Sequence[Source],
    ) -> dict[str, Item]:
        """The layers of which other layers may take another call than the file says, refused."""
        if any(source.node > 0 for source in sources):
            return {}
        found: dict[str, Item] = {}
        for name in {source.layer: 0 for source in sources if len(nodes[source.layer]) > 1}:
            problem = (
                f"it is called {len(nodes[name])} times, and files of Keras 3.2 do not say "
                "which call another layer uses; build the model in Keras 3.3 or later, load its "
                "weights and save it there"
            )
            try:
                if self._era.tells_calls:
                    continue
            except LayerError as error:
                problem = str(error)
            found[name] = replace(layers[name], problem=problem)
        return found

    def _first_nodes(
        self,
        layers: Mapping[str, Item],
        nodes: Mapping[str, Sequence[InboundNode]],
        sources: Sequence[Source],
        label: str,
    ) -> dict[str, int]:
        """The index of each layer's first call, 0 or 1.

        Up to Keras 2 it is 1 for a nested model, since building it counted as node 0; but not for
        one that was built only when it was called.
        """
        referenced: dict[str, set[int]] = {}
        for source in sources:
            if source.layer not in layers:
                raise ReadError(f"{label}: layer {source.layer!r} is used but missing")
            referenced.setdefault(source.layer, set()).add(source.node)
        first: dict[str, int] = {}
        for name, layer in layers.items():
            used = referenced.get(name, {0})
            is_model = layer.class_name in ("Sequential", "Functional")
            built = is_model and not self._era.zero_based_nodes
            first[name] = 1 if built and min(used) > 0 else 0
            calls = len(nodes[name])
            if name in referenced and not calls and not _is_given(layer):
                raise ReadError(f"{label}: layer {name!r} is used but never called")
            if max(used) >= first[name] + max(calls, 1):
                raise ReadError(
                    f"{label}: the output of call {max(used)} of layer {name!r} is used, but there "
                    f"{'is only call' if calls < 2 else 'are only calls'} {first[name]}"
                    + (f" to {first[name] + calls - 1}" if calls > 1 else "")
                )
        return first

    def _order(
        self,
        layers: Mapping[str, Item],
        nodes: Mapping[str, Sequence[InboundNode]],
        first: Mapping[str, int],
        label: str,
    ) -> Iterator[tuple[str, int]]:
        """Every call after those it needs, else in the order of the configuration."""
        rank = {name: number for number, name in enumerate(layers)}
        waiting: dict[tuple[str, int], int] = {}
        needed_by: dict[tuple[str, int], list[tuple[str, int]]] = {}
        ready: list[tuple[int, int, str]] = []
        for name, calls in nodes.items():
            if _is_given(layers[name]):
                continue
            for number, node in enumerate(calls):
                needs = {(s.layer, s.node - first[s.layer]) for s in node.sources()}
                needs = {need for need in needs if not _is_given(layers[need[0]])}
                waiting[name, number] = len(needs)
                for need in needs:
                    needed_by.setdefault(need, []).append((name, number))
                if not needs:
                    heapq.heappush(ready, (rank[name], number, name))
        done = 0
        while ready:
            _, number, name = heapq.heappop(ready)
            done += 1
            yield name, number
            for after in needed_by.get((name, number), []):
                waiting[after] -= 1
                if not waiting[after]:
                    heapq.heappush(ready, (rank[after[0]], after[1], after[0]))
        if done != len(waiting):
            stuck = next(name for (name, _), count in waiting.items() if count)
            raise ReadError(f"{label}: layer {stuck!r} depends on itself")


def _is_given(layer: Item) -> bool:
    """Whether a layer is there without a call: an input, or an array of a TensorFlow graph."""
    return layer.is_input or tf_nodes.is_constant(layer)


def _outputs(layer: Item) -> int:
    """How many tensors a layer gives; a Sequential of Keras 3 hands all of them on."""
    if layer.problem is not None:  # its parts are not known; it is refused in its place
        return 1
    if layer.class_name == "Bidirectional":
        halves = [_outputs(half) for _, half in layer.parts]
        return (2 if layer.config.get("merge_mode", "concat") is None else 1) + sum(halves) - 2
    returns_state = layer.config.get("return_state") is True
    return 1 + sum(_states(cell) for _, cell in layer.parts) * returns_state


def _states(cell: Item) -> int:
    """How many states a cell has."""
    if cell.class_name == "StackedRNNCells":
        return sum(_states(part) for _, part in cell.parts)
    return 2 if "LSTM" in cell.class_name else 1
