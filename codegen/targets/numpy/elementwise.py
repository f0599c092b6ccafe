"""An Elementwise op as a sequence of NumPy functions, with a place for every result.

Results go where they are stored, or over values that nothing reads any more; scratch is made only
where neither is possible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codegen.program.dims import Dim
from codegen.program.ops import (
    At,
    Binary,
    Buffer,
    Call,
    Compare,
    Count,
    Expr,
    Index,
    Local,
    Mat,
    Negate,
    Number,
    Op,
    Program,
    Select,
    Table,
    Vec,
    children,
    map_exprs,
    reads,
    walk_ops,
    with_children,
)
from codegen.program.spread import spread
from codegen.targets.numpy.axes import Axes, is_full, overlap

# What NumPy calls otherwise than a program does.
UFUNCS = {
    "+": "add",
    "-": "subtract",
    "*": "multiply",
    "/": "divide",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
    "==": "equal",
    "!=": "not_equal",
    "atan": "arctan",
    "abs": "absolute",
    "round": "rint",
    "min": "minimum",
    "max": "maximum",
    "pow": "power",
}


def in_calls(program: Program) -> Program:
    """Write all expressions in what NumPy has, in few array operations; equal to rounding."""
    return program.map_ops(lambda op: map_exprs(op, simplify))


def simplify(node: Expr) -> Expr:
    """The expression in functions that NumPy has."""
    node = with_children(node, simplify)
    if isinstance(node, Negate):
        # Not np.negative: in NumPy 2.4 it is wrong where float32 numbers stand 16 bytes apart.
        return node.value * -1.0
    if isinstance(node, Binary):
        return _interpolation(node) or node
    if not isinstance(node, Call):
        return node
    x = node.arguments[0]
    match node.function:
        case "sigmoid":  # an overflow gives 0, as it has to
            return Number(1.0) / (Call("exp", (x * -1.0,)) + Number(1.0))
        case "gate_sigmoid":
            return Number(0.5) * Call("tanh", (x * 0.5,)) + Number(0.5)
        case "hard_sigmoid":
            return _clip(x * 0.2 + 0.5)
        case "hard_sigmoid_3":
            return _clip(x / 6.0 + 0.5)
        case "softplus":
            tail = Call("log1p", (Call("exp", (Call("abs", (x,)) * -1.0,)),))
            return Call("max", (x, Number(0.0))) + tail
    return node


def _clip(x: Expr) -> Expr:
    return Call("max", (Call("min", (x, Number(1.0))), Number(0.0)))


def _bounds(node: Expr) -> tuple[Expr, Expr, Expr] | None:
    """`x`, `low` and `high` where the node is x between two numbers."""
    if not (isinstance(node, Call) and node.function in ("min", "max")):
        return None
    inner, outer = node.arguments
    other = "max" if node.function == "min" else "min"
    if not (isinstance(inner, Call) and inner.function == other and isinstance(outer, Number)):
        return None
    x, bound = inner.arguments
    if not isinstance(bound, Number):
        return None
    low, high = (outer, bound) if node.function == "max" else (bound, outer)
    return (x, low, high) if low.value <= high.value else None


def _interpolation(node: Binary) -> Expr | None:
    """`a b + (1 - a) c` as `a (b - c) + c`."""
    match node:
        case Binary("+", Binary("*", a, b), Binary("*", Binary("-", Number(1.0), other), c)):
            if other == a and isinstance(c, (Local, At)):
                return a * (b - c) + c
    return None


@dataclass(frozen=True)
class _Value(Expr):
    """The result of step `number` of the op that is being scheduled."""

    number: int


@dataclass
class _Step:
    function: str
    operands: tuple[Expr, ...]
    name: str = ""
    boolean: bool = False


@dataclass(frozen=True)
class Ufunc:
    """`out = function(operands)` for each element; `copy` and `choose` are functions too.

    An operand is an At, Number, Index or Count: no other expression is left.
    """

    function: str
    operands: tuple[Expr, ...]
    out: Vec


class Arrays:
    """Knows which scratch is not read again, and what is held where."""

    def __init__(self, ops: Sequence[Op]) -> None:
        self.position = -1
        self.named: dict[Vec, str] = {}  # places that hold a local of the program
        self.hints: dict[Vec, str] = {}  # names for parts of arrays
        self._reads: dict[Buffer, list[tuple[int, Vec]]] = {}
        for number, op in enumerate(walk_ops(tuple(ops))):
            for source in reads(op):
                vec = source.buffer.vec() if isinstance(source, Mat) else source
                self._reads.setdefault(vec.buffer, []).append((number, vec))

    def name(self, vec: Vec, name: str) -> None:
        """Note that the place holds a local."""
        if self.named.setdefault(vec, name) == name and vec.size != vec.buffer.size:
            self.hints[vec] = name

    def is_dead(self, vec: Vec, loops: Sequence[str]) -> bool:
        """Whether nothing reads the elements after the current op, in this call or the next."""
        if vec.buffer.kind != "temp" or any(c not in vec.buffer.scope for c in loops):
            return False
        later = self._reads.get(vec.buffer, ())
        return not any(n > self.position and overlap(vec, other) for n, other in later)


def scratch(name: str, size: Dim, axes: Axes, dtype: str = "float32") -> Vec:
    """New scratch for `size` elements along the axes."""
    buffer, offset = spread(Buffer(name, size, "temp", dtype), axes)
    return Vec(buffer, offset, size)


class Schedule:
    """The functions of one Elementwise (or of the value of a Reduce) in order, and their places.

    `curve` is told of what tables stand for, and returns its name.
    """

    def __init__(
        self,
        arrays: Arrays,
        axes: Axes,
        loops: Sequence[str],
        size: Dim,
        curve: Callable[[Vec, int, int | None], str],
    ) -> None:
        self.arrays, self.axes, self.loops, self.size = arrays, axes, loops, size
        self.curve = curve
        self.steps: list[_Step] = []
        self.locals: dict[str, Expr] = {}
        self.known: dict[Expr, Expr] = {}
        self.homes: dict[int, Vec] = {}  # where the result of a step must be in the end
        self.late: list[tuple[Vec, Expr]] = []  # what is only copied
        self.last_use: dict[int, int] = {}
        self.places: dict[int, Vec] = {}

    # ---- steps ------------------------------------------------------------------------------

    def value(self, node: Expr) -> Expr:
        """The operand that holds the expression; adds the steps that compute it."""
        if isinstance(node, Local):
            return self.locals[node.name]
        if isinstance(node, (At, Number, Count, Index)):
            return node
        if node not in self.known:
            self.known[node] = self._computed(node)
        return self.known[node]

    def _computed(self, node: Expr) -> Expr:
        if isinstance(node, Select):
            test, yes, no = children(node)
            if not isinstance(test, Compare):
                test = Compare("!=", test, Number(0.0))
            condition = self._emit(UFUNCS[test.operator], children(test), boolean=True)
            return self._emit("choose", (condition, yes, no))
        if bounds := _bounds(node):
            return self._emit("clip", bounds)
        if isinstance(node, Table):
            return self._emit(self.curve(node.vec, node.shift, node.mirror), (node.value,))
        assert isinstance(node, (Binary, Compare, Call)), node
        function = node.function if isinstance(node, Call) else node.operator
        return self._emit(UFUNCS.get(function, function), children(node))

    def _emit(self, function: str, nodes: Sequence[Expr], boolean: bool = False) -> Expr:
        operands = tuple(n if isinstance(n, _Value) else self.value(n) for n in nodes)
        self.steps.append(_Step(function, operands, "", boolean))
        return _Value(len(self.steps) - 1)

    def local(self, name: str, node: Expr) -> None:
        """Define a local."""
        found = self.locals[name] = self.value(node)
        if isinstance(found, _Value):
            self.steps[found.number].name = self.steps[found.number].name or name
        elif isinstance(found, At):
            self.arrays.name(found.vec, name)

    # ---- places -----------------------------------------------------------------------------

    def reduced(self, node: Expr, name: str) -> tuple[list[Ufunc], Vec]:
        """What computes an expression into a vector of full shape, and the vector.

        The vector has that name where it is new.
        """
        found = self.value(node)
        vec = found.vec if isinstance(found, At) else None
        if vec and vec.buffer.kind != "const" and is_full(vec, self.axes, self.size):
            return [], vec
        target = scratch(name, self.size, self.axes)
        return self.place([(target, found)]), target

    def place(self, stores: Sequence[tuple[Vec, Expr]]) -> list[Ufunc]:
        """Steps in order, then copies: everything is read before anything is overwritten."""
        targets = [target for target, _ in stores]
        last = len(self.steps)  # when what is stored is read
        for target, operand in stores:
            if isinstance(operand, _Value) and operand.number not in self.homes:
                self.homes[operand.number] = target
            else:
                self.late.append((target, operand))
            if isinstance(operand, _Value):
                self.last_use[operand.number] = last
        for number, step in reversed([*enumerate(self.steps)]):
            for operand in step.operands:
                if isinstance(operand, _Value):
                    self.last_use.setdefault(operand.number, number)
        result: list[Ufunc] = []
        finish: list[Ufunc] = []
        for number, step in enumerate(self.steps):
            if number not in self.last_use:
                continue
            out = self.places[number] = self._choose(number, step)
            if step.name:
                self.arrays.name(out, step.name)
            result.append(Ufunc(step.function, tuple(map(self._placed, step.operands)), out))
            home = self.homes.get(number, out)
            if out != home:
                finish.append(Ufunc("copy", (At(out),), home))
        for target, operand in self.late:
            placed = self._placed(operand)
            if isinstance(placed, At) and any(
                overlap(placed.vec, other) for other in targets if other != target
            ):
                keep = scratch("kept", self.size, self.axes)
                result.append(Ufunc("copy", (placed,), keep))
                placed = At(keep)
            if placed != At(target):
                finish.append(Ufunc("copy", (placed,), target))
        return result + finish

    def _choose(self, number: int, step: _Step) -> Vec:
        """Where the result of the step goes: where it is stored, over an operand, or anywhere."""
        if step.boolean:
            return scratch("condition", self.size, self.axes, "bool")
        home = self.homes.get(number)
        if home is not None and self._may_write(number, step, home):
            return home
        named = self.arrays.named
        operands = step.operands[2:] if step.function == "choose" else step.operands
        spots = [(operand, vec) for operand in operands if (vec := self._vec(operand))]
        for operand, spot in sorted(spots, key=lambda pair: pair[1] in named):
            if step.name and named.get(spot, step.name) != step.name:
                continue  # one array, one name
            if self._is_free(number, operand, spot) and self._may_write(number, step, spot):
                return spot
        return scratch(step.name or "scratch", self.size, self.axes)

    def _is_free(self, number: int, operand: Expr, spot: Vec) -> bool:
        """Whether nobody needs what the operand holds, nor stores into it too early."""
        stores = [n for n, home in self.homes.items() if overlap(home, spot)]
        free = isinstance(operand, _Value) or self.arrays.is_dead(spot, self.loops)
        free = free or any(spot == self.homes[n] and n > number for n in stores)
        until = self.last_use[number]
        return free and not any(number < n < until or until == len(self.steps) for n in stores)

    def _may_write(self, number: int, step: _Step, out: Vec) -> bool:
        """Whether nothing is lost where the result of the step is written there."""
        if not is_full(out, self.axes, self.size) or out.buffer.dtype != "float32":
            return False
        later = [o for step in self.steps[number + 1 :] for o in step.operands]
        needed = [o.vec for o in (*later, *(o for _, o in self.late)) if isinstance(o, At)]
        needed += [place for n, place in self.places.items() if self.last_use[n] > number]
        read = [self._vec(operand) for operand in step.operands]
        needed += [vec for vec in read if vec and vec != out]
        if step.function == "choose" and read[1] == out:
            return False  # of its two copies the first must not overwrite what the second reads
        return not any(overlap(vec, out) for vec in needed)

    def _placed(self, operand: Expr) -> Expr:
        return At(self.places[operand.number]) if isinstance(operand, _Value) else operand

    def _vec(self, operand: Expr) -> Vec | None:
        placed = self._placed(operand)
        return placed.vec if isinstance(placed, At) else None
