"""What passes between the calls of a traced module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from codegen.errors import LayerError
from codegen.model import Ref


@dataclass(frozen=True)
class Value:
    """A tensor of the graph: where it comes from, its shape in torch, its batch axis there."""

    ref: Ref
    shape: tuple[int, ...]
    batch: int = 0

    def axis(self, dim: Any) -> int:
        """An axis of torch, counted with the batch axis as 0 as layers count."""
        if not isinstance(dim, int) or isinstance(dim, bool) or not -self.rank <= dim < self.rank:
            raise LayerError(f"dim is {dim!r}")
        axis = dim % self.rank
        if axis == self.batch:
            raise LayerError("it works along the batch axis")
        return axis + 1 if axis < self.batch else axis

    @property
    def rank(self) -> int:
        """The number of axes, the batch axis too."""
        return len(self.shape)


@dataclass(frozen=True, eq=False)
class Final:
    """Final states of all layers and directions of a recurrent module: (layers, batch, units)."""

    parts: tuple[Value, ...]


@dataclass(frozen=True)
class StateIn:
    """An argument that is the state of the call before, or a part of it."""

    name: str
    path: tuple[int, ...] = ()


class NeedsStepError(Exception):
    """A state goes another way than into a recurrent module and out of it again."""


def leaves(value: Any, path: tuple[int, ...] = ()) -> dict[tuple[int, ...], Any]:
    """What a tensor, or a tuple of tuples of tensors, holds; a tensor has the path ()."""
    if not isinstance(value, (tuple, list)):
        return {path: value}
    found: dict[tuple[int, ...], Any] = {}
    for number, part in enumerate(value):
        found |= leaves(part, (*path, number))
    return found


def rebuilt(value: Any, change: Callable[[tuple[int, ...], Any], Any], path: Any = ()) -> Any:
    """The same structure of what `change` makes of the path and value of each leaf."""
    if not isinstance(value, (tuple, list)):
        return change(path, value)
    return tuple(rebuilt(part, change, (*path, number)) for number, part in enumerate(value))


def entries(value: Any) -> dict[str, Any]:
    """What is returned, by name or by its position as text."""
    if isinstance(value, dict):
        return {str(key): part for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return {str(number): part for number, part in enumerate(value)}
    return {"0": value}
