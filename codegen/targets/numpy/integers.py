"""Programs of integers in float64, which holds each of their numbers exactly.

No number on the way has more than 47 bits: a sum of products of 32 times a scale of 15. A float64
has 53, and a quotient by a power of two loses none of them. So products are those of BLAS, and the
rest of the target needs to know nothing of integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from codegen.program import dims
from codegen.program.integers import ONE, shifted
from codegen.program.ops import (
    Affine,
    Array,
    At,
    Buffer,
    Call,
    Elementwise,
    Expr,
    Gather,
    Loop,
    Mat,
    Number,
    Op,
    Program,
    Softmax,
    Table,
    Vec,
    When,
    call,
    const,
    first_row,
    map_exprs,
    matrix_of,
    roots,
    walk,
    walk_ops,
    with_children,
)

SCALE = 2.0**-16  # what a sum of products is multiplied by first, with the scale of its row


@dataclass
class Doubles:
    """The pass, for the programs of one model: buffers that they share stay shared."""

    buffers: dict[Buffer, Buffer] = field(default_factory=dict)
    made: dict[object, Buffer] = field(default_factory=dict)

    def __call__(self, program: Program) -> Program:
        """The program in float64."""
        whole = program.map_blocks(lambda block: tuple(self._ops(block.ops, ())))
        return replace(whole.map_buffers(self._buffer), integers=False)

    def _buffer(self, buffer: Buffer) -> Buffer:
        if buffer not in self.buffers:
            self.buffers[buffer] = replace(buffer, dtype=_type(buffer), scales=None, unit=1.0)
        return self.buffers[buffer]

    def _const(self, key: object, name: str, data: Array, unit: float = 1.0) -> Buffer:
        """A constant of `unit` times these numbers."""
        if key not in self.made:
            new = replace(const(name, data), dtype="float32", unit=unit)
            self.made[key] = self.buffers[new] = new
        return self.made[key]

    def _ops(self, ops: tuple[Op, ...], scope: tuple[str, ...]) -> Iterator[Op]:
        for op in ops:
            match op:
                case Loop(counter, _, body):
                    yield replace(op, body=tuple(self._ops(body, (*scope, counter))))
                case When(_, body):
                    yield replace(op, body=tuple(self._ops(body, scope)))
                case Affine():
                    yield from self._affine(op, scope)
                case Gather():
                    yield self._gather(op)
                case _:
                    yield map_exprs(op, _rewritten)

    def _affine(self, op: Affine, scope: tuple[str, ...]) -> Iterator[Op]:
        """All sums of products, then these times their scales, then the sum of all."""
        rows, name = op.out.size, op.out.buffer.name
        terms: list[Expr] = [] if op.bias is None else [At(op.bias)]
        size = rows * len(op.products)
        sums = Buffer(f"{name}_sums", size, "temp", "float32", None, scope, (size,)).vec()
        for number, (mat, x) in enumerate(op.products):
            part = sums[number * rows : (number + 1) * rows]
            yield Affine(part, None, ((mat, x),))
            terms.append(At(part))
        fixed = all(isinstance(mat.offset, int) for mat, _ in op.products)
        if fixed and len(op.products) > 1:
            yield self._requantised(sums, self._scales(op), self._quotients(op))
        else:
            for number, ((mat, _), shift) in enumerate(zip(op.products, op.shifts, strict=True)):
                assert mat.buffer.scales is not None, op
                scales = self._const(
                    ("scales", mat.buffer), f"{mat.buffer.name}_scales", mat.buffer.scales, SCALE
                )
                part = sums[number * rows : (number + 1) * rows]
                scale = Vec(scales, first_row(mat), rows)
                yield self._requantised(part, scale, Number(2.0**-shift))
        total: Expr = Number(0.0)
        for number, term in enumerate(terms):
            total = term if number == 0 else total + term
        yield Elementwise(rows, (), ((op.out, total),))

    @staticmethod
    def _requantised(sums: Vec, scales: Vec, quotient: Expr) -> Op:
        scaled = call("floor", At(sums) * At(scales))
        return Elementwise(sums.size, (), ((sums, call("floor", scaled * quotient + 0.5)),))

    def _scales(self, op: Affine) -> Vec:
        """The scales of all rows of all products."""
        found = []
        for mat, _ in op.products:
            assert mat.buffer.scales is not None, op
            first = dims.fixed(first_row(mat))
            found.append(mat.buffer.scales[first : first + dims.fixed(mat.rows)])
        data = np.concatenate(found)
        key = ("scales", *((mat.buffer, mat.offset, mat.rows) for mat, _ in op.products))
        return self._const(key, f"{op.out.buffer.name}_scales", data, SCALE).vec()

    def _quotients(self, op: Affine) -> Expr:
        """2^-shift of all rows of all products."""
        if len(set(op.shifts)) == 1:
            return Number(2.0 ** -op.shifts[0])
        rows = dims.fixed(op.out.size)
        data = np.repeat(2.0 ** -np.array(op.shifts, np.float64), rows)
        name = f"{op.out.buffer.name}_quotients"
        return At(self._const(("quotients", op.shifts, rows), name, data).vec())

    def _gather(self, op: Gather) -> Op:
        """The table times its scales is known when the file is made."""
        table = op.table
        assert table.buffer.scales is not None, op
        first = dims.fixed(first_row(table))
        scales = table.buffer.scales[first : first + dims.fixed(table.rows)]
        rows = matrix_of(table).astype(np.int64) * scales.astype(np.int64)[:, None]
        data = shifted(rows, op.shift).astype(op.out.buffer.dtype)
        key = ("table", table.buffer, table.offset, data.shape, op.shift)
        buffer = self._const(key, table.buffer.name, data)
        count, columns = data.shape
        own = Mat(buffer, 0, count, columns, columns)
        return Gather(op.out, own, op.index)


def _rewritten(node: Expr) -> Expr:
    """The functions of integers in those of floats."""
    node = with_children(node, _rewritten)
    if not isinstance(node, Call):
        return node
    x, *others = node.arguments
    match node.function:
        case "shifted":
            return call("floor", x * _quotient(others[0]) + 0.5)
        case "floor_shift":
            return call("floor", x * _quotient(others[0]))
        case "scaled":
            return call("floor", x * others[0] * (1 / ONE))
        case "saturated":
            return call("max", call("min", x, ONE - 1), -ONE)
        case "real":
            return x * others[0]
    return node


def _quotient(places: Expr) -> float:
    assert isinstance(places, Number), places
    return float(2.0**-places.value)


def _type(buffer: Buffer) -> str:
    """What stands for the integers of a buffer: float64, except where the caller sees them."""
    if buffer.kind in ("input", "output") and buffer.dtype == "float32":
        return "single"
    if buffer.kind == "output" or (buffer.kind == "input" and buffer.dtype == "int32"):
        return buffer.dtype
    return "float32"  # the type of the file


def tables(program: Program) -> Iterator[Table]:
    """Every use of a table, those of softmax too."""
    for op in walk_ops(program.ops):
        if isinstance(op, Softmax) and op.table is not None:
            yield Table(op.table, op.shift, At(op.x))
        for root in roots(op):
            yield from (node for node in walk(root) if isinstance(node, Table))
