"""Operations of Keras 3 that functional models save as nodes of their own.

Truth values are 1 and 0. Axes count the batch axis as 0, or from the end, as in the file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from codegen import dims
from codegen.dims import Dim
from codegen.errors import LayerError
from codegen.layers.core import axis_of, broadcast, broadcast_shape, widen
from codegen.model import Layer
from codegen.program import At, Compare, Expr, Mat, Number, call

if TYPE_CHECKING:
    from codegen.builder import Builder, Tensor

Tensors = tuple["Tensor", ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Reduction(Layer):
    """Sum, mean, max, min, any or all along axes."""

    kind: str
    axes: tuple[int, ...]
    keepdims: bool = False

    @property
    def describe(self) -> str:
        """What over which axes."""
        return f"{self.class_name}(axis={', '.join(map(str, self.axes))})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """One element of the result at a time."""
        x = inputs[0]
        axes = sorted(axis_of(axis, x) for axis in self.axes)
        if 0 in axes and len(x.shape) > 1:
            b.needs_whole(x, "it reduces the sequence over time")
        kept = [axis for axis in range(len(x.shape)) if axis not in axes]
        shape = [1 if axis in axes else n for axis, n in enumerate(x.shape)]
        out = b.tensor("output", shape)
        counters = tuple((f"k{axis}", x.shape[axis]) for axis in axes)
        count = dims.product(tuple(x.shape[axis] for axis in axes))
        with b.each([x.shape[axis] for axis in kept]) as at:
            source: list[Dim] = [0] * len(x.shape)
            target: list[Dim] = [0] * len(x.shape)
            for axis, index in zip(kept, at, strict=True):
                source[axis] = target[axis] = index
            for axis, (name, _) in zip(axes, counters, strict=True):
                source[axis] = dims.symbol(name)
            value: Expr = At(x.row(*source))
            if self.kind in ("any", "all"):
                value = Compare("!=", value, Number(0.0))
            if self.kind == "mean":
                value = value / float(dims.fixed(count))
            how = {"any": "max", "all": "min", "mean": "sum"}.get(self.kind, self.kind)
            b.reduce(out.row(*target), how, counters, value)
        if not self.keepdims:
            out = out.reshape([x.shape[axis] for axis in kept])
        return (replace(b.like(out, x), time=x.time and 0 not in axes),)


@dataclass(frozen=True, eq=False, kw_only=True)
class NewShape(Layer):
    """ExpandDims and Squeeze: an axis of length 1 put in at `axis`, or taken away."""

    axis: int
    expand: bool

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """No ops."""
        x = inputs[0]
        rank = len(x.shape) + (1 if self.expand else 0)
        axis = self.axis - 1 if self.axis > 0 else self.axis + rank
        if self.axis == 0 or not 0 <= axis < rank:
            raise LayerError(f"axis {self.axis} of an input with {len(x.shape)} axes")
        if axis == 0:
            b.needs_whole(x, "it moves the time axis")
        if self.expand:
            shape = (*x.shape[:axis], 1, *x.shape[axis:])
        else:
            b.check(x.shape[axis], "==", 1)
            shape = (*x.shape[:axis], *x.shape[axis + 1 :])
        return (replace(b.like(x.reshape(shape), x), time=x.time and axis != 0),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Filled(Layer):
    """ZerosLike and OnesLike: the shape of the input, one value everywhere."""

    value: float

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """One store."""
        out = b.tensor("output", inputs[0].shape)
        b.copy(out.vec(), Number(self.value))
        return (b.like(out, inputs[0]),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison(Layer):
    """Left compared with right, which is a second tensor or a constant."""

    operator: str
    constant: float | None = None

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Element by element, broadcast."""
        rank = max(len(x.shape) for x in inputs)
        widened = [widen(x, rank) for x in inputs]
        shape = broadcast_shape(b, widened)
        out = b.tensor("output", shape)
        with b.each(shape[:-1]) as at:
            left: Expr = At(broadcast(widened[0], shape, at))
            right: Expr
            if self.constant is None:
                right = At(broadcast(widened[1], shape, at))
            else:
                right = Number(self.constant)
            b.copy(out.row(*at), Compare(self.operator, left, right))
        return (b.like(out, *inputs),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Clip(Layer):
    """min(max(x, low), high)."""

    low: float
    high: float

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Element by element."""
        x = inputs[0]
        out = b.tensor("output", x.shape)
        b.copy(out.vec(), call("min", call("max", x.vec(), self.low), self.high))
        return (b.like(out, x, mask=x.mask),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Stack(Layer):
    """Tensors side by side along a new axis."""

    axis: int

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Copies."""
        first = inputs[0].shape
        rank = len(first) + 1
        axis = self.axis - 1 if self.axis > 0 else self.axis + rank
        if self.axis == 0 or not 0 <= axis < rank:
            raise LayerError(f"axis {self.axis} of an input with {len(first)} axes")
        for x in inputs:
            if axis == 0:
                b.needs_whole(x, "it puts whole sequences side by side")
            for left, right in zip(first, x.shape, strict=True):
                b.check(left, "==", right)
        out = b.tensor("output", (*first[:axis], len(inputs), *first[axis:]))
        with b.each(first[:axis]) as at:
            for number, x in enumerate(inputs):
                b.copy(out.row(*at, number), x.row(*at))
        return (b.like(out, *inputs),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Flip(Layer):
    """The elements along one axis in reverse order."""

    axis: int

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Copies."""
        x = inputs[0]
        axis = axis_of(self.axis, x)
        if axis == 0:
            b.needs_whole(x, "it reads the sequence backwards")
        out = b.tensor("output", x.shape)
        with b.each(x.shape[: axis + 1]) as at:
            turned = x.shape[axis] - 1 - at[-1]
            b.copy(out.row(*at), x.row(*at[:-1], turned))
        return (b.like(out, x),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Matmul(Layer):
    """The product of two matrices, or of a matrix and a vector along its last axis."""

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """One row of the result at a time."""
        left, right = inputs
        if len(right.shape) != 2 or len(left.shape) not in (1, 2):
            raise LayerError(f"a product of tensors with {left.shape} and {right.shape}")
        for x in inputs:
            if len(x.shape) > 1:
                b.needs_whole(x, "it multiplies whole sequences")
        b.check(left.shape[-1], "==", right.shape[0])
        inner, columns = right.shape
        stride = dims.fixed(columns)
        matrix = Mat(right.buffer, right.offset, columns, inner, 1, stride)
        out = b.tensor("output", (*left.shape[:-1], columns))
        with b.each(left.shape[:-1]) as at:
            b.affine(out.row(*at), None, (matrix, left.row(*at)))
        return (b.like(out, *inputs),)
