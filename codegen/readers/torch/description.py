"""LAYERS.json: the chain of `torch.nn` layers that a file of weights belongs to.

{"input": [null, 4],
 "layers": [{"class": "GRU", "weights": "gru"}, {"class": "Linear", "weights": "out"}]}
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from codegen.errors import LayerError, ReadError
from codegen.readers.settings import Config, parse_object, show

INPUT = "input"  # the name of the one that stands under this key
Shape = tuple[int | None, ...]
MAX_LAYERS = 10_000
MAX_INPUTS = 256

_TOP = ("input", "inputs", "layers", "outputs", "name", "note")
_OWN = ("class", "weights", "name", "from", "note")  # of a layer; all others are options of torch
EXAMPLE = '{"input": [null, 4], "layers": [{"class": "GRU", "weights": "gru"}]}'


@dataclass(frozen=True)
class Entry:
    """One layer as it is described."""

    name: str
    class_name: str
    weights: str | None  # the prefix of its tensors
    inputs: tuple[str, ...]  # names of layers, or of inputs
    options: Config


@dataclass(frozen=True)
class Description:
    """A whole LAYERS.json."""

    name: str
    inputs: Mapping[str, Shape]
    layers: tuple[Entry, ...]
    outputs: tuple[str, ...]  # names of layers


def parse(text: bytes, label: str) -> Description:
    """The description, or a ReadError with everything that is wrong with its form."""
    value = parse_object(text, label)
    if "class_name" in value and "layers" not in value:
        raise ReadError(f"{label}: a configuration of Keras; expected layers of torch: {EXAMPLE}")
    problems = _unknown(value, _TOP, "the description")
    inputs: dict[str, Shape] = {}
    try:
        inputs = _inputs(value)
    except LayerError as error:
        problems.append(str(error))
    layers = value.get("layers")
    entries: list[Entry] = []
    if not isinstance(layers, list) or not layers or len(layers) > MAX_LAYERS:
        problems.append(f"layers is {show(layers)}, expected a list of layers")
        layers = []
    for number, layer in enumerate(layers):
        try:
            entries.append(_entry(layer, entries, tuple(inputs)))
        except LayerError as error:
            problems.append(f"layer {number + 1}: {error}")
    outputs: tuple[str, ...] = ()
    try:
        outputs = _outputs(value, tuple(entry.name for entry in entries))
    except LayerError as error:
        problems += [str(error)] if len(entries) == len(layers) > 0 else []
    if problems:
        head = f"{label}: is not a description of layers such as {EXAMPLE}:"
        raise ReadError(head, *(f"  {problem}" for problem in problems[:100]))
    name = value.get("name", "model")
    return Description(name if isinstance(name, str) else "model", inputs, tuple(entries), outputs)


def _inputs(value: Mapping[str, Any]) -> dict[str, Shape]:
    """The shape of each input: of the one under "input", or of those under "inputs"."""
    if "inputs" not in value:
        return {INPUT: _shape(Config(value), INPUT)}
    named = value["inputs"]
    if INPUT in value:
        raise LayerError("it has input and inputs; expected one of them")
    if not isinstance(named, dict) or not 0 < len(named) <= MAX_INPUTS or "" in named:
        raise LayerError(f"inputs is {show(named)}, expected a shape for each name")
    return {name: _shape(Config(named), name) for name in named}


def _shape(given: Config, key: str) -> Shape:
    shape = given.shape(key)
    if not shape:
        raise LayerError(f"{key} is [], expected the shape without the batch axis")
    return shape


def _outputs(value: Mapping[str, Any], known: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the outputs: the last layer where none are told."""
    found = value.get("outputs", list(known[-1:]))
    if not isinstance(found, list) or not 0 < len(found) <= MAX_INPUTS:
        raise LayerError(f"outputs is {show(found)}, expected names of layers")
    for place, name in enumerate(found):
        if not isinstance(name, str) or name not in known:
            raise LayerError(f"outputs names {show(name)}, which is not a layer: {_listed(known)}")
        if name in found[:place]:
            raise LayerError(f"outputs names {show(name)} twice")
    return tuple(found)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(show(name).strip('"') for name in sorted(names)[:20])


def _entry(value: Any, before: list[Entry], inputs: tuple[str, ...]) -> Entry:
    if not isinstance(value, dict):
        raise LayerError(f"{show(value)} is not an object")
    given = Config(value)
    class_name = given.text("class")
    weights = given.text("weights") if "weights" in given else None
    if not before and len(inputs) > 1 and "from" not in value:
        raise LayerError(f"from is missing; there are several inputs: {_listed(inputs)}")
    sources = value.get("from", before[-1].name if before else (*inputs, INPUT)[0])
    sources = [sources] if isinstance(sources, str) else sources
    if not isinstance(sources, list) or not sources or len(sources) > 256:
        raise LayerError(f"from is {show(sources)}, expected names of layers")
    known = {*inputs, *(entry.name for entry in before)}
    wrong = [name for name in sources if not isinstance(name, str) or name not in known]
    if wrong:
        listed = _listed(known)
        raise LayerError(f"from names {show(wrong[0])}, which is not a layer before it: {listed}")
    name = _name(given, class_name, weights, known)
    options = Config({key: item for key, item in value.items() if key not in _OWN})
    return Entry(name, class_name, weights, tuple(sources), options)


def _name(given: Config, class_name: str, weights: str | None, known: set[str]) -> str:
    """Its own name, or one of its weights or class that no other layer has."""
    if "name" in given:
        name = given.text("name")
        if name in known:
            raise LayerError(f"the name {show(name)} is taken")
        return name
    base = name = (weights or class_name.lower()).replace(".", "_")
    count = 1
    while name in known:
        count += 1
        name = f"{base}_{count}"
    return name


def _unknown(value: Mapping[str, Any], known: tuple[str, ...], what: str) -> list[str]:
    return [f"{what} has {unknown(key, known)}" for key in value if key not in known]


def unknown(key: str, known: tuple[str, ...]) -> str:
    """The refusal of a key, with the one that was meant perhaps."""
    close = difflib.get_close_matches(key, known, 1)
    listed = f"; known are {', '.join(known)}" if known else ""
    hint = f", did you mean {close[0]!r}?" if close else listed
    return f"an unknown key {show(key)}{hint}"
