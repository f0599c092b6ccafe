"""Dense, Embedding, activations, and fixed arithmetic on every element."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import LayerError
from codegen.layers.shared.axes import axis_of, broadcast, place_of
from codegen.model import Array, Layer
from codegen.program.activations import LINEAR, Activation
from codegen.program.ops import At, Compare, Number, Select

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Identity(Layer):
    """Returns its input: Dropout, noise and every other layer that only trains."""

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """No ops."""
        return inputs

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """Itself."""
        return self, order


@dataclass(frozen=True, eq=False, kw_only=True)
class AsFloat(Identity):
    """A cast to floats, which all numbers are here."""


@dataclass(frozen=True, eq=False, kw_only=True)
class WithChannels(Layer):
    """A layer over axes and channels, which come last, or first with `channels_first`."""

    channels_first: bool = False

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """Channels that come first but are held last are the same as those that come last."""
        held_last = order == (len(order) - 1, *range(len(order) - 1))
        if not (self.channels_first and held_last):
            return None
        return replace(self, channels_first=False), order


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Layer):
    """act(x kernel + bias) along the last axis."""

    kernel: Array  # (inputs, units)
    bias: Array | None  # (units,)
    activation: Activation = LINEAR

    @property
    def describe(self) -> str:
        """Units and activation."""
        note = "" if self.activation == LINEAR else f", {self.activation}"
        return f"{self.class_name}({self.kernel.shape[1]}{note})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """One product for each row."""
        x = inputs[0]
        size = units = int(self.kernel.shape[1])
        if not x.shape:
            raise LayerError("its input has no feature axis")
        if len(x.shape) == 1:
            b.needs_whole(x, "its product runs over time")
        if self.activation.name == "glu":
            size = units // 2
        out = b.tensor("output", (*x.shape[:-1], size))
        kernel, bias = b.weight("kernel", self.kernel.T), b.vector("bias", self.bias)
        with b.each(x.shape[:-1]) as at:
            y = out.row(*at)
            if size != units:
                both = b.temp("both", units)
                b.affine(both, bias, (kernel, x.row(*at)))
                b.copy(y, At(b.activate(both, self.activation)))
            else:
                b.affine(y, bias, (kernel, x.row(*at)))
                b.activate(y, self.activation)
        return (b.like(out, x, mask=x.mask),)


@dataclass(frozen=True, eq=False, kw_only=True)
class ActivationLayer(Layer):
    """Activation, Softmax, ReLU, LeakyReLU, ELU and their like; `axis` is that of a softmax."""

    activation: Activation
    axis: int | tuple[int, ...] = -1  # counted with the batch axis where it is positive

    @property
    def describe(self) -> str:
        """The activation."""
        return f"{self.class_name}({self.activation})"

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """Itself where every element is by itself."""
        return (self, order) if self.activation.is_elementwise else None

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Along the last axis, or a softmax along another one."""
        x = inputs[0]
        if self.activation.is_elementwise and not x.shape:
            out = b.tensor("output", ())
            b.copy(out.vec(), self.activation(At(x.vec())))
            return (b.like(out, x),)
        axis = axis_of(self.axis, x)
        if axis == len(x.shape) - 1 or self.activation.is_elementwise:
            return (b.along_last(x, "output", self.activation),)
        if self.activation.name not in ("softmax", "log_softmax"):
            raise LayerError(f"{self.activation} along axis {self.axis} is not supported")
        if axis == 0:
            b.needs_whole(x, "its softmax runs over time")
        out = b.tensor("output", x.shape)
        with b.each(x.shape[:axis]) as before, b.each(x.shape[axis + 1 :]) as after:
            b.softmax(
                out.along(axis, before, after),
                x.along(axis, before, after),
                log=self.activation.name == "log_softmax",
            )
        return (b.like(out, x, mask=x.mask),)


@dataclass(frozen=True, eq=False, kw_only=True)
class PReLU(Layer):
    """x above 0, alpha * x below; alpha has 1 on each shared axis, and is aligned at the last."""

    alpha: Array

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Row by row, with alpha broadcast to the input."""
        x = inputs[0]
        missing = len(x.shape) - self.alpha.ndim
        if missing < 0:
            raise LayerError(f"alpha of shape {self.alpha.shape}, input of shape {x.shape}")
        values: Array = np.reshape(self.alpha, (1,) * missing + self.alpha.shape)
        if values.shape[0] != 1:
            b.needs_whole(x, "its alpha differs from step to step")
        for length, own in zip(x.shape, values.shape, strict=True):
            if own != 1:
                b.check(length, "==", own)
        alpha = b.const("alpha", values)
        out = b.tensor("output", x.shape)
        with b.each(x.shape[:-1]) as at:
            a, v = broadcast(alpha, x.shape, at), x.row(*at)
            b.copy(out.row(*at), Select(Compare(">", At(v), Number(0.0)), At(v), At(a) * At(v)))
        return (b.like(out, x, mask=x.mask),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Embedding(Layer):
    """Row number x of the table; with mask_zero, index 0 is masked."""

    table: Array  # (vocabulary, dimension)
    mask_zero: bool = False

    @property
    def describe(self) -> str:
        """Size of the table."""
        rows, columns = self.table.shape
        return f"Embedding({rows}, {columns}{', mask_zero' if self.mask_zero else ''})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """One row of the table for each index."""
        x = inputs[0]
        out = b.tensor("output", (*x.shape, int(self.table.shape[1])))
        mask = None
        if self.mask_zero and x.shape:
            mask = b.tensor("mask", x.shape[:1])
            if len(x.shape) != 1:
                raise LayerError("mask_zero on an input of more than one axis is not supported")
        table = b.weight("table", self.table)
        with b.each(x.shape) as at:
            index = x.at(*at).vec()
            b.gather(out.row(*at), table, index)
            if mask is not None:
                b.copy(mask.row(*at), Compare("!=", At(index), Number(0.0)))
        y = b.like(out, x)
        return (replace(y, mask=None if mask is None else b.like(mask, x)),)


@dataclass(frozen=True, eq=False, kw_only=True)
class BatchNormalization(Layer):
    """x * scale + offset along one axis, from gamma, beta, moving mean and variance."""

    scale: Array
    offset: Array
    axis: int = -1

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """With the axis where it is held."""
        return replace(self, axis=order[place_of(self.axis, len(order))] + 1), order

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Row by row."""
        x = inputs[0]
        axis = axis_of(self.axis, x)
        size = len(self.scale)
        if axis == 0:
            b.needs_whole(x, "it normalises each time step in its own way")
        b.check(x.shape[axis], "==", size)
        scale, offset = b.const("scale", self.scale), b.const("offset", self.offset)
        out = b.tensor("output", x.shape)
        with b.each(x.shape[:-1]) as at:
            v = x.row(*at)
            if axis == len(x.shape) - 1:
                s, o = scale.vec(), offset.vec()
            else:
                s = scale.row(at[axis]).every(v.size)
                o = offset.row(at[axis]).every(v.size)
            b.copy(out.row(*at), At(v) * At(s) + At(o))
        return (b.like(out, x, mask=x.mask),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Rescaling(Layer):
    """Gives x * scale + offset, numbers or arrays that broadcast along the last axes."""

    scale: Array
    offset: Array

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Row by row."""
        x = inputs[0]
        rank = len(x.shape)
        parts = []
        for role, value in (("scale", self.scale), ("offset", self.offset)):
            if np.ndim(value) > 1:
                raise LayerError(f"{role} of shape {np.shape(value)} is not supported")
            flat = np.reshape(value, (1,) * (rank - np.ndim(value)) + np.shape(value))
            if flat.size > 1:
                b.check(x.shape[-1], "==", flat.size)
                if rank == 1:
                    b.needs_whole(x, "it scales each time step in its own way")
            parts.append(None if flat.size == 1 else b.const(role, flat))
        out = b.tensor("output", x.shape)
        with b.each(x.shape[:-1]) as at:
            s, o = (
                Number(float(np.ravel(value)[0]))
                if part is None
                else At(broadcast(part, x.shape, at))
                for part, value in zip(parts, (self.scale, self.offset), strict=True)
            )
            scaled = At(x.row(*at)) * s
            b.copy(out.row(*at), scaled if o == Number(0.0) else scaled + o)
        return (b.like(out, x, mask=x.mask),)
