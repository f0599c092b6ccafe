"""Layers that make masks, and what every layer does with the masks it is given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from codegen.errors import LayerError
from codegen.model import Layer
from codegen.program import dims
from codegen.program.ops import At, Compare, Expr, Number, call

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]


def merged_mask(b: Builder, inputs: Tensors, how: str = "min") -> Tensor | None:
    """All masks there are as one: by `min` a step counts if it does in all, by `max` in any."""
    masks = [x.mask for x in inputs if x.mask is not None]
    if not masks:
        return None
    first, *rest = masks
    if not rest or all(mask is first for mask in rest):
        return first
    out = b.tensor("mask", first.shape)
    with b.each(first.shape) as at:
        value: Expr = At(first.row(*at))
        for mask in rest:
            value = call(how, value, mask.row(*at))
        b.copy(out.row(*at), value)
    return b.like(out, first, *rest)


@dataclass(frozen=True, eq=False, kw_only=True)
class Masking(Layer):
    """Masks the steps whose features all equal mask_value, and makes them zero."""

    mask_value: float = 0.0

    @property
    def describe(self) -> str:
        """The value."""
        return f"Masking({self.mask_value:g})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """The mask is whether any feature differs; the output is x * mask."""
        x = inputs[0]
        mask, out = b.tensor("mask", x.shape[:1]), b.tensor("output", x.shape)
        if len(x.shape) != 2:
            raise LayerError(f"its input has {len(x.shape)} axes, expected (time, features)")
        with b.each(x.shape[:1], counter="t") as at:
            counts, row = mask.row(*at), x.at(*at)
            feature = dims.symbol("feature")
            differs = Compare("!=", At(row.row(feature)), Number(float(self.mask_value)))
            b.reduce(counts, "max", (("feature", x.shape[1]),), differs)
            b.copy(out.row(*at), At(row.vec()) * At(counts.every(x.shape[1])))
        return (b.like(out, x, mask=b.like(mask, x)),)


@dataclass(frozen=True, eq=False, kw_only=True)
class GivenMask(Layer):
    """Its input with the mask that a call gives by name: to a model, or a layer that passes it on.

    No layer of Keras, which keeps masks with tensors.
    """

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """No ops."""
        return (replace(inputs[0], mask=b.mask_of(inputs[0], keywords)),)
