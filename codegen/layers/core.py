"""Dense, Embedding, activations, wrappers and everything that only moves or combines numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen import dims
from codegen.activations import LINEAR, Activation
from codegen.dims import Dim
from codegen.errors import LayerError, NotStreamable
from codegen.model import Array, Graph, Layer, Unsupported
from codegen.program import At, Binary, Compare, Expr, Number, Select, Vec, call, expr

if TYPE_CHECKING:
    from codegen.builder import Builder, Tensor

Tensors = tuple["Tensor", ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Identity(Layer):
    """Gives back its input: Dropout, noise and every other layer that only trains."""

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """No ops."""
        return inputs

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """Itself."""
        return self, order


@dataclass(frozen=True, eq=False, kw_only=True)
class WithChannels(Layer):
    """A layer over axes and channels, which come last, or first with `channels_first`."""

    channels_first: bool = False

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """Channels that come first but are held last are the same as those that come last."""
        held_last = order == (len(order) - 1, *range(len(order) - 1))
        return (replace(self, channels_first=False), order) if held_last else None


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
    """x above 0, alpha * x below; alpha has 1 on each shared axis."""

    alpha: Array

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Row by row, with alpha broadcast to the input."""
        x = inputs[0]
        if len(self.alpha.shape) != len(x.shape):
            raise LayerError(f"alpha of shape {self.alpha.shape}, input of shape {x.shape}")
        if self.alpha.shape[0] != 1:
            b.needs_whole(x, "its alpha differs from step to step")
        alpha = b.const("alpha", self.alpha)
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


MASK_OF_ROWS = (
    "it is given a mask of more than one axis, which TimeDistributed passes on from the layer in "
    "it; masks of whole steps are supported (put both layers into one model inside TimeDistributed)"
)


@dataclass(frozen=True, eq=False, kw_only=True)
class TimeDistributed(Layer):
    """A layer or model applied to each step by itself."""

    graph: Graph  # with one input
    passes_masks: bool = False  # on, if its layer makes one

    @property
    def describe(self) -> str:
        """What is inside."""
        names = [n.layer.describe for n in self.graph.nodes if n.inputs]
        return f"TimeDistributed({', '.join(names)})"

    @property
    def inner(self) -> tuple[Layer, ...]:
        """The layers of the graph."""
        return self.graph.layers

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """A parallel loop over the steps."""
        for layer in self.inner:
            if isinstance(layer, Unsupported):
                raise LayerError(layer.message)
        x = inputs[0]
        if x.mask is not None and x.mask.refusal:
            raise LayerError(x.mask.refusal)
        out: Tensor | None = None
        with b.loop(x.shape[0]) as t, b.part("step", inner=True):
            (y,) = b.graph(self.graph, [x.at(t)])
            if x.shape[0] == 1:
                out = y.reshape((1, *y.shape))
            else:
                out = b.outer_tensor("output", (x.shape[0], *y.shape))
                b.copy(out.row(t), y.vec())
        assert out is not None
        mask = x.mask
        if self.passes_masks and y.mask is not None:
            mask = replace(y.mask, shape=(x.shape[0], *y.mask.shape), refusal=MASK_OF_ROWS)
        return (b.like(out, x, mask=mask),)


# ---- combining tensors ---------------------------------------------------------------------


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
                    value = combine(self.mode, value, part)
            if self.mode == "average":
                value = value / float(len(parts))
            if self._masks_factors and mask is not None:
                value = Select(At(mask.row(at[0]).every(shape[-1])), value, Number(0.0))
            b.copy(y, value)
        return (b.like(out, *inputs, mask=mask),)

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
            value = combine(self.mode, value, other)
        return value

    def _mask(self, b: Builder, inputs: Tensors) -> Tensor | None:
        if self.any_mask and any(x.mask is None for x in inputs):
            return None
        return merged_mask(b, inputs, "max" if self.any_mask else "min")


def combine(mode: str, left: Expr, right: Expr) -> Expr:
    """One binary operation by its Keras name."""
    operators = {"add": "+", "average": "+", "subtract": "-", "multiply": "*", "divide": "/"}
    if mode in operators:
        return Binary(operators[mode], left, right)
    functions = {"maximum": "max", "minimum": "min", "power": "pow"}
    if mode in functions:
        return call(functions[mode], left, right)
    if mode == "floor_divide":
        return call("floor", left / right)
    if mode == "modulo":
        return left - call("floor", left / right) * right
    if mode == "logaddexp":
        larger, difference = call("max", left, right), call("abs", left - right)
        return larger + call("log1p", call("exp", -difference))
    raise LayerError(f"{mode} is not supported")


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


def widen(x: Tensor, rank: int) -> Tensor:
    """`x` with axes of length 1 put before its own, as Keras aligns tensors of unequal rank."""
    missing = rank - len(x.shape)
    if missing and x.time:
        raise LayerError("it combines a sequence with a tensor of more axes")
    return x.reshape((1,) * missing + x.shape)


def broadcast_shape(b: Builder, tensors: list[Tensor]) -> tuple[Dim, ...]:
    """The common shape; unequal lengths must be 1."""
    shape: list[Dim] = []
    for axis in range(len(tensors[0].shape)):
        lengths = [x.shape[axis] for x in tensors]
        longer = [n for n in lengths if n != 1]
        if not longer:
            # In a step program a row of a sequence may meet a whole tensor of one row.
            shape.append(1)
            continue
        meets = b.step and axis == 0 and any(x.time for x in tensors)
        if meets and any(not x.time and x.shape[0] != 1 for x in tensors):
            raise NotStreamable("it combines the sequence with a tensor along time")
        for other in longer[1:]:
            b.check(longer[0], "==", other)
        shape.append(longer[0])
    return tuple(shape)


def broadcast(x: Tensor, shape: tuple[Dim, ...], at: tuple[Dim, ...]) -> Vec:
    """The row of `x` that meets row `at` of a tensor of `shape`."""
    indices = tuple(0 if n == 1 else i for n, i in zip(x.shape, at, strict=False))
    row = x.row(*indices)
    if row.size == 1:
        return row if shape[-1] == 1 else row.every(shape[-1])
    return replace(row, size=shape[-1])  # of the same length, perhaps by another name


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
            raise NotStreamable("it joins a sequence and a tensor that is no sequence")
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
            raise LayerError("a cosine of tensors that are no vectors is not supported")
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


# ---- moving numbers ------------------------------------------------------------------------


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
        if self.shape[0] == b.saved_steps:
            return self.shape[0] if -1 in self.shape[1:] or per_step == inner else None
        return None


@dataclass(frozen=True, eq=False, kw_only=True)
class Permute(Layer):
    """Axes in another order, counted from 1 without the batch axis."""

    dims: tuple[int, ...]

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """Nothing is moved but the order, until time comes first again."""
        if sorted(self.dims) != list(range(1, len(order or self.dims) + 1)):
            return None
        moved = tuple(order[d - 1] if order else d - 1 for d in self.dims)
        if moved[0] == 0:
            return replace(self, dims=tuple(axis + 1 for axis in moved)), ()
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


def transpose(b: Builder, x: Tensor, order: tuple[int, ...]) -> Tensor:
    """A copy of `x` whose axis k is axis `order[k]` of `x`."""
    if sorted(order) != list(range(len(x.shape))):
        raise LayerError(f"axes {order} of an input with {len(x.shape)} axes")
    shape = tuple(x.shape[axis] for axis in order)
    out = b.tensor("output", shape)
    # The innermost op runs along the last axis of x, whose elements lie side by side.
    last = order.index(len(order) - 1)
    outer = [axis for axis in range(len(order)) if axis != last]
    if any(not isinstance(n, int) for n in shape[last + 1 :]):
        last, outer = len(order) - 1, list(range(len(order) - 1))
    with b.each([shape[axis] for axis in outer], "row") as counters:
        indices: list[Dim] = [0] * len(order)
        for axis, counter in zip(outer, counters, strict=True):
            indices[axis] = counter
        source: list[Dim] = [0] * len(order)
        for axis, index in enumerate(indices):
            source[order[axis]] = index
        before, after = indices[:last], indices[last + 1 :]
        inner = order[last]
        b.copy(
            out.along(last, before, after),
            x.along(inner, source[:inner], source[inner + 1 :]),
        )
    return out


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


# ---- fixed arithmetic ----------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class BatchNormalization(Layer):
    """x * scale + offset along one axis, from gamma, beta, moving mean and variance."""

    scale: Array
    offset: Array
    axis: int = -1

    def turned(self, order: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]] | None:
        """With the axis where it is held."""
        axis = self.axis - 1 if self.axis > 0 else self.axis
        return replace(self, axis=order[axis] + 1), order

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
            parts.append(None if flat.size == 1 else b.const(role, flat))
        out = b.tensor("output", x.shape)
        with b.each(x.shape[:-1]) as at:
            s, o = (
                Number(float(np.ravel(value)[0]))
                if part is None
                else At(broadcast(part, x.shape, at))
                for part, value in zip(parts, (self.scale, self.offset), strict=True)
            )
            b.copy(out.row(*at), At(x.row(*at)) * s + o)
        return (b.like(out, x, mask=x.mask),)


def _sign(x: Expr) -> Expr:
    below = Select(Compare("<", x, Number(0.0)), Number(-1.0), x)  # zero gives itself
    return Select(Compare(">", x, Number(0.0)), Number(1.0), below)


def _towards_zero(x: Expr) -> Expr:
    up = -call("floor", -x)
    return Select(Compare("<", x, Number(0.0)), up, call("floor", x))


# Functions of one number, by the name of the operation.
FORMULAS: dict[str, Callable[[Expr], Expr]] = {
    "negative": lambda x: -x,
    "absolute": lambda x: call("abs", x),
    "square": lambda x: x * x,
    "sqrt": lambda x: call("sqrt", x),
    "rsqrt": lambda x: 1.0 / call("sqrt", x),
    "reciprocal": lambda x: 1.0 / x,
    "exp": lambda x: call("exp", x),
    "exp2": lambda x: call("pow", 2.0, x),
    "expm1": lambda x: call("expm1", x),
    "log": lambda x: call("log", x),
    "log2": lambda x: call("log", x) / math.log(2.0),
    "log10": lambda x: call("log", x) / math.log(10.0),
    "log1p": lambda x: call("log1p", x),
    "erf": lambda x: call("erf", x),
    "floor": lambda x: call("floor", x),
    "ceil": lambda x: -call("floor", -x),
    "round": lambda x: call("round", x),
    "trunc": _towards_zero,
    "sign": _sign,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Arithmetic(Layer):
    """An operation of Keras 3 on tensors and at most one constant: x + y, 2 * x, 1 - x, x ** 2.

    `constant` stands at `position` (0 left, 1 right) when it is not None.
    """

    operator: str  # add, subtract, multiply, divide, power, maximum, minimum, or a function
    constant: Array | None = None
    position: int = 1

    @property
    def describe(self) -> str:
        """The operation."""
        return f"{self.class_name}({self.operator})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Element by element."""
        if self.constant is None:
            if len(inputs) == 1:
                return self._function(b, inputs[0])
            # Operations broadcast as NumPy does: axes are aligned at the end.
            return Merge(name=self.name, class_name=self.class_name, mode=self.operator).lower(
                b, *inputs
            )
        x = inputs[0]
        if np.ndim(self.constant) > 1:
            raise LayerError("an operation with a constant of several axes is not supported")
        size = x.shape[-1] if x.shape else 1
        out = b.tensor("output", x.shape)
        with b.each(x.shape[:-1]) as at:
            fixed: Expr
            if np.size(self.constant) == 1:
                fixed = Number(float(np.ravel(self.constant)[0]))
            else:
                b.check(size, "==", int(np.size(self.constant)))
                fixed = At(b.const("constant", self.constant).vec())
            v = expr(x.row(*at))
            left, right = (fixed, v) if self.position == 0 else (v, fixed)
            b.copy(out.row(*at), combine(self.operator, left, right))
        return (b.like(out, x, mask=x.mask),)

    def _function(self, b: Builder, x: Tensor) -> Tensors:
        formula = FORMULAS.get(self.operator)
        if formula is None:
            raise LayerError(f"operation {self.operator} is not supported")
        out = b.tensor("output", x.shape)
        with b.each(x.shape[:-1]) as at:
            b.copy(out.row(*at), formula(At(x.row(*at))))
        return (b.like(out, x, mask=x.mask),)


@dataclass(frozen=True, eq=False, kw_only=True)
class NotEqualMask(Layer):
    """1 where x differs from the value, else 0: the mask that Keras 3 writes out as an op."""

    value: float = 0.0

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Element by element."""
        x = inputs[0]
        out = b.tensor("output", x.shape)
        with b.each(x.shape) as at:
            b.copy(out.row(*at), Compare("!=", At(x.row(*at)), Number(self.value)))
        return (b.like(out, x),)


def mask_of(x: Tensor, keywords: Mapping[str, Tensors], name: str = "mask") -> Tensor | None:
    """The mask that a layer is given by name, else that of its input."""
    given = keywords.get(name)
    if given is None:
        return x.mask
    return given[0] if given else None


def axis_of(axis: int | tuple[int, ...], x: Tensor) -> int:
    """An axis as Keras counts it (batch axis 0, or from the end) as an index into `x.shape`."""
    if isinstance(axis, tuple):
        if len(axis) != 1:
            raise LayerError(f"several axes {axis} are not supported")
        axis = axis[0]
    found = axis - 1 if axis > 0 else axis + len(x.shape)
    if axis == 0 or not 0 <= found < len(x.shape):
        raise LayerError(f"axis {axis} of an input with {len(x.shape)} axes and a batch axis")
    return found
