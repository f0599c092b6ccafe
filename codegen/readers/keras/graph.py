"""From a flat list of calls to the graph of the model.

The masks are traced through the calls, and only then are the layers built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from codegen.errors import LayerError, Problem, ReadError
from codegen.layers.attention import Attention, MultiHeadAttention
from codegen.layers.core import ActivationLayer, Dense, Embedding, Identity
from codegen.layers.masking import GivenMask
from codegen.layers.merging import Merge
from codegen.layers.operations import Operation
from codegen.layers.recurrent import Bidirectional, Cell, Recurrent
from codegen.layers.wrappers import TimeDistributed
from codegen.model import Constant, Graph, Input, Layer, Node, Ref, Unsupported
from codegen.readers.keras import number_types, ops, tf_nodes, tf_ops
from codegen.readers.keras.constants import constant
from codegen.readers.keras.era import Era
from codegen.readers.keras.flatten import Flattener, unread
from codegen.readers.keras.items import Bound, Context, InnerError, Item, ShapeError
from codegen.readers.keras.layers.recurrent import started
from codegen.readers.keras.masks import Call, Masks
from codegen.readers.keras.nodes import is_default
from codegen.readers.keras.table import check_read
from codegen.readers.keras.weights import Binding
from codegen.readers.settings import Config


class LayerBuilder:
    """Builds each item once; what cannot be built becomes Unsupported."""

    def __init__(self, context: Context, binding: Binding, label: str) -> None:
        self._context = context
        self._binding = binding
        self._label = label
        self._built: dict[tuple[int, bool], Layer] = {}
        self._cells: set[int] = set()  # items that share the settings of another
        self.shape_errors: list[str] = []
        self.further: list[Problem] = []
        self.fixed: list[str] = []  # layers that are taken as they are at inference
        self._taken: set[str] = set()
        self._operations: dict[tuple[int, str], tuple[Layer, list[tuple[int, Constant]]]] = {}

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

    def operation(self, call: Call) -> tuple[Layer, list[tuple[int, Constant]]]:
        """The layer of an operation, and the arrays among its inputs with their places there.

        The same for equal calls of it, as a nested model that is called twice has them.
        """
        key = (id(call.item), repr((call.arguments, dict(call.settings), list(call.keywords))))
        if key not in self._operations:
            arrays: list[tuple[int, Constant]] = []
            layer = self._guarded(call.item, lambda: self._operation(call, arrays))
            self._operations[key] = replace(layer, name=self._name(layer.name)), arrays
        return self._operations[key]

    def _operation(self, call: Call, arrays: list[tuple[int, Constant]]) -> Layer:
        if not call.inputs:
            raise LayerError("it is an operation without a tensor")
        for key in call.keywords:
            raise LayerError(f"it is called with a tensor as {key}=..., which is not supported")
        makers = {**dict.fromkeys(tf_ops.CLASSES, tf_ops.build), tf_nodes.CLASS: tf_nodes.build}
        make = makers.get(call.item.class_name, ops.build)
        layer, found = make(call.item, call.arguments, call.settings)
        for place, value in found:
            arrays.append((place, constant(self._name(f"{call.item.path}/constant"), value)))
        return layer

    def _name(self, name: str) -> str:
        """A name that no other operation or array of one has."""
        unique, number = name, 2
        while unique in self._taken:
            unique, number = f"{name}_{number}", number + 1
        self._taken.add(unique)
        return unique

    def trains(self, item: Item) -> str | None:
        """Why a layer is not called with training=True; None where it may be."""
        heeded = self.era.heeds_training
        for one, frozen in item.walk():
            differs = "" if one.kind is None else one.kind.training(one.config)
            if one.is_custom:
                differs = "may be random"
            if one.class_name == "BatchNormalization" and frozen and self.era.freezes_statistics:
                differs = ""
            random = "random" in differs
            if differs and heeded and not (random and self._context.inference):
                whose = "it" if one.path == item.path else f"its {one.class_name}"
                way = "use --inference to convert it as it is at inference"
                if not random:  # predict of the whole model would be another function
                    way = "call it without training=True and save the model again"
                return (
                    f"it is called with training=True, so {whose} {differs} even in predict; {way}"
                )
            if differs and item.path not in self.fixed:
                self.fixed.append(item.path)
        return None

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
                # The cell of a GRU is not an object of its own: it has the path of its layer.
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
                    f"the function given with --custom returned {type(layer).__name__}, "
                    "expected a Layer"
                )
            return layer
        if item.kind is None:
            raise LayerError("a model stands where a layer is expected")
        # The cell of a GRU has the settings of its layer, and each reads its own.
        cells = [part for _, part in item.parts if part.path == item.path]
        self._cells.update(map(id, cells))
        layer = item.kind.build(bound)
        if id(item) not in self._cells:
            check_read(item.config, *(cell.config for cell in cells))
        return layer

    def graph(self, item: Item) -> Graph:
        """What is inside a TimeDistributed as a graph with one input."""
        flattener = Flattener(self._context.era, self._label, self.kernel_shape)
        given = Input(name=f"{item.path}/input", class_name="InputLayer", shape=())
        node = Item(given.name, given.name, "InputLayer", Config({}), None)
        first = flattener.add(Call(node, given=given))
        flattener.reserve(item)
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
    nodes: list[Node] = []
    inputs: list[int] = []
    places: dict[int, int] = {}  # of each call its node

    def moved(ref: Ref) -> Ref:
        return Ref(places[ref.node], ref.index)

    for old in _needed(folded, outputs):
        call = folded[old]
        operands = [moved(ref) for ref in call.inputs]
        if isinstance(call.given, GivenMask) and not call.keywords:  # the input's own mask
            places[old] = operands[0].node
            continue
        if call.item.is_operation:
            layer, arrays = builder.operation(call)
            for place, array in arrays:
                operands.insert(place, Ref(len(nodes)))
                nodes.append(Node(array))
        else:
            layer = _layer_of(call, builder, id(call.item) in masks.masked)
        if old in masks.problems and not isinstance(layer, Unsupported):
            layer = builder.unsupported(call.item, masks.problems[old])
        keywords = {key: tuple(moved(ref) for ref in refs) for key, refs in call.keywords.items()}
        places[old] = len(nodes)
        if isinstance(layer, Input):
            inputs.append(len(nodes))
        nodes.append(Node(layer, tuple(operands), keywords, call.stops_mask))
    ends = tuple(moved(ref) for ref in outputs)
    _check_indices(nodes, ends)
    nodes = number_types.checked(nodes, builder.era.is_keras3)
    readers: dict[int, list[Layer]] = {}
    for node in nodes:
        for number in {ref.node for refs in (node.inputs, *node.keywords.values()) for ref in refs}:
            readers.setdefault(number, []).append(node.layer)
    nodes = [_integer_input(node, readers.get(number, [])) for number, node in enumerate(nodes)]
    return Graph(tuple(nodes), tuple(inputs), ends)


def _layer_of(call: Call, builder: LayerBuilder, masked: bool) -> Layer:
    if call.given is not None:
        return call.given
    layer, problem = builder.layer(call.item, masked), _problem(call, builder)
    if isinstance(layer, Unsupported):
        known = call.item.problem is not None or problem is None
        return layer if known else replace(layer, message=f"{layer.message}; {problem}")
    if problem is not None:
        return builder.unsupported(call.item, problem)
    layer = _called(layer, call.settings)
    if len(call.inputs) == 1 and "initial_state" not in call.keywords:
        return layer
    try:
        return started(layer, builder.era)
    except LayerError as error:
        return builder.unsupported(call.item, str(error))


def _called(layer: Layer, settings: Config) -> Layer:
    """An attention layer with the arguments of a call that are not tensors."""
    if not isinstance(layer, (Attention, MultiHeadAttention)):
        return layer
    causal = settings.get("use_causal_mask") is True
    scores = settings.get("return_attention_scores") is True
    if not (causal or scores):
        return layer
    return replace(layer, causal=layer.causal or causal, return_scores=scores)


def _problem(call: Call, builder: LayerBuilder) -> str | None:
    """What a layer is called with that it does not take, or that nothing here reads."""
    kind = call.item.kind
    low, high = (1, 256) if kind is None else kind.inputs
    keywords, settings = ((), ()) if kind is None else (kind.keywords, kind.settings)
    if call.problem is not None:
        return call.problem
    if not low <= len(call.inputs) <= high:
        expected = f"{low} to {high}" if high > low else str(low)
        return f"it is called on {len(call.inputs)} tensors, expected {expected}"
    for key, refs in call.keywords.items():
        one_of_many = key.endswith("mask") and len(refs) > 1  # recurrent layers take the first
        is_read = key in keywords and (not one_of_many or (kind and kind.mask == "recurrent"))
        if not is_read and not call.item.is_custom:
            return unread(key)
    for key, value in call.settings.items():
        is_read = value is True and key in ("training", *settings)
        if not is_read and not is_default(value):
            return unread(key, value)
    return builder.trains(call.item) if call.settings.get("training") is True else None


def _needed(calls: Sequence[Call], outputs: Sequence[Ref]) -> list[int]:
    """Numbers of the calls that the outputs depend on, and of all inputs, in order."""
    keep = {number for number, call in enumerate(calls) if isinstance(call.given, Input)}
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
    if isinstance(layer, Cell):
        return 1 + len(layer.states)
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
            raise ReadError(f"layer {layer.name!r} has {count} outputs, not {ref.index + 1}")


def _integer_input(node: Node, readers: Sequence[Layer]) -> Node:
    """The node; an input that only Embeddings read is int32, any other is float32."""
    if not isinstance(node.layer, Input):
        return node
    integer = any(_embeds(layer) for layer in readers) and all(
        _embeds(layer) or _is_mask(layer) or isinstance(layer, Unsupported) for layer in readers
    )
    return Node(replace(node.layer, dtype="int32" if integer else "float32"))


def _is_mask(layer: Layer) -> bool:
    """Whether it compares with a number, as Keras 3 writes the mask of an Embedding out."""
    return isinstance(layer, Operation) and layer.rule == "not_equal" and bool(layer.settings)


def _embeds(layer: Layer) -> bool:
    if isinstance(layer, TimeDistributed):
        first = [node.layer for node in layer.graph.nodes if any(r.node == 0 for r in node.inputs)]
        return bool(first) and all(_embeds(one) for one in first)
    return isinstance(layer, Embedding)


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
