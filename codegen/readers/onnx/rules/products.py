"""Products of matrices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_letters

import numpy as np

from codegen.errors import LayerError
from codegen.layers.core import Dense
from codegen.model import Array
from codegen.program.dims import Dim
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator
from codegen.readers.onnx.rules.elementwise import formula
from codegen.readers.onnx.values import Value
from codegen.readers.settings import show


def dense(c: Call, x: Value, kernel: Array, bias: Array | None, axis: int) -> Value:
    """`x` times a matrix (inputs, units) along one axis, where the units are then."""
    if x.shape[axis] != kernel.shape[0]:
        raise LayerError(f"a product of {x.shape} and {kernel.shape}")
    ref, held = c.ordered(x, (axis,))
    ref = c.add(c.layer(Dense, kernel=kernel, bias=bias), ref)
    shape = (*x.shape[:axis], kernel.shape[1], *x.shape[axis + 1 :])
    return Value(ref, shape, held, x.dtype, x.time)


def _matmul(c: Call) -> Value:
    """As NumPy's: a constant matrix is a Dense layer, two values are joined along one axis."""
    left, right = c.operands
    if isinstance(left, Value) and isinstance(right, np.ndarray) and right.ndim <= 2:
        kernel = c.checked(right, "second input")
        y = dense(c, left, kernel.reshape(len(kernel), -1), None, left.rank - 1)
        return y if kernel.ndim == 2 else c.dropped(y, left.rank - 1)
    if isinstance(right, Value) and isinstance(left, np.ndarray) and left.ndim <= 2:
        kernel = c.checked(left, "first input")
        axis = max(right.rank - 2, 0)
        y = dense(c, right, np.atleast_2d(kernel).T.copy(), None, axis)
        return y if kernel.ndim == 2 else c.dropped(y, axis)
    return _product(c, c.value(0), c.value(1))


def _product(c: Call, x: Value, y: Value) -> Value:
    """The product of two values, by the letters of their axes."""
    if x.rank == 1:
        return c.dropped(_product(c, _wider(c, x, 0), y), -2 + max(y.rank, 2))
    if y.rank == 1:
        wide = _product(c, x, _wider(c, y, 1))
        return c.dropped(wide, wide.rank - 1)
    rank = max(x.rank, y.rank)
    letters = ascii_letters[1 : rank - 1]  # of the axes before the matrices
    left = letters[len(letters) - x.rank + 2 :] + "YZ"
    right = letters[len(letters) - y.rank + 2 :] + "ZX"
    stacked = _stacked(c, _widened(x, rank), _widened(y, rank))
    return stacked or summed(c, (x, y), (left, right), letters + "YX")


def _widened(x: Value, rank: int) -> Value:
    """`x` with axes of length 1 before its own."""
    more = rank - x.rank
    held = tuple(axis + more for axis in x.held)
    return Value(x.ref, (1,) * more + x.shape, held, x.dtype, x.time)


def _stacked(c: Call, x: Value, y: Value) -> Value | None:
    """The products of stacks of matrices; None where time is not the first axis that is held."""
    rank = x.rank
    stack = [axis for axis in range(rank - 2) if x.shape[axis] != 1 or y.shape[axis] != 1]
    if x.shape[-1] != y.shape[-2] or y.time:
        return None
    if x.time:
        first = x.held[0]
        if first == rank - 1 or (first == rank - 2 and stack):
            return None
        stack.sort(key=lambda axis: axis != first)
    for axis in stack:
        if x.shape[axis] != y.shape[axis] and 1 not in (x.shape[axis], y.shape[axis]):
            raise LayerError(f"a product of {x.shape} and {y.shape}")
    held = (*stack, rank - 2, rank - 1)
    ref = c.operation("matmul", c.arranged(x, held), c.arranged(y, held))
    lengths = (m if n == 1 else n for n, m in zip(x.shape[:-2], y.shape[:-2], strict=True))
    return Value(ref, (*lengths, x.shape[-2], y.shape[-1]), held, x.dtype, x.time)


def summed(c: Call, values: Sequence[Value], terms: Sequence[str], result: str) -> Value:
    """The sum of products by the letters of axes; those that are not in `result` are summed over.

    An axis of length 1 meets any other length.
    """
    lengths: dict[str, Dim] = {}
    for names, x in zip(terms, values, strict=True):
        for letter, n in zip(names, x.shape, strict=True):
            if lengths.setdefault(letter, n) not in (n, 1) and n != 1:
                raise LayerError(f"tensors of {', '.join(str(x.shape) for x in values)}")
            lengths[letter] = n if n != 1 else lengths[letter]
    pairs = list(zip(terms, values, strict=True))
    own = ["".join(names[axis] for axis in x.held) for names, x in pairs]
    together = {letter for term in own for letter in term}
    times = [names[x.held[0]] for names, x in pairs if x.time]
    first = times[0] if times and times[0] in result else ""
    held = [letter for letter in first + result.replace(first, "") if letter in together]
    equation = f"{','.join(_BATCH + term for term in own)}->{_BATCH}{''.join(held)}"
    ref = c.operation("einsum", *(x.ref for x in values), equation=equation)
    places = tuple(result.index(letter) for letter in held)
    shape = tuple(lengths[letter] for letter in result)
    return Value(ref, shape, places, values[0].dtype, bool(first))


_BATCH = "A"  # a letter that no equation has here


def _einsum(c: Call) -> Value:
    """Sums of products of any number of tensors, as the equation says."""
    text = "".join(c.attributes.text("equation").split())
    left, arrow, result = text.partition("->")
    values = [c.value(number) for number in range(len(c.operands))]
    terms = left.split(",")
    if len(terms) != len(values) or not re.fullmatch(r"[A-Za-z.,]*", left + result):
        raise LayerError(f"equation {show(text)} for {len(values)} inputs")
    free = iter(letter for letter in ascii_letters if letter not in text and letter != _BATCH)
    most = max(x.rank - len(t.replace("...", "")) for t, x in zip(terms, values, strict=True))
    dots = "".join(next(free) for _ in range(max(most, 0)))
    if not arrow:
        letters = left.replace(".", "").replace(",", "")
        once = sorted(letter for letter in {*letters} if letters.count(letter) == 1)
        result = ("..." if "..." in left else "") + "".join(once)
    renamed = {_BATCH: next(free)}
    full = []
    for term, x in zip(terms, values, strict=True):
        more = x.rank - len(term.replace("...", ""))
        named = term.replace("...", dots[len(dots) - more :] if more > 0 else "")
        if len(named) != x.rank or "." in named:
            raise LayerError(f"equation {show(text)} for an input with {x.rank} axes")
        full.append("".join(renamed.get(letter, letter) for letter in named))
    result = "".join(renamed.get(letter, letter) for letter in result.replace("...", dots))
    if len({*result}) != len(result) or not {*result} <= {*"".join(full)}:
        raise LayerError(f"equation {show(text)}")
    return _by_weights(c, values, full, result) or summed(c, values, full, result)


def _by_weights(
    c: Call, values: Sequence[Value], terms: Sequence[str], result: str
) -> Value | None:
    """A value times a constant matrix along one axis, as a Dense layer; else None."""
    fixed = [k for k, x in enumerate(c.operands) if isinstance(x, np.ndarray)]
    if len(values) != 2 or len(fixed) != 1:
        return None
    own, other = terms[fixed[0]], terms[1 - fixed[0]]
    inner = [letter for letter in own if letter in other]
    units = [letter for letter in own if letter not in other]
    plain = len(inner) == len(units) == 1 and inner[0] not in result and len({*other}) == len(other)
    expected = other.replace(inner[0], units[0]) if plain else ""
    if not plain or sorted(expected) != sorted(result):
        return None
    kernel = c.checked(c.known(fixed[0]), "constant")
    kernel = kernel if own == inner[0] + units[0] else kernel.T
    x = dense(c, values[1 - fixed[0]], np.ascontiguousarray(kernel), None, other.index(inner[0]))
    held = tuple(result.index(expected[axis]) for axis in x.held)
    shape = tuple(x.shape[expected.index(letter)] for letter in result)
    return Value(x.ref, shape, held, x.dtype, x.time)


def _wider(c: Call, x: Value, axis: int) -> Value:
    """A vector as a matrix of one row (axis 0) or one column."""
    return c.moved(x, (1, *x.shape) if axis == 0 else (*x.shape, 1), {0: 1 - axis})


def _gemm(c: Call) -> Value:
    """Alpha A B + beta C, A and B perhaps transposed."""
    number = c.attributes.number
    alpha, beta = number("alpha", 1.0), number("beta", 1.0)
    flips = [bool(c.attributes.integer(key, 0, 0, 1)) for key in ("transA", "transB")]
    x = c.value(0)
    kernel = c.weights(1, "second input", None, None)
    kernel = np.ascontiguousarray(alpha * (kernel.T if flips[1] else kernel), kernel.dtype)
    if x.rank != 2:
        raise LayerError(f"its first input has {x.rank} axes, expected 2")
    if flips[0]:
        x = Value(x.ref, x.shape[::-1], tuple(1 - axis for axis in x.held), x.dtype, x.time)
    added = c.operands[2] if c.has(2) else None
    bias = None
    if isinstance(added, np.ndarray):
        added = (beta * c.checked(added, "third input")).astype(kernel.dtype)
        beta = 1.0
        if added.size == 1 or added.shape[-1:] == (added.size,) == kernel.shape[1:]:
            bias = np.broadcast_to(added.ravel(), kernel.shape[1:]).astype(kernel.dtype)
    y = dense(c, x, kernel, bias, 1)
    if bias is not None or added is None:
        return y
    if beta != 1:
        added = formula(c, "multiply", (added, np.asarray(beta, np.float32)))
    return formula(c, "add", (y, added))


TABLE = (
    Operator("MatMul", _matmul),
    Operator("Einsum", _einsum),
    Operator("Gemm", _gemm, note="the second input a constant"),
)
