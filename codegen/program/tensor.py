"""Keras' tensors while they are lowered, windows that move along one, and constants among them.

Keras knows no constants: each is a tensor whose batch axis has length 1, or that of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from codegen.errors import LayerError
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import Array, Buffer, Vec


@dataclass(frozen=True, eq=False)
class Tensor:
    """A Keras tensor without its batch axis: row-major in `buffer` from `offset` on.

    `time` says that axis 0 is the model's time axis. The other fields have a meaning only while
    one step is lowered: `lead` is the number of steps that go by before there is a value; `ahead`
    is the number of rows of the sequence that come before those of the first such step (left zero
    padding), with their constant values in `prefix`; where it is negative, so many rows of the
    first step are no rows of the sequence (only where a step has several). `behind` is the number
    of rows that come after those of the last step (padding on the right), so that no step gives
    them; `late` says why. `last` marks a value that is the model's only at the end of the sequence
    (return_sequences=False).

    Where a Permute has moved the time axis it is left in front here: `order` says which axis is
    which of Keras', and `turned_by` why it is none of a step. A layer has such an input as it is
    only through `Layer.turned`.
    """

    buffer: Buffer
    shape: tuple[Dim, ...]
    offset: Dim = 0
    time: bool = False
    lead: int = 0
    ahead: int = 0
    prefix: Array | None = None
    behind: int = 0
    late: str = ""
    last: bool = False
    order: tuple[int, ...] = ()
    turned_by: str = ""
    stored: bool = False  # a constant with the axes of the file: the first may be the batch axis
    mask: Tensor | None = None  # shape[:1], 1 where the step counts and 0 where it is masked
    refusal: str = ""  # why no layer can read this mask, where none can

    @property
    def size(self) -> Dim:
        """Number of elements."""
        return dims.product(self.shape)

    def vec(self) -> Vec:
        """All elements."""
        if self.refusal:
            raise LayerError(self.refusal)
        return Vec(self.buffer, self.offset, self.size)

    def at(self, *indices: Dim) -> Tensor:
        """The part at these indices of the first axes."""
        if self.refusal:
            raise LayerError(self.refusal)
        offset = self.offset
        for axis, index in enumerate(indices):
            offset = offset + index * dims.product(self.shape[axis + 1 :])
        return Tensor(self.buffer, self.shape[len(indices) :], offset)

    def row(self, *indices: Dim) -> Vec:
        """All elements of the part at these indices."""
        return self.at(*indices).vec()

    def along(self, axis: int, before: Sequence[Dim], after: Sequence[Dim]) -> Vec:
        """The elements along one axis, at the given indices of the axes before and after it."""
        stride = dims.fixed(dims.product(self.shape[axis + 1 :]))
        start = self.at(*before, 0, *after)
        return Vec(self.buffer, start.offset, self.shape[axis], stride)

    def reshape(self, shape: Sequence[Dim]) -> Tensor:
        """The same elements in another shape."""
        return replace(self, shape=tuple(shape))


@dataclass(frozen=True, eq=False)
class Window:
    """A window that moves along axis 0: `count` positions, at each `size` rows, the taps.

    The taps stand in `rows`, one after another (`dilation` apart), or, where that is None, in the
    delay `line` and the newest in `x`.
    """

    loop: Callable[[Dim], AbstractContextManager[Dim]]  # the builder's
    x: Tensor
    count: Dim
    size: int
    stride: int
    dilation: int
    rows: Tensor | None
    first: int = 0  # the row at which the first position starts
    line: Tensor | None = None
    lead: int = 0
    ahead: int = 0
    behind: int = 0
    late: str = ""

    def positions(self) -> AbstractContextManager[Dim]:
        """A parallel loop over the positions."""
        return self.loop(self.count)

    def tap(self, position: Dim, number: Dim) -> Tensor:
        """Row number `number` of the window, oldest first, at a position."""
        if self.rows is not None:
            start = self.first + position * self.stride
            return self.rows.at(start + number * self.dilation)
        assert self.line is not None
        where = dims.fixed(number)
        return self.x.at(0) if where == self.size - 1 else self.line.at(where * self.dilation)

    def taps(self, position: Dim) -> tuple[Tensor, ...]:
        """All rows of the window at a position."""
        return tuple(self.tap(position, number) for number in range(self.size))

    def like(self, out: Tensor) -> Tensor:
        """`out`, one row for each position."""
        return replace(
            out,
            time=self.x.time,
            lead=self.lead,
            ahead=self.ahead,
            behind=self.behind,
            late=self.late,
            last=self.x.last,
        )


def values(x: Tensor) -> Array | None:
    """The numbers of a tensor that is constant, else None."""
    if x.buffer.kind != "const" or x.buffer.data is None:
        return None
    start, shape = dims.fixed(x.offset), tuple(dims.fixed(n) for n in x.shape)
    return x.buffer.data[start : start + math.prod(shape)].reshape(shape)
