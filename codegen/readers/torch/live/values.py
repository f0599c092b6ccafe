"""What passes between the calls of a traced module."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Final:
    """Final states of all layers and directions of a recurrent module: (layers, batch, units)."""

    parts: tuple[Value, ...]


@dataclass(frozen=True)
class StateIn:
    """An argument that is the state of the call before."""

    name: str
