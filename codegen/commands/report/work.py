"""What a step has to do, counted on its ops, and the instructions that this takes on a core.

A core's instructions are a sum over `Work`, each kind of work with a price.
`benchmarks/run_cores.py` counts steps of whole models on emulated cores and fits the prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields

from codegen.lowered import Lowered
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import (
    Affine,
    At,
    Binary,
    Call,
    Compare,
    Elementwise,
    Expr,
    Gather,
    Loop,
    Negate,
    Op,
    Reduce,
    Select,
    Shift,
    Softmax,
    When,
    roots,
    walk,
)

# Of the functions of expressions these are worth a few operations; the others are series.
SIMPLE = ("abs", "min", "max", "hard_sigmoid", "hard_sigmoid_3", "floor", "round", "sqrt")
MANY = 1024  # steps over which the work of a model without a step is averaged


@dataclass(frozen=True)
class Work:
    """How often a step does what costs about the same each time."""

    ops: float = 0  # ops, each with what it takes to begin
    rows: float = 0  # rows of matrices
    macs: float = 0  # multiply-adds of them
    moves: float = 0  # loads and stores of single numbers
    sums: float = 0  # additions, products and comparisons of them, and what is worth a few
    functions: float = 0  # exp, tanh and what is made of them
    ports: float = 0  # numbers that come in and go out, which files of integers convert

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def times(self, count: float) -> Work:
        """The same so many times."""
        return Work(*(count * a for a in astuple(self)))

    def cost(self, prices: Work) -> float:
        """The instructions, at so many for one of each kind."""
        return float(sum(a * b for a, b in zip(astuple(self), astuple(prices), strict=True)))


KINDS = tuple(field.name for field in fields(Work))


def work(lowered: Lowered) -> Work:
    """The work of one step; without steps that of predict, an average step where length is free."""
    program = lowered.step or lowered.whole
    per_step = lowered.step is None and bool(program.lengths)
    known = dict.fromkeys(program.lengths, MANY)
    ports = (*program.inputs, *program.outputs)
    numbers = sum(_number(port.buffer.size, known) for port in ports)
    total = _of(program.ops, known) + Work(ports=numbers)
    return total.times(1 / MANY if per_step else 1)


def _of(ops: tuple[Op, ...], known: Mapping[str, int]) -> Work:
    total = Work()
    for op in ops:
        total += _one(op, known)
    return total


def _one(op: Op, known: Mapping[str, int]) -> Work:
    if isinstance(op, Loop):
        return _of(op.body, known).times(_number(op.count, known))
    if isinstance(op, When):
        return _of(op.body, known)
    if isinstance(op, Affine):
        shapes = [(_number(m.rows, known), _number(m.columns, known)) for m, _ in op.products]
        return Work(1, sum(r for r, _ in shapes), sum(r * c for r, c in shapes))
    if isinstance(op, Elementwise):
        each = sum((_scalar(e) for e in roots(op)), Work(moves=len(op.stores)))
        return each.times(_number(op.size, known)) + Work(1)
    if isinstance(op, Reduce):
        count = _number(op.out.size, known)
        for _, length in op.counters:
            count *= _number(length, known)
        return (_scalar(op.value) + Work(sums=1)).times(count) + Work(1)
    if isinstance(op, Softmax):
        size = _number(op.x.size, known)
        return Work(1, moves=3 * size, sums=4 * size, functions=size)
    if isinstance(op, Gather):
        return Work(1, moves=2 * _number(op.table.columns, known))
    assert isinstance(op, Shift), op
    return Work(1, moves=2 * _number(op.x.size, known))


def _scalar(root: Expr) -> Work:
    """The work of an expression for one element."""
    nodes = list(walk(root))
    calls = [n.function in SIMPLE for n in nodes if isinstance(n, Call)]
    sums = sum(isinstance(n, (Binary, Compare, Negate, Select)) for n in nodes) + sum(calls)
    moves = sum(isinstance(n, At) for n in nodes)
    return Work(moves=moves, sums=sums, functions=len(calls) - sum(calls))


def _number(dim: Dim, known: Mapping[str, int]) -> int:
    names = dims.symbols(dim)
    return max(0, dims.value(dim, {name: known.get(name, 0) for name in names}))
