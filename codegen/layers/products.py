"""Products of tensors: of matrices in stacks, and sums of products by the letters of axes."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import mul
from typing import TYPE_CHECKING

from codegen.errors import LayerError
from codegen.layers.shared.axes import broadcast_shape, transpose, widen
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import At, Expr, Mat

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor


def matmul(
    b: Builder, left: Tensor, right: Tensor, *, transpose_a: bool = False, transpose_b: bool = False
) -> Tensor:
    """Products of matrices; axes before the last two are stacks of them, which broadcast.

    A vector on the left is a row. Each row of a sequence on the left is by itself.
    """
    if not left.shape or len(right.shape) < 2:
        raise LayerError(f"a product of tensors with {left.shape} and {right.shape}")
    by_rows = len(left.shape) > 1 and not transpose_a and not right.time
    for x in (right,) if by_rows else (left, right):
        b.needs_whole(x, "it multiplies whole sequences")
    rows, matrices = replace(left, time=False), replace(right, time=False)
    if len(left.shape) == 1:
        rows = rows.reshape((1, *left.shape))
    elif transpose_a:
        rank = len(left.shape)
        rows = transpose(b, rows, (*range(rank - 2), rank - 1, rank - 2))
    rank = max(len(rows.shape), len(right.shape))
    rows, matrices = widen(rows, rank), widen(matrices, rank)
    inner, columns = right.shape[:-3:-1] if transpose_b else right.shape[-2:]
    b.check(rows.shape[-1], "==", inner)
    stride = dims.fixed(right.shape[-1])
    strides = (stride, 1) if transpose_b else (1, stride)
    stacks = broadcast_shape(b, [x.reshape(x.shape[:-2]) for x in (rows, matrices)])
    out = b.tensor("output", (*stacks, rows.shape[-2], columns))
    with b.each(out.shape[:-1]) as at:
        first, second = (
            [0 if n == 1 else i for n, i in zip(x.shape[:-2], at, strict=False)]
            for x in (rows, matrices)
        )
        block = matrices.at(*second)
        matrix = Mat(block.buffer, block.offset, columns, inner, *strides)
        b.affine(out.row(*at), None, (matrix, rows.row(*first, at[-1])))
    shape = (*stacks, columns) if len(left.shape) == 1 else out.shape
    y = b.like(out.reshape(shape), left, right)
    return replace(y, time=left.time and not transpose_a and 1 < len(left.shape) == rank)


def einsum(b: Builder, *inputs: Tensor, equation: str) -> Tensor:
    """Sums of products, by the letters of axes, of which the first is that of the batch axis.

    A letter that a tensor has twice takes its diagonal; an axis of length 1 meets any length.
    """
    terms, arrow, result = equation.partition("->")
    letters = terms.split(",")
    batch = {term[:1] for term in (*letters, result)}
    plain = all(term.isalpha() and term[0] not in term[1:] for term in (*letters, result))
    known = {letter for term in letters for letter in term}
    plain = plain and len({*result}) == len(result) and {*result} <= known
    if not arrow or not plain or len(batch) != 1 or len(inputs) != len(letters):
        raise LayerError(f"equation {equation[:60]!r} is not supported")
    lengths: dict[str, Dim] = {}
    for term, x in zip(letters, inputs, strict=True):
        if len(term) != len(x.shape) + 1:
            raise LayerError(f"equation {equation!r} does not fit {len(x.shape)} axes")
        b.needs_whole(x, "it multiplies whole sequences")
        for letter, n in zip(term[1:], x.shape, strict=True):
            if lengths.setdefault(letter, n) == 1:
                lengths[letter] = n
            if n != 1:
                b.check(lengths[letter], "==", n)
    out = b.tensor("output", [lengths[letter] for letter in result[1:]])
    summed = [letter for letter in lengths if letter not in result]
    counters = tuple((f"k_{letter}", lengths[letter]) for letter in summed)
    with b.each([lengths[letter] for letter in result[1:]], "place") as at:
        place: dict[str, Dim] = dict(zip(result[1:], at, strict=True))
        place |= {letter: dims.symbol(f"k_{letter}") for letter in summed}
        factors: list[Expr] = []
        for term, x in zip(letters, inputs, strict=True):
            pairs = zip(term[1:], x.shape, strict=True)
            factors.append(At(x.row(*(0 if n == 1 else place[letter] for letter, n in pairs))))
        product, target = reduce(mul, factors), out.row(*at)
        if counters:
            b.reduce(target, "sum", counters, product)
        else:
            b.copy(target, product)
    y = b.like(out, *inputs)
    return replace(y, time=y.time and _keeps_time(inputs, letters, result))


def _keeps_time(inputs: tuple[Tensor, ...], letters: list[str], result: str) -> bool:
    """Whether the time axis comes first in what comes out."""
    times = {term[1] for term, x in zip(letters, inputs, strict=True) if x.time}
    return result[1:2] != "" and times == {result[1:2]}
