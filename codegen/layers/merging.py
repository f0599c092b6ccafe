"""Layers that combine several tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from codegen.errors import LayerError, NotStreamable
from codegen.layers.masking import merged_mask
from codegen.layers.shared.axes import axis_of, broadcast, broadcast_shape, widen
from codegen.layers.shared.formulas import BINARY
from codegen.model import Layer
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import At, Expr, Number, Select, Vec, call

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Merge(Layer):
    """Add, Subtract, Multiply, Average, Maximum, Minimum of tensors, broadcast as Keras does.

    `any_mask` (Keras 3.4 and later): a step counts where any mask says so, and there is no mask
    unless every input has one. A product then takes a masked factor as 1, and is 0 where all
    factors are masked; of two values Maximum and Minimum take the one that is not masked, and of
    three the first two are one that has a mask only if both have.
    """

    mode: str  # add, subtract, multiply, average, maximum, minimum, divide, power, ...
    any_mask: bool = False

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """Itself."""
        return self, order

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Element by element."""
        rank = max(len(x.shape) for x in inputs)
        widened = [widen(x, rank) for x in inputs]
        shape = broadcast_shape(b, widened)
        out = b.tensor("output", shape)
        mask = self._mask(b, inputs)
        with b.each(shape[:-1]) as at:
            y = out.row(*at)
            if self.any_mask and self.mode in ("maximum", "minimum"):
                value = self._extreme(widened, shape, at)
            else:
                parts = [self._factor(x, broadcast(x, shape, at), at) for x in widened]
                value = parts[0]
                for part in parts[1:]:
                    value = self._combine(value, part)
            if self.mode == "average":
                value = value / float(len(parts))
            if self._masks_factors and mask is not None:
                value = Select(At(mask.row(at[0]).every(shape[-1])), value, Number(0.0))
            b.copy(y, value)
        return (b.like(out, *inputs, mask=mask),)

    def _combine(self, left: Expr, right: Expr) -> Expr:
        return BINARY["add" if self.mode == "average" else self.mode](left, right)

    @property
    def _masks_factors(self) -> bool:
        return self.mode == "multiply" and self.any_mask

    def _factor(self, x: Tensor, row: Vec, at: tuple[Dim, ...]) -> Expr:
        if x.mask is None or not self._masks_factors or not at:
            return At(row)
        return Select(At(x.mask.row(at[0]).every(row.size)), At(row), Number(1.0))

    def _extreme(self, inputs: list[Tensor], shape: tuple[Dim, ...], at: tuple[Dim, ...]) -> Expr:
        def counts(x: Tensor) -> Expr | None:
            return At(x.mask.row(at[0]).every(shape[-1])) if x.mask is not None and at else None

        value: Expr = At(broadcast(inputs[0], shape, at))
        seen = counts(inputs[0])
        for x in inputs[1:]:
            here, right = counts(x), At(broadcast(x, shape, at))
            other: Expr = right if here is None else Select(here, right, value)
            value = value if seen is None else Select(seen, value, other)
            seen = None if here is None or seen is None else call("max", seen, here)
            value = self._combine(value, other)
        return value

    def _mask(self, b: Builder, inputs: Tensors) -> Tensor | None:
        if self.any_mask and any(x.mask is None for x in inputs):
            return None
        return merged_mask(b, inputs, "max" if self.any_mask else "min")


@dataclass(frozen=True, eq=False, kw_only=True)
class Concatenate(Layer):
    """Tensors side by side along one axis; for `any_mask` see `Merge`."""

    axis: int = -1
    any_mask: bool = False

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Copies, row by row."""
        axis = axis_of(self.axis, inputs[0])
        for x in inputs:
            if axis == 0:
                b.needs_whole(x, "it joins sequences one after the other")
            if len(x.shape) != len(inputs[0].shape):
                raise LayerError("its inputs differ in the number of axes")
        first = inputs[0].shape
        if b.step and any(x.time for x in inputs) and not all(x.time for x in inputs):
            raise NotStreamable("it joins a sequence and a tensor that is not a sequence")
        for x in inputs[1:]:
            for n, (left, right) in enumerate(zip(first, x.shape, strict=True)):
                if n != axis:
                    b.check(left, "==", right)
        total: Dim = 0
        for x in inputs:
            total = total + x.shape[axis]
        out = b.tensor("output", (*first[:axis], total, *first[axis + 1 :]))
        start: Dim = 0
        with b.each(first[:axis]) as at:
            for x in inputs:
                part = x.at(*at)
                target = replace(out.at(*at, start), shape=part.shape)
                b.copy(target.vec(), part.vec())
                start = start + x.shape[axis]
        mask = self._joined_masks(b, inputs) if axis == 0 else self._mask(b, inputs)
        return (b.like(out, *inputs, mask=mask),)

    def _mask(self, b: Builder, inputs: Tensors) -> Tensor | None:
        if self.any_mask and any(x.mask is None for x in inputs):
            return None
        return merged_mask(b, inputs, "max" if self.any_mask else "min")

    def _joined_masks(self, b: Builder, inputs: Tensors) -> Tensor | None:
        """Masks one after the other, as the steps are."""
        if all(x.mask is None for x in inputs):
            return None
        total: Dim = 0
        for x in inputs:
            total = total + x.shape[0]
        out = b.tensor("mask", (total,))
        start: Dim = 0
        for x in inputs:
            part = replace(out.at(start), shape=(x.shape[0],)).vec()
            b.copy(part, Number(1.0) if x.mask is None else At(x.mask.vec()))
            start = start + x.shape[0]
        return b.like(out, *inputs)


@dataclass(frozen=True, eq=False, kw_only=True)
class Dot(Layer):
    """Sums of products along one axis of each of two tensors (axes count the batch axis)."""

    axes: tuple[int, int]
    normalize: bool = False
    cosine: bool = False  # Keras 1: divided by the norms of both, with one more axis

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """out[left axes but one, right axes but one] = sum over the common axis."""
        left, right = inputs
        for x in inputs:
            b.needs_whole(x, "it multiplies whole sequences")
        p, q = axis_of(self.axes[0], left), axis_of(self.axes[1], right)
        b.check(left.shape[p], "==", right.shape[q])
        if self.cosine:
            return self._cosine(b, left, right)
        if self.normalize:
            left, right = self._unit(b, "left", left, p), self._unit(b, "right", right, q)
        rest_left = (*left.shape[:p], *left.shape[p + 1 :])
        rest_right = (*right.shape[:q], *right.shape[q + 1 :])
        # Keras keeps at least one axis besides the batch axis.
        out = b.tensor("output", (*rest_left, *rest_right) or (1,))
        with b.each(rest_left, "row") as i, b.each(rest_right, "column") as j:
            target = out.row(*i, *j)
            k = dims.symbol("k")
            u = left.row(*i[:p], k, *i[p:])
            v = right.row(*j[:q], k, *j[q:])
            b.reduce(target, "sum", (("k", left.shape[p]),), At(u) * At(v))
        return (b.like(out, *inputs),)

    def _cosine(self, b: Builder, left: Tensor, right: Tensor) -> Tensors:
        """l.r / max(sqrt(l.l * r.r), 1e-7) of two vectors, of shape (1, 1)."""
        if len(left.shape) != 1 or len(right.shape) != 1:
            raise LayerError("a cosine of tensors that are not vectors is not supported")
        sums = b.temp("sums", 3)
        k, counters = dims.symbol("k"), (("k", left.shape[0]),)
        u, v = At(left.row(k)), At(right.row(k))
        for number, value in enumerate((u * v, u * u, v * v)):
            b.reduce(sums[number : number + 1], "sum", counters, value)
        norm = call("max", call("sqrt", At(sums[1:2]) * At(sums[2:3])), 1e-7)
        out = b.tensor("output", (1, 1))
        b.copy(out.vec(), At(sums[0:1]) / norm)
        return (b.like(out, left, right),)

    def _unit(self, b: Builder, role: str, x: Tensor, axis: int) -> Tensor:
        """Gives x / sqrt(max(sum x^2, 1e-12)) along the axis."""
        out = b.tensor(f"{role}_normalized", x.shape)
        with b.each(x.shape[:axis]) as before, b.each(x.shape[axis + 1 :], "column") as after:
            norm = b.temp(f"{role}_norm", 1)
            v = x.row(*before, dims.symbol("k"), *after)
            b.reduce(norm, "sum", (("k", x.shape[axis]),), At(v) * At(v))
            b.copy(norm, call("sqrt", call("max", At(norm), 1e-12)))
            target, source = out.along(axis, before, after), x.along(axis, before, after)
            b.copy(target, At(source) / At(norm.every(x.shape[axis])))
        return b.like(out, x)
