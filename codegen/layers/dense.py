"""Products other than Dense: EinsumDense, Highway, MaxoutDense; and codes for categories."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import LayerError
from codegen.layers.shared.axes import broadcast
from codegen.layers.shared.formulas import UNARY
from codegen.model import Array, Layer
from codegen.program import dims
from codegen.program.activations import LINEAR, Activation
from codegen.program.dims import Dim
from codegen.program.ops import At, Compare, Expr, Index, Local, call

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class EinsumDense(Layer):
    """act(einsum(equation, x, kernel) + bias).

    Letters that the kernel and the output share, and the input has not, are new axes; those that
    the input and the kernel share are summed over, or kept where the output has them.
    """

    equation: str  # without ellipsis: the reader spells every axis out; batch axis first
    kernel: Array
    bias: Array | None  # broadcasts with the output without its batch axis
    activation: Activation = LINEAR

    @property
    def describe(self) -> str:
        """The equation."""
        note = "" if self.activation == LINEAR else f", {self.activation}"
        return f"EinsumDense({self.equation}{note})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Products along the summed axes, at every place of the others."""
        x = inputs[0]
        left, result = self.equation.split("->")
        source, weight = left.split(",")
        if "..." in self.equation:
            free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in self.equation]
            have = len(source.replace("...", ""))
            extra = "".join(free[: len(x.shape) + 1 - have])
            source, result = source.replace("...", extra), result.replace("...", extra)
        if len(source) != len(x.shape) + 1 or source[0] != result[0] or source[0] in weight:
            raise LayerError(f"equation {self.equation!r} does not fit {len(x.shape)} axes")
        source, result = source[1:], result[1:]
        if len(weight) != self.kernel.ndim or len({*source}) != len(source):
            raise LayerError(f"equation {self.equation!r} is not supported")
        lengths: dict[str, Dim] = dict(zip(source, x.shape, strict=True))
        for letter, n in zip(weight, self.kernel.shape, strict=True):
            if letter in lengths:
                b.check(lengths[letter], "==", n)
            lengths[letter] = n
        summed = [c for c in source if c not in result]
        new = [c for c in weight if c not in source]
        kept = [c for c in source if c in result]
        if any(c not in weight for c in summed) or any(c not in result for c in new):
            raise LayerError(f"equation {self.equation!r} is not supported")
        if x.time and (source[0] != result[0] or source[0] in weight):
            b.needs_whole(x, "its product mixes time steps or differs between them")
        if self.bias is not None and self.bias.ndim == len(result) and self.bias.shape[0] != 1:
            b.needs_whole(x, "its bias differs from step to step")
        out = b.tensor("output", [lengths[c] for c in result])
        shared = [c for c in weight if c in source and c in result]
        order = [weight.index(c) for c in (*shared, *new, *summed)]
        table = b.const("kernel", np.ascontiguousarray(self.kernel.transpose(order)))
        bias = None if self.bias is None else self._bias(b, result, lengths)
        outer = [c for c in result if c in kept] + new
        inner = outer.pop()  # the last new axis, or the last kept one, is one vector
        del kept
        with b.each([lengths[c] for c in outer], "place") as at:
            place = dict(zip(outer, at, strict=True))
            counters = [(f"k_{c}", lengths[c]) for c in summed]
            sums = {c: dims.symbol(f"k_{c}") for c in summed}
            row = result.index(inner)
            target = out.along(
                row, [place[c] for c in result[:row]], [place[c] for c in result[row + 1 :]]
            )
            # Operands along the vector: stride 0 where they do not have that axis.
            product = At(_along(x, source, place | sums, inner, lengths)) * At(
                _along(table, (*shared, *new, *summed), place | sums, inner, lengths)
            )
            if counters:
                b.reduce(target, "sum", counters, product)
                value: Expr = At(target)
            else:
                value = product
            if bias is not None:
                value = value + At(_along(bias, result, place, inner, lengths))
            if self.activation.is_elementwise:
                value = self.activation(value)
            if value != At(target):
                b.copy(target, value)
        y = b.like(out, x, mask=x.mask)
        if not self.activation.is_elementwise:
            y = b.along_last(y, "activated", self.activation)
        return (y,)

    def _bias(self, b: Builder, result: str, lengths: dict[str, Dim]) -> Tensor:
        assert self.bias is not None
        shape = tuple(
            dims.fixed(lengths[c]) if n != 1 else 1
            for c, n in zip(
                result, (1,) * (len(result) - self.bias.ndim) + self.bias.shape, strict=True
            )
        )
        return b.const("bias", self.bias.reshape(shape))


def _along(x: Tensor, letters, place, inner, lengths):  # type: ignore[no-untyped-def]
    """The vector of `x` along letter `inner`, other letters at their place."""
    indices = [0 if n == 1 else place.get(c, 0) for c, n in zip(letters, x.shape, strict=True)]
    size = lengths[inner]
    if inner not in letters or x.shape[list(letters).index(inner)] == 1:
        return x.row(*indices).every(size)
    axis = list(letters).index(inner)
    return x.along(axis, indices[:axis], indices[axis + 1 :])


@dataclass(frozen=True, eq=False, kw_only=True)
class Highway(Layer):
    """Keras 1: t act(x W + b) + (1 - t) x, where t = sigmoid(x W_carry + b_carry)."""

    kernel: Array  # (units, units)
    bias: Array | None
    carry_kernel: Array
    carry_bias: Array | None
    activation: Activation = LINEAR

    @property
    def describe(self) -> str:
        """Units and activation."""
        return f"Highway({self.kernel.shape[1]}, {self.activation})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Two products for each row."""
        x = inputs[0]
        units = int(self.kernel.shape[1])
        if self.activation.name == "glu":
            raise LayerError("activation glu is not supported here")
        out = b.tensor("output", x.shape)
        with b.each(x.shape[:-1]) as at:
            row = x.row(*at)
            gate, value = b.temp("gate", units), b.temp("value", units)
            b.affine(
                gate,
                b.vector("carry_bias", self.carry_bias),
                (b.weight("carry_kernel", self.carry_kernel.T), row),
            )
            b.affine(value, b.vector("bias", self.bias), (b.weight("kernel", self.kernel.T), row))
            b.activate(value, self.activation)
            mixed = Local("transform") * At(value) + (1.0 - Local("transform")) * At(row)
            b.elementwise((out.row(*at), mixed), transform=call("sigmoid", gate))
        return (b.like(out, x, mask=x.mask),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Maxout(Layer):
    """Keras 1: the maximum of several products."""

    kernel: Array  # (features, inputs, units)
    bias: Array | None  # (features, units)

    @property
    def describe(self) -> str:
        """Units and features."""
        return f"MaxoutDense({self.kernel.shape[2]}, {self.kernel.shape[0]} features)"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """One product for each row, then maxima."""
        x = inputs[0]
        features, _, units = self.kernel.shape
        matrix = self.kernel.transpose(0, 2, 1).reshape(features * units, -1)
        bias = b.vector("bias", None if self.bias is None else self.bias.reshape(-1))
        out = b.tensor("output", (*x.shape[:-1], units))
        with b.each(x.shape[:-1]) as at:
            parts = b.temp("parts", features * units)
            b.affine(parts, bias, (b.weight("kernel", matrix), x.row(*at)))
            value: Expr = At(parts[:units])
            for k in range(1, features):
                value = call("max", value, At(parts[k * units : (k + 1) * units]))
            b.copy(out.row(*at), value)
        return (b.like(out, x, mask=x.mask),)


@dataclass(frozen=True, eq=False, kw_only=True)
class SReLU(Layer):
    """Keras 1: linear pieces: t_r + a_r (x - t_r) above t_r, t_l + a_l (x - t_l) below t_l."""

    left: Array  # t_left, and below it the slope
    left_slope: Array
    right: Array  # t_left + |t_right|
    right_slope: Array

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Row by row, with weights broadcast over the axes that they share."""
        x = inputs[0]
        if self.left.shape[0] != 1:
            b.needs_whole(x, "its weights differ from step to step")
        out = b.tensor("output", x.shape)
        names = ("left", "left_slope", "right", "right_slope")
        weights = [b.const(name, getattr(self, name)) for name in names]
        with b.each(x.shape[:-1]) as at:
            v = At(x.row(*at))
            low, low_slope, high, high_slope = (At(broadcast(w, x.shape, at)) for w in weights)
            inner = call("min", call("max", v, low), high)
            below = low_slope * call("min", v - low, 0.0)
            above = high_slope * call("max", v - high, 0.0)
            b.copy(out.row(*at), inner + below + above)
        return (b.like(out, x, mask=x.mask),)


@dataclass(frozen=True, eq=False, kw_only=True)
class ParametricSoftplus(Layer):
    """Keras 1: alpha * softplus(beta * x), weights broadcast over shared axes."""

    alpha: Array
    beta: Array

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Row by row."""
        x = inputs[0]
        if self.alpha.shape[0] != 1:
            b.needs_whole(x, "its weights differ from step to step")
        alpha, beta = b.const("alpha", self.alpha), b.const("beta", self.beta)
        out = b.tensor("output", x.shape)
        with b.each(x.shape[:-1]) as at:
            a, c = (At(broadcast(w, x.shape, at)) for w in (alpha, beta))
            b.copy(out.row(*at), a * call("softplus", c * At(x.row(*at))))
        return (b.like(out, x, mask=x.mask),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Discretization(Layer):
    """The number of boundaries that are not above x, or a code for it."""

    boundaries: Array
    mode: str = "int"  # int, one_hot, multi_hot, count
    keeps_axes: bool | None = False  # as Keras 3 did before 3.4; None: the file does not tell
    truncates: bool = False  # x to a whole number first

    @property
    def describe(self) -> str:
        """How many bins."""
        return f"Discretization({len(self.boundaries) + 1} bins, {self.mode})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """A sum of comparisons for each element."""
        x = inputs[0]
        table = b.const("boundaries", self.boundaries)
        bins = b.tensor("bins", x.shape)
        k = dims.symbol("boundary")
        with b.each(x.shape[:-1]) as at:
            row = x.row(*at)
            bound = At(table.row(k).every(row.size))
            counters = [("boundary", len(self.boundaries))]
            value = UNARY["trunc"](At(row)) if self.truncates else At(row)
            b.reduce(bins.row(*at), "sum", counters, Compare(">=", value, bound))
        y = b.like(bins, x)
        counts = self.mode in ("multi_hot", "count") and len(x.shape) > 1
        if counts and self.keeps_axes is not False:
            raise LayerError(
                f"output_mode {self.mode!r} of several axes counts along the last one in Keras 3.0 "
                "to 3.3, and this file may be from there; use CategoryEncoding, or name a later "
                "version with --keras-version"
            )
        return (_encoded(b, y, len(self.boundaries) + 1, self.mode, self.keeps_axes),)


@dataclass(frozen=True, eq=False, kw_only=True)
class CategoryEncoding(Layer):
    """Codes of whole numbers: one_hot, multi_hot, count."""

    tokens: int
    mode: str = "multi_hot"
    keeps_axes: bool | None = False

    @property
    def describe(self) -> str:
        """How many, and the code."""
        return f"CategoryEncoding({self.tokens}, {self.mode})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Comparisons with the number of each element."""
        return (_encoded(b, inputs[0], self.tokens, self.mode, self.keeps_axes),)


def _encoded(b: Builder, x: Tensor, tokens: int, mode: str, keeps_axes: bool | None) -> Tensor:
    if mode == "int":
        return x
    if mode == "one_hot":
        # An axis of length 1 at the end holds the numbers; it gives way to the code.
        axes = x.shape
        if axes and axes[-1] == 1 and not keeps_axes:
            if keeps_axes is None:
                raise LayerError(
                    "the file does not record its Keras version, which decides whether an axis of "
                    "length 1 stays; name the version that wrote it with --keras-version"
                )
            axes = axes[:-1]
        if axes != x.shape and x.time and len(x.shape) == 1:
            axes = x.shape
        out = b.tensor("output", (*axes, tokens))
        source = x.reshape(axes)
        with b.each(axes) as at:
            value = At(source.at(*at).vec().every(tokens))
            b.copy(out.row(*at), Compare("==", value, Index()))
        return b.like(out, x)
    if mode not in ("multi_hot", "count"):
        raise LayerError(f"output_mode {mode!r} is not supported; one_hot, multi_hot, count are")
    # Keras counts along the first axis after the batch axis, however many there are.
    if not x.shape:
        x = x.reshape((1,))
    b.needs_whole(x, "it counts categories over time")
    out = b.tensor("output", (*x.shape[1:], tokens))
    k = dims.symbol("k")
    with b.each(x.shape[1:]) as at:
        here = Compare("==", At(x.at(k, *at).vec().every(tokens)), Index())
        kind = "max" if mode == "multi_hot" else "sum"
        b.reduce(out.row(*at), kind, [("k", x.shape[0])], here)
    return replace(b.like(out, x), time=False)
