"""From the tree of items to one flat graph of calls: nested models are inlined.

The calls are made first, then masks are traced through them, and only then are the layers built.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from codegen.errors import LayerError, Problem, ReadError
from codegen.layers.core import Embedding, NotEqualMask, TimeDistributed
from codegen.layers.recurrent import Bidirectional, Recurrent
from codegen.model import Graph, Input, Layer, Node, Ref, Unsupported
from codegen.readers import ops, tf_ops
from codegen.readers.attention_layers import called
from codegen.readers.config import Config, clean, show
from codegen.readers.era import Era
from codegen.readers.kinds import Bound, Context, InnerError, Item, ShapeError
from codegen.readers.masks import Call, Masks
from codegen.readers.recurrent_layers import started
from codegen.readers.weights import Binding

MAX_CALLS = 5_000  # of layers and of nested models, each use counted

KernelShape = Callable[[Item], tuple[int, ...] | None]  # of a layer or of what is inside it


@dataclass(frozen=True)
class Source:
    """A tensor as a configuration names it: layer, call, output."""

    layer: str
    node: int
    index: int


# ---- reading the nodes of a configuration ---------------------------------------------------


@dataclass(frozen=True)
class Node3:
    """One inbound node with its tensors in order."""

    inputs: tuple[Source, ...]
    keywords: Mapping[str, tuple[Source, ...]]
    settings: Mapping[str, Any]
    arguments: tuple[Any, ...]

    def sources(self) -> Iterator[Source]:
        """Every tensor."""
        yield from self.inputs
        for sources in self.keywords.values():
            yield from sources


_FIRST = ("inputs", "x", "sequences", "sequence", "query")  # a first argument given by name
_MASKS = ("query_mask", "value_mask", "key_mask")
_MORE = ("value", "key")  # further inputs given by name, in the order of the attention layers


def _node(raw: Any, names: frozenset[str], label: str, is_function: bool = False) -> Node3:
    """One inbound node, of Keras 3 (args and kwargs) or before (a list of tensors)."""
    sources: list[Source] = []
    arguments: list[Any] = []
    kwargs: dict[str, Any] = {}
    if isinstance(raw, dict) and isinstance(raw.get("args", []), list):
        arguments = [_argument(argument, sources, label) for argument in raw.get("args", [])]
        if isinstance(raw.get("kwargs", {}), dict):
            kwargs = raw.get("kwargs", {})
    elif isinstance(raw, list):
        # A single tensor may stand without a list around it.
        entries = [raw] if raw and isinstance(raw[0], str) else raw
        for entry in entries:
            if is_function and isinstance(entry, list) and entry[:1] == ["_CONSTANT_VALUE"]:
                arguments.append(entry[2] if len(entry) > 2 else None)
                if len(entry) > 3 and isinstance(entry[3], dict) and not kwargs:
                    kwargs = entry[3]
                continue
            if not isinstance(entry, list) or len(entry) < 3:
                raise ReadError(f"{label}: {show(entry)} is no reference to a layer")
            arguments.append(ops.TENSOR)
            sources.append(_source(entry, label))
            if len(entry) > 3 and isinstance(entry[3], dict) and not kwargs:
                kwargs = entry[3]
    else:
        raise ReadError(f"{label}: {show(raw)} is no call of a layer")
    first: list[Source] = []
    keywords: dict[str, tuple[Source, ...]] = {}
    settings: dict[str, Any] = {}
    if is_function:
        more, keywords = _more(kwargs, names, label)
        arguments += [ops.TENSOR if isinstance(one, Source) else one for one in more]
        sources += [one for one in more if isinstance(one, Source)]
        kwargs = {key: value for key, value in kwargs.items() if key not in tf_ops.MORE}
    for key, value in _without_lists(kwargs, names).items():
        found = list(_tensors(value, names, label))
        if not found and not (key in _MASKS and "mask" in kwargs):
            settings[key] = value
        elif key in _FIRST:
            first += found
        elif key not in _MORE:
            keywords[key] = tuple(found)
    for key in _MORE:
        if key in kwargs:
            sources += _tensors(kwargs[key], names, label)
    return Node3((*first, *sources), keywords, settings, tuple(arguments))


def _more(
    kwargs: Mapping[str, Any], names: frozenset[str], label: str
) -> tuple[list[Any], dict[str, tuple[Source, ...]]]:
    """The arguments of a function after its first, and those that hold several tensors."""
    arguments: list[Any] = []
    several: dict[str, tuple[Source, ...]] = {}
    for key in tf_ops.MORE:
        if key in kwargs:
            value = kwargs[key]
            found = tuple(_tensors(value, names, label))
            if found and isinstance(value, list) and not _is_source(value, names):
                several[key] = found
            else:
                arguments.append(found[0] if found else value)
    return arguments, several


def _without_lists(kwargs: Mapping[str, Any], names: frozenset[str]) -> Mapping[str, Any]:
    """The keyword arguments with the list of masks of an attention layer under single names."""
    masks = kwargs.get("mask")
    if not isinstance(masks, list) or _is_source(masks, names):
        return kwargs
    return {**kwargs, "mask": None, **dict(zip(_MASKS, masks, strict=False))}


def _source(entry: Sequence[Any], label: str) -> Source:
    name, node, index = clean(entry[0]), entry[1], entry[2]
    if name is None or type(node) is not int or type(index) is not int:
        raise ReadError(f"{label}: {show(entry)} is no reference to a layer")
    if node < 0 or index < 0:
        raise ReadError(f"{label}: a constant {show(entry)} in place of a layer is not supported")
    return Source(name, node, index)


def _argument(value: Any, sources: list[Source], label: str) -> Any:
    """A positional argument of Keras 3; tensors are appended to `sources`."""
    if isinstance(value, list):
        return [_argument(item, sources, label) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        history = config.get("keras_history") if isinstance(config, dict) else None
        if not isinstance(history, list) or len(history) != 3:
            raise ReadError(f"{label}: {show(value)} is no reference to a layer")
        sources.append(_source(history, label))
        return ops.TENSOR
    if value.get("class_name") in ("slice", "__slice__") and isinstance(value.get("config"), dict):
        parts = [value["config"].get(key) for key in ("start", "stop", "step")]
        return ops.Slice(*parts)
    return value


def _tensors(value: Any, names: frozenset[str], label: str) -> Iterator[Source]:
    """The tensors inside a keyword argument of any era."""
    if isinstance(value, dict):
        found: list[Source] = []
        _argument(value, found, label)
        yield from found
    elif isinstance(value, list):
        if _is_source(value, names):
            yield _source(value, label)
        else:
            for item in value:
                yield from _tensors(item, names, label)


def _is_source(value: Sequence[Any], names: frozenset[str]) -> bool:
    """Whether a list is a tensor as Keras 1 and 2 refer to it: layer, call, output."""
    return len(value) in (3, 4) and clean(value[0]) in names and type(value[1]) is int


def _leaves(value: Any, label: str) -> list[Source]:
    """Input or output tensors of a model: one, a list, or a dict by name (sorted, as in Keras)."""
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        return [_source(value, label)]
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            found: list[Source] = []
            _argument(value, found, label)
            return found
        value = [value[key] for key in sorted(value)]
    if not isinstance(value, list):
        raise ReadError(f"{label}: {show(value)} does not name inputs or outputs of a model")
    return [source for item in value for source in _leaves(item, label)]


# ---- calls ----------------------------------------------------------------------------------


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

    def add(self, call: Call) -> Ref:
        """Append a call; gives back its first output."""
        if len(self.calls) >= MAX_CALLS:
            raise ReadError(f"{self._label}: the model has more than {MAX_CALLS} calls of layers")
        self.calls.append(call)
        return Ref(len(self.calls) - 1)

    def top(self, model: Item) -> list[Ref]:
        """The whole model with its inputs; gives back its outputs."""
        inputs = []
        for name, shape, dtype in self.inputs(model):
            item = Item(name, self._unique(name), "InputLayer", Config({}), None)
            given = Input(name=item.path, class_name="InputLayer", shape=shape, dtype=dtype)
            inputs.append(self.add(Call(item, given=given)))
        return self.model(model, inputs)

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
                    raise ReadError(f"{self._label}: input {source.layer[:80]!r} is no InputLayer")
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
            raise ReadError(f"{self._label}: the model {model.name[:80]!r} has no layers")
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
        if not isinstance(shape, list) or not shape:
            raise ReadError(
                f"{self._label}: no input shape is stored for layer {layer.path[:80]!r} "
                f"({show(shape)} found); give the first layer an input_shape and save again"
            )
        try:
            lengths = Config({"input shape": shape[1:]}).shape("input shape")
        except LayerError as error:
            raise ReadError(f"{self._label}: layer {layer.path[:80]!r}: {error}") from None
        dtype = config.get("dtype", config.get("input_dtype"))
        return lengths, "int32" if isinstance(dtype, str) and "int" in dtype else "float32"

    def _ends(self, model: Item, key: str) -> list[Source]:
        return _leaves(model.config.get(key), f"{self._label}: model {model.name[:80]!r}: {key}")

    def model(self, model: Item, inputs: Sequence[Ref]) -> list[Ref]:
        """Inline a model called on `inputs`; gives back its outputs."""
        # A model that calls an inner one twice, which calls another twice, ... may be vast
        # without any layer.
        self._models += 1
        if self._models > MAX_CALLS:
            raise ReadError(f"{self._label}: the model has more than {MAX_CALLS} calls of models")
        if model.class_name == "Functional":
            return self._functional(model, inputs)
        values = list(inputs)
        for number, (_, layer) in enumerate(model.parts):
            if layer.is_input:
                continue
            if number == 0 and layer.class_name == "Merge" and layer.parts:
                values = self._merged(layer, values)
            elif layer.is_model:
                values = self.model(layer, values)
            else:
                values = [self.add(Call(layer, tuple(values)))]
        return values

    def _merged(self, merge: Item, values: list[Ref]) -> list[Ref]:
        """The `Merge` that starts a Sequential of Keras 1: each of its models has own inputs."""
        results: list[Ref] = []
        for _, part in merge.parts:
            count = self.count(part)
            results += self.model(part, values[:count])
            values = values[count:]
        return [self.add(Call(merge, tuple(results)))]

    def _functional(self, model: Item, inputs: Sequence[Ref]) -> list[Ref]:
        label = f"{self._label}: model {model.name[:80]!r}"
        layers = {part.name: part for _, part in model.parts}
        if len(layers) != len(model.parts):
            raise ReadError(f"{label}: two layers have the same name")
        names = frozenset(layers)
        nodes: dict[str, list[Node3]] = {}
        for name, layer in layers.items():
            raw = layer.entry.get("inbound_nodes", [])
            if not isinstance(raw, list):
                raise ReadError(f"{label}: inbound_nodes of {name[:80]!r} is not a list")
            is_function = layer.class_name in tf_ops.CLASSES
            nodes[name] = [
                _node(one, names, f"{label}: layer {name[:80]!r}", is_function) for one in raw
            ]
        outputs = [self._end(s, layers) for s in self._ends(model, "output_layers")]
        ends = self._ends(model, "input_layers")
        if len(ends) != len(inputs):
            raise ReadError(f"{label}: called on {len(inputs)} tensors, it has {len(ends)} inputs")

        everything = [s for calls in nodes.values() for node in calls for s in node.sources()]
        first = self._first_nodes(layers, nodes, [*everything, *outputs], label)
        layers |= self._untold(layers, nodes, everything)
        values: dict[tuple[str, int], list[Ref] | Ref] = {}
        for source, ref in zip(ends, inputs, strict=True):
            values[source.layer, 0] = [ref]

        def lookup(source: Source) -> Ref:
            found = values.get((source.layer, source.node - first[source.layer]))
            if found is None:
                raise ReadError(f"{label}: {source.layer[:80]!r} is used but is none of its inputs")
            if isinstance(found, Ref):
                return Ref(found.node, source.index)
            if source.index >= len(found):
                raise ReadError(f"{label}: {source.layer[:80]!r} has no output {source.index}")
            return found[source.index]

        for name, number in self._order(layers, nodes, first, label):
            layer, node = layers[name], nodes[name][number]
            arguments = tuple(lookup(source) for source in node.inputs)
            keywords = {
                key: tuple(lookup(source) for source in sources)
                for key, sources in node.keywords.items()
            }
            if layer.is_model and layer.problem is None:
                values[name, number] = self.model(layer, arguments)
            else:
                settings = Config(node.settings)
                values[name, number] = self.add(
                    Call(layer, arguments, keywords, settings, node.arguments)
                )
        for source in outputs:
            if (source.layer, source.node - first.get(source.layer, 0)) not in values:
                raise ReadError(f"{label}: its output {source.layer[:80]!r} is never computed")
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
        nodes: Mapping[str, Sequence[Node3]],
        sources: Sequence[Source],
    ) -> dict[str, Item]:
        """The layers of which other layers may take another call than the file says, refused."""
        if any(source.node > 0 for source in sources):
            return {}
        found: dict[str, Item] = {}
        for name in {source.layer: 0 for source in sources if len(nodes[source.layer]) > 1}:
            problem = (
                f"it is called {len(nodes[name])} times, and a file of Keras 3.2 does not tell "
                "which call another layer takes; build the model in Keras 3.3 or later, load its "
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
        nodes: Mapping[str, Sequence[Node3]],
        sources: Sequence[Source],
        label: str,
    ) -> dict[str, int]:
        """The index of each layer's first call.

        Up to Keras 2 it is 1 for a nested model, since building it counted as node 0; but not for
        one that was built only when it was called.
        """
        referenced: dict[str, set[int]] = {}
        for source in sources:
            if source.layer not in layers:
                raise ReadError(f"{label}: layer {source.layer[:80]!r} is used but not there")
            referenced.setdefault(source.layer, set()).add(source.node)
        first: dict[str, int] = {}
        for name, layer in layers.items():
            used, calls = referenced.get(name, set()), len(nodes[name])
            first[name] = 0
            if not layer.is_input and used:
                if max(used) >= calls and min(used) > 0:
                    first[name] = max(used) + 1 - calls
                elif layer.is_model and min(used) > 0 and not self._era.zero_based_nodes:
                    first[name] = 1
                span = range(first[name], first[name] + max(calls, 1))
                if not all(index in span for index in used):
                    raise ReadError(f"{label}: layer {name[:80]!r} has no call {max(used)}")
        return first

    def _order(
        self,
        layers: Mapping[str, Item],
        nodes: Mapping[str, Sequence[Node3]],
        first: Mapping[str, int],
        label: str,
    ) -> Iterator[tuple[str, int]]:
        """Every call after those it needs, else in the order of the configuration."""
        rank = {name: number for number, name in enumerate(layers)}
        waiting: dict[tuple[str, int], int] = {}
        needed_by: dict[tuple[str, int], list[tuple[str, int]]] = {}
        ready: list[tuple[int, int, str]] = []
        for name, calls in nodes.items():
            if layers[name].is_input:
                continue
            for number, node in enumerate(calls):
                needs = {(s.layer, s.node - first[s.layer]) for s in node.sources()}
                needs = {need for need in needs if not layers[need[0]].is_input}
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
            raise ReadError(f"{label}: layer {stuck[:80]!r} depends on itself or on a missing call")


# ---- layers ---------------------------------------------------------------------------------


class LayerBuilder:
    """Builds each item once; what cannot be built becomes Unsupported."""

    def __init__(self, context: Context, binding: Binding, label: str) -> None:
        self._context = context
        self._binding = binding
        self._label = label
        self._built: dict[tuple[int, bool], Layer] = {}
        self.shape_errors: list[str] = []
        self.further: list[Problem] = []

    @property
    def era(self) -> Era:
        """Who wrote the file."""
        return self._context.era

    @property
    def is_double(self) -> bool:
        """Whether variables are float64."""
        return any(
            stored.dtype.kind == "f" and stored.dtype.itemsize == 8
            for arrays in self._binding.values()
            if not isinstance(arrays, str)
            for stored in arrays.values()
        )

    def kernel_shape(self, item: Item) -> tuple[int, ...] | None:
        """The shape of the first kernel in an item."""
        for one, _ in item.walk():
            arrays = self._binding.get(id(one), {})
            if not isinstance(arrays, str) and "kernel" in arrays:
                return arrays["kernel"].shape
        return None

    def layer(self, item: Item, masked: bool) -> Layer:
        """The canonical layer of an item."""
        key = (id(item), masked)
        if key not in self._built:
            self._built[key] = self._guarded(item, lambda: self._build(item, masked))
        return self._built[key]

    def operation(self, call: Call) -> Layer:
        """The canonical layer of an operation."""
        item = call.item
        key = (id(item), False)
        if key not in self._built:
            self._built[key] = self._guarded(item, lambda: self._operation(call))
        return self._built[key]

    def _operation(self, call: Call) -> Layer:
        if not call.inputs:
            raise LayerError("it is an operation on no tensor")
        for key in call.keywords:
            raise LayerError(f"it is called with a tensor as {key}=..., which is not supported")
        build = tf_ops.build if call.item.class_name in tf_ops.CLASSES else ops.build
        return build(call.item, call.arguments, call.settings)

    def unsupported(self, item: Item, message: str) -> Unsupported:
        """An Unsupported in the item's place."""
        return Unsupported(name=item.path, class_name=item.class_name, message=message)

    def _guarded(self, item: Item, build: Callable[[], Layer]) -> Layer:
        if item.problem is not None:
            return self.unsupported(item, item.problem)
        try:
            return build()
        except InnerError as error:
            inner = error.layer
            return Unsupported(
                name=item.path,
                # The cell of a GRU is no object of its own: it has the path of its layer.
                class_name=item.class_name if inner.name == item.path else inner.class_name,
                message=inner.message,
                path=inner.path or inner.name,
            )
        except LayerError as error:
            if isinstance(error, ShapeError):
                self.shape_errors.append(f"layer {item.path!r}: {error}")
            return self.unsupported(item, str(error))

    def _build(self, item: Item, masked: bool) -> Layer:
        arrays = self._binding.get(id(item), {})
        if isinstance(arrays, str):
            raise ShapeError(arrays)
        bound = Bound(item, self._context, arrays, masked, self.layer, self.graph)
        if item.is_custom:
            hook = self._context.custom[item.class_name]
            arrays_given = bound.all_arrays()
            try:
                layer = hook(dict(item.config), arrays_given, item.path)
            except LayerError:
                raise
            except Exception as error:  # whatever the user's own function raises
                raise LayerError(
                    f"the function given with --custom failed: {type(error).__name__}: {error}"
                ) from error
            if not isinstance(layer, Layer):
                raise LayerError(
                    f"the function given with --custom gives back {type(layer).__name__}, no Layer"
                )
            return layer
        if item.kind is None:
            raise LayerError("a model stands where a layer is expected")
        return item.kind.build(bound)

    def graph(self, item: Item) -> Graph:
        """What is inside a TimeDistributed as a graph with one input."""
        flattener = Flattener(self._context.era, self._label, self.kernel_shape)
        given = Input(name=f"{item.path}/input", class_name="InputLayer", shape=())
        node = Item(given.name, given.name, "InputLayer", Config({}), None)
        first = flattener.add(Call(node, given=given))
        if item.is_model:
            if flattener.count(item) != 1:
                raise LayerError("the model inside has several inputs")
            outputs = flattener.model(item, [first])
        else:
            outputs = [flattener.add(Call(item, (first,)))]
        if len(outputs) != 1:
            raise LayerError("the model inside has several outputs")
        graph = finish(flattener.calls, outputs, self)
        wrong = [layer for layer in graph.layers if isinstance(layer, Unsupported)]
        if wrong:
            self.further.extend(layer.problem for layer in wrong[1:])
            raise InnerError(wrong[0])
        return graph


def finish(calls: Sequence[Call], outputs: Sequence[Ref], builder: LayerBuilder) -> Graph:
    """Trace the masks, drop what no output needs, and build the layers."""
    masks = Masks(calls, builder.era)
    folded = masks.folded
    needed = _needed(folded, outputs)
    numbers = {old: new for new, old in enumerate(needed)}
    nodes = []
    for old in needed:
        call = folded[old]
        layer = _layer_of(call, builder, id(call.item) in masks.masked)
        layer = _check_call(layer, call, builder)
        if old in masks.problems and not isinstance(layer, Unsupported):
            layer = builder.unsupported(call.item, masks.problems[old])
        inputs = tuple(Ref(numbers[ref.node], ref.index) for ref in call.inputs)
        keywords = {
            key: tuple(Ref(numbers[ref.node], ref.index) for ref in refs)
            for key, refs in call.keywords.items()
        }
        nodes.append(Node(layer, inputs, keywords, call.stops_mask))
    ends = tuple(Ref(numbers[ref.node], ref.index) for ref in outputs)
    _check_indices(nodes, ends)
    nodes = [_integer_input(number, nodes) for number in range(len(nodes))]
    given = tuple(numbers[old] for old in needed if calls[old].given is not None)
    return Graph(tuple(nodes), given, ends)


def _layer_of(call: Call, builder: LayerBuilder, masked: bool) -> Layer:
    if call.given is not None:
        return call.given
    if call.item.is_operation:
        return builder.operation(call)
    layer = called(builder.layer(call.item, masked), call.settings)
    if len(call.inputs) == 1 and "initial_state" not in call.keywords:
        return layer
    try:
        return started(layer, builder.era)
    except LayerError as error:
        return builder.unsupported(call.item, str(error))


def _check_call(layer: Layer, call: Call, builder: LayerBuilder) -> Layer:
    """Unsupported in place of a layer that is called with what it does not take."""
    kind = call.item.kind
    if kind is None or isinstance(layer, Unsupported):
        return layer
    low, high = kind.inputs
    if not low <= len(call.inputs) <= high:
        return builder.unsupported(
            call.item, f"it is called on {len(call.inputs)} tensors, expected {low}"
        )
    for key in call.keywords:
        if key not in kind.keywords:
            return builder.unsupported(
                call.item, f"it is called with {key}=..., which is not supported"
            )
    return layer


def _needed(calls: Sequence[Call], outputs: Sequence[Ref]) -> list[int]:
    """Numbers of the calls that the outputs depend on, and of all inputs, in order."""
    keep = {number for number, call in enumerate(calls) if call.given is not None}
    stack = [ref.node for ref in outputs]
    while stack:
        number = stack.pop()
        if number not in keep:
            keep.add(number)
            call = calls[number]
            stack.extend(ref.node for ref in call.inputs)
            stack.extend(ref.node for refs in call.keywords.values() for ref in refs)
    return sorted(keep)


def _output_count(layer: Layer) -> int | None:
    """How many tensors a layer gives; None where only lowering can tell."""
    if isinstance(layer, Recurrent):
        return 1 + len(layer.cell.states) * layer.return_state
    if isinstance(layer, Bidirectional):
        states = len(layer.forward.cell.states) + len(layer.backward.cell.states)
        return (2 if layer.merge_mode is None else 1) + states * layer.return_state
    return None


def _check_indices(nodes: Sequence[Node], outputs: Sequence[Ref]) -> None:
    """Refuse references to outputs that a recurrent layer does not have."""
    for ref in [
        *outputs,
        *(r for node in nodes for r in node.inputs),
        *(r for node in nodes for refs in node.keywords.values() for r in refs),
    ]:
        layer = nodes[ref.node].layer
        count = _output_count(layer)
        if count is not None and ref.index >= count:
            raise ReadError(f"layer {layer.name[:80]!r} has {count} outputs, not {ref.index + 1}")


def _integer_input(number: int, nodes: Sequence[Node]) -> Node:
    """The node; an input that only Embeddings read is int32, any other is float32."""
    node = nodes[number]
    if not isinstance(node.layer, Input):
        return node
    readers = [
        other.layer
        for other in nodes
        for refs in (other.inputs, *other.keywords.values())
        if any(ref.node == number for ref in refs)
    ]
    integer = any(_embeds(layer) for layer in readers) and all(
        _embeds(layer) or isinstance(layer, (NotEqualMask, Unsupported)) for layer in readers
    )
    return Node(replace(node.layer, dtype="int32" if integer else "float32"))


def _embeds(layer: Layer) -> bool:
    if isinstance(layer, TimeDistributed):
        first = [node.layer for node in layer.graph.nodes if any(r.node == 0 for r in node.inputs)]
        return bool(first) and all(_embeds(one) for one in first)
    return isinstance(layer, Embedding)
