"""Between which numbers every buffer lies: proved from the ranges of the inputs.

A gate is between 0 and 1, tanh between -1 and 1, a state that is a mean of two lies between them, a
sum of products is at most the sum of what its weights can make. What grows with every step, such as
the cell of an LSTM, has no such bound: its range is measured on data (`measured`), and what leaves
it later saturates. A bound that is far beyond what data show is replaced by theirs, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from codegen.integers.tables import is_inexact, only_leaf, sampled
from codegen.integers.whole import is_whole, whole_numbers
from codegen.program import dims
from codegen.program.derived import matrix, numbers_of
from codegen.program.ops import (
    LOWEST,
    Affine,
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
    Program,
    Reduce,
    Select,
    Shift,
    Softmax,
    When,
    roots,
    walk,
    walk_ops,
)

Range: TypeAlias = tuple[float, float]
_Of: TypeAlias = Callable[[Buffer], Range]

ROUNDS = 6  # until what still grows is taken for what grows without end
FAR = 2.0  # a bound that is so many times what data show is too wide
WIDE = 16.0  # a bound of what is multiplied: beyond, 16 bits are too few for it without data
MARGIN = 1.125  # room beyond what data show
NOTHING: Range = (0.0, 0.0)
ANYTHING: Range = (-math.inf, math.inf)


@dataclass
class Ranges:
    """What is known: `of` for each buffer; `pinned` those that data bound, which saturate.

    `missing` are the buffers that have no bound but by data, which are not there.
    """

    of: dict[Buffer, Range] = field(default_factory=dict)
    pinned: dict[Buffer, Range] = field(default_factory=dict)
    missing: dict[Buffer, Range] = field(default_factory=dict)
    whole: set[Buffer] = field(default_factory=set)  # those of whole numbers


def find_ranges(
    programs: Sequence[Program],
    inputs: Mapping[str, Range],
    measured: Mapping[str, Range] | None,
) -> Ranges:
    """The ranges of all buffers; those of inputs and of measured buffers are given by name."""
    search = _Search(programs, inputs, measured)
    search.run()
    return search.found


def hull(*ranges: Range) -> Range:
    """From the lowest to the highest."""
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def largest(one: Range) -> float:
    """How far from zero a number of the range may be."""
    return max(abs(one[0]), abs(one[1]))


class _Search:
    def __init__(
        self,
        programs: Sequence[Program],
        inputs: Mapping[str, Range],
        measured: Mapping[str, Range] | None,
    ) -> None:
        self.programs, self.measured = programs, measured
        self.found = Ranges(whole=whole_numbers(programs))
        self.operands = _wanted(programs)
        self.last: dict[Buffer, None] = {}  # what grew in the last round, in order
        for program in programs:
            for port in program.inputs:
                if port.buffer.dtype != "int32":
                    self.found.of[port.buffer] = inputs.get(port.name, (-1.0, 1.0))
                else:
                    self.found.of[port.buffer] = (-(2.0**31), 2.0**31 - 1)
            for state in program.states:
                start = np.zeros(1) if state.initial is None else np.asarray(state.initial)
                self.found.of[state.buffer] = _span(start)

    def run(self) -> None:
        """Walk the programs until nothing grows any more."""
        number = 0
        while True:
            self.last = {}
            for program in self.programs:
                self._walk(program.ops)
            number += 1
            if not self.last:
                break
            if number > ROUNDS:
                self._pin_growing()
                number = 0
        for buffer in self.operands:
            if largest(self.found.of.get(buffer, NOTHING)) > WIDE and self.measured is None:
                self.found.missing.setdefault(buffer, self.found.of[buffer])

    def _pin_growing(self) -> None:
        """Take the range of data for what grows at every step; without data it is missing."""
        growing = [b for b in self.last if b.kind == "state"] or list(self.last)
        data_of = self.measured or {}
        # A delay line, which data do not show, grows with what enters it.
        for buffer in [b for b in growing if b.name in data_of] or growing:
            data = data_of.get(buffer.name)
            if data is None:
                self.found.missing[buffer] = ANYTHING
                data = NOTHING
            self.found.pinned[buffer] = self.found.of[buffer] = data

    def _walk(self, ops: Sequence[Op]) -> None:
        for op in ops:
            if isinstance(op, (Loop, When)):
                self._walk(op.body)
            else:
                self._op(op)

    def _op(self, op: Op) -> None:
        if isinstance(op, Elementwise):
            local: dict[str, Range] = {"": (0.0, float(_most(op.size) - 1))}
            for name, node in op.locals:
                local[name] = self.range_of(node, local)
            for vec, node in op.stores:
                self._written(vec.buffer, self.range_of(node, local))
        elif isinstance(op, Affine):
            self._written(op.out.buffer, self.affine(op))
        elif isinstance(op, Reduce):
            local = {"": (0.0, float(_most(op.out.size) - 1))}
            local |= {name: (0.0, float(_most(count) - 1)) for name, count in op.counters}
            one = self.range_of(op.value, local)
            if op.kind == "sum":
                count = math.prod(_most(count) for _, count in op.counters)
                one = (min(one[0] * count, one[0]), max(one[1] * count, one[1]))
            self._written(op.out.buffer, one)
        elif isinstance(op, Softmax):
            low = 0.0 if not op.log else -math.inf
            self._written(op.out.buffer, (low, 0.0 if op.log else 1.0))
        elif isinstance(op, Gather):
            self._written(op.out.buffer, self.of(op.table.buffer))
        elif isinstance(op, Shift):
            self._written(op.line, self.of(op.x.buffer))

    def _written(self, buffer: Buffer, one: Range) -> None:
        found = self.found
        if buffer in found.pinned:
            return
        if one[0] > one[1]:  # nothing but LOWEST
            return
        data = None if self.measured is None else self.measured.get(buffer.name)
        whole = hull(found.of.get(buffer, one), one)
        wanted = buffer in self.operands or buffer.kind == "state"
        if wanted and data is not None and largest(whole) > FAR * largest(data):
            found.pinned[buffer] = whole = data
        if math.isnan(whole[0]) or math.isnan(whole[1]):
            whole = ANYTHING
        if found.of.get(buffer) != whole:
            found.of[buffer] = whole
            self.last[buffer] = None

    def of(self, buffer: Buffer) -> Range:
        """The range of a buffer as far as it is known now."""
        if buffer.kind == "const":
            if buffer not in self.found.of:
                self.found.of[buffer] = _span(numbers_of(buffer))
            return self.found.of[buffer]
        return self.found.of.get(buffer, NOTHING)

    def affine(self, op: Affine) -> Range:
        """What a bias and products can sum to at most."""
        return affine_range(op, self.of)

    def range_of(self, node: Expr, local: Mapping[str, Range]) -> Range:
        """The range of an expression."""
        return expression_range(node, local, self.of, self.found.whole)


def _wanted(programs: Sequence[Program]) -> dict[Buffer, None]:
    """What products multiply and tables are made for: where a narrow range counts."""
    found: dict[Buffer, None] = {}
    for op in (op for program in programs for op in walk_ops(program.ops)):
        if isinstance(op, Affine):
            found |= {vec.buffer: None for _, vec in op.products}
        elif isinstance(op, Elementwise):
            for node in roots(op):
                if is_inexact(node):
                    found |= {e.vec.buffer: None for e in walk(node) if isinstance(e, At)}
    return {buffer: None for buffer in found if buffer.kind not in ("const", "input")}


def affine_range(op: Affine, of: _Of) -> Range:
    """What a bias and products can sum to at most, row by row."""
    low = high = np.zeros(1)
    if op.bias is not None:
        if op.bias.buffer.kind == "const" and isinstance(op.bias.offset, int):
            start, stride = op.bias.offset, op.bias.stride
            count = dims.fixed(op.bias.size)
            data = np.asarray(numbers_of(op.bias.buffer), np.float64)
            low = high = data[start + stride * np.arange(count)]
        else:
            one = of(op.bias.buffer)
            low, high = np.array([one[0]]), np.array([one[1]])
    for mat, vec in op.products:
        x = of(vec.buffer)
        if not math.isfinite(largest(x)) or mat.buffer.kind != "const":
            return ANYTHING
        weights = _weights(mat)
        up, down = np.maximum(weights, 0).sum(axis=1), np.minimum(weights, 0).sum(axis=1)
        least, most = up * x[0] + down * x[1], up * x[1] + down * x[0]
        if len(least) != len(low) and 1 not in (len(least), len(low)):
            least, most = np.array([least.min()]), np.array([most.max()])
        low, high = low + least, high + most
    return float(low.min()), float(high.max())


def _weights(mat: Mat) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The matrix, or one with rows that bound those of every place that it may have."""
    if isinstance(mat.offset, int):
        return np.asarray(matrix(mat), np.float64)
    return np.asarray(numbers_of(mat.buffer).reshape(-1, mat.row_stride), np.float64)


def expression_range(node: Expr, local: Mapping[str, Range], of: _Of, whole: set[Buffer]) -> Range:
    """The range of an expression, from those of its locals ("" is the index) and buffers."""

    def at(inner: Expr) -> Range:
        return expression_range(inner, local, of, whole)

    leaf = only_leaf(node) if is_inexact(node) else None
    if leaf is not None and node != leaf:
        inside = at(leaf)
        if math.isfinite(inside[0]) and math.isfinite(inside[1]):
            return _span(sampled(node, leaf, inside))
    match node:
        case Number(value):
            return (math.inf, -math.inf) if value == LOWEST else (value, value)
        case At(vec):
            return of(vec.buffer)
        case Local(name):
            return local[name]
        case Index():
            return local[""]
        case Count(dim):
            return counted(dim, local)
        case Negate(value):
            low, high = at(value)
            return -high, -low
        case Compare():
            return 0.0, 1.0
        case Select(_, yes, no):
            return hull(at(yes), at(no))
        case Binary():
            return _binary(node, at, whole)
        case Call(function, arguments):
            return _called(function, [at(a) for a in arguments])
    raise NotImplementedError(node)


def _binary(node: Binary, at: Callable[[Expr], Range], whole: set[Buffer]) -> Range:
    """The range of a sum or product; a square is positive, a mean lies between its parts."""
    if node.operator == "*" and node.left == node.right:
        return _called("abs", [_combined("*", at(node.left), at(node.left))])
    mean = weighted_mean(node)
    if mean is not None and within(at(mean[0]), (0.0, 1.0)):
        return hull(at(mean[1]), at(mean[2]))
    right = at(node.right)
    if node.operator == "/" and right[0] >= 0 and is_whole(node.right, {}, whole):
        right = max(1.0, right[0]), max(1.0, right[1])  # by a number of rows
    return _combined(node.operator, at(node.left), right)


def counted(dim: dims.Dim, local: Mapping[str, Range]) -> Range:
    """The range of a length or a counter."""
    if isinstance(dim, int):
        return float(dim), float(dim)
    names = dims.symbols(dim)
    if len(names) == 1 and (name := next(iter(names))) in local and dim == dims.symbol(name):
        return local[name]
    return 0.0, math.inf


def within(inner: Range, outer: Range) -> bool:
    """Whether one range lies in the other."""
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def weighted_mean(node: Expr) -> tuple[Expr, Expr, Expr] | None:
    """The parts z, x, y of `z x + (1 - z) y`, in either order of the operands; else None."""
    if not (isinstance(node, Binary) and node.operator == "+"):
        return None
    for first, second in ((node.left, node.right), (node.right, node.left)):
        for rest, y in _factors(second):
            if isinstance(rest, Binary) and rest.operator == "-" and rest.left == Number(1.0):
                for z, x in _factors(first):
                    if z == rest.right:
                        return z, x, y
    return None


def _factors(node: Expr) -> list[tuple[Expr, Expr]]:
    if not (isinstance(node, Binary) and node.operator == "*"):
        return []
    return [(node.left, node.right), (node.right, node.left)]


def _combined(operator: str, left: Range, right: Range) -> Range:
    if operator == "+":
        return left[0] + right[0], left[1] + right[1]
    if operator == "-":
        return left[0] - right[1], left[1] - right[0]
    if operator == "/":
        if right[0] <= 0.0 <= right[1]:
            return ANYTHING
        right = (1.0 / right[1], 1.0 / right[0])
    ends = [0.0 if 0.0 in (a, b) else a * b for a in left for b in right]
    return min(ends), max(ends)


_BOUNDS = {
    "tanh": (-1.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "gate_sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "hard_sigmoid_3": (0.0, 1.0),
    "erf": (-1.0, 1.0),
}


def _called(function: str, inside: list[Range]) -> Range:
    if function in _BOUNDS:
        return _BOUNDS[function]
    first = inside[0]
    if function == "abs":
        low = 0.0 if first[0] <= 0.0 <= first[1] else min(abs(first[0]), abs(first[1]))
        return low, largest(first)
    if function in ("min", "max"):
        if inside[1][0] > inside[1][1] or first[0] > first[1]:
            return hull(first, inside[1])
        choose = min if function == "min" else max
        return choose(first[0], inside[1][0]), choose(first[1], inside[1][1])
    if function == "pow" or not (math.isfinite(first[0]) and math.isfinite(first[1])):
        return ANYTHING
    x = Local("x")
    return _span(sampled(Call(function, (x,)), x, first))


def _span(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Range:
    flat = np.asarray(values, np.float64)
    if not flat.size:
        return NOTHING
    if not np.isfinite(flat).all():
        return ANYTHING
    return float(flat.min()), float(flat.max())


def _most(dim: dims.Dim) -> float:
    return float(dim) if isinstance(dim, int) else math.inf
