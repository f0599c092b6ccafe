"""How configurations of every era name tensors: in calls of layers, and at the ends of models.

A call has arguments by position and by name; each is a tensor, an array that stands in a tensor's
place, several of these, or a setting. `inbound_node` sorts them by what the called class takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from codegen.errors import LayerError, ReadError
from codegen.readers.keras import constants, ops, tf_ops
from codegen.readers.keras.constants import Fixed
from codegen.readers.keras.items import Item
from codegen.readers.settings import clean, show


@dataclass(frozen=True)
class Source:
    """A tensor as a configuration names it: layer, call, output."""

    layer: str
    node: int
    index: int


Operand = Source | Fixed


@dataclass(frozen=True)
class InboundNode:
    """One inbound node with its tensors in order; `arguments` are those of an operation.

    `problem` says why the call cannot be read; then nothing else of it counts but its tensors.
    """

    inputs: tuple[Operand, ...]
    keywords: Mapping[str, tuple[Operand, ...]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    arguments: tuple[Any, ...] = ()
    problem: str | None = None

    def sources(self) -> Iterator[Source]:
        """Every tensor."""
        for operands in (self.inputs, *self.keywords.values()):
            yield from (one for one in operands if isinstance(one, Source))


_FIRST = ("inputs", "x", "sequences", "sequence", "query")  # a first argument given by name
_MORE = ("value", "key")  # further inputs given by name, in the order of the attention layers
_MASKS = ("query_mask", "value_mask", "key_mask")  # what a list of masks is for, in order
_STATES = ("initial_state", "states")


def is_default(value: Any) -> bool:
    """Whether an argument by name changes nothing: None, False, or None for each of several."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return bool(value) and all(one is None for one in value)
    return value is None or value is False


def inbound_node(raw: Any, names: frozenset[str], label: str, item: Item) -> InboundNode:
    """One inbound node, of Keras 3 (args and kwargs) or before (a list of tensors)."""
    if isinstance(raw, dict) and isinstance(raw.get("args", []), list):
        given = raw.get("args", [])
        kwargs = raw.get("kwargs", {})
        if not isinstance(kwargs, dict):
            raise ReadError(f"{label}: {show(kwargs)} are not keyword arguments")
    elif isinstance(raw, list):
        given, kwargs = _list_of_tensors(raw, label)
        given = given if item.is_operation else [given]
    else:
        raise ReadError(f"{label}: {show(raw)} is not a call of a layer")
    call = _Call(names, label, item)
    if item.is_operation:
        return call.of_operation(given, kwargs)
    return call.of_layer(given, kwargs)


def _list_of_tensors(raw: list[Any], label: str) -> tuple[list[Any], dict[str, Any]]:
    """A node of Keras 1 and 2: the tensors, each with the arguments by name, which are the same."""
    # A single tensor may stand without a list around it.
    entries = [raw] if raw and isinstance(raw[0], str) else raw
    given: list[Any] = []
    kwargs: dict[str, Any] = {}
    for entry in entries:
        if not isinstance(entry, list) or len(entry) < 3:
            raise ReadError(f"{label}: {show(entry)} is not a reference to a layer")
        if entry[0] == "_CONSTANT_VALUE":
            given.append(Fixed(entry[2]))
        else:
            given.append(_source(entry, label))
        if len(entry) > 3 and isinstance(entry[3], dict):
            if kwargs and entry[3] and entry[3] != kwargs:
                raise ReadError(f"{label}: its tensors come with different keyword arguments")
            kwargs = kwargs or entry[3]
    return given, kwargs


class _Call:
    """Reads the arguments of one call."""

    def __init__(self, names: frozenset[str], label: str, item: Item) -> None:
        self._names = names
        self._label = label
        self._item = item

    # ---- layers ---------------------------------------------------------------------------

    def of_layer(self, given: Sequence[Any], kwargs: Mapping[str, Any]) -> InboundNode:
        """The call of a layer or a model."""
        everything = tuple(
            one
            for value in (*given, *kwargs.values())
            for one in self._tensors(value)
            if isinstance(one, Source)
        )
        try:
            return self._sorted(given, kwargs)
        except LayerError as error:
            return InboundNode(everything, problem=str(error))

    def _sorted(self, given: Sequence[Any], kwargs: Mapping[str, Any]) -> InboundNode:
        first, named = self._by_name(given, kwargs)
        inputs = list(self._operands("inputs", self._in_order(first)))
        for key in _MORE:
            if named.get(key) is not None:
                inputs += self._operands(key, named[key])
        keywords: dict[str, tuple[Operand, ...]] = {}
        settings: dict[str, Any] = {}
        for key, value in named.items():
            if key in _MORE:
                continue
            found = self._keyword(key, value)
            if found is None:
                settings[key] = value
            else:
                keywords |= found
        return InboundNode(tuple(inputs), keywords, settings)

    def _by_name(
        self, given: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """The first argument, and all others under their names."""
        kind = self._item.kind
        order = ("inputs", "training", "mask") if kind is None else kind.call
        named: dict[str, Any] = {}
        for number, value in enumerate(given[1:], 1):
            if number < len(order):
                named[order[number]] = value
            elif value is not None:
                raise LayerError(f"it is called with {number + 1} arguments: {show(value)}")
        first = given[0] if given else None
        for key, value in kwargs.items():
            if key in (order[0], *_FIRST) and key not in order[1:]:
                if first is not None:
                    raise LayerError(f"it is called with {key}=... besides its first argument")
                first = value
            elif key in named and value is not None:
                raise LayerError(f"it is called with {key}=... twice")
            else:
                named[key] = value
        return first, named

    def _in_order(self, first: Any) -> Any:
        """The inputs of a model that are given by name, in the order in which it has them."""
        if not isinstance(first, dict) or _is_tensor(first) or constants.is_array(first):
            return first
        names: list[str] = []
        if self._item.is_model:
            ends = leaves(self._item.config.get("input_layers", []), self._label)
            names = [end.layer for end in ends]
        if sorted(names) != sorted(first):
            raise LayerError(
                f"it is called with inputs={show(first)}, whose names are not those of its inputs"
            )
        return [first[name] for name in names]

    def _operands(self, key: str, value: Any) -> Iterator[Operand]:
        """The tensors and arrays of an argument that holds nothing else."""
        if value is None:
            return
        found = list(self._tensors(value))
        if not found:
            raise LayerError(f"it is called with {key}={show(value)}, which is not a tensor")
        yield from found

    def _keyword(self, key: str, value: Any) -> dict[str, tuple[Operand, ...]] | None:
        """An argument by name that holds tensors or arrays; None for a setting."""
        kind = self._item.kind
        if key == "mask" and isinstance(value, list) and kind is not None and kind.lists_masks:
            if len(value) > len(_MASKS):
                raise LayerError(f"it is called with {len(value)} masks")
            given = zip(_MASKS, value, strict=False)
            return {name: tuple(self._tensors(mask)) for name, mask in given}
        if key == "mask" and self._item.is_model:
            each = enumerate(self._tensors(mask) for mask in self._masks(value))
            masks = {f"mask_{number}": tuple(found) for number, found in each}
            return {name: mask for name, mask in masks.items() if mask} or None
        if key in _STATES and kind is not None:
            found = tuple(self._tensors(value, kind.state_rank))
        else:
            found = tuple(self._tensors(value))
        return {key: found} if found else None

    def _masks(self, value: Any) -> list[Any]:
        """The masks for the inputs of a model, in the order of these."""
        if constants.is_array(value) or _is_tensor(value):
            return [value]
        if isinstance(value, dict):
            # Keras takes masks by name in the order of the names, whatever that of the inputs is.
            return [value[name] for name in sorted(value)]
        return value if isinstance(value, list) and not _is_source(value, self._names) else [value]

    def _tensors(self, value: Any, rank: int | None = None) -> Iterator[Operand]:
        """The tensors and arrays inside an argument of any era.

        `rank` of an array that stands as plain lists, where several may stand in one more list.
        """
        if isinstance(value, (Source, Fixed)):
            yield value
        elif isinstance(value, dict):
            if _is_tensor(value):
                yield _keras_tensor(value, self._label)
            elif constants.is_array(value):
                yield Fixed(value)
            else:
                for item in value.values():
                    yield from self._tensors(item, rank)
        elif isinstance(value, list):
            if _is_source(value, self._names):
                yield _source(value, self._label)
            elif constants.is_array(value) and (rank is None or constants.depth(value) <= rank):
                yield Fixed(value)
            else:
                for item in value:
                    yield from self._tensors(item, rank)

    # ---- operations -----------------------------------------------------------------------

    def of_operation(self, given: Sequence[Any], kwargs: Mapping[str, Any]) -> InboundNode:
        """The call of an operation: arguments as they stand, with ops.TENSOR for each tensor."""
        sources: list[Source] = []
        arguments = [self._argument(value, sources) for value in given]
        keywords: dict[str, tuple[Operand, ...]] = {}
        settings: dict[str, Any] = {}
        order = tf_ops.MORE if self._item.class_name in tf_ops.CLASSES else ()
        further = [key for key in order if key in kwargs]
        for key in (*further, *(key for key in kwargs if key not in order)):
            found: list[Source] = []
            value = self._argument(kwargs[key], found)
            if key in order and not isinstance(value, list):
                arguments.append(value)
                sources += found
            elif found:
                keywords[key] = tuple(found)
            elif key in order:
                arguments.append(value)
            else:
                settings[key] = kwargs[key]
        return InboundNode(tuple(sources), keywords, settings, tuple(arguments))

    def _argument(self, value: Any, sources: list[Source]) -> Any:
        """An argument of an operation; tensors are appended to `sources`."""
        if isinstance(value, Source):
            sources.append(value)
            return ops.TENSOR
        if isinstance(value, Fixed):
            return value.value
        if isinstance(value, list):
            if _is_source(value, self._names):
                sources.append(_source(value, self._label))
                return ops.TENSOR
            return [self._argument(item, sources) for item in value]
        if not isinstance(value, dict):
            return value
        if _is_tensor(value):
            sources.append(_keras_tensor(value, self._label))
            return ops.TENSOR
        kind, config = value.get("class_name"), value.get("config")
        if kind in ("slice", "__slice__") and isinstance(config, dict):
            return ops.Range(*(config.get(key) for key in ("start", "stop", "step")))
        return value


def _source(entry: Sequence[Any], label: str) -> Source:
    name, node, index = clean(entry[0]), entry[1], entry[2]
    if name is None or type(node) is not int or type(index) is not int:
        raise ReadError(f"{label}: {show(entry)} is not a reference to a layer")
    if node < 0 or index < 0:
        raise ReadError(f"{label}: a constant {show(entry)} in place of a layer is not supported")
    return Source(name, node, index)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def _keras_tensor(value: Mapping[str, Any], label: str) -> Source:
    """A tensor as Keras 3 spells it."""
    config = value.get("config")
    history = config.get("keras_history") if isinstance(config, dict) else None
    if not isinstance(history, list) or len(history) != 3:
        raise ReadError(f"{label}: {show(value)} is not a reference to a layer")
    return _source(history, label)


def _is_source(value: Sequence[Any], names: frozenset[str]) -> bool:
    """Whether a list is a tensor as Keras 1 and 2 refer to it: layer, call, output."""
    return len(value) in (3, 4) and clean(value[0]) in names and type(value[1]) is int


def leaves(value: Any, label: str) -> list[Source]:
    """Input or output tensors of a model: one, a list, or a dict by name (sorted, as in Keras)."""
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        return [_source(value, label)]
    if isinstance(value, dict):
        if _is_tensor(value):
            return [_keras_tensor(value, label)]
        value = [value[key] for key in sorted(value)]
    if not isinstance(value, list):
        raise ReadError(f"{label}: {show(value)} does not name inputs or outputs of a model")
    return [source for item in value for source in leaves(item, label)]
