"""How configurations of every era name tensors: in calls of layers, and at the ends of models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codegen.errors import ReadError
from codegen.readers.keras import ops, tf_ops
from codegen.readers.settings import clean, show


@dataclass(frozen=True)
class Source:
    """A tensor as a configuration names it: layer, call, output."""

    layer: str
    node: int
    index: int


@dataclass(frozen=True)
class InboundNode:
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


def inbound_node(
    raw: Any, names: frozenset[str], label: str, is_function: bool = False
) -> InboundNode:
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
    return InboundNode((*first, *sources), keywords, settings, tuple(arguments))


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


def leaves(value: Any, label: str) -> list[Source]:
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
    return [source for item in value for source in leaves(item, label)]
