"""From a flat list of calls to the graph of the model.

The masks are traced through the calls, and only then are the layers built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from codegen.errors import LayerError, Problem, ReadError
from codegen.layers.core import Embedding
from codegen.layers.masking import NotEqualMask
from codegen.layers.recurrent import Bidirectional, Recurrent
from codegen.layers.wrappers import TimeDistributed
from codegen.model import Graph, Input, Layer, Node, Ref, Unsupported
from codegen.readers.keras import ops, tf_nodes, tf_ops
from codegen.readers.keras.era import Era
from codegen.readers.keras.flatten import Flattener
from codegen.readers.keras.items import Bound, Context, InnerError, Item, ShapeError
from codegen.readers.keras.layers.attention import called
from codegen.readers.keras.layers.recurrent import started
from codegen.readers.keras.masks import Call, Masks
from codegen.readers.keras.weights import Binding
from codegen.readers.settings import Config


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
        builders = {**dict.fromkeys(tf_ops.CLASSES, tf_ops.build), tf_nodes.CLASS: tf_nodes.build}
        build = builders.get(call.item.class_name, ops.build)
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
            raise ReadError(f"layer {layer.name!r} has {count} outputs, not {ref.index + 1}")


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
