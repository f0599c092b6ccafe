"""From ops to NumPy calls: every op becomes whole-array instructions on views.

A loop whose iterations are independent becomes an axis of the arrays; only a loop that carries
something stays a loop. The instructions are still free of names and text: operands are `Vec`s,
read along the axes of the loops that were turned into array axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Union

from codegen import dims
from codegen.dims import Dim
from codegen.passes.derived import Derived, column
from codegen.passes.rewrite import map_op
from codegen.program import (
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
    Reduce,
    Select,
    Shift,
    Softmax,
    Vec,
    When,
    children,
    reads,
    walk_ops,
    writes,
)


@dataclass(frozen=True)
class Axis:
    """A loop counter that became an axis of the arrays."""

    counter: str
    count: Dim


Axes = tuple[Axis, ...]
# An operand is an At, Number, Index or Count: no other expression is left.


@dataclass(frozen=True)
class Ufunc:
    """`out = function(operands)` for each element; `copy` and `choose` are functions too."""

    function: str
    operands: tuple[Expr, ...]
    out: Vec
    axes: Axes
    name: str = ""  # what the value is called in the program


@dataclass(frozen=True)
class Fold:
    """`out = sum | max | min` of `operand` over the last axis (`over` none) or the axes `over`."""

    kind: str
    operand: Vec
    over: Axes
    out: Vec
    axes: Axes


@dataclass(frozen=True)
class Dot:
    """`out = x @ matrix`, added to what is in `out` with `add`; `matrix` has a row per input."""

    x: Vec
    matrix: Packed
    out: Vec
    axes: Axes
    add: bool = False


@dataclass(frozen=True)
class MatMul:
    """`out = mat @ x` where the matrix is computed, or differs from iteration to iteration."""

    mat: Mat
    x: Vec
    out: Vec
    axes: Axes
    add: bool = False


@dataclass(frozen=True)
class Rows:
    """`out = table[index]`."""

    table: Mat
    index: Vec
    out: Vec
    axes: Axes


@dataclass(frozen=True)
class Repeat:
    """A Python loop."""

    counter: str
    count: Dim
    body: tuple[Instruction, ...]
    axes: Axes


@dataclass(frozen=True)
class After:
    """A condition on the number of steps seen."""

    after: int
    body: tuple[Instruction, ...]


Instruction = Union[Ufunc, Fold, Dot, MatMul, Rows, Repeat, After]


@dataclass(frozen=True)
class Piece:
    """Columns `column` on of a packed matrix, from row `row` on: a constant, transposed."""

    row: int
    column: int
    mat: Mat
    factor: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True)
class Packed:
    """A matrix made of constants when the generated file is imported, zero elsewhere."""

    name: str
    rows: int
    columns: int
    pieces: tuple[Piece, ...]
    ones: int | None = None  # the row that is given a constant 1: biases
    notes: tuple[str, ...] = ()  # what rows and columns mean


# ---- where vectors lie ---------------------------------------------------------------------


def depends(vec: Vec | Mat, counter: str) -> bool:
    """Whether the elements move with the counter."""
    return counter in dims.symbols(vec.offset)


def is_full(vec: Vec, axes: Axes, size: Dim) -> bool:
    """Whether every element along the axes is an element of its own, so it can be written."""
    if vec.size != size or (vec.stride == 0 and size != 1):
        return False
    spans: list[tuple[Dim, Dim]] = [(size, vec.stride)]
    for axis in axes:
        slope = dims.slope(vec.offset, axis.counter)
        if slope == 0:
            return False
        spans.append((axis.count, slope))
    fixed = sorted(((abs(s), n) for n, s in spans if isinstance(s, int)), key=lambda span: span[0])
    free = [(s, n) for n, s in spans if not isinstance(s, int)]
    extent: Dim = 1
    for stride, count in [*fixed, *free]:
        known = isinstance(stride, int) and isinstance(extent, int)
        if stride != extent and not (known and stride >= extent):  # type: ignore[operator]
            return False
        extent = count * stride
    return True


def overlap(left: Vec, right: Vec) -> bool:
    """Whether the two may share an element, in any iterations of the loops around them."""
    if left.buffer is not right.buffer:
        return False
    distance = right.offset - left.offset
    if not isinstance(distance, int):
        return True
    if distance < 0:
        left, right, distance = right, left, -distance
    if not (isinstance(left.size, int) and isinstance(right.size, int)):
        return True
    left_extent = (left.size - 1) * left.stride + 1
    right_extent = (right.size - 1) * right.stride + 1
    if distance < left_extent:
        return True
    counters = dims.symbols(left.offset)
    slopes = [abs_slope(left.offset, c) for c in counters]
    return any(s is None or distance + right_extent > s for s in slopes)


def abs_slope(dim: Dim, counter: str) -> int | None:
    """The absolute slope in one counter where it is a plain number."""
    slope = dims.factor_of(dim, counter)
    return abs(slope) if slope and not isinstance(dim, int) else None


def vectors(instruction: Instruction) -> tuple[list[Vec], list[Vec]]:
    """What an instruction reads and writes."""
    if isinstance(instruction, Ufunc):
        return [o.vec for o in instruction.operands if isinstance(o, At)], [instruction.out]
    if isinstance(instruction, Fold):
        return [instruction.operand], [instruction.out]
    if isinstance(instruction, Dot):
        own = [instruction.out] if instruction.add else []
        return [instruction.x, *own], [instruction.out]
    if isinstance(instruction, MatMul):
        mat = instruction.mat
        whole = Vec(mat.buffer, 0, mat.buffer.size)
        own = [instruction.out] if instruction.add else []
        return [whole, instruction.x, *own], [instruction.out]
    if isinstance(instruction, Rows):
        return [instruction.index], [instruction.out]
    read: list[Vec] = []
    written: list[Vec] = []
    for inner in instruction.body:
        r, w = vectors(inner)
        read += [v.buffer.vec() for v in r]
        written += [v.buffer.vec() for v in w]
    return read, written


# ---- expressions ---------------------------------------------------------------------------

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
    "sqrt": "sqrt",
    "abs": "absolute",
    "floor": "floor",
    "round": "rint",
    "min": "minimum",
    "max": "maximum",
    "pow": "power",
}


def simplify(node: Expr) -> Expr:
    """The expression in fewer array operations; equal to rounding."""
    if isinstance(node, Call):
        arguments = tuple(simplify(a) for a in node.arguments)
        x = arguments[0]
        if node.function == "sigmoid":  # by tanh: nothing overflows
            return Number(0.5) * Call("tanh", (x * 0.5,)) + Number(0.5)
        if node.function == "hard_sigmoid":
            return _clip(x * 0.2 + 0.5)
        if node.function == "hard_sigmoid_3":
            return _clip(x / 6.0 + 0.5)
        if node.function == "softplus":
            tail = Call("log1p", (Call("exp", (Negate(Call("abs", (x,))),)),))
            return Call("max", (x, Number(0.0))) + tail
        return Call(node.function, arguments)
    if isinstance(node, Binary):
        left, right = simplify(node.left), simplify(node.right)
        mixed = _interpolation(node.operator, left, right)
        return mixed or Binary(node.operator, left, right)
    if isinstance(node, Compare):
        return Compare(node.operator, simplify(node.left), simplify(node.right))
    if isinstance(node, Negate):
        return Negate(simplify(node.value))
    if isinstance(node, Select):
        return Select(*(simplify(child) for child in children(node)))
    return node


def _clip(x: Expr) -> Expr:
    return Call("max", (Call("min", (x, Number(1.0))), Number(0.0)))


def _interpolation(operator: str, left: Expr, right: Expr) -> Expr | None:
    """`a b + (1 - a) c` as `a (b - c) + c`."""
    if operator != "+" or not (isinstance(left, Binary) and isinstance(right, Binary)):
        return None
    if left.operator != "*" or right.operator != "*":
        return None
    a, b, rest, c = left.left, left.right, right.left, right.right
    if not (isinstance(rest, Binary) and rest.operator == "-" and rest.left == Number(1.0)):
        return None
    if rest.right != a or not isinstance(c, (Local, At)):
        return None
    return Binary("+", Binary("*", Binary("-", b, c), a), c)


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
        self.position = 0
        self.named: dict[Vec, str] = {}  # places that hold a local of the program
        self._reads: dict[int, list[tuple[int, Vec]]] = {}
        self._loops: list[str] = []
        self._number = 0
        for number, op in enumerate(walk_ops(tuple(ops))):
            for vec in reads(op):
                whole = Vec(vec.buffer, 0, vec.buffer.size) if isinstance(vec, Mat) else vec
                self._reads.setdefault(id(vec.buffer), []).append((number, whole))

    def is_dead(self, vec: Vec, loops: Sequence[str]) -> bool:
        """Whether nothing reads the elements after the current op, in this call or the next."""
        if vec.buffer.kind != "temp" or any(c not in vec.buffer.scope for c in loops):
            return False
        later = self._reads.get(id(vec.buffer), ())
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
        elif isinstance(node, (Binary, Compare)):
            result = self._emit(UFUNCS[node.operator], self._values(node))
        elif isinstance(node, Negate):
            result = self._emit("negative", self._values(node))
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
        found = self.value(simplify(node))
        if isinstance(found, _Value):
            self.steps[found.number].name = self.steps[found.number].name or name
        self.locals[name] = found

    def operand(self, node: Expr) -> tuple[list[Instruction], Vec]:
        """Instructions that compute an expression into a vector of full shape, and the vector."""
        found = self.value(simplify(node))
        if isinstance(found, At) and self._is_full(found.vec):
            return [], found.vec
        if not isinstance(found, _Value):
            target = self.arrays.scratch("value", self.size, self.axes)
            return [Ufunc("copy", (found,), target, self.axes)], target
        target = self.arrays.scratch("value", self.size, self.axes)
        return self.place([(target, found)]), target

    def _is_full(self, vec: Vec) -> bool:
        return is_full(vec, self.axes, self.size)

    def place(self, stores: Sequence[tuple[Vec, Expr]]) -> list[Instruction]:
        """Give every step a place for its result, in place wherever the old value is dead."""
        last_use = dict.fromkeys(range(len(self.steps)), -1)
        for number, step in enumerate(self.steps):
            for o in step.operands:
                if isinstance(o, _Value):
                    last_use[o.number] = number
        homes: dict[int, Vec] = {}
        late: list[tuple[Vec, Expr]] = []
        for target, operand in stores:
            if isinstance(operand, _Value) and operand.number not in homes:
                homes[operand.number] = target
            else:
                late.append((target, operand))
        used = _used(self.steps, homes)
        late_reads = [o.vec for _, o in late if isinstance(o, At)]
        places: dict[int, Vec] = {}
        named = self.arrays.named
        result: list[Instruction] = []
        finish: list[Instruction] = []
        kept = {o.number for _, o in stores if isinstance(o, _Value)}

        def read_later(vec: Vec, after: int) -> bool:
            """Whether old elements of `vec` are read by a step after `after`, or a late copy."""
            for step in self.steps[after + 1 :]:
                if any(isinstance(o, At) and overlap(o.vec, vec) for o in step.operands):
                    return True
            return any(overlap(vec, v) for v in late_reads)

        def reads_shifted(step: _Step, vec: Vec) -> bool:
            """Whether the step reads other elements of what it would write."""
            leaves = [o.vec for o in step.operands if isinstance(o, At)]
            leaves += [places[o.number] for o in step.operands if isinstance(o, _Value)]
            return any(v != vec and overlap(v, vec) for v in leaves)

        def holds_live(vec: Vec, number: int) -> bool:
            """Whether a value that is still needed lies in `vec`."""
            return any(
                overlap(place, vec) and (last_use[n] > number or n in kept)
                for n, place in places.items()
            )

        for number, step in enumerate(self.steps):
            if number not in used:
                continue
            out: Vec | None = None
            choosing = step.function == "choose"
            home = homes.get(number)
            if step.boolean:
                out = self.arrays.scratch("condition", self.size, self.axes, "bool")
            elif home is not None and self._is_full(home) and home.buffer.dtype != "int32":
                if not (
                    read_later(home, number)
                    or reads_shifted(step, home)
                    or holds_live(home, number)
                    or (choosing and _operand_vec(step.operands[1], places) == home)
                ):
                    out = home
            if out is None and not step.boolean:
                candidates = step.operands[2:] if choosing else step.operands
                for o in sorted(candidates, key=lambda o: _spot_name(o, places, named) != ""):
                    if step.name and _spot_name(o, places, named) not in ("", step.name):
                        continue  # one array, one name
                    if isinstance(o, _Value) and last_use[o.number] == number:
                        spot = places[o.number]
                        fits = o.number not in kept and spot.buffer.dtype != "bool"
                    elif isinstance(o, At):
                        spot = o.vec
                        fits = self._is_full(spot) and not read_later(spot, number)
                        fits = fits and not holds_live(spot, number)
                        fits = fits and (
                            self.arrays.is_dead(spot, self.loops)
                            or any(
                                spot == target and n > number for n, target in homes.items()
                            )
                        )
                        fits = fits and spot.buffer.dtype == "float32"
                    else:
                        continue
                    later_home = [n for n, target in homes.items() if overlap(target, spot)]
                    if any(last_use[number] > n for n in later_home if n > number):
                        fits = False
                    if later_home and number in kept:
                        fits = False
                    others = [x for x in step.operands if x is not o]
                    if choosing and any(_operand_vec(x, places) == spot for x in others):
                        fits = False
                    if fits and not reads_shifted(step, spot):
                        out = spot
                        break
            if out is None:
                out = self.arrays.scratch(step.name or "scratch", self.size, self.axes)
            places[number] = out
            if step.name:
                named.setdefault(out, step.name)
            operands = tuple(_placed(o, places) for o in step.operands)
            result.append(Ufunc(step.function, operands, out, self.axes, step.name))
            if home is not None and out != home:
                finish.append(Ufunc("copy", (At(out),), home, self.axes))
        targets = [target for target, _ in stores]
        for target, operand in late:
            placed = _placed(operand, places)
            if isinstance(placed, At) and any(
                overlap(placed.vec, t) and t != target for t in targets
            ):
                keep = self.arrays.scratch("kept", self.size, self.axes)
                result.append(Ufunc("copy", (placed,), keep, self.axes))
                placed = At(keep)
            if placed != At(target):
                finish.append(Ufunc("copy", (placed,), target, self.axes))
        return result + finish


def _used(steps: Sequence[_Step], roots: Iterable[int]) -> set[int]:
    used = set(roots)
    for number in range(len(steps) - 1, -1, -1):
        if number in used:
            used |= {o.number for o in steps[number].operands if isinstance(o, _Value)}
    return used


def _spot_name(operand: Expr, places: dict[int, Vec], named: dict[Vec, str]) -> str:
    vec = _operand_vec(operand, places)
    return "" if vec is None else named.get(vec, "")


def _placed(operand: Expr, places: dict[int, Vec]) -> Expr:
    return At(places[operand.number]) if isinstance(operand, _Value) else operand


def _operand_vec(operand: Expr, places: dict[int, Vec]) -> Vec | None:
    found = _placed(operand, places)
    return found.vec if isinstance(found, At) else None


# ---- ops -----------------------------------------------------------------------------------


def can_be_axis(loop: Loop, counters: frozenset[str] = frozenset()) -> bool:
    """Whether all iterations can run at once, as an axis of the arrays.

    Inside, no length may depend on the counter and every offset must be affine in it.
    """
    if loop.carried:
        return False
    mine = counters | {loop.counter}
    return all(_fits_axis(op, mine) for op in loop.body)


def _fits_axis(op: Op, counters: frozenset[str]) -> bool:
    if isinstance(op, Loop):
        return not _mentions(op.count, counters) and all(_fits_axis(o, counters) for o in op.body)
    if isinstance(op, (When, Shift)):
        return False
    if isinstance(op, Reduce):
        if any(_mentions(count, counters) for _, count in op.counters):
            return False
        counters = counters | {name for name, _ in op.counters}
    for source in (*reads(op), *writes(op)):
        lengths = (source.rows, source.columns) if isinstance(source, Mat) else (source.size,)
        if any(_mentions(n, counters) for n in lengths):
            return False
        if not _is_affine(source.offset, counters):
            return False
    return True


def _mentions(dim: Dim, counters: frozenset[str]) -> bool:
    return bool(dims.symbols(dim) & counters)


def _is_affine(dim: Dim, counters: frozenset[str]) -> bool:
    if isinstance(dim, int):
        return True
    for atom, _ in dim.terms:
        if isinstance(atom, dims.Compound):
            inside = dims.symbols(dims.Sum(((atom, 1),))) & counters
            if not inside:
                continue
            if atom.operator != "*":
                return False
            # A product of a counter and a length is affine; of two counters it is not.
            left, right = dims.symbols(atom.left) & counters, dims.symbols(atom.right) & counters
            if left and right:
                return False
    return True


def expand(ops: Sequence[Op]) -> tuple[Op, ...]:
    """The ops with every temp inside a loop that becomes an axis given that axis too."""
    found: dict[int, tuple[Buffer, Dim]] = {}

    def changed(buffer: Buffer, axes: Axes) -> tuple[Buffer, Dim]:
        own = [axis for axis in axes if axis.counter in buffer.scope]
        if buffer.kind != "temp" or not own:
            return buffer, 0
        if id(buffer) not in found:
            shape = (*(axis.count for axis in own), *(buffer.shape or (buffer.size,)))
            scope = tuple(c for c in buffer.scope if c not in {a.counter for a in own})
            new = replace(buffer, size=dims.product(shape), shape=shape, scope=scope)
            offset: Dim = 0
            stride = buffer.size
            for axis in reversed(own):
                offset = offset + dims.symbol(axis.counter) * stride
                stride = stride * axis.count
            found[id(buffer)] = (new, offset)
        return found[id(buffer)]

    def one(op: Op, axes: Axes) -> Op:
        if isinstance(op, Loop):
            inner = (*axes, Axis(op.counter, op.count)) if can_be_axis(op) else axes
            return replace(op, body=tuple(one(o, inner) for o in op.body))
        if isinstance(op, When):
            return replace(op, body=tuple(one(o, axes) for o in op.body))

        def vec(v: Vec) -> Vec:
            buffer, offset = changed(v.buffer, axes)
            return v if buffer is v.buffer else replace(v, buffer=buffer, offset=v.offset + offset)

        def mat(m: Mat) -> Mat:
            buffer, offset = changed(m.buffer, axes)
            return m if buffer is m.buffer else replace(m, buffer=buffer, offset=m.offset + offset)

        return map_op(op, vec, mat)

    return tuple(one(op, ()) for op in ops)


class Planner:
    """Turns expanded ops into instructions."""

    def __init__(self, ops: Sequence[Op], derived: Derived, step: bool) -> None:
        self.arrays = Arrays(ops)
        self.derived = derived
        self.loops: list[str] = []
        self.position = -1
        # Where buffers lie that a product reads: in its window, so that nothing is copied.
        self.homes: dict[int, tuple[Buffer, int]] = {}
        self._homeless = {
            id(v.buffer) for op in walk_ops(tuple(ops)) if isinstance(op, Affine) for v in writes(op)
        }
        self.step = step
        self.name = ""

    def block(self, name: str, ops: Sequence[Op]) -> list[Instruction]:
        """Instructions of one block; call it for all blocks in order."""
        self.name = name
        return join(self.plan(ops))

    def local_places(self) -> dict[Vec, str]:
        """Parts of arrays that hold a local of the program, with its name."""
        return {
            vec: name
            for vec, name in self.arrays.named.items()
            if vec.size != vec.buffer.size
        }

    def plan(self, ops: Sequence[Op], axes: Axes = ()) -> list[Instruction]:
        """Instructions of the ops in order."""
        result: list[Instruction] = []
        for op in ops:
            self.position += 1
            self.arrays.position = self.position
            result += self._one(op, axes)
        return result

    def _one(self, op: Op, axes: Axes) -> list[Instruction]:
        if isinstance(op, Loop):
            if can_be_axis(op):
                return self.plan(op.body, (*axes, Axis(op.counter, op.count)))
            self.loops.append(op.counter)
            body = self.plan(op.body, axes)
            self.loops.pop()
            return [Repeat(op.counter, op.count, tuple(join(body)), axes)]
        if isinstance(op, When):
            return [After(op.after, tuple(join(self.plan(op.body, axes))))]
        if isinstance(op, Affine):
            return self._affine(op, axes)
        if isinstance(op, Elementwise):
            plan = ElementwisePlan(self.arrays, axes, self.loops, op.size)
            for name, node in op.locals:
                plan.local(name, node)
            return plan.place([(v, plan.value(simplify(node))) for v, node in op.stores])
        if isinstance(op, Reduce):
            return self._reduce(op, axes)
        if isinstance(op, Softmax):
            return self._softmax(op, axes)
        if isinstance(op, Gather):
            return [Rows(op.table, op.index, op.out, axes)]
        assert isinstance(op, Shift), op
        kept = op.line.size - op.x.size
        line = op.line.vec()
        moved = Ufunc("copy", (At(line[op.x.size :]),), line[:kept], axes)
        return [moved, Ufunc("copy", (At(op.x),), line[kept:], axes)]

    def _affine(self, op: Affine, axes: Axes) -> list[Instruction]:
        result: list[Instruction] = []
        counters = {axis.counter for axis in axes} | set(self.loops)
        constant = [
            m.buffer.kind == "const" and not dims.symbols(m.offset) & counters
            for m, _ in op.products
        ]
        bias = op.bias
        one = bias is not None and bias.buffer.kind == "const" and not _mentions(
            bias.offset, frozenset(counters)
        )
        small = all(isinstance(v.size, int) for _, v in op.products)
        if not axes and constant and all(constant) and small and (len(constant) > 1 or one):
            if self.step or self.loops:
                result = self._window(op, one)
                bias = None if one else bias
        if not result:
            for number, (mat, x) in enumerate(op.products):
                add = number > 0
                if constant[number]:
                    packed = self._pack(mat.buffer.name, [(mat, 0)])
                    result.append(Dot(x, packed, op.out, axes, add))
                else:
                    result.append(MatMul(mat, x, op.out, axes, add))
        if bias is not None and op.products:
            result.append(Ufunc("add", (At(op.out), At(bias)), op.out, axes))
        elif not op.products:
            start: Expr = Number(0.0) if bias is None else At(bias)
            result.append(Ufunc("copy", (start,), op.out, axes))
        return result

    def _window(self, op: Affine, one: bool) -> list[Instruction]:
        """The product of one array that holds all inputs side by side, and a 1 for the bias."""
        sizes = [dims.fixed(v.size) for _, v in op.products]
        size = sum(sizes) + one
        window = Buffer(f"{self.name}_inputs", size, "window", "float32", None, (), (size,))
        copies: list[Instruction] = []
        mats: list[tuple[Mat, int]] = []
        start = 0
        notes = []
        for (mat, x), length in zip(op.products, sizes, strict=True):
            mats.append((mat, start))
            notes.append(f"{x.buffer.name} ({length})")
            if self._can_live(x):
                self.homes[id(x.buffer)] = (window, start)
            else:
                slot = window.vec()[start : start + length]
                copies.append(Ufunc("copy", (At(x),), slot, (), f"{x.buffer.name}_in"))
            start += length
        if one:
            assert op.bias is not None
            mats.append((column(op.bias), start))
            notes.append("1")
        packed = self._pack(f"{self.name}_matrix", mats)
        packed = replace(packed, ones=start if one else None, notes=tuple(notes))
        return [*copies, Dot(window.vec(), packed, op.out, ())]

    def _can_live(self, x: Vec) -> bool:
        buffer = x.buffer
        if not self.step or self.loops or id(buffer) in self.homes or id(buffer) in self._homeless:
            return False
        whole = x.offset == 0 and x.size == buffer.size and x.stride == 1
        return whole and buffer.kind in ("input", "state", "temp") and buffer.dtype == "float32"

    def _pack(self, name: str, mats: Sequence[tuple[Mat, int]]) -> Packed:
        pieces: list[Piece] = []
        for mat, row in mats:
            column_ = 0
            for part in self.derived.parts(mat):
                if part.mat is not None:
                    pieces.append(Piece(row, column_, part.mat, part.factor, part.shift))
                column_ += part.rows
        rows = max(row + dims.fixed(mat.columns) for mat, row in mats)
        return Packed(name, rows, dims.fixed(mats[0][0].rows), tuple(pieces))

    def _reduce(self, op: Reduce, axes: Axes) -> list[Instruction]:
        over = tuple(Axis(name, count) for name, count in op.counters)
        inner = (*axes, *over)
        plan = ElementwisePlan(self.arrays, inner, self.loops, op.out.size)
        instructions, operand = plan.operand(op.value)
        return [*instructions, Fold(op.kind, operand, over, op.out, axes)]

    def _softmax(self, op: Softmax, axes: Axes) -> list[Instruction]:
        size = op.out.size
        top = self.arrays.scratch("top", 1, axes)
        total = self.arrays.scratch("total", 1, axes)
        every, divisor = At(top.every(size)), At(total.every(size))
        out = At(op.out)
        first = [
            Fold("max", op.x, (), top, axes),
            Ufunc("subtract", (At(op.x), every), op.out, axes),
        ]
        if not op.log:
            return [
                *first,
                Ufunc("exp", (out,), op.out, axes),
                Fold("sum", op.out, (), total, axes),
                Ufunc("divide", (out, divisor), op.out, axes),
            ]
        powers = self.arrays.scratch("powers", size, axes)
        return [
            *first,
            Ufunc("exp", (out,), powers, axes),
            Fold("sum", powers, (), total, axes),
            Ufunc("log", (At(total),), total, axes),
            Ufunc("subtract", (out, divisor), op.out, axes),
        ]


# ---- joining calls -------------------------------------------------------------------------


def join(instructions: Sequence[Instruction]) -> list[Instruction]:
    """Equal functions of neighbouring vectors become one call, where the order allows it.

    So one tanh serves all gates of a layer.
    """
    result = list(instructions)
    changed = True
    while changed:
        changed = False
        for later in range(1, len(result)):
            found = _partner(result, later)
            if found is not None:
                earlier, joined = found
                result[earlier] = joined
                del result[later]
                changed = True
                break
    return result


def _partner(instructions: Sequence[Instruction], later: int) -> tuple[int, Ufunc] | None:
    mine = instructions[later]
    if not isinstance(mine, Ufunc):
        return None
    read, written = vectors(mine)
    for earlier in range(later - 1, -1, -1):
        other = instructions[earlier]
        if isinstance(other, (Repeat, After)):
            return None
        if isinstance(other, Ufunc):
            joined = _joined(other, mine) or _joined(mine, other)
            if joined is not None and not _conflict(other, read, written):
                return earlier, joined
        if _conflict(other, read, written):
            return None
    return None


def _conflict(other: Instruction, read: list[Vec], written: list[Vec]) -> bool:
    other_read, other_written = vectors(other)
    return any(overlap(v, w) for v in other_written for w in (*read, *written)) or any(
        overlap(v, w) for v in other_read for w in written
    )


def _joined(first: Ufunc, second: Ufunc) -> Ufunc | None:
    if first.function != second.function or first.axes != second.axes:
        return None
    if first.function == "choose":
        return None
    out = _side_by_side(first.out, second.out)
    if out is None:
        return None
    operands: list[Expr] = []
    for a, b in zip(first.operands, second.operands, strict=True):
        if isinstance(a, At) and isinstance(b, At):
            both = _side_by_side(a.vec, b.vec)
            if both is None:
                return None
            operands.append(At(both))
        elif isinstance(a, Number) and a == b:
            operands.append(a)
        else:
            return None
    names = [n for n in (first.name, second.name) if n]
    name = _both(*names) if len(names) == 2 else "".join(names)
    return Ufunc(first.function, tuple(operands), out, first.axes, name)


def _both(first: str, second: str) -> str:
    """A name for what lies side by side: `update_and_reset`, `input_gate_to_output_gate`."""
    if "_and_" in first + second or "_to_" in first + second:
        start = first.split("_and_")[0].split("_to_")[0]
        end = second.split("_and_")[-1].split("_to_")[-1]
        return f"{start}_to_{end}"
    return f"{first}_and_{second}"


def _side_by_side(left: Vec, right: Vec) -> Vec | None:
    if left.buffer is not right.buffer or left.stride != 1 or right.stride != 1:
        return None
    if right.offset - left.offset != left.size:
        return None
    return Vec(left.buffer, left.offset, left.size + right.size)


def names_of(instructions: Sequence[Instruction]) -> dict[Vec, str]:
    """Names for vectors: those of the values of the program that they hold."""
    found: dict[Vec, str] = {}
    for op in instructions:
        if isinstance(op, (Repeat, After)):
            for vec, name in names_of(op.body).items():
                found.setdefault(vec, name)
        elif isinstance(op, Ufunc) and op.name:
            whole = op.out.size == op.out.buffer.size
            if not whole or op.out.buffer.name.startswith("scratch"):
                found.setdefault(op.out, op.name)
    return found
