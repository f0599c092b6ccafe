"""A layer of `torch.nn` with its options and tensors, as the builders of this folder take it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from codegen.errors import LayerError
from codegen.model import Array, Layer
from codegen.readers.settings import Config, show
from codegen.readers.torch.tensors import Stored

Some = TypeVar("Some", bound=Layer)
Builder = Callable[["Bound"], "Layer | tuple[Layer, ...]"]


@dataclass
class Bound:
    """A layer with what belongs to it: options, and tensors by their names without the prefix."""

    name: str
    class_name: str
    options: Config
    tensors: Mapping[str, Stored]
    rank: int  # of its input, with the batch axis; a builder sets that of the output
    ranks: tuple[int, ...] = ()  # of all its inputs
    live: bool = False  # axes are where torch has them; else time is before the channels
    turned: bool = False  # torch has the channels of this tensor before time, and here they follow
    allow_nonfinite: bool = False
    used: set[str] = field(default_factory=set)

    @property
    def channels_last(self) -> bool:
        """Whether channels are the last axis of what torch has them as the second of."""
        return not self.live and self.rank <= 3

    @property
    def channel_axis(self) -> int:
        """The axis of the channels, counted with the batch axis."""
        return -1 if self.channels_last else 1

    def turn(self) -> None:
        """Note that torch has the channels first in what comes out, where here they are last."""
        self.turned = self.turned or (self.channels_last and self.rank == 3)

    def needs_rank(self, *ranks: int) -> None:
        """Refuse an input of another number of axes, counted with the batch axis."""
        if self.rank not in ranks:
            expected = " or ".join(map(str, ranks))
            raise LayerError(f"its input has {self.rank} axes with the batch, expected {expected}")

    def agree_sizes(self, key: str, found: tuple[int, ...]) -> None:
        """The same as `agree` for a length on each axis; one number stands for all."""
        if key in self.options and self.options.integers(key, len(found)) != found:
            self.agree(key, list(found))

    def has(self, name: str) -> bool:
        """Whether there is such a tensor."""
        return name in self.tensors

    def array(self, name: str, *shape: int | None) -> Array:
        """The numbers of a tensor of this shape; None stands for any length."""
        found = self.tensors.get(name)
        if found is None:
            there = ", ".join(sorted(self.tensors)[:12]) or "none"
            raise LayerError(f"it has no tensor {name!r}; found: {there}")
        self.used.add(name)
        fits = len(found.shape) == len(shape) and all(
            wanted in (None, length) for length, wanted in zip(found.shape, shape, strict=True)
        )
        if not fits:
            wanted_text = ", ".join("any" if n is None else str(n) for n in shape)
            raise LayerError(
                f"tensor {name!r} is of shape {list(found.shape)}, expected [{wanted_text}]"
            )
        if not found.is_float:
            raise LayerError(f"tensor {name!r} is of type {found.dtype}, expected floats")
        numbers = found.load()
        if not self.allow_nonfinite and not np.isfinite(numbers).all():
            raise LayerError(
                f"tensor {name!r} has values that are not finite; --allow-nonfinite takes them"
            )
        return numbers

    def optional(self, name: str, *shape: int | None) -> Array | None:
        """The same, None where the tensor is not there."""
        return self.array(name, *shape) if self.has(name) else None

    def agree(self, key: str, found: Any) -> None:
        """Refuse an option that says otherwise than the tensors do."""
        said = self.options.get(key, found)
        said = list(said) if isinstance(said, tuple) else said
        if said != found:
            raise LayerError(f"{key} is {show(said)}, its tensors say {show(found)}")

    def layer(self, kind: type[Some], name: str | None = None, /, **fields: Any) -> Some:
        """A canonical layer under this one's name and class."""
        return kind(name=name or self.name, class_name=self.class_name, **fields)


@dataclass(frozen=True)
class Kind:
    """How a class is built: which options it knows, how many inputs it takes."""

    build: Builder
    options: tuple[str, ...] = ()
    has_weights: bool = True
    inputs: tuple[int, int] = (1, 1)
    nullable: tuple[str, ...] = ()  # options that may be None
