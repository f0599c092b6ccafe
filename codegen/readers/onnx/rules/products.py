"""Products of matrices."""

from __future__ import annotations

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
    lengths: dict[str, Dim] = {}
    for names, shape in ((left, x.shape), (right, y.shape)):
        for letter, n in zip(names, shape, strict=True):
            if lengths.setdefault(letter, n) not in (n, 1) and n != 1:
                raise LayerError(f"a product of {x.shape} and {y.shape}")
            lengths[letter] = n if n != 1 else lengths[letter]
    result = letters + "YX"
    shape = tuple(lengths[letter] for letter in result)
    terms = [
        "A" + "".join(names[axis] for axis in one.held) for names, one in ((left, x), (right, y))
    ]
    together = {letter for term in terms for letter in term[1:]}
    first = left[x.held[0]] if x.time else right[y.held[0]] if y.time else ""
    held = [letter for letter in first + result.replace(first, "") if letter in together]
    equation = f"{','.join(terms)}->A{''.join(held)}"
    ref = c.operation("einsum", x.ref, y.ref, equation=equation)
    return Value(
        ref,
        shape,
        tuple(result.index(letter) for letter in held),
        x.dtype,
        x.time or y.time,
    )


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
    if (
        isinstance(added, np.ndarray)
        and added.size in (1, kernel.shape[1])
        and (added.shape[-1:] in ((), (1,), kernel.shape[1:]))
    ):
        row = beta * c.checked(added, "third input").ravel()
        bias = np.broadcast_to(row, kernel.shape[1:]).astype(kernel.dtype)
    y = dense(c, x, kernel, bias, 1)
    if bias is not None or added is None:
        return y
    if beta != 1:
        added = formula(c, "multiply", (added, np.asarray(beta, np.float32)))
    return formula(c, "add", (y, added))


TABLE = (
    Operator("MatMul", _matmul),
    Operator("Gemm", _gemm, note="the second input a constant"),
)
