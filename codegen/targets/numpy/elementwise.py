"""An Elementwise op as a sequence of NumPy functions, with a place for every result.

Results go where they are stored, or over values that nothing reads any more; scratch is made only
where neither is possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import (
    At,
    Binary,
    Buffer,
    Call,
    Compare,
    Count,
    Elementwise,
    Expr,
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
    Table,
    Vec,
    When,
    children,
    reads,
    walk_ops,
)
from codegen.program.rewrite import with_children
from codegen.targets.numpy.instructions import Axes, Instruction, Ufunc, is_full, overlap

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
    "exp": "exp",
    "expm1": "expm1",
    "log": "log",
    "log1p": "log1p",
    "tanh": "tanh",
    "erf": "erf",
    "sin": "sin",
    "cos": "cos",
    "atan": "arctan",
    "sqrt": "sqrt",
    "abs": "absolute",
    "floor": "floor",
    "round": "rint",
    "min": "minimum",
    "max": "maximum",
    "pow": "power",
    "fmod": "fmod",
    "limited": "limited",  # of integers, methods that count
    "fixed": "fixed",
}


def curve_of(vec: Vec, shift: int, mirror: int | None) -> str:
    """The function that a table stands for, as an instruction names it; nobody else sees that."""
    return f"{vec.buffer.name} {id(vec.buffer)} {shift} {mirror}"


def in_calls(program: Program) -> Program:
    """Write all expressions in what NumPy has, in few array operations; equal to rounding."""

    def one(op: Op) -> Op:
        if isinstance(op, (Loop, When)):
            return replace(op, body=tuple(map(one, op.body)))
        if isinstance(op, Elementwise):
            named = tuple((name, simplify(node)) for name, node in op.locals)
            return replace(op, locals=named, stores=tuple((v, simplify(e)) for v, e in op.stores))
        return replace(op, value=simplify(op.value)) if isinstance(op, Reduce) else op

    return program.map_ops(one)


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


class Arrays:
    """Makes scratch buffers, and knows which scratch is not read again."""

    def __init__(self, ops: Sequence[Op]) -> None:
        self.position = -1
        self.named: dict[Vec, str] = {}  # places that hold a local of the program
        self._reads: dict[Buffer, list[tuple[int, Vec]]] = {}
        for number, op in enumerate(walk_ops(tuple(ops))):
            for vec in reads(op):
                whole = Vec(vec.buffer, 0, vec.buffer.size) if isinstance(vec, Mat) else vec
                self._reads.setdefault(vec.buffer, []).append((number, whole))

    def is_dead(self, vec: Vec, loops: Sequence[str]) -> bool:
        """Whether nothing reads the elements after the current op, in this call or the next."""
        if vec.buffer.kind != "temp" or any(c not in vec.buffer.scope for c in loops):
            return False
        later = self._reads.get(vec.buffer, ())
        return not any(n > self.position and overlap(vec, other) for n, other in later)

    def scratch(self, name: str, size: Dim, axes: Axes, dtype: str = "float32") -> Vec:
        """New scratch for `size` elements along the axes."""
        shape = (*(axis.count for axis in axes), size)
        buffer = Buffer(name, dims.product(shape), "temp", dtype, None, (), shape)
        offset: Dim = 0
        stride = size
        for axis in reversed(axes):
            offset = offset + dims.symbol(axis.counter) * stride
            stride = stride * axis.count
        return Vec(buffer, offset, size)


class ElementwisePlan:
    """Orders the operations of one Elementwise (or the value of a Reduce) and places them."""

    def __init__(self, arrays: Arrays, axes: Axes, loops: Sequence[str], size: Dim) -> None:
        self.arrays = arrays
        self.axes = axes
        self.loops = loops
        self.size = size
        self.steps: list[_Step] = []
        self.locals: dict[str, Expr] = {}
        self.known: dict[Expr, Expr] = {}

    def value(self, node: Expr) -> Expr:
        """The operand that holds the expression; emits what computes it."""
        if isinstance(node, Local):
            return self.locals[node.name]
        if isinstance(node, (At, Number, Index, Count, _Value)):
            return node
        if node in self.known:
            return self.known[node]
        if isinstance(node, Select):
            condition, yes, no = children(node)
            if not isinstance(condition, Compare):
                condition = Compare("!=", condition, Number(0.0))
            operands = (self._compare(condition), self.value(yes), self.value(no))
            result = self._emit("choose", operands)
        elif bounds := _bounds(node):
            result = self._emit("clip", tuple(self.value(part) for part in bounds))
        elif isinstance(node, Table):
            function = curve_of(node.vec, node.shift, node.mirror)
            result = self._emit(function, (self.value(node.value),))
        elif isinstance(node, (Binary, Compare)):
            result = self._emit(UFUNCS[node.operator], self._values(node))
        else:
            assert isinstance(node, Call), node
            result = self._emit(UFUNCS[node.function], self._values(node))
        self.known[node] = result
        return result

    def _values(self, node: Expr) -> tuple[Expr, ...]:
        return tuple(self.value(child) for child in children(node))

    def _compare(self, node: Compare) -> Expr:
        return self._emit(UFUNCS[node.operator], self._values(node), boolean=True)

    def _emit(self, function: str, operands: tuple[Expr, ...], boolean: bool = False) -> Expr:
        numbers = [o.value for o in operands if isinstance(o, Number)]
        if len(numbers) == len(operands) and function in ("add", "subtract", "multiply", "divide"):
            a, b = numbers
            folded = {"add": a + b, "subtract": a - b, "multiply": a * b}.get(function)
            return Number(a / b if folded is None else folded)
        self.steps.append(_Step(function, operands, "", boolean))
        return _Value(len(self.steps) - 1)

    def local(self, name: str, node: Expr) -> None:
        """Define a local."""
        found = self.value(node)
        if isinstance(found, _Value):
            self.steps[found.number].name = self.steps[found.number].name or name
        elif isinstance(found, At):
            self.arrays.named.setdefault(found.vec, name)
        self.locals[name] = found

    def operand(self, node: Expr, name: str) -> tuple[list[Instruction], Vec]:
        """Instructions that compute an expression into a vector of full shape, and the vector.

        The vector has that name where it is new.
        """
        found = self.value(node)
        vec = found.vec if isinstance(found, At) else None
        if vec and vec.buffer.kind != "const" and is_full(vec, self.axes, self.size):
            return [], vec
        target = self.scratch(name)
        return self.place([(target, found)]), target

    def scratch(self, name: str, dtype: str = "float32") -> Vec:
        """New scratch for a value."""
        return self.arrays.scratch(name, self.size, self.axes, dtype)

    def place(self, stores: Sequence[tuple[Vec, Expr]]) -> list[Instruction]:
        """The instructions that compute the operands and store them."""
        return _Placement(self, stores).instructions()


class _Placement:
    """Decides where the result of every step goes."""

    def __init__(self, plan: ElementwisePlan, stores: Sequence[tuple[Vec, Expr]]) -> None:
        self.plan, self.steps = plan, plan.steps
        self.targets = [target for target, _ in stores]
        self.homes: dict[int, Vec] = {}  # where the result of a step must be in the end
        self.late: list[tuple[Vec, Expr]] = []  # what is only copied
        for target, operand in stores:
            if isinstance(operand, _Value) and operand.number not in self.homes:
                self.homes[operand.number] = target
            else:
                self.late.append((target, operand))
        last = len(self.steps)  # when what is stored is read
        self.last_use = {o.number: last for _, o in stores if isinstance(o, _Value)}
        for number, step in reversed([*enumerate(self.steps)]):
            for operand in step.operands:
                if isinstance(operand, _Value):
                    self.last_use.setdefault(operand.number, number)
        self.places: dict[int, Vec] = {}
        self.named = plan.arrays.named

    def instructions(self) -> list[Instruction]:
        """Steps in order, then copies: everything is read before anything is overwritten."""
        result: list[Instruction] = []
        finish: list[Instruction] = []
        axes = self.plan.axes
        for number, step in enumerate(self.steps):
            if number not in self.last_use:
                continue
            out = self.places[number] = self._choose(number, step)
            if step.name:
                self.named.setdefault(out, step.name)
            operands = tuple(self._placed(o) for o in step.operands)
            result.append(Ufunc(step.function, operands, out, axes, step.name))
            home = self.homes.get(number, out)
            if out != home:
                finish.append(Ufunc("copy", (At(out),), home, axes))
        for target, operand in self.late:
            placed = self._placed(operand)
            if isinstance(placed, At) and any(
                overlap(placed.vec, other) for other in self.targets if other != target
            ):
                keep = self.plan.scratch("kept")
                result.append(Ufunc("copy", (placed,), keep, axes))
                placed = At(keep)
            if placed != At(target):
                finish.append(Ufunc("copy", (placed,), target, axes))
        return result + finish

    def _choose(self, number: int, step: _Step) -> Vec:
        """Where the result of the step goes: where it is stored, over an operand, or anywhere."""
        if step.boolean:
            return self.plan.scratch("condition", "bool")
        home = self.homes.get(number)
        if home is not None and self._may_write(number, step, home):
            return home
        operands = step.operands[2:] if step.function == "choose" else step.operands
        spots = [(operand, vec) for operand in operands if (vec := self._vec(operand))]
        for operand, spot in sorted(spots, key=lambda pair: pair[1] in self.named):
            if step.name and self.named.get(spot, step.name) != step.name:
                continue  # one array, one name
            if self._is_free(number, operand, spot) and self._may_write(number, step, spot):
                return spot
        return self.plan.scratch(step.name or "scratch")

    def _is_free(self, number: int, operand: Expr, spot: Vec) -> bool:
        """Whether nobody needs what the operand holds, nor stores into it too early."""
        stores = [n for n, target in self.homes.items() if overlap(target, spot)]
        if isinstance(operand, _Value):
            free = True
        else:
            later = any(spot == self.homes[n] and n > number for n in stores)
            free = later or self.plan.arrays.is_dead(spot, self.plan.loops)
        until = self.last_use[number]
        return free and not any(number < n < until or until == len(self.steps) for n in stores)

    def _may_write(self, number: int, step: _Step, out: Vec) -> bool:
        """Whether nothing is lost where the result of the step is written there."""
        if not is_full(out, self.plan.axes, self.plan.size) or out.buffer.dtype != "float32":
            return False
        later = [o for step in self.steps[number + 1 :] for o in step.operands]
        later += [o for _, o in self.late]
        if any(isinstance(o, At) and overlap(o.vec, out) for o in later):
            return False
        for n, place in self.places.items():
            if self.last_use[n] > number and overlap(place, out):
                return False
        read = [self._vec(operand) for operand in step.operands]
        if step.function == "choose" and read[1] == out:
            return False  # of its two copies the first must not overwrite what the second reads
        return not any(v is not None and v != out and overlap(v, out) for v in read)

    def _placed(self, operand: Expr) -> Expr:
        return At(self.places[operand.number]) if isinstance(operand, _Value) else operand

    def _vec(self, operand: Expr) -> Vec | None:
        placed = self._placed(operand)
        return placed.vec if isinstance(placed, At) else None
