"""A machine of integers: the definition of every op of a program whose `integers` is set.

All numbers are int32, weights int8 or int16, what a product multiplies them by int16. There is one
rounding rule, `shifted`. Nothing wraps: the machine computes in int64 and asserts that every number
on the way is one of int32, which the pass that makes such programs has proved beforehand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codegen.program.evaluate import OPERATORS, Machine
from codegen.program.ops import (
    Affine,
    Array,
    At,
    Binary,
    Buffer,
    Call,
    Compare,
    Count,
    Expr,
    Gather,
    Mat,
    Negate,
    Number,
    Softmax,
    Table,
    Vec,
    first_row,
)

ONE = 1 << 15  # 1.0 with 15 bits of fraction
LIMITS = {"int8": 1 << 7, "int16": 1 << 15, "int32": 1 << 31}


def shifted(q: Array, n: int) -> Array:
    """The quotient q / 2^n, rounded half up."""
    return (q + (1 << (n - 1))) >> n


def fits(values: Array, dtype: str) -> bool:
    """Whether every number is one of the integer type; floats are not asked."""
    limit = LIMITS.get(dtype)
    return limit is None or not values.size or (values.min() >= -limit and values.max() < limit)


def multiplied(total: Array, scale: Array) -> Array:
    """(total * scale) >> 16: what fits int32 of a product that does not."""
    return (total * scale) >> 16


def looked_up(table: Array, shift: int, value: Array) -> Array:
    """What lies between the numbers of a table, 2^shift apart."""
    q = np.clip(value, 0, ((len(table) - 1) << shift) - 1)
    k = q >> shift
    return np.asarray(table[k] + shifted((table[k + 1] - table[k]) * (q - (k << shift)), shift))


class Integers(Machine):
    """The memory of one program of integers over `batch` independent samples.

    `left` counts the numbers that were outside of the range that `limited` and `fixed` hold.
    """

    def __init__(self, batch: int = 1) -> None:
        super().__init__(batch, np.int64)
        self.left = 0

    def given(self, x: Array) -> Array:
        """As a file takes it: floats are those of float32."""
        return x.astype(np.float32) if x.dtype.kind == "f" else x

    def _kind(self, buffer: Buffer) -> Any:
        return np.float64 if buffer.dtype == "float32" else np.int64

    def write(self, vec: Vec, values: Array) -> None:
        """Store (..., batch, size) in the vector, in whose type every number fits."""
        assert fits(values, vec.buffer.dtype), vec
        super().write(vec, values)

    def value(self, node: Expr, local: dict[str, Array]) -> Array:
        """An expression for all elements: (..., batch, size), or what broadcasts to it."""
        found = self._value(node, local)
        assert found.dtype.kind == "f" or fits(found, "int32"), node
        return found

    def _value(self, node: Expr, local: dict[str, Array]) -> Array:
        if isinstance(node, Number):
            return np.full((1, 1), int(node.value))
        if isinstance(node, Count):
            return np.asarray(self.number(node.dim))
        if isinstance(node, (Binary, Compare)):
            left, right = self.value(node.left, local), self.value(node.right, local)
            assert node.operator != "/", node
            return np.asarray(OPERATORS[node.operator](left, right), np.int64)
        if isinstance(node, Negate):
            return np.asarray(-self.value(node.value, local))
        if isinstance(node, Table):
            return self._table(node, self.value(node.value, local))
        if isinstance(node, Call):
            return self._called(node, local)
        return super().value(node, local)

    def _table(self, node: Table, value: Array) -> Array:
        table = self.read(node.vec)[0]
        if node.mirror is None:
            return looked_up(table, node.shift, value)
        found = looked_up(table, node.shift, np.abs(value))
        return np.where(value < 0, node.mirror - found, found)

    def _called(self, node: Call, local: dict[str, Array]) -> Array:
        if node.function in ("fixed", "real"):
            return self._converted(node, local)
        first, *others = (self.value(a, local) for a in node.arguments)
        match node.function:
            case "shifted":
                return shifted(first, int(others[0].item()))
            case "floor_shift":
                return np.asarray(first >> int(others[0].item()))
            case "scaled":
                assert others[0].min() >= 0, node
                assert others[0].max() <= ONE, node
                return np.asarray((first * others[0]) >> 15)
            case "saturated":
                return np.clip(first, -ONE, ONE - 1)
            case "limited":
                self.left += int(np.count_nonzero((first < others[0]) | (first > others[1])))
                return np.clip(first, *others)
            case "abs":
                return np.abs(first)
            case "min":
                return np.minimum(first, others[0])
        assert node.function == "max", node
        return np.maximum(first, others[0])

    def _converted(self, node: Call, local: dict[str, Array]) -> Array:
        """Between floats and integers: by a power of two, so that nothing but `fixed` rounds."""
        scale = node.arguments[1]
        assert isinstance(scale, Number), node
        if node.function == "real":
            return np.asarray(self.value(node.arguments[0], local) * scale.value, np.float64)
        low, high = (int(self.value(a, local).item()) for a in node.arguments[2:])
        at = node.arguments[0]
        x = self.real(at) * scale.value
        self.left += int(np.count_nonzero(~((x >= low - 1.0) & (x <= high + 1.0))))
        inside = np.clip(np.nan_to_num(x, nan=0.0, posinf=high, neginf=low), low, high)
        whole = np.floor(inside)
        return np.asarray(whole + (inside - whole >= 0.5), np.int64)

    def real(self, node: Expr) -> Array:
        """A float of an input."""
        assert isinstance(node, At), node
        return self.read(node.vec)

    def _affine(self, op: Affine) -> None:
        rows = self.number(op.out.size)
        total = np.zeros((self.batch, rows), np.int64)
        if op.bias is not None:
            total = total + self.read(op.bias)
        for (mat, vec), shift in zip(op.products, op.shifts, strict=True):
            total = total + self._product(mat, self.read(vec), shift)
        self.write(op.out, total)

    def _product(self, mat: Mat, x: Array, shift: int) -> Array:
        matrix = np.asarray(self.matrix(mat), np.int64)
        assert fits(x, "int16"), mat
        assert fits((np.abs(matrix) * ONE).sum(axis=-1), "int32"), mat
        total = (matrix @ x[..., None])[..., 0]
        return shifted(multiplied(total, self.multiples(mat)), shift)

    def multiples(self, mat: Mat) -> Array:
        """The whole number m of each row of a matrix, (..., rows)."""
        assert mat.buffer.scales is not None, mat
        first = np.asarray(self.number(first_row(mat)))
        return np.asarray(mat.buffer.scales[first + np.arange(self.number(mat.rows))], np.int64)

    def _softmax(self, op: Softmax) -> None:
        x = self.read(op.x)
        assert op.table is not None, op
        e = looked_up(self.read(op.table)[0], op.shift, x.max(axis=-1, keepdims=True) - x)
        total = e.sum(axis=-1)
        assert total.max() < 1 << 30, op
        left, found = total // 2, np.empty_like(e)
        for k in range(e.shape[-1]):
            found[..., k], left = np.divmod(e[..., k] * ONE + left, total)
        self.write(op.out, found)

    def _gather(self, op: Gather) -> None:
        table, rows = self.matrix(op.table)[0], self.read(op.index)[..., 0].astype(np.int64)
        if rows.min() < 0 or rows.max() >= len(table):
            raise ValueError(f"index {rows} of a table with {len(table)} rows")
        found = np.asarray(table[rows], np.int64) * self.multiples(op.table)[rows][..., None]
        self.write(op.out, shifted(found, op.shift))
