"""What the reader knows of a Keras class, and what a class' builder function is given.

A *kind* is a row of the table of classes (`keras_layers.py`): the names of the class' variables in
the order in which Keras creates them, the objects inside it, and a function that builds the
canonical layer. An *item* is one object of a configuration with its kind, and forms a tree: a
model has layers, a wrapper has a layer, a recurrent layer has a cell. The tree is what weights are
bound through, both the flat lists of .h5 files and the paths of .keras files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from codegen.errors import LayerError
from codegen.model import Array, Graph, Layer, Unsupported
from codegen.program.activations import Activation
from codegen.readers.files.hdf5 import Stored
from codegen.readers.keras import activations
from codegen.readers.keras.era import Era
from codegen.readers.settings import Config, parse_object, show

L = TypeVar("L", bound=Layer)


@dataclass(frozen=True)
class Slot:
    """One variable of an object; training does not change those with `trainable` False."""

    name: str
    trainable: bool = True


@dataclass(frozen=True)
class Context:
    """What holds for the whole file."""

    era: Era
    flat: bool = True  # weights come as flat lists (.h5), not by paths (.keras)
    allow_nonfinite: bool = False
    inference: bool = False  # whether calls with training=True are taken as without it
    custom: Mapping[str, Any] = field(default_factory=dict)
    orderings: frozenset[str] = frozenset()  # every `dim_ordering` of Keras 1 that it has


def random(*keys: str) -> Callable[[Config], str]:
    """`Kind.training` of a layer that draws random numbers unless all these settings are 0."""

    def differs(config: Config) -> str:
        return "is random" if any(config.get(key) not in (0, None) for key in keys) else ""

    return differs


Parts = tuple[tuple[str, "Item"], ...]
Maker = Callable[..., "Item"]  # make(entry, outer path, frozen=...) -> Item


@dataclass(frozen=True)
class Kind:
    """A Keras class.

    `mask` is what becomes of a mask: "pass" (the output has that of the input), "stop",
    "recurrent" (passes with return_sequences), "embedding", "masking", "merge". `inputs` is the
    least and the largest number of tensors it is called on. Of its other arguments `keywords` may
    be tensors, `settings` are true or false, and `training` says in what way the layer differs
    when it is called with training=True ("" where it does not); all others are refused.
    """

    build: Callable[[Bound], Layer]
    slots: Callable[[Config, Context], tuple[Slot, ...]] = lambda config, context: ()
    parts: Callable[[Config, Maker], Parts] = lambda config, make: ()
    mask: str = "pass"
    inputs: tuple[int, int] = (1, 1)
    call: tuple[str, ...] = ("inputs",)  # the arguments in the order of Keras 3
    keywords: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    training: Callable[[Config], str] = lambda config: ""
    hands_on_mask: bool = False  # whether all it does with a mask by name is to pass it on
    lists_masks: bool = False  # whether `mask` is a list with one for each input
    state_rank: int = 2  # axes of a state, with the batch axis


@dataclass(frozen=True, eq=False)
class Item:
    """An object of the configuration; `path` holds the names from the outermost model on."""

    name: str
    path: str
    class_name: str
    config: Config
    kind: Kind | None  # None: a model, an input, or a class that is not in the table
    slots: tuple[Slot, ...] = ()
    parts: Parts = ()  # with their path inside a .keras file
    trainable: bool = True
    problem: str | None = None  # why it cannot be built
    entry: Mapping[str, Any] = field(default_factory=dict)  # class, config, calls
    named: bool = True  # whether the file gives the name
    is_custom: bool = False
    is_operation: bool = False  # of Keras 3: a function of tensors rather than a layer

    @property
    def is_model(self) -> bool:
        """Whether it is a Sequential or functional model."""
        return self.class_name in ("Sequential", "Functional") and self.problem is None

    @property
    def is_input(self) -> bool:
        """Whether it is an InputLayer."""
        return self.class_name == "InputLayer"

    @property
    def unknown(self) -> bool:
        """Whether the number of its weights is unknown."""
        return (self.problem is not None and not self.slots) or self.is_custom

    def walk(self, frozen: bool = False) -> Iterator[tuple[Item, bool]]:
        """The item and everything inside, each with whether it is frozen."""
        frozen = frozen or not self.trainable
        yield self, frozen
        for _, part in self.parts:
            yield from part.walk(frozen)


class ShapeError(LayerError):
    """A weight does not have the shape that the configuration asks for."""


class InnerError(LayerError):
    """A part inside a wrapper cannot be built; `layer` says which and why."""

    def __init__(self, layer: Unsupported) -> None:
        super().__init__(layer.message)
        self.layer = layer


@dataclass(frozen=True, eq=False)
class Bound:
    """An item with its arrays: all that a builder function needs."""

    item: Item
    context: Context
    arrays: Mapping[str, Stored]
    masked: bool  # whether a mask may reach the layer
    build_part: Callable[[Item, bool], Layer]
    build_graph: Callable[[Item], Graph]

    @property
    def config(self) -> Config:
        """The layer's settings."""
        return self.item.config

    @property
    def era(self) -> Era:
        """Who wrote the file."""
        return self.context.era

    def has(self, name: str) -> bool:
        """Whether the layer has this variable."""
        return name in self.arrays

    def weight(self, name: str, *shape: int | None, integer: bool = False) -> Array:
        """A variable, checked against `shape` (None: any length; no shape at all: unchecked)."""
        stored = self.arrays.get(name)
        if stored is None:
            raise LayerError(f"its weight {name!r} is not in the file")
        if shape:
            check_shape(name, stored.shape, shape)
        data = stored.load()
        if data.dtype.kind != "f" and not integer:
            raise LayerError(
                f"its weight {name!r} holds {data.dtype} numbers: quantised layers are not "
                "supported; save the model as it was before quantize()"
            )
        if not self.context.allow_nonfinite and not np.isfinite(data).all():
            raise LayerError(
                f"its weight {name!r} holds values that are not finite (NaN or infinity); "
                "use --allow-nonfinite to keep them"
            )
        return data

    def optional(self, name: str, *shape: int | None) -> Array | None:
        """A variable that the layer may do without."""
        return self.weight(name, *shape) if self.has(name) else None

    def all_arrays(self) -> list[Array]:
        """Every array, in stored order."""
        return [self.weight(name) for name in self.arrays]

    def part(self, name: str) -> Layer:
        """The layer inside, built; what is wrong with it is raised as an InnerError."""
        for key, part in self.item.parts:
            if key == name:
                layer = self.build_part(part, self.masked)
                if isinstance(layer, Unsupported):
                    raise InnerError(layer)
                return layer
        raise LayerError(f"its configuration has no {name!r}")

    def every_part(self) -> list[Layer]:
        """All layers inside, built."""
        return [self.part(key) for key, _ in self.item.parts]

    def graph(self, name: str) -> Graph:
        """The layer or model inside as a graph with one input."""
        for key, part in self.item.parts:
            if key == name:
                return self.build_graph(part)
        raise LayerError(f"its configuration has no {name!r}")

    def only(self, **expected: Any) -> None:
        """Refuse these settings where they have another value; what weights tell is checked so."""
        for key, value in expected.items():
            found = self.config.get(key)
            if found is not None and (found != value or type(found) is not type(value)):
                raise LayerError(f"{key} is {show(found)}, expected {show(value)}")

    def told(self, *keys: str) -> None:
        """Pass over settings that change nothing here: weights tell them, or training is over."""
        for key in keys:
            self.config.get(key)

    def activation(self, key: str = "activation", default: Any = None) -> Activation:
        """The activation named under `key`, in the meaning of the era."""
        value = self.config.get(key, default)
        return activations.resolve(value, self.era, self.context.custom, key)

    def layer(self, cls: type[L], **fields: Any) -> L:
        """A canonical layer with this item's name and class."""
        stored = sum(math.prod(array.shape) for array in self.arrays.values())
        return cls(name=self.item.path, class_name=self.item.class_name, stored=stored, **fields)


def check_shape(name: str, found: tuple[int, ...], expected: tuple[int | None, ...]) -> None:
    """Raise a ShapeError unless `found` is `expected`, where None stands for any length."""
    fits = len(found) == len(expected) and all(
        e is None or e == f for f, e in zip(found, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if e is None else str(e) for e in expected)
        wanted += "," if len(expected) == 1 else ""
        raise ShapeError(f"its weight {name!r} has shape {found}, expected ({wanted})")


def variables(*names: str) -> tuple[Slot, ...]:
    """Trainable slots of these names."""
    return tuple(Slot(name) for name in names)


def with_bias(*names: str) -> Callable[[Config, Context], tuple[Slot, ...]]:
    """Slots of these names, then a bias unless the configuration says there is none."""

    def slots(config: Config, context: Context) -> tuple[Slot, ...]:
        use = config.flag("bias" if context.era.is_keras1 else "use_bias", True)
        return variables(*names, *(["bias"] if use else []))

    return slots


def sections(config: Config, key: str) -> list[dict[str, Any]]:
    """A list of objects under `key`."""
    value = config.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise LayerError(f"{key} is {show(value)}, expected a list of objects")
    return value


# ---- the text of a configuration, and names in it -------------------------------------------


def parse(text: bytes | str, label: str) -> dict[str, Any]:
    """The JSON object in `text`, with Keras' encodings of tuples, shapes and scalars undone."""
    plain: dict[str, Any] = _plain(parse_object(text, label))
    return plain


def _plain(value: Any, in_call: bool = False) -> Any:
    """`value` with tuples and TensorShapes as lists, arrays of one number as that number.

    Arrays in calls of layers stay what they are: several in a list are no array of more axes.
    """
    if isinstance(value, list):
        return [_plain(item, in_call) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("class_name", value.get("type"))
    if kind in ("__tuple__", "TensorShape") and isinstance(value.get("items"), list):
        return [_plain(item, in_call) for item in value["items"]]
    if kind == "ndarray" and "value" in value:
        return _plain(value["value"], in_call)
    if kind == "__numpy__" and isinstance(value.get("config"), dict) and not in_call:
        return _plain(value["config"].get("value"))
    if set(value) == {"type", "value"}:
        return _plain(value["value"], in_call)
    return {key: _plain(item, in_call or key == "inbound_nodes") for key, item in value.items()}


_BOUNDARIES = (
    (re.compile(r"\W+"), ""),
    (re.compile(r"(.)([A-Z][a-z]+)"), r"\1_\2"),
    (re.compile(r"([a-z])([A-Z])"), r"\1_\2"),
)


def snake_case(class_name: str) -> str:
    """The name Keras derives from a class for paths: `PReLU` gives `p_re_lu`."""
    for pattern, replacement in _BOUNDARIES:
        class_name = pattern.sub(replacement, class_name)
    return class_name.lower()
