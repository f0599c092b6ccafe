"""What the readers of audio files share: the opened file, its numbers, and a graph that grows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from codegen.errors import LayerError, Problem, ReadError
from codegen.layers.merging import Merge
from codegen.layers.operations import EVERYTHING, Operation
from codegen.model import FACTS, Array, Graph, Input, Layer, Model, Node, Ref, Unsupported
from codegen.readers.files.limits import Budget, Digest
from codegen.readers.options import Options
from codegen.readers.settings import parse_object, show

MAX_AXES = 4  # of any array of weights
MAX_LAYERS = 10_000
MAX_FACT = 1e9


@dataclass
class AudioFile:
    """The JSON object of a file, and how its numbers are taken."""

    label: str
    digest: str
    value: dict[str, Any]
    allow_nonfinite: bool
    budget: Budget

    def numbers(self, value: object, what: str) -> Array:
        """Nested lists of numbers as a float32 array; LayerError where they are none."""
        shape: list[int] = []
        first = value
        while isinstance(first, list) and len(shape) <= MAX_AXES:
            shape.append(len(first))
            first = first[0] if first else None
        if not shape or len(shape) > MAX_AXES:
            raise LayerError(f"{what} is {show(value)}, expected lists of numbers")
        items: list[Any] = [value]
        for length in shape:
            if any(not isinstance(item, list) or len(item) != length for item in items):
                raise LayerError(f"{what} has rows of different lengths")
            items = list(chain.from_iterable(items))
        for item in items:
            if isinstance(item, bool) or not isinstance(item, (int, float)):
                raise LayerError(f"{what} holds {show(item)}, expected a number")
        self.budget.take(4 * len(items), f"{self.label}: {what}")
        with np.errstate(over="ignore"):
            return np.array(items, np.float64).astype(np.float32).reshape(shape)

    def finite(self, found: Array, what: str) -> Array:
        """The same numbers; refused where one is infinite or none."""
        if not self.allow_nonfinite and not np.isfinite(found).all():
            raise LayerError(f"{what} has values that are not finite; --allow-nonfinite takes them")
        return found

    def array(self, value: object, what: str, *shape: int) -> Array:
        """Nested lists as a finite array of this shape."""
        found = self.numbers(value, what)
        if found.shape != shape:
            raise LayerError(f"{what} is of shape {list(found.shape)}, expected {list(shape)}")
        return self.finite(found, what)


def opened(path: Path, options: Options) -> AudioFile:
    """The object in a file that has its layers inside it."""
    label, digest = path.name, Digest()
    if options.config is not None or options.by_name:
        raise ReadError(f"{label}: names its own layers; leave --config and --by-name out")
    value = parse_object(digest.text(path), label)
    budget = Budget(options.max_bytes)
    return AudioFile(label, digest.short, value, options.allow_nonfinite, budget)


@dataclass
class Chain:
    """A graph from one input of (time, `width`), built call by call."""

    width: int
    nodes: list[Node] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.input = self.add(
            Input(name=self.name("input"), class_name="Input", shape=(None, self.width))
        )

    def name(self, base: str) -> str:
        """`base`, with a number where another layer has it."""
        name, count = base, 1
        while name in self.names:
            count += 1
            name = f"{base}_{count}"
        self.names.add(name)
        return name

    def add(self, layer: Layer, *inputs: Ref, **keywords: tuple[Ref, ...]) -> Ref:
        """The output of a call of the layer."""
        self.nodes.append(Node(layer, inputs, keywords))
        return Ref(len(self.nodes) - 1)

    def refuse(self, name: str, class_name: str, error: object, *inputs: Ref) -> Ref:
        """What stands for a layer that is not converted."""
        return self.add(Unsupported(name=name, class_name=class_name, message=str(error)), *inputs)

    def columns(self, x: Ref, start: int, stop: int, name: str = "columns") -> Ref:
        """The channels from `start` to `stop` of a tensor."""
        items = (EVERYTHING, (start, stop, None))
        taken = Operation(
            name=self.name(name), class_name="Slice", rule="get_item", settings={"items": items}
        )
        return self.add(taken, x)

    def merged(self, mode: str, x: Ref, y: Ref, name: str) -> Ref:
        """Two tensors added or multiplied, element by element."""
        return self.add(Merge(name=self.name(name), class_name=mode.title(), mode=mode), x, y)

    def model(
        self, file: AudioFile, form: str, end: Ref, problems: Sequence[Problem], writer: str = ""
    ) -> Model:
        """The model whose output is `end`."""
        return Model(
            name="model",
            graph=Graph(tuple(self.nodes), (self.input.node,), (end,)),
            format=form,
            writer=writer,
            source=file.label,
            digest=file.digest,
            problems=tuple(problems),
            facts=tuple(_facts(file.value)),
        )


def _facts(value: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """What the file says about its use as numbers, beside the layers or in `metadata`."""
    metadata = value.get("metadata")
    places = [value, metadata if isinstance(metadata, dict) else {}]
    for name in FACTS:
        keys = (name, "samplerate") if name == "sample_rate" else (name,)
        found = (_number(place.get(key)) for place in places for key in keys)
        first = next((number for number in found if number is not None), None)
        if first is not None:
            yield name, first


def _number(value: object) -> float | None:
    """A number, or a text that is one, of a size that a sample rate or a level may have."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if abs(found) < MAX_FACT else None
