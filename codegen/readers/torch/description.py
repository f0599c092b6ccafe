"""LAYERS.json: the chain of `torch.nn` layers that a file of weights belongs to.

{"input": [null, 4],
 "layers": [{"class": "GRU", "weights": "gru"}, {"class": "Linear", "weights": "out"}]}
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codegen.errors import LayerError, ReadError
from codegen.readers.settings import Config, parse_object, show

INPUT = "input"
MAX_LAYERS = 10_000

_TOP = ("input", "layers", "name", "note")
_OWN = ("class", "weights", "name", "from", "note")  # of a layer; all others are options of torch
EXAMPLE = '{"input": [null, 4], "layers": [{"class": "GRU", "weights": "gru"}]}'


@dataclass(frozen=True)
class Entry:
    """One layer as it is described."""

    name: str
    class_name: str
    weights: str | None  # the prefix of its tensors
    inputs: tuple[str, ...]  # names of layers, or INPUT
    options: Config


@dataclass(frozen=True)
class Description:
    """A whole LAYERS.json."""

    name: str
    input: tuple[int | None, ...]
    layers: tuple[Entry, ...]


def parse(text: bytes, label: str) -> Description:
    """The description, or a ReadError with everything that is wrong with its form."""
    value = parse_object(text, label)
    if "class_name" in value and "layers" not in value:
        raise ReadError(f"{label}: a configuration of Keras; expected layers of torch: {EXAMPLE}")
    problems = _unknown(value, _TOP, "the description")
    shape: tuple[int | None, ...] = ()
    try:
        shape = Config(value).shape("input")
        if not shape:
            problems.append("input is [], expected the shape without the batch axis")
    except LayerError as error:
        problems.append(str(error))
    layers = value.get("layers")
    entries: list[Entry] = []
    if not isinstance(layers, list) or not layers or len(layers) > MAX_LAYERS:
        problems.append(f"layers is {show(layers)}, expected a list of layers")
        layers = []
    for number, layer in enumerate(layers):
        try:
            entries.append(_entry(layer, entries, number))
        except LayerError as error:
            problems.append(f"layer {number + 1}: {error}")
    if problems:
        head = f"{label}: is no description of layers such as {EXAMPLE}:"
        raise ReadError(head, *(f"  {problem}" for problem in problems[:100]))
    name = value.get("name", "model")
    return Description(name if isinstance(name, str) else "model", shape, tuple(entries))


def _entry(value: Any, before: list[Entry], number: int) -> Entry:
    if not isinstance(value, dict):
        raise LayerError(f"{show(value)} is no object")
    given = Config(value)
    class_name = given.text("class")
    weights = given.text("weights") if "weights" in given else None
    previous = before[-1].name if before else INPUT
    sources = value.get("from", previous)
    sources = [sources] if isinstance(sources, str) else sources
    if not isinstance(sources, list) or not sources or len(sources) > 256:
        raise LayerError(f"from is {show(sources)}, expected names of layers")
    known = {INPUT, *(entry.name for entry in before)}
    wrong = [name for name in sources if not isinstance(name, str) or name not in known]
    if wrong:
        listed = ", ".join(sorted(known)[:20])
        raise LayerError(f"from names {show(wrong[0])}, which is no layer before it: {listed}")
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
