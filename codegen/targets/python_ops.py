"""Programs as text for the python target: vectors, expressions, and one view for each op.

A view holds the texts that `templates/python/ops.j2` puts in place; its class names the macro.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from codegen import dims
from codegen.dims import Dim
from codegen.emit import Names, comment
from codegen.model import Array
from codegen.passes.derived import Derived, column
from codegen.program import (
    Affine,
    At,
    Binary,
    Block,
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
    State,
    Vec,
    When,
    const,
    reads,
    walk,
    walk_ops,
    writes,
)

# How each function of a Call is spelled; a name with a file under templates/python/functions is
# a function of the generated file, the others are built in.
SPELLING = {
    "exp": "exp",
    "expm1": "expm1",
    "log": "log",
    "log1p": "log1p",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "hard_sigmoid": "hard_sigmoid",
    "hard_sigmoid_3": "hard_sigmoid_3",
    "softplus": "softplus",
    "erf": "erf",
    "sqrt": "sqrt",
    "abs": "abs",
    "floor": "floor",
    "round": "round_even",
    "min": "min",
    "max": "max",
    "pow": "power",
}
WIDEST = 64  # columns in one expression of a product
HALVED = "sigmoid gates come halved: sigmoid(2 * a) = 0.5 * tanh(a) + 0.5"
LINE = 88  # a longer call is broken after each argument, a longer comment where it fits

# Precedence of what an expression prints as; an operand of a lower one gets parentheses.
CONDITIONAL, COMPARISON, SUM, PRODUCT, SIGN, ATOM = range(6)
OPERATOR = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT}


# ---- views --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Assign:
    """A name becomes a new list."""

    note: str
    name: str
    value: str


@dataclass(frozen=True)
class Store:
    """A list goes into a buffer from `at` on."""

    note: str
    buffer: str
    at: str
    value: str


@dataclass(frozen=True)
class Each:
    """Lines for every value of the index, or once where there is no index."""

    note: str
    index: str | None
    count: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Product:
    """A product with a matrix that is no constant, row by row."""

    note: str
    values: tuple[tuple[str, str], ...]  # names and vectors
    index: str
    count: str
    start: str
    terms: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class Fold:
    """A Reduce: `total` goes through `update` for all counters, for each element."""

    index: str
    count: str
    start: str
    update: str
    counters: tuple[tuple[str, str], ...]
    target: str


@dataclass(frozen=True)
class Append:
    """A Shift: a row goes where the oldest row of the ring stands."""

    line: str
    oldest: str
    owner: str
    value: str
    row: str
    size: str


@dataclass(frozen=True)
class Repeat:
    """A Loop."""

    counter: str
    count: str
    body: tuple[View, ...]


@dataclass(frozen=True)
class Once:
    """A When."""

    after: int
    body: tuple[View, ...]


View = Assign | Store | Each | Product | Fold | Append | Repeat | Once


@dataclass(frozen=True)
class BlockView:
    """A layer: its heading and its ops."""

    title: str
    names: tuple[tuple[str, str], ...]  # local names and the attributes that they stand for
    body: tuple[View, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """A constant of the file. `kind`: vector, matrix (for affine), table (rows for lookup)."""

    name: str
    kind: str
    note: str
    parts: tuple[Mat, ...]  # side by side: the columns of its rows, one row for a vector

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        columns = sum(dims.fixed(part.columns) for part in self.parts)
        return dims.fixed(self.parts[0].rows), columns

    @property
    def is_whole(self) -> bool:
        """Whether its numbers are whole numbers."""
        return self.parts[0].buffer.dtype == "int32"


# ---- what all programs of a file share ------------------------------------------------------


@dataclass
class File:
    """Names, constants and functions of one generated file."""

    names: Names
    constants: Names
    small: bool = False  # for a board with a few kilobytes
    derived: Derived = field(default_factory=Derived)  # weights that passes made of others
    tables: dict[object, Table] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)
    runtime: set[str] = field(default_factory=set)
    ports: dict[int, str] = field(default_factory=dict)  # names of inputs and outputs
    keep: list[object] = field(default_factory=list)  # ids are keys: their owners must live
    widths: set[int] = field(default_factory=set)  # of the expressions that products need
    zero: Buffer = field(default_factory=lambda: const("zero", np.zeros(1, np.float32)))

    def use(self, function: str) -> str:
        """The name of a function or runtime helper, which the file then has."""
        self.functions.add(function)
        return function

    def help(self, helper: str) -> str:
        """The name of a helper on lists, which the file then has."""
        self.runtime.add(helper)
        return helper

    def vector(self, buffer: Buffer) -> str:
        """The name of a constant as one flat list."""
        assert buffer.data is not None
        note = f"{comment(buffer.name)} {_shape(buffer.shape)}"
        return self._table(("vector", id(buffer)), buffer.name, "vector", note, (_row(buffer),))

    def array(self, name: str, data: Array) -> str:
        """The name of a constant that belongs to no buffer."""
        row = _row(const(name, data))
        return self._table(("array", name), name, "vector", comment(name), (row,))

    def matrix(self, products: Sequence[tuple[Mat, Vec]], bias: Vec | None, out: str) -> str:
        """The name of the constant matrices of a product, side by side after the bias."""
        mats = [mat for mat, _ in products]
        rows = dims.fixed(mats[0].rows)
        # Without a bias there are zeros in its place: one zero, again and again.
        first = column(bias) if bias else Mat(self.zero, 0, rows, 1, 0)
        parts = (first, *mats)
        key = ("matrix", *((id(m.buffer), m.offset, m.row_stride, m.column_stride) for m in parts))
        columns = [dims.fixed(m.columns) for m in mats]
        self.keep.extend(m.buffer for m in parts)
        names = [comment(m.buffer.name) for m in mats]
        wanted = names[0] if len(mats) == 1 else f"{_common(names) or out}_weights"
        each = [f"{n} of {name}" for n, name in zip(columns, names, strict=True)]
        note = f"{rows} row{'s' * (rows > 1)}: {', '.join(['bias' if bias else '0', *each])}"
        if any(self.derived.is_made(m.buffer) for m in mats):
            note += "; sigmoid gates halved"
        self.widths.update(group_sizes(sum(columns)))
        return self._table((*key, rows, *columns), wanted, "matrix", note, parts)

    def lookup(self, table: Mat) -> str:
        """The name of a constant whose rows are looked up."""
        shape = dims.fixed(table.rows), dims.fixed(table.columns)
        key = ("table", id(table.buffer), table.offset, shape)
        note = f"{comment(table.buffer.name)} {shape}"
        return self._table(key, table.buffer.name, "table", note, (table,))

    def _table(self, key: object, wanted: str, kind: str, note: str, parts: tuple[Mat, ...]) -> str:
        if key not in self.tables:
            name = self.constants(wanted.upper())
            self.tables[key] = Table(name, kind, note, parts)
            self.runtime.add({"matrix": "affine", "table": "vector"}.get(kind, kind))
        return self.tables[key].name


def _row(buffer: Buffer) -> Mat:
    """A constant as a matrix of one row."""
    size = dims.fixed(buffer.size)
    return Mat(buffer, 0, 1, size, size)


def group_sizes(columns: int) -> list[int]:
    """How many columns of a product each expression takes."""
    full, rest = divmod(columns, WIDEST)
    return [WIDEST] * full + [rest] * bool(rest)


def _common(names: Sequence[str]) -> str:
    """What the names begin with, in whole words."""
    words = [name.split("_") for name in names]
    shared = []
    for here in zip(*words, strict=False):
        if len(set(here)) > 1:
            break
        shared.append(here[0])
    return "_".join(shared)


def _shape(shape: Iterable[Dim]) -> str:
    return "(" + "".join(f"{dims.text(n)}, " for n in shape).rstrip(" ") + ")"


def is_fixed(mat: Mat) -> bool:
    """Whether all elements of the matrix are known when the file is made."""
    where = (mat.offset, mat.rows, mat.columns)
    return mat.buffer.kind == "const" and all(isinstance(n, int) for n in where)


# ---- one program ---------------------------------------------------------------------------


class Printer:
    """Texts of one program, as the body of a method.

    `kept` says that scratch belongs to the object, so that a step allocates nothing that stays.
    """

    def __init__(self, file: File, program: Program, kept: bool, notes: bool) -> None:
        self.file = file
        self.program = program
        self.notes = notes
        self.lines = {id(s.buffer): s for s in program.states if s.line}
        self.prefix = ""
        self.attributes: dict[int, Buffer] = {id(s.buffer): s.buffer for s in program.states}
        self.fresh: list[Buffer] = []  # lists made at the start of the method
        filled: set[int] = set()
        for op in walk_ops(program.ops):
            for vec in writes(op):
                buffer = vec.buffer
                if buffer.kind in ("temp", "output") and id(buffer) not in filled:
                    filled.add(id(buffer))
                    if self._makes(op, vec):
                        continue
                    if kept and buffer.kind == "temp":
                        self.attributes[id(buffer)] = buffer
                    else:
                        self.fresh.append(buffer)
        self.kept = [b for b in self.attributes.values() if b.kind == "temp"]
        for port in program.outputs:  # an output that nothing writes has no elements
            if id(port.buffer) not in filled:
                self.fresh.append(port.buffer)

    # ---- names ------------------------------------------------------------------------

    def name(self, buffer: Buffer) -> str:
        """The local name of a buffer, or the constant."""
        if buffer.kind == "const":
            return self.file.vector(buffer)
        if id(buffer) in self.file.ports:
            return self.file.ports[id(buffer)]
        self.file.keep.append(buffer)
        return self.file.names(buffer.name, id(buffer))

    def oldest(self, line: Buffer) -> str:
        """The name of where the oldest row of a delay line stands."""
        return self.file.names(f"{line.name}_oldest", ("oldest", id(line)))

    def is_ring(self, buffer: Buffer) -> bool:
        """Whether the rows of a delay line go round (one row has nowhere to go)."""
        state = self.lines.get(id(buffer))
        return state is not None and state.shape[0] > 1

    def local(self, name: str) -> str:
        """A local of an op; unlike any other name of the file."""
        return self.file.names(name, ("local", name))

    # ---- vectors ----------------------------------------------------------------------

    def _is_whole(self, vec: Vec) -> bool:
        return vec.offset == 0 and vec.stride == 1 and vec.size == vec.buffer.size

    def _makes(self, op: Op, vec: Vec) -> bool:
        """Whether the op gives the whole buffer as a new list."""
        if not self._is_whole(vec):
            return False
        if isinstance(op, Affine):
            return self._is_packed(op)
        if isinstance(op, Elementwise):
            return copied(op) is not None
        return isinstance(op, (Softmax, Gather))

    def start(self, vec: Vec) -> str:
        """Where the vector begins in its buffer."""
        if self.is_ring(vec.buffer):
            at = self.oldest(vec.buffer)
            if vec.offset != 0:
                at = f"{at} + {dims.text(vec.offset)}"
                return f"({at}) % {dims.text(vec.buffer.size)}"
            return at
        return dims.text(vec.offset)

    def element(self, vec: Vec, index: str | None) -> str:
        """One element, by the index of a loop."""
        start = self.start(vec)
        if index is None or vec.stride == 0:
            return f"{self.name(vec.buffer)}[{start}]"
        moved = index if vec.stride == 1 else f"{vec.stride} * {index}"
        at = moved if start == "0" else f"{start} + {moved}"
        return f"{self.name(vec.buffer)}[{at}]"

    def part(self, vec: Vec) -> str:
        """The vector as a list."""
        name = self.name(vec.buffer)
        if self._is_whole(vec) and not self.is_ring(vec.buffer):
            return name
        start = self.start(vec)
        if vec.stride != 1:
            pick = self.file.help("pick")
            return f"{pick}({name}, {start}, {dims.text(vec.size)}, {vec.stride})"
        if self.is_ring(vec.buffer):
            at = self.oldest(vec.buffer)
            if vec.offset != 0:
                at = f"{at} + {dims.text(vec.offset)}"
            return f"{self.file.help('ring')}({name}, {at}, {dims.text(vec.size)})"
        stop = dims.text(vec.offset + vec.size)
        if start == "0":
            return f"{name}[:{stop}]" if isinstance(vec.size, int) else f"{name}[0 : {stop}]"
        return f"{name}[{start}:{stop}]" if start.isdigit() else f"{name}[{start} : {stop}]"

    def into(self, op: Op, vec: Vec, value: str, note: str) -> View:
        """A list put where it belongs: a new list where it makes up the whole buffer."""
        buffer = vec.buffer
        if self._makes(op, vec) and buffer.kind in ("temp", "output"):
            return Assign(note, self.name(buffer), value)
        if vec.stride != 1:
            index = self._index()
            product = self.local("product")
            target = self.element(vec, index)
            body = Each("", index, dims.text(vec.size), (f"{target} = {product}[{index}]",))
            return Repeat("", "", (Assign(note, product, value), body))
        self.file.help("store")
        return Store(note, self.name(buffer), self.start(vec), value)

    def _index(self) -> str:
        return self.file.names("k", "index")

    # ---- expressions --------------------------------------------------------------------

    def expression(self, node: Expr, index: str | None, outer: int = CONDITIONAL) -> str:
        """The text of an expression for one element."""
        text, own = self._expression(node, index)
        return f"({text})" if own < outer else text

    def _expression(self, node: Expr, index: str | None) -> tuple[str, int]:
        def show(part: Expr, outer: int = CONDITIONAL) -> str:
            return self.expression(part, index, outer)

        if isinstance(node, Number):
            return literal(node.value)
        if isinstance(node, At):
            text = self.element(node.vec, index)
            return (f"float({text})" if node.vec.buffer.dtype == "int32" else text), ATOM
        if isinstance(node, Local):
            return self.local(node.name), ATOM
        if isinstance(node, Index):
            return ("0.0" if index is None else f"float({index})"), ATOM
        if isinstance(node, Count):
            return f"float({dims.text(node.dim)})", ATOM
        if isinstance(node, Negate):
            return f"-{show(node.value, SIGN)}", SIGN
        if isinstance(node, Compare):
            return f"1.0 if {self._condition(node, index)} else 0.0", CONDITIONAL
        if isinstance(node, Select):
            condition = self._condition(node.condition, index)
            yes, no = show(node.yes, COMPARISON), show(node.no)
            return f"{yes} if {condition} else {no}", CONDITIONAL
        if isinstance(node, Binary):
            if node.operator == "/" and not _is_positive(node.right):
                divide = self.file.use("divide")
                return f"{divide}({show(node.left)}, {show(node.right)})", ATOM
            own = OPERATOR[node.operator]
            text = f"{show(node.left, own)} {node.operator} {show(node.right, own + 1)}"
            return text, own
        assert isinstance(node, Call), node
        name = SPELLING[node.function]
        if name not in ("abs", "min", "max"):
            self.file.use(name)
        return f"{name}({', '.join(show(a) for a in node.arguments)})", ATOM

    def _condition(self, node: Expr, index: str | None) -> str:
        if isinstance(node, Compare):
            left = self.expression(node.left, index, SUM)
            return f"{left} {node.operator} {self.expression(node.right, index, SUM)}"
        return f"{self.expression(node, index, SUM)} != 0.0"

    # ---- ops ----------------------------------------------------------------------------

    def blocks(self) -> list[BlockView]:
        """The program, layer by layer."""
        bound: set[int] = set()
        return [self._block(block, bound) for block in self.program.blocks]

    def _block(self, block: Block, bound: set[int]) -> BlockView:
        self.prefix = block.name
        used: dict[int, Buffer] = {}
        for op in walk_ops(block.ops):
            for source in (*reads(op), *writes(op)):
                used.setdefault(id(source.buffer), source.buffer)
            if isinstance(op, Shift):
                used.setdefault(id(op.line), op.line)
        names = []
        for key, buffer in used.items():
            if key in self.attributes and key not in bound:
                bound.add(key)
                name = self.name(buffer)
                names.append((name, f"self.{name}"))
                if self.is_ring(buffer):
                    oldest = self.oldest(buffer)
                    names.append((oldest, f"self.{oldest}"))
        return BlockView(comment(block.title), tuple(names), self.ops(block.ops))

    def ops(self, ops: Sequence[Op]) -> tuple[View, ...]:
        """A view for each op."""
        return tuple(view for op in ops for view in self._op(op))

    def _op(self, op: Op) -> tuple[View, ...]:
        if isinstance(op, Loop):
            return (Repeat(op.counter, dims.text(op.count), self.ops(op.body)),)
        if isinstance(op, When):
            return (Once(op.after, self.ops(op.body)),)
        if isinstance(op, Affine):
            return (self._affine(op),)
        if isinstance(op, Elementwise):
            return (self._elementwise(op),)
        if isinstance(op, Reduce):
            return (self._reduce(op),)
        if isinstance(op, Softmax):
            function = self.file.use("log_softmax" if op.log else "softmax")
            return (self.into(op, op.out, f"{function}({self.part(op.x)})", ""),)
        if isinstance(op, Gather):
            return (self._gather(op),)
        assert isinstance(op, Shift), op
        return (self._shift(op),)

    def _note(self, text: str) -> str:
        return "\n# ".join(textwrap.wrap(text, LINE)) if self.notes else ""

    def _short(self, vec: Vec) -> str:
        """A vector in an equation, without the name of the layer."""
        name = vec.buffer.name
        if name.startswith(f"{self.prefix}_"):
            name = name[len(self.prefix) + 1 :]
        whole = self._is_whole(vec) or vec.buffer.kind == "const"
        return comment(name) if whole else f"{comment(name)}[...]"

    def _is_packed(self, op: Affine) -> bool:
        """Whether all that the product multiplies with is known when the file is made."""
        known = op.bias is None or is_fixed(column(op.bias))
        return known and bool(op.products) and all(is_fixed(mat) for mat, _ in op.products)

    def _affine(self, op: Affine) -> View:
        terms = [f"{self._short(m.buffer.vec())} @ {self._short(v)}" for m, v in op.products]
        terms += [] if op.bias is None else [self._short(op.bias)]
        note = self._note(f"{self._short(op.out)} = {' + '.join(terms)}")
        if note and any(self.file.derived.is_made(m.buffer) for m, _ in op.products):
            note += f"\n# {HALVED}"
        if not self._is_packed(op):
            return self._product(op, note)
        arguments = [self.file.matrix(op.products, op.bias, op.out.buffer.name)]
        arguments += [str(dims.fixed(op.out.size))] if self.file.small else []
        arguments += [self.part(vec) for _, vec in op.products]
        call = f"affine({', '.join(arguments)})"
        if len(call) + len(self.name(op.out.buffer)) > LINE:
            broken = "".join(f"    {argument},\n" for argument in arguments)
            call = f"affine(\n{broken})"
        return self.into(op, op.out, call, note)

    def _product(self, op: Affine, note: str) -> View:
        index, total, values, terms = self._index(), self.local("total"), [], []
        for number, (mat, vec) in enumerate(op.products):
            name = self.local("values" if number == 0 else f"values_{number + 1}")
            values.append((name, self.part(vec)))
            at = Vec(mat.buffer, mat.offset, mat.rows, mat.row_stride)
            place = self.element(at, index)[len(self.name(mat.buffer)) + 1 : -1]
            dot = self.file.help("dot")
            terms.append(
                f"{dot}({total}, {self.name(mat.buffer)}, {place}, {mat.column_stride}, {name})"
            )
        start = "0.0" if op.bias is None else self.element(op.bias, index)
        target = f"{self.element(op.out, index)} = {total}"
        lines = tuple(f"{total} = {term}" for term in terms)
        count = dims.text(op.out.size)
        return Product(note, tuple(values), index, count, f"{total} = {start}", lines, target)

    def _elementwise(self, op: Elementwise) -> View:
        source = copied(op)
        if source is not None:
            whole = op.stores[0][0]
            value = self.part(source)
            if self._makes(op, whole) and whole.buffer.kind in ("temp", "output"):
                value = f"list({value})"
            return self.into(op, whole, value, "")
        index = None if op.size == 1 else self._index()
        lines = [f"{self.local(name)} = {self.expression(e, index)}" for name, e in op.locals]
        # A value that a later store still reads is stored after all are known.
        delayed = []
        for number, (vec, node) in enumerate(op.stores):
            text, target = self.expression(node, index), self.element(vec, index)
            later = [v.buffer for _, e in op.stores[number + 1 :] for v in _vectors(e)]
            if any(buffer is vec.buffer for buffer in later):
                name = self.local(f"new_{_last_word(vec.buffer.name)}")
                lines.append(f"{name} = {text}")
                delayed.append(f"{target} = {name}")
            else:
                lines.append(f"{target} = {text}")
        return Each("", index, dims.text(op.size), (*lines, *delayed))

    def _reduce(self, op: Reduce) -> View:
        index, total = self._index(), self.local("total")
        counters = tuple((name, dims.text(count)) for name, count in op.counters)
        single = op.out.size == 1
        outer = PRODUCT if op.kind == "sum" else CONDITIONAL
        value = self.expression(op.value, None if single else index, outer)
        if op.kind == "sum":
            start, update = "0.0", f"{total} + {value}"
        else:
            start = "-INF" if op.kind == "max" else "INF"
            update = f"{op.kind}({total}, {value})"
            self.file.help("constants")
        return Fold(
            index,
            "" if single else dims.text(op.out.size),
            f"{total} = {start}",
            f"{total} = {update}",
            counters,
            f"{self.element(op.out, None if single else index)} = {total}",
        )

    def _gather(self, op: Gather) -> View:
        lookup, table = self.file.help("lookup"), self.file.lookup(op.table)
        index = self.element(op.index, None)
        rows = dims.fixed(op.table.rows)
        return self.into(op, op.out, f"{lookup}({table}, {rows}, {index})", "")

    def _shift(self, op: Shift) -> View:
        size, row = dims.text(op.line.size), dims.text(op.x.size)
        name, value = self.name(op.line), self.part(op.x)
        if not self.is_ring(op.line):
            self.file.help("store")
            return Store("", name, "0", value)
        oldest = self.oldest(op.line)
        self.file.help("store")
        return Append(name, oldest, f"self.{oldest}", value, row, size)


def copied(op: Elementwise) -> Vec | None:
    """The vector that the op copies as it is, where that is all it does."""
    if op.locals or len(op.stores) != 1:
        return None
    value = op.stores[0][1]
    if not isinstance(value, At) or value.vec.stride == 0 or value.vec.buffer.dtype == "int32":
        return None
    return value.vec if op.stores[0][0].stride == 1 and op.size == value.vec.size else None


def literal(value: float) -> tuple[str, int]:
    """A number and how tightly it binds."""
    if math.isnan(value):
        return "NAN", ATOM
    if math.isinf(value):
        return ("INF", ATOM) if value > 0 else ("-INF", SIGN)
    return repr(float(value)), ATOM if math.copysign(1.0, value) > 0 else SIGN


def _is_positive(node: Expr) -> bool:
    """Whether a divisor is above zero whatever the numbers are."""
    if isinstance(node, Number):
        return node.value != 0.0
    if isinstance(node, Binary) and node.operator == "+":
        for known, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(known, Number) and known.value > 0 and isinstance(other, Call):
                return other.function in ("abs", "exp", "sqrt", "sigmoid", "softplus")
    return False


def _vectors(node: Expr) -> list[Vec]:
    return [e.vec for e in walk(node) if isinstance(e, At)]


def _last_word(name: str) -> str:
    return name.rsplit("_", 1)[-1]


def states_of(programs: Iterable[Program]) -> list[State]:
    """The states of all programs, each once, in order."""
    found: dict[int, State] = {}
    for program in programs:
        for state in program.states:
            found.setdefault(id(state.buffer), state)
    return list(found.values())


def uses_infinity(programs: Iterable[Program]) -> bool:
    """Whether an expression holds an infinite number or NaN."""
    return any(
        isinstance(node, Number) and not math.isfinite(node.value)
        for program in programs
        for op in walk_ops(program.ops)
        for root in roots(op)
        for node in walk(root)
    )


def roots(op: Op) -> list[Expr]:
    """The expressions of an op."""
    if isinstance(op, Elementwise):
        return [e for _, e in op.locals] + [e for _, e in op.stores]
    return [op.value] if isinstance(op, Reduce) else []
