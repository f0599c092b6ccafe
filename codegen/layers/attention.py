"""Attention: every step of the query is a mean of the values, weighted by how keys fit it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import LayerError, NotStreamable
from codegen.layers.shared.axes import transpose
from codegen.model import Array, Layer
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import At, Compare, Count, Expr, Index, Mat, Number, Select, Vec, call

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]

MASKED = -1e9  # the score of a step that does not count: where none counts, all are alike


def matrix(x: Tensor) -> Mat:
    """A tensor of two axes as a matrix with a row for each step."""
    columns = dims.fixed(x.shape[1])
    return Mat(x.buffer, x.offset, x.shape[0], columns, columns)


def transposed(x: Tensor) -> Mat:
    """The same with a column for each step."""
    columns = dims.fixed(x.shape[1])
    return Mat(x.buffer, x.offset, columns, x.shape[0], 1, columns)


def whole(b: Builder, *tensors: Tensor) -> None:
    """In a step, refuse sequences: a step attends to all others."""
    for x in tensors:
        b.needs_whole(x, "attention over time needs the whole sequence")


def masked_scores(
    b: Builder,
    scores: Vec,
    t: Dim,
    causal: bool,
    masks: Sequence[Tensor],
    window: int | None = None,
    query_mask: Tensor | None = None,
    nothing: float = MASKED,
) -> None:
    """Lower the scores of the steps that row `t` may not see, once, however many reasons there are.

    A row that may see none weighs all steps: alike in float32, where -1e9 swallows the score.
    """
    score = At(scores)
    low: Expr = Number(nothing)
    if b.shared.is_double and nothing == MASKED:
        low = score + MASKED
    value: Expr = score
    if causal:  # key s counts for s <= t
        value = Select(Compare("<=", Index(), Count(t)), value, low)
    if window is not None:
        distance = call("abs", Index() - Count(t))
        value = Select(Compare("<", distance, Number(float(window))), value, low)
    for mask in masks:
        row = mask.vec() if len(mask.shape) == 1 else mask.row(0 if mask.shape[0] == 1 else t)
        value = Select(At(row), value, low)
    if query_mask is not None:
        value = Select(At(query_mask.row(t).every(scores.size)), value, low)
    if value != score:
        b.copy(scores, value)


def _checked(b: Builder, mask: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """An attention mask: a truth value for each step of the key, and perhaps of the query."""
    if len(mask.shape) not in (1, 2):
        raise LayerError(f"its attention_mask has {len(mask.shape)} axes, expected (query, key)")
    if len(mask.shape) == 2 and mask.shape[0] != 1:
        b.check(q.shape[0], "==", mask.shape[0])
    b.check(k.shape[0], "==", mask.shape[-1])
    return mask


@dataclass(frozen=True, eq=False, kw_only=True)
class Attention(Layer):
    """Attention (scores q . k, or `concat`) and AdditiveAttention, on [query, value(, key)].

    `mode`: dot: scale q . k; concat: weight * sum tanh(scale (q + k));
    additive: sum scale_d tanh(q + k).
    """

    mode: str = "dot"
    scale: Array | None = None
    weight: float = 1.0
    causal: bool = False
    return_scores: bool = False

    @property
    def describe(self) -> str:
        """How scores are made."""
        return f"{self.class_name}({self.mode}{', causal' if self.causal else ''})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """For each step of the query: scores, softmax, weighted sum."""
        if len(inputs) not in (2, 3):
            raise LayerError(f"{len(inputs)} inputs found, expected query, value and perhaps key")
        q, v = inputs[:2]
        k = inputs[2] if len(inputs) == 3 else v
        whole(b, q, v, k)
        if any(len(x.shape) != 2 for x in (q, v, k)):
            raise LayerError("its inputs must have a time axis and features, and no more axes")
        b.check(k.shape[0], "==", v.shape[0])
        b.check(q.shape[1], "==", k.shape[1])
        q_mask, v_mask = (
            b.mask_of(q, keywords, "query_mask"),
            b.mask_of(v, keywords, "value_mask"),
        )
        steps, features = k.shape[0], dims.fixed(q.shape[1])
        out = b.tensor("output", (q.shape[0], v.shape[1]))
        kept = b.tensor("scores", (q.shape[0], steps)) if self.return_scores else None
        with b.loop(q.shape[0]) as t:
            scores = b.temp("row_scores", steps) if kept is None else kept.row(t)
            if self.mode == "dot":
                b.affine(scores, None, (matrix(k), q.row(t)))
                if self.scale is not None:
                    b.copy(scores, At(scores) * float(np.ravel(self.scale)[0]))
            else:
                self._additive(b, scores, q.at(t), k, features)
            masked_scores(b, scores, t, self.causal, [] if v_mask is None else [v_mask])
            b.softmax(scores, scores)
            y = out.row(t)
            b.affine(y, None, (transposed(v), scores))
            if q_mask is not None:
                b.copy(y, Select(At(q_mask.row(t).every(y.size)), At(y), Number(0.0)))
        y_mask = q_mask
        result = b.like(out, q, mask=y_mask)
        return (result,) if kept is None else (result, b.like(kept, q))

    def _additive(self, b: Builder, scores: Vec, q: Tensor, k: Tensor, features: int) -> None:
        d = dims.symbol("d")
        # Along the keys: element s of the vector is k[s, d].
        column = Vec(k.buffer, k.offset + d, k.shape[0], features)
        total = At(q.row(d).every(k.shape[0])) + At(column)
        if self.mode == "additive":
            value = call("tanh", total)
            if self.scale is not None:
                b.check(features, "==", len(self.scale))
                scale = b.const("scale", self.scale)
                value = At(scale.row(d).every(k.shape[0])) * value
        else:
            if self.scale is not None:
                total = float(np.ravel(self.scale)[0]) * total
            value = self.weight * call("tanh", total)
        b.reduce(scores, "sum", [("d", features)], value)


@dataclass(frozen=True, eq=False, kw_only=True)
class MultiHeadAttention(Layer):
    """Several heads of softmax(q . k / sqrt(key size)) v between products.

    A causal mask together with a sliding window needs a bounded past: only that streams.
    """

    query_kernel: Array  # (inputs, heads, key size)
    query_bias: Array | None  # (heads, key size)
    key_kernel: Array  # (inputs, key heads, key size): fewer heads are shared by several queries'
    key_bias: Array | None
    value_kernel: Array  # (inputs, key heads, value size)
    value_bias: Array | None
    output_kernel: Array  # (heads, value size, outputs)
    output_bias: Array | None  # (outputs,)
    gate_kernel: Array | None = None  # (inputs, heads, value size)
    gate_bias: Array | None = None
    causal: bool = False
    window: int | None = None
    return_scores: bool = False
    axes: tuple[int, ...] | None = None  # attended over, batch axis 0; None: all but the features
    has_dropout: bool = False
    # Whether Keras' Softmax layer gives 0 where a row sees nothing, else 1 / n; None: not known.
    zeroes_rows: bool | None = False
    masked: bool = True  # whether the era's layer heeds the masks of its inputs

    @property
    def describe(self) -> str:
        """Heads and sizes."""
        _, heads, size = self.query_kernel.shape
        notes = f"{heads} heads, key size {size}"
        notes += ", causal" if self.causal else ""
        notes += f", window {self.window}" if self.window is not None else ""
        return f"{self.class_name}({notes})"

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """Products for each step, then each head by itself, then one product."""
        if len(inputs) not in (2, 3):
            raise LayerError(f"{len(inputs)} inputs found, expected query, value and perhaps key")
        if not self.masked:
            inputs = tuple(replace(x, mask=None) for x in inputs)
        if any(len(x.shape) != 2 for x in inputs):
            return self._over_axes(b, inputs, keywords)
        if self.axes not in (None, (1,)):
            raise LayerError(
                f"attention_axes {self.axes} of inputs with 3 axes, which attends over the heads; "
                "only (1,) has a meaning there"
            )
        q, v = inputs[:2]
        k = inputs[2] if len(inputs) == 3 else v
        b.check(k.shape[0], "==", v.shape[0])
        q_mask = b.mask_of(q, keywords, "query_mask")
        found = [b.mask_of(v, keywords, "value_mask")]
        found += [_checked(b, mask, q, k) for mask in keywords.get("attention_mask", ())]
        if len(inputs) == 3 or "key_mask" in keywords:
            found.append(b.mask_of(k, keywords, "key_mask"))
        masks = [mask for mask in found if mask is not None]
        streams = b.step and any(x.time for x in (q, v, k))
        if streams and not (self.causal and self.window is not None):
            whole(b, q, v, k)
        if streams and (masks or self.return_scores or not all(x.time for x in (q, v, k))):
            raise NotStreamable("attention with a mask, or with another sequence, does not stream")
        by_softmax_layer = self.has_dropout or self.return_scores
        if by_softmax_layer and self.zeroes_rows is None:
            raise LayerError(
                "the file does not record its Keras version, which decides what a fully masked "
                "row gives; name the version that wrote it with --keras-version"
            )
        query = self._project(b, q, "query", self.query_kernel, self.query_bias)
        key = self._project(b, k, "key", self.key_kernel, self.key_bias)
        value = self._project(b, v, "value", self.value_kernel, self.value_bias)
        heads, size = self.query_kernel.shape[1:]
        depth = heads * self.value_kernel.shape[2]
        steps = k.shape[0]
        scale = 1.0 / math.sqrt(size)
        outputs = self.output_kernel.shape[2]
        out = b.tensor("output", (q.shape[0], outputs))
        kept = b.tensor("scores", (heads, q.shape[0], steps)) if self.return_scores else None
        if streams:
            self._bounded(b, q, query, key, value, out)
            return (b.like(out, q),)
        if self.causal and self.window is not None:
            self._leave(b, q, key, value)
        with b.loop(q.shape[0]) as t:
            joined = b.temp("joined", depth)
            for h in range(heads):
                scores = b.temp("row_scores", steps) if kept is None else kept.row(h, t)
                b.affine(scores, None, (self._head(key, h, size), self._of(query, t, h, size)))
                b.copy(scores, At(scores) * scale)
                hidden = (t, self.causal, masks, self.window, q_mask)
                masked_scores(b, scores, *hidden)
                b.softmax(scores, scores)
                if self.zeroes_rows and by_softmax_layer:
                    masked_scores(b, scores, *hidden, nothing=0.0)
                own = depth // heads
                part = joined[h * own : (h + 1) * own]
                b.affine(part, None, (self._head(value, h, own, across=True), scores))
            self._finish(b, q.at(t), joined, out.row(t))
        result = b.like(out, q, mask=q_mask)
        return (result,) if kept is None else (result, b.like(kept, q))

    def _over_axes(
        self, b: Builder, inputs: Sequence[Tensor], keywords: Mapping[str, Tensors]
    ) -> Tensors:
        """Inputs of more than two axes: over all but the last one, or over one of two."""
        rank = len(inputs[0].shape)
        axes = self.axes or tuple(range(1, rank))
        if any(len(x.shape) != rank for x in inputs) or rank < 2 or max(axes) >= rank:
            raise LayerError("its inputs must have the same axes, of which the last has features")
        if keywords or self.return_scores or any(x.mask is not None for x in inputs):
            raise LayerError("masks and scores are not supported for inputs with more axes")
        if (self.causal or self.window is not None) and axes != (1,):
            raise LayerError(f"a causal mask or a window is not supported for axes {axes}")
        whole(b, *inputs)
        plain = replace(self, axes=None)
        if axes == tuple(range(1, rank)):
            flat = [x.reshape((dims.product(x.shape[:-1]), x.shape[-1])) for x in inputs]
            (y,) = plain.lower(b, *flat)
            return (replace(y.reshape((*inputs[0].shape[:-1], y.shape[-1])), time=False),)
        if rank != 3 or len(axes) != 1:
            raise LayerError(f"attention_axes {axes} of inputs with {rank + 1} axes")
        turned = [transpose(b, x, (1, 0, 2)) if axes == (1,) else x for x in inputs]
        for x in turned[1:]:
            b.check(turned[0].shape[0], "==", x.shape[0])
        out: Tensor | None = None
        with b.loop(turned[0].shape[0]) as row, b.part("row", inner=True):
            (y,) = plain.lower(b, *(replace(x.at(row), time=False) for x in turned))
            out = b.outer_tensor("output", (turned[0].shape[0], *y.shape))
            b.copy(out.at(row).vec(), y.vec())
        assert out is not None
        return (transpose(b, out, (1, 0, 2)) if axes == (1,) else out,)

    def _finish(self, b: Builder, x: Tensor, joined: Vec, y: Vec) -> None:
        if self.gate_kernel is not None:
            kernel = self.gate_kernel.reshape(self.gate_kernel.shape[0], -1)
            bias = None if self.gate_bias is None else self.gate_bias.reshape(-1)
            gate = b.temp("gate", joined.size)
            b.affine(
                gate, b.vector("gate_bias", bias), (b.weight("gate_kernel", kernel.T), x.vec())
            )
            b.copy(joined, At(joined) * call("sigmoid", gate))
        last = self.output_kernel.reshape(-1, self.output_kernel.shape[2])
        offset = b.vector("output_bias", self.output_bias)
        b.affine(y, offset, (b.weight("output_kernel", last.T), joined))

    def _project(
        self, b: Builder, x: Tensor, role: str, kernel: Array, bias: Array | None
    ) -> Tensor:
        flat = kernel.reshape(kernel.shape[0], -1)
        out = b.tensor(role, (x.shape[0], flat.shape[1]))
        weight = b.weight(f"{role}_kernel", flat.T)
        offset = b.vector(f"{role}_bias", None if bias is None else bias.reshape(-1))
        with b.loop(x.shape[0]) as t:
            b.affine(out.row(t), offset, (weight, x.row(t)))
        return b.like(out, x)

    def _shared(self, head: int) -> int:
        """The key head that a query head looks at."""
        queries = int(self.query_kernel.shape[1]) // int(self.key_kernel.shape[1])
        return head // queries

    def _head(self, x: Tensor, head: int, size: int, across: bool = False) -> Mat:
        """The part of one head in every row; `across`: with a column for each step."""
        columns = dims.fixed(x.shape[1])
        start = x.offset + self._shared(head) * size
        if across:
            return Mat(x.buffer, start, size, x.shape[0], 1, columns)
        return Mat(x.buffer, start, x.shape[0], size, columns)

    def _of(self, x: Tensor, t: Dim, head: int, size: int) -> Vec:
        return x.row(t)[head * size : (head + 1) * size]

    # A bounded past: rows of key, value and a 1 that tells a step from the empty start.

    def _line(self, b: Builder, x: Tensor, key: Tensor, value: Tensor) -> Tensor:
        n, m = dims.fixed(key.shape[1]), dims.fixed(value.shape[1])
        rows = b.tensor("past", (x.shape[0], n + m + 1))
        with b.loop(x.shape[0]) as t:
            row = rows.row(t)
            b.copy(row[:n], key.row(t))
            b.copy(row[n : n + m], value.row(t))
            b.copy(row[n + m :], Number(1.0))
        return b.like(rows, x)

    def _leave(self, b: Builder, x: Tensor, key: Tensor, value: Tensor) -> None:
        if b.streamable and x.time:
            b.leave(self._line(b, x, key, value), "past_line")

    def _bounded(
        self, b: Builder, x: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor
    ) -> None:
        assert self.window is not None
        size, heads = self.window, self.query_kernel.shape[1]
        n, m = dims.fixed(key.shape[1]), dims.fixed(value.shape[1])
        own, depth = self.query_kernel.shape[2], self.value_kernel.shape[2]
        past = self._line(b, x, key, value)
        with (
            b.window(past, size, left=size - 1, role="past_line") as window,
            window.positions() as t,
        ):
            rows = window.taps(t)
            joined = b.temp("joined", heads * depth)
            for h in range(heads):
                scores = b.temp("row_scores", size)
                start = self._shared(h) * own
                for s, row in enumerate(rows):
                    d = dims.symbol("d")
                    product = At(self._of(query, t, h, own)[d : d + 1]) * At(
                        row.vec()[start + d : start + d + 1]
                    )
                    target = scores[s : s + 1]
                    b.reduce(target, "sum", [("d", own)], product)
                    score = At(target) * (1.0 / math.sqrt(own))
                    counts = At(row.vec()[n + m :])
                    b.copy(target, Select(counts, score, Number(MASKED)))
                b.softmax(scores, scores)
                part = joined[h * depth : (h + 1) * depth]
                total: Expr | None = None
                first = n + self._shared(h) * depth
                for s, row in enumerate(rows):
                    weight = At(scores[s : s + 1].every(depth))
                    term = weight * At(row.vec()[first : first + depth])
                    total = term if total is None else total + term
                assert total is not None
                b.copy(part, total)
            self._finish(b, x.at(t), joined, out.row(t))
