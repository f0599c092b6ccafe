"""What names stand for while a graph is read: arrays that are known, and values of the Model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.model import Array, Ref
from codegen.program.dims import Dim


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor that a run computes.

    `shape` has all axes as ONNX counts them, the batch axis with length 1. `held` says which of
    them the axes of the Model's tensor are, in their order; axes of length 1 may be missing there.
    With `time` the first one is the time axis of the model.
    """

    ref: Ref
    shape: tuple[Dim, ...]
    held: tuple[int, ...]
    dtype: str = "float32"
    time: bool = False

    @property
    def rank(self) -> int:
        """The number of its axes in ONNX."""
        return len(self.shape)

    @property
    def time_axis(self) -> int | None:
        """The axis that is the model's time axis."""
        return self.held[0] if self.time else None

    @property
    def needed(self) -> tuple[int, ...]:
        """The axes that have to be held, in their order in ONNX but for time, which comes first."""
        first = self.held[:1] if self.time else ()
        rest = (a for a, n in enumerate(self.shape) if n != 1 and a not in first)
        return (*first, *rest)

    def place(self, axis: int) -> int:
        """An axis, which may be counted from the end, as an index into `shape`."""
        return axis + self.rank if axis < 0 else axis


@dataclass(frozen=True, eq=False)
class Refused:
    """What comes out of a node that is refused: nothing is known of it."""

    ref: Ref


Operand = Value | Array | Refused | None


def is_symbolic(array: Array) -> bool:
    """Whether an array holds lengths that are not known."""
    return array.dtype == object


def plain(numbers: Sequence[Dim]) -> Array:
    """Lengths as an array: of int64 where all of them are known."""
    if all(isinstance(n, int) for n in numbers):
        return np.array(numbers, np.int64)
    found = np.empty(len(numbers), object)
    found[:] = numbers
    return found
