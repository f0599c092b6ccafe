"""A NumPy interpreter of the Program: the definition of every op, and the oracle of every target.

Arrays have a leading batch axis; everything runs in one float type, float64 by default. Loops run
one iteration at a time: slow, and plain to read.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from codegen.program import dims
from codegen.program.derived import numbers_of
from codegen.program.dims import Dim
from codegen.program.ops import (
    Affine,
    Array,
    At,
    Binary,
    Buffer,
    Call,
    Compare,
    Count,
    Elementwise,
    Expr,
    Gather,
    Index,
    Local,
    Loop,
    Mat,
    Negate,
    Number,
    Op,
    Reduce,
    Select,
    Shift,
    Softmax,
    Vec,
    When,
    elements,
    first_row,
    reads,
    walk_ops,
    writes,
)


def erf(x: Array) -> Array:
    """The error function, as accurate as the C library's."""
    return np.array([math.erf(v) for v in np.ravel(x)], x.dtype).reshape(x.shape)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, e, 1) / (1 + e))


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), without overflow."""
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


MEANING: dict[str, Any] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "gate_sigmoid": sigmoid,
    "hard_sigmoid": lambda x: np.minimum(np.maximum(0.2 * x + 0.5, 0), 1),
    "hard_sigmoid_3": lambda x: np.minimum(np.maximum(x / 6 + 0.5, 0), 1),
    "softplus": softplus,
    "erf": erf,
    "sin": np.sin,
    "cos": np.cos,
    "atan": np.arctan,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "floor": np.floor,
    "round": np.rint,
    "min": np.minimum,
    "max": np.maximum,
    "pow": np.power,
    "fmod": np.fmod,
}
OPERATORS: dict[str, Any] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


DIM_OPERATORS: dict[str, Any] = {
    "//": operator.floordiv,
    "*": operator.mul,
    "max": np.maximum,
    "min": np.minimum,
}
AT_ONCE = 1 << 10  # iterations of all loops around an op that carry nothing
CONVERTED = 1 << 16  # weights that are converted at once to the type of a product


class Machine:
    """The memory of one program over `batch` independent samples."""

    def __init__(self, batch: int = 1, dtype: Any = np.float64) -> None:
        self.batch = batch
        self.dtype = np.dtype(dtype)
        self.memory: dict[Buffer, Array] = {}
        self.known: dict[str, int | Array] = {}
        self.lanes: dict[str, Array] = {}  # counters that run at once, outermost first
        self.seen = 0  # steps since reset

    def given(self, x: Array) -> Array:
        """An input as the machine takes it."""
        return x

    def array(self, buffer: Buffer) -> Array:
        """The buffer as (batch, size), after an axis for each loop that it is scratch of.

        A constant is (1, size), of the type that it is stored in: int8 without its scales.
        """
        if buffer.kind == "const":
            stored = numbers_of(buffer) if buffer.scales is None else buffer.data
            return np.asarray(stored)[None, :]
        found = self.memory.get(buffer)
        lanes = [len(place) for place in self._lanes(buffer)]
        shape = (*lanes, self._samples(buffer), self.number(buffer.size))
        if found is None or found.shape != shape:
            self.memory[buffer] = found = np.zeros(shape, self._kind(buffer))
        return found

    def _kind(self, buffer: Buffer) -> Any:
        return np.int64 if buffer.dtype == "int32" else self.dtype

    def _samples(self, buffer: Buffer) -> int:
        return 1 if buffer.kind == "const" else self.batch

    def _lanes(self, buffer: Buffer) -> list[Array]:
        return [self.lanes[name] for name in reversed(self.lanes) if name in buffer.scope]

    def number(self, dim: Dim) -> Any:
        """A length or an offset, now: an offset may differ between iterations that run at once."""
        if isinstance(dim, int):
            return dim
        total: Any = dim.constant
        for atom, factor in dim.terms:
            if isinstance(atom, dims.Symbol):
                total = total + self.known[atom.name] * factor
            else:
                left, right = self.number(atom.left), self.number(atom.right)
                total = total + DIM_OPERATORS[atom.operator](left, right) * factor
        return total

    def places(self, vec: Vec) -> tuple[Any, ...]:
        """Where the vector is in the array of its buffer, as an index that gives (..., size)."""
        where = self.number(vec.offset) + np.arange(self.number(vec.size)) * vec.stride
        samples = np.arange(self._samples(vec.buffer))[:, None]
        return (*self._lanes(vec.buffer), samples, where)

    def read(self, vec: Vec) -> Array:
        """A copy of the vector as (..., batch, size)."""
        found: Array = self.array(vec.buffer)[self.places(vec)]
        return np.asarray(found, self._kind(vec.buffer))

    def write(self, vec: Vec, values: Array) -> None:
        """Store (..., batch, size) in the vector."""
        self.array(vec.buffer)[self.places(vec)] = values

    def matrix(self, mat: Mat) -> Array:
        """The matrix as (..., batch or 1, rows, columns), of the type that it is stored in."""
        if mat.buffer.data is not None and isinstance(mat.offset, int):  # weights need no copy
            axes = [(mat.rows, mat.row_stride), (mat.columns, mat.column_stride)]
            fixed = ((self.number(length), stride) for length, stride in axes)
            return elements(self.array(mat.buffer), mat.offset, *fixed)
        rows = np.arange(self.number(mat.rows)) * mat.row_stride
        columns = np.arange(self.number(mat.columns)) * mat.column_stride
        where = np.asarray(self.number(mat.offset))[..., None] + rows[:, None] + columns
        samples = np.arange(self._samples(mat.buffer))[:, None, None]
        lanes = (place[..., None] for place in self._lanes(mat.buffer))
        index = (*lanes, samples, where)
        found: Array = self.array(mat.buffer)[index]
        return found

    def scales(self, mat: Mat) -> Array | None:
        """The scale of each row of a matrix of int8 as (..., rows), None for any other."""
        if mat.buffer.scales is None:
            return None
        first = np.asarray(self.number(first_row(mat)))
        found = mat.buffer.scales[first + np.arange(self.number(mat.rows))]
        return np.asarray(found * np.asarray(mat.buffer.unit, self.dtype))

    def value(self, node: Expr, local: dict[str, Array]) -> Array:
        """An expression for all elements: (..., batch, size), or what broadcasts to it."""
        if isinstance(node, Number):
            return np.full((1, 1), node.value, self.dtype)
        if isinstance(node, At):
            return np.asarray(self.read(node.vec), self.dtype)
        if isinstance(node, Local):
            return local[node.name]
        if isinstance(node, Index):
            return local["index of the element"]
        if isinstance(node, Count):
            return np.asarray(self.number(node.dim), self.dtype)
        if isinstance(node, Negate):
            return np.negative(self.value(node.value, local))
        if isinstance(node, (Binary, Compare)):
            left, right = self.value(node.left, local), self.value(node.right, local)
            return np.asarray(OPERATORS[node.operator](left, right), self.dtype)
        if isinstance(node, Select):
            chosen = self.value(node.condition, local) != 0
            return np.where(chosen, self.value(node.yes, local), self.value(node.no, local))
        assert isinstance(node, Call), node
        arguments = [self.value(a, local) for a in node.arguments]
        return np.asarray(MEANING[node.function](*arguments), self.dtype)

    def run(self, ops: Sequence[Op]) -> None:
        """Execute the ops in order."""
        for op in ops:
            self.execute(op)

    def execute(self, op: Op) -> None:
        """One op: its definition."""
        if isinstance(op, When):
            if self.seen >= op.after:
                self.run(op.body)
        else:
            getattr(self, f"_{type(op).__name__.lower()}")(op)

    def _loop(self, op: Loop) -> None:
        count = self.number(op.count)
        room = AT_ONCE // math.prod(len(place) for place in self.lanes.values())
        if op.carried or room < 2 or any(op.counter in dims.symbols(n) for n in _lengths(op.body)):
            for k in range(count):
                self.known[op.counter] = k
                self.run(op.body)
        else:
            axes = (1,) * (len(self.lanes) + 2)
            for start in range(0, count, room):
                place = np.arange(min(room, count - start)).reshape(-1, *axes)
                self.known[op.counter], self.lanes[op.counter] = start + place, place
                self.run(op.body)
                del self.lanes[op.counter]
        self.known.pop(op.counter, None)

    def _affine(self, op: Affine) -> None:
        total = np.zeros((self.batch, self.number(op.out.size)), self.dtype)
        if op.bias is not None:
            total = total + self.read(op.bias)
        for mat, vec in op.products:
            part = self.product(self.matrix(mat), self.read(vec)[..., None])[..., 0]
            scales = self.scales(mat)
            total = total + (part if scales is None else part * scales)
        self.write(op.out, total)

    def product(self, matrix: Array, x: Array) -> Array:
        """Matrix times column; large weights are converted some rows at a time."""
        rows, columns = matrix.shape[-2:]
        count = max(1, CONVERTED // max(1, columns))
        parts = [
            np.asarray(matrix[..., start : start + count, :], self.dtype) @ x
            for start in range(0, rows, count)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-2)

    def _elementwise(self, op: Elementwise) -> None:
        local = self._index(op.size)
        for name, node in op.locals:
            local[name] = self.value(node, local)
        values = [self.value(node, local) for _, node in op.stores]
        for (vec, _), result in zip(op.stores, values, strict=True):
            self.write(vec, result)

    def _index(self, size: Dim) -> dict[str, Array]:
        return {"index of the element": np.arange(self.number(size), dtype=self.dtype)[None]}

    def _reduce(self, op: Reduce) -> None:
        self.write(op.out, self._reduced(op, op.counters))

    def _softmax(self, op: Softmax) -> None:
        x = self.read(op.x)
        x = x - x.max(axis=-1, keepdims=True)
        total = np.exp(x).sum(axis=-1, keepdims=True)
        self.write(op.out, x - np.log(total) if op.log else np.exp(x) / total)

    def _gather(self, op: Gather) -> None:
        table, rows = self.matrix(op.table)[0], self.read(op.index)[..., 0].astype(np.int64)
        if rows.min() < 0 or rows.max() >= len(table):
            raise ValueError(f"index {rows} of a table with {len(table)} rows")
        scales = self.scales(op.table)
        found = table[rows] if scales is None else table[rows] * scales[rows][..., None]
        self.write(op.out, found)

    def _shift(self, op: Shift) -> None:
        x = self.read(op.x)
        line = self.array(op.line)
        line[:] = np.concatenate([line[:, x.shape[1] :], x], axis=1)

    def combined(self, kind: str, total: Array, part: Array) -> Array:
        """One more number in a sum, a maximum or a minimum."""
        combine = {"sum": np.add, "max": np.maximum, "min": np.minimum}[kind]
        return np.asarray(combine(total, part))

    def _reduced(self, op: Reduce, counters: Sequence[tuple[str, Dim]]) -> Array:
        if not counters:
            return self.value(op.value, self._index(op.out.size))
        (name, count), *rest = counters
        total: Array | None = None
        for k in range(self.number(count)):
            self.known[name] = k
            part = self._reduced(op, rest)
            total = part if total is None else self.combined(op.kind, total, part)
        self.known.pop(name, None)
        return np.zeros((1, 1), self.dtype) if total is None else total


def _lengths(ops: Sequence[Op]) -> Iterator[Dim]:
    """Every length in the ops, but no offset."""
    for op in walk_ops(tuple(ops)):
        for source in (*reads(op), *writes(op)):
            yield from (source.rows, source.columns) if isinstance(source, Mat) else (source.size,)
        if isinstance(op, Loop):
            yield op.count
        if isinstance(op, Reduce):
            yield from (count for _, count in op.counters)


UNIT = 2.0**-24  # what rounding to float32 changes in a number, relative to it
EXACT = ("abs", "floor", "round", "min", "max")
ABSOLUTE = (
    "gate_sigmoid",
    "hard_sigmoid",
    "hard_sigmoid_3",
)  # off by parts of 1, not of themselves
FUNCTION = 4.0  # units by which a function may be off


class Rounding(Machine):
    """A machine whose numbers are off as those of float32 are; `run` chooses the signs."""

    def __init__(self, run: int) -> None:
        super().__init__()
        self.place = run << 40

    def off(self, values: Array, size: Array | float) -> Array:
        """The values, each more or less by a unit of its size."""
        places = np.uint64(self.place) + np.arange(values.size, dtype=np.uint64)
        self.place += values.size
        # Multiplying mixes a number upwards and shifting downwards; the top bit is the sign.
        mixed = places * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xD1342543DE82EF95)
        up = (mixed >> np.uint64(63)).astype(np.float64).reshape(values.shape)
        return np.asarray(values + (2 * up - 1) * UNIT * size)

    def given(self, x: Array) -> Array:
        """As a float32 file takes it."""
        return x.astype(np.float32) if x.dtype.kind == "f" else x

    def value(self, node: Expr, local: dict[str, Array]) -> Array:
        """Every operation rounds."""
        found = super().value(node, local)
        if isinstance(node, Binary):
            return self.off(found, np.abs(found))
        if isinstance(node, Call) and node.function not in EXACT:
            return self.off(found, FUNCTION * (1.0 if node.function in ABSOLUTE else np.abs(found)))
        return found

    def combined(self, kind: str, total: Array, part: Array) -> Array:
        """A sum rounds at each number that is added."""
        found = super().combined(kind, total, part)
        return self.off(found, np.abs(found)) if kind == "sum" else found

    def product(self, matrix: Array, x: Array) -> Array:
        """By as much as adding numbers of mixed signs one after the other rounds their sum."""
        found = super().product(matrix, x)
        rows = np.sqrt(np.einsum("...rc,...rc->...r", matrix, matrix, dtype=np.float64))
        return self.off(found, rows[..., None] * np.sqrt(np.sum(x * x, axis=-2, keepdims=True)))

    def _softmax(self, op: Softmax) -> None:
        super()._softmax(op)
        found = self.read(op.out)
        self.write(op.out, self.off(found, FUNCTION * (1 + np.abs(found) if op.log else found)))
