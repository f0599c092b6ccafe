"""Layers that only move numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import LayerError
from codegen.layers.core import Identity
from codegen.layers.shared.axes import transpose
from codegen.model import Layer
from codegen.program import dims
from codegen.program.dims import Dim

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten(Layer):
    """All axes as one; channels_first moves the channels last before."""

    channels_first: bool = False

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """The same elements, or a copy in another order."""
        x = b.only_row(inputs[0]) or inputs[0]
        b.needs_whole(x, "it needs the whole sequence at once")
        if self.channels_first and len(x.shape) > 1:
            rank = len(x.shape)
            x = transpose(b, x, (*range(1, rank), 0))
        size = x.size if x.shape else 1
        return (replace(b.like(x.reshape((size,)), x), time=False),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Layer):
    """The same elements in another shape; -1 stands for what is left."""

    shape: tuple[int, ...]

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """No ops."""
        x = inputs[0]
        shape: tuple[Dim, ...] = self.shape
        saved = self.saved_rows(b, x)
        if x.time and saved is not None:
            shape = (x.shape[0], *self.shape[1:])
            if -1 in self.shape[1:]:
                rest = dims.fixed(dims.product(x.shape[1:]))
                known = int(np.prod([n for n in self.shape[1:] if n != -1], dtype=np.int64))
                shape = tuple(rest // known if n == -1 else n for n in shape)
            b.check(dims.product(shape[1:]), "==", dims.product(x.shape[1:]))
            return (b.like(replace(x.reshape(shape), prefix=None), x, mask=None),)
        x = b.only_row(x) or x
        b.needs_whole(x, "it cuts the sequence into other pieces")
        if -1 in self.shape:
            known = int(np.prod([n for n in self.shape if n != -1], dtype=np.int64))
            shape = tuple(x.size // known if n == -1 else n for n in self.shape)
        b.check(dims.product(shape), "==", x.size)
        return (replace(b.like(x.reshape(shape), x), time=False),)

    def saved_rows(self, b: Builder, x: Tensor) -> int | None:
        """The number of rows when reshaping keeps each step by itself, else None."""
        if not x.time or not self.shape or len(x.shape) < 1:
            return None
        per_step = int(np.prod([n for n in self.shape[1:] if n != -1], dtype=np.int64))
        inner = dims.product(x.shape[1:])
        if self.shape[0] == -1:
            return -1 if per_step == inner else None
        if self.shape[0] == b.saved_steps and b.keeps_rows(x):
            return self.shape[0] if -1 in self.shape[1:] or per_step == inner else None
        return None


@dataclass(frozen=True, eq=False, kw_only=True)
class Permute(Layer):
    """Axes in another order, counted from 1 without the batch axis."""

    dims: tuple[int, ...]

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """Nothing is moved but the order, until time comes first again."""
        if sorted(self.dims) != list(range(1, len(order) + 1)):
            return None
        moved = tuple(order[d - 1] for d in self.dims)
        if moved[0] == 0:
            return replace(self, dims=tuple(axis + 1 for axis in moved)), tuple(range(len(order)))
        return Identity(name=self.name, class_name=self.class_name), moved

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """A copy, axis by axis."""
        x = inputs[0]
        order = tuple(d - 1 for d in self.dims)
        if order == tuple(range(len(order))):
            return (x,)
        if order[0] != 0:
            b.needs_whole(x, "it swaps the time axis with another")
        out = transpose(b, x, order)
        return (replace(b.like(out, x), time=x.time and order[0] == 0),)


@dataclass(frozen=True, eq=False, kw_only=True)
class RepeatVector(Layer):
    """A vector as every row of a sequence."""

    count: int

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Copies: in a sequence as long as the model's, one for each of its steps."""
        x = inputs[0]
        b.needs_whole(x, "its input is a sequence, expected a vector")
        if len(x.shape) != 1:
            raise LayerError(f"its input has {len(x.shape)} axes, expected a vector")
        time = self.count == b.saved_steps and not x.last
        count = b.rows if time else self.count
        out = b.tensor("output", (count, *x.shape))
        with b.loop(count) as t:
            b.copy(out.row(t), x.vec())
        return (replace(b.like(out, x), time=time),)
