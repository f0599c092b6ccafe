"""Gates that cost less: slopes go into the weights, gates of one kind stand side by side.

sigmoid(x) = tanh(x / 2) / 2 + 1 / 2: with x / 2 computed by halved weights, one tanh serves the
sigmoid gates and the tanh of a layer together, in place. hard_sigmoid is then a clip alone. The sum
rounds to 6e-8 whatever the value is, so only `gate_sigmoid` may be folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import groupby

from codegen.program import dims
from codegen.program.derived import column, made, rows_of
from codegen.program.ops import (
    Affine,
    At,
    Buffer,
    Call,
    Elementwise,
    Expr,
    Loop,
    Mat,
    Number,
    Op,
    Part,
    Program,
    Vec,
    When,
    children,
    map_exprs,
    reads,
    roots,
    walk,
    walk_ops,
    with_children,
    writes,
)

# Slope and offset that go into the weights, for activations of which a clip or tanh then is left.
FOLDED = {
    "gate_sigmoid": (0.5, 0.0),
    "hard_sigmoid": (0.2, 0.5),
    "hard_sigmoid_3": (1.0 / 6.0, 0.5),
}


@dataclass(frozen=True)
class _Segment:
    start: int
    size: int
    function: str  # the only function that its elements are given to, or ""


@dataclass(frozen=True)
class Folding:
    """Whose slopes go into the weights, and the order of the gates by function, if not kept.

    Where they are put in order, one call serves all neighbours of one function.
    """

    slopes: Mapping[str, tuple[float, float]]
    order: Sequence[str] = ()

    def of(self, function: str, has_bias: bool) -> tuple[float, float]:
        """Slope and offset that go into the weights of a gate with this function."""
        slope, offset = self.slopes.get(function, (1.0, 0.0))
        # Without a bias there is nowhere to put an offset: such a gate stays as it is.
        return (slope, offset) if has_bias or offset == 0.0 else (1.0, 0.0)

    def place(self, function: str) -> int:
        """What gates are sorted by."""
        return self.order.index(function) if function in self.order else len(self.order)


SIDE_BY_SIDE = Folding(FOLDED, ("hard_sigmoid", "hard_sigmoid_3", "gate_sigmoid", "tanh"))
# What changes no digit: halving touches the exponents alone.
EXACT = Folding({"gate_sigmoid": FOLDED["gate_sigmoid"]})


def fold_gates(program: Program) -> Program:
    """Put slopes of gates into weights, and gates of one kind side by side; equal to rounding."""
    return _folded(program, SIDE_BY_SIDE)


def halve_gates(program: Program) -> Program:
    """Compute sigmoid gates by tanh of halved weights, which changes no digit of the weights."""
    return _folded(program, EXACT)


def _folded(program: Program, folding: Folding) -> Program:
    every = list(walk_ops(program.ops))
    users: dict[Buffer, dict[int, Op]] = {}
    for op in every:
        for source in (*reads(op), *writes(op)):
            users.setdefault(source.buffer, {})[id(op)] = op
    change = _Change()
    for op in every:
        if isinstance(op, Affine):
            segments = _segments(op, users[op.out.buffer].values())
            if segments is not None:
                _add(change, op, segments, folding)
    return (
        program.map_blocks(lambda block: tuple(change.body(block.ops))) if change.ops else program
    )


def _segments(affine: Affine, users: Iterable[Op]) -> list[_Segment] | None:
    """The parts in which the result of the product is read, None where it is not that simple.

    users: the ops that read or write the result.
    """
    out = affine.out
    buffer = out.buffer
    constant = all(
        m.buffer.kind == "const" and isinstance(m.offset, int) for m, _ in affine.products
    )
    if buffer.kind != "temp" or out != buffer.vec() or not constant or not affine.products:
        return None
    if not isinstance(out.size, int) or (affine.bias and affine.bias.buffer.kind != "const"):
        return None
    functions: dict[tuple[int, int], set[str]] = {}
    for op in users:
        if op is affine:
            continue
        if any(v.buffer is buffer for v in writes(op)) or not isinstance(op, Elementwise):
            return None
        for root in roots(op):
            for vec, function in _uses(root, buffer):
                if vec.stride != 1 or not (
                    isinstance(vec.offset, int) and isinstance(vec.size, int)
                ):
                    return None
                functions.setdefault((vec.offset, vec.size), set()).add(function)
    segments = []
    end = 0
    for (start, size), names in sorted(functions.items()):
        if start != end:
            return None
        end = start + size
        segments.append(_Segment(start, size, names.pop() if len(names) == 1 else ""))
    return segments if end == out.size else None


def _uses(root: Expr, buffer: Buffer) -> list[tuple[Vec, str]]:
    """Each read of the buffer, with the function that it is the argument of."""
    found: list[tuple[Vec, str]] = []
    if isinstance(root, At) and root.vec.buffer is buffer:
        return [(root.vec, "")]
    for node in walk(root):
        for child in children(node):
            if isinstance(child, At) and child.vec.buffer is buffer:
                function = ""
                if isinstance(node, Call) and len(node.arguments) == 1:
                    function = node.function
                found.append((child.vec, function))
    return found


def _add(change: _Change, affine: Affine, segments: Sequence[_Segment], folding: Folding) -> None:
    """Put what becomes of the product and of its result into `change`."""
    bias = affine.bias
    folds = [folding.of(s.function, bias is not None) for s in segments]
    order = sorted(range(len(segments)), key=lambda k: (folding.place(segments[k].function), k))
    moved: dict[int, int] = {}
    end = 0
    for k in order:
        moved[segments[k].start] = end
        end += segments[k].size
    steps = [
        () if not s.function else _REST[s.function] if f != (1.0, 0.0) else (s.function,)
        for s, f in zip(segments, folds, strict=True)
    ]
    done = [0] * len(segments)
    calls: list[Op] = []
    for level in range(2 if folding.order else 0):
        now = [own[level : level + 1] for own in steps]
        for step, run in groupby(order, now.__getitem__):
            members = [k for k in run if done[k] == level]
            if step and len(members) > 1 - level:
                start, last = moved[segments[members[0]].start], segments[members[-1]]
                gates = affine.out[start : moved[last.start] + last.size]
                calls.append(Elementwise(gates.size, (), ((gates, _called(step[0], At(gates))),)))
                for k in members:
                    done[k] += 1
    if order == sorted(order) and all(f == (1.0, 0.0) for f in folds) and not calls:
        return

    def matrix(mat: Mat, shifted: bool) -> Mat:
        parts = [
            Part(
                rows_of(mat, segments[k].start, segments[k].size),
                segments[k].size,
                folds[k][0],
                folds[k][1] if shifted else 0.0,
            )
            for k in order
        ]
        return made(mat.buffer.name, parts, dims.fixed(mat.columns))

    new_bias = None
    if bias is not None:
        scaled = matrix(column(bias), True)
        new_bias = Vec(scaled.buffer, scaled.offset, bias.size, scaled.row_stride)
    products = tuple((matrix(m, False), v) for m, v in affine.products)
    change.ops[id(affine)] = [Affine(affine.out, new_bias, products), *calls]
    change.results[affine.out.buffer] = {
        s.start: (moved[s.start], steps[k][done[k] :] if s.function else None)
        for k, s in enumerate(segments)
    }


@dataclass(frozen=True)
class _Change:
    """Puts in the new products, and reads their results where they now are."""

    ops: dict[int, list[Op]] = field(default_factory=dict)  # by the id of the old product
    # For where a segment starts: where it starts now, and what is left of its function.
    results: dict[Buffer, dict[int, tuple[int, Sequence[str] | None]]] = field(default_factory=dict)

    def body(self, ops: Iterable[Op]) -> Iterator[Op]:
        """The ops as they have to be now."""
        for op in ops:
            if isinstance(op, (Loop, When)):
                yield replace(op, body=tuple(self.body(op.body)))
            else:
                yield from self.ops.get(id(op)) or [map_exprs(op, self.expr)]

    def expr(self, node: Expr) -> Expr:
        """The expression as it has to be now."""
        if isinstance(node, At) and node.vec.buffer in self.results:
            start, _ = self.results[node.vec.buffer][dims.fixed(node.vec.offset)]
            return At(replace(node.vec, offset=start))
        if isinstance(node, Call) and isinstance(node.arguments[0], At):
            vec = node.arguments[0].vec
            if vec.buffer in self.results:
                _, left = self.results[vec.buffer][dims.fixed(vec.offset)]
                if left is not None:
                    return reduce(lambda x, step: _called(step, x), left, self.expr(At(vec)))
        return with_children(node, self.expr)


# The steps of an activation that are left where its slope is in the weights.
_REST = {
    "gate_sigmoid": ("tanh", "half"),
    "hard_sigmoid": ("clip",),
    "hard_sigmoid_3": ("clip",),
}


def _called(step: str, x: Expr) -> Expr:
    """A function, or what is left of one."""
    if step == "half":
        return Number(0.5) * x + Number(0.5)
    if step == "clip":
        return Call("max", (Call("min", (x, Number(1.0))), Number(0.0)))
    return Call(step, (x,))


# ---- what has been halved ----------------------------------------------------------------------

# What the generated file says of it.
NOTE = "sigmoid gates come halved: sigmoid(2 * a) = 0.5 * tanh(a) + 0.5"


def is_halved(op: Affine) -> bool:
    """Whether some rows of the product come halved."""
    return any(part.factor == 0.5 for mat, _ in op.products for part in mat.buffer.parts)


class Halved:
    """The results of halved products in one program."""

    def __init__(self, program: Program) -> None:
        self.rows: dict[Buffer, list[tuple[int, int]]] = {}
        for op in walk_ops(program.ops):
            if isinstance(op, Affine) and is_halved(op):
                start, rows = 0, self.rows.setdefault(op.out.buffer, [])
                for part in op.products[0][0].buffer.parts:
                    if part.factor == 0.5:
                        rows.append((start, start + part.rows))
                    start += part.rows

    def read_by(self, node: Expr) -> bool:
        """Whether the expression is a sigmoid of what comes halved."""
        for e in walk(node):
            if isinstance(e, At) and e.vec.buffer in self.rows:
                first = dims.fixed(e.vec.offset)
                if any(start <= first < stop for start, stop in self.rows[e.vec.buffer]):
                    return True
        return False
