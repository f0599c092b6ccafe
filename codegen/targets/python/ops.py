"""The ops of one program as views, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from codegen.passes.fold_gates import NOTE, Halved, is_halved
from codegen.program import dims
from codegen.program.derived import column, is_int8
from codegen.program.ops import (
    Affine,
    At,
    Block,
    Buffer,
    Elementwise,
    Gather,
    Loop,
    Mat,
    Number,
    Op,
    Program,
    Reduce,
    Shift,
    Softmax,
    Vec,
    When,
    reads,
    roots,
    walk,
    walk_ops,
    writes,
)
from codegen.targets.python.expressions import KEEPS_NAN, Expressions
from codegen.targets.python.file import File
from codegen.targets.python.views import (
    Append,
    Assign,
    BlockView,
    Each,
    Fold,
    Once,
    Product,
    Repeat,
    Store,
    View,
)
from codegen.targets.spine.expressions import CONDITIONAL, PRODUCT
from codegen.text.names import comment


class Printer(Expressions):
    """The body of a method.

    `kept` says that scratch belongs to the object, so that a step allocates nothing that stays.
    """

    def __init__(self, file: File, program: Program, kept: bool, notes: bool) -> None:
        super().__init__(file, program)
        self.notes = notes
        self.halved = Halved(program)
        self.prefix = ""  # the name of the layer
        self.attributes = dict.fromkeys(s.buffer for s in program.states)
        self.fresh: list[Buffer] = []  # lists made at the start of the method
        filled: set[Buffer] = set()
        for op in walk_ops(program.ops):
            for vec in writes(op):
                buffer = vec.buffer
                if buffer.kind in ("temp", "output") and buffer not in filled:
                    filled.add(buffer)
                    if self._makes(op, vec):
                        continue
                    if kept and buffer.kind == "temp":
                        self.attributes[buffer] = None
                    else:
                        self.fresh.append(buffer)
        self.kept = [b for b in self.attributes if b.kind == "temp"]
        for port in program.outputs:  # an output that nothing writes has no elements
            if port.buffer not in filled:
                self.fresh.append(port.buffer)

    def blocks(self) -> list[BlockView]:
        """The program, layer by layer."""
        bound: set[Buffer] = set()
        return [self._block(block, bound) for block in self.program.blocks]

    def _block(self, block: Block, bound: set[Buffer]) -> BlockView:
        self.prefix = block.name
        used: dict[Buffer, None] = {}
        for op in walk_ops(block.ops):
            for source in (*reads(op), *writes(op)):
                used.setdefault(source.buffer)
            if isinstance(op, Shift):
                used.setdefault(op.line)
        names = []
        for buffer in used:
            if buffer in self.attributes and buffer not in bound:
                bound.add(buffer)
                name = self.name(buffer)
                names.append((name, f"self.{name}"))
                if self.is_ring(buffer):
                    oldest = self.oldest(buffer)
                    names.append((oldest, f"self.{oldest}"))
        return BlockView(comment(block.title, 88), tuple(names), self.ops(block.ops))

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
            return (self.into(op, op.out, self.shares(op), ""),)
        if isinstance(op, Gather):
            return (self.into(op, op.out, self.looked_up(op), ""),)
        assert isinstance(op, Shift), op
        return (self._shift(op),)

    def _note(self, text: str) -> str:
        return text if self.notes else ""

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
        if note and is_halved(op):
            note += f"\n# {NOTE}"
        if not self._is_packed(op):
            return self._product(op, note)
        return self.into(op, op.out, self.packed(op), note)

    def packed(self, op: Affine) -> str:
        """A call for a product with what is known when the file is made."""
        arguments = [self.file.matrix(op.products, op.bias, op.out.buffer.name)]
        arguments += [str(dims.fixed(op.out.size))] if self.file.small else []
        arguments += [self.part(vec) for _, vec in op.products]
        is_small = self.file.small and is_int8(op.products[0][0])
        function = "affine_int8" if is_small else "affine"
        return f"{function}({', '.join(arguments)})"

    def shares(self, op: Softmax) -> str:
        """A call for a softmax."""
        function = self.file.use("log_softmax" if op.log else "softmax")
        return f"{function}({self.part(op.x)})"

    def looked_up(self, op: Gather) -> str:
        """A call for a row of a table."""
        lookup, table = self.file.help("lookup"), self.file.lookup(op.table)
        return f"{lookup}({table}, {dims.fixed(op.table.rows)}, {self.element(op.index, '')})"

    def copy(self, value: str) -> str:
        """A new list of what is in one."""
        return f"list({value})"

    def _product(self, op: Affine, note: str) -> View:
        index, total, values, terms = self._index(), self.local("total"), [], []
        for number, (mat, vec) in enumerate(op.products):
            name = self.local("values" if number == 0 else f"values_{number + 1}")
            values.append((name, self.part(vec)))
            at = Vec(mat.buffer, mat.offset, mat.rows, mat.row_stride)
            place = self.place(at, index)
            dot = self.file.help("dot")
            rest = f"{self.name(mat.buffer)}, {place}, {mat.column_stride}, {name})"
            terms.append(self.term(op, number, f"{dot}(", rest, index))
        start = self.number(0.0) if op.bias is None else self.element(op.bias, index)
        target = f"{self.element(op.out, index)} = {total}"
        lines = tuple(f"{total} = {term}" for term in terms)
        count = dims.text(op.out.size)
        return Product(note, tuple(values), index, count, f"{total} = {start}", lines, target)

    def term(self, op: Affine, number: int, dot: str, rest: str, index: str) -> str:
        """The total with one product of a row: a call of `dot` that takes a total and the rest."""
        return f"{dot}{self.local('total')}, {rest}"

    def _elementwise(self, op: Elementwise) -> View:
        source = self.copied(op)
        if source is not None:
            whole = op.stores[0][0]
            value = self.part(source)
            if self._makes(op, whole) and whole.buffer.kind in ("temp", "output"):
                value = self.copy(value)
            return self.into(op, whole, value, "")
        index = "" if op.size == 1 else self._index()
        lines = [
            f"{self.local(name)} = {self.expression(e, index)}"
            + ("  # sigmoid" if self.notes and self.halved.read_by(e) else "")
            for name, e in op.locals
        ]
        lines += self.stored(op, index)
        return Each("", index, dims.text(op.size), tuple(lines))

    def _reduce(self, op: Reduce) -> View:
        index, total = self._index(), self.local("total")
        counters = tuple((name, dims.text(count)) for name, count in op.counters)
        single = op.out.size == 1
        own = "" if single else index
        outer = PRODUCT if op.kind == "sum" else CONDITIONAL
        value = self.expression(op.value, own, outer)
        if op.kind == "sum":
            start, update = self.number(0.0), f"{total} + {value}"
        else:
            start, function = self.extreme(op.kind)
            update = f"{function}({total}, {value})"
        return Fold(
            index,
            "" if single else dims.text(op.out.size),
            f"{total} = {start}",
            f"{total} = {update}",
            counters,
            f"{self.element(op.out, '' if single else index)} = {total}",
        )

    def extreme(self, kind: str) -> tuple[str, str]:
        """What a maximum or a minimum starts from, and the function of two."""
        self.file.help("constants")
        return "-INF" if kind == "max" else "INF", self.file.use(KEEPS_NAN[kind])

    def _shift(self, op: Shift) -> View:
        size, row = dims.text(op.line.size), dims.text(op.x.size)
        name, value = self.name(op.line), self.part(op.x)
        if not self.is_ring(op.line):
            self.file.help("store")
            return Store("", name, "0", value)
        oldest = self.oldest(op.line)
        self.file.help("store")
        return Append(name, oldest, f"self.{oldest}", value, row, size)

    def _makes(self, op: Op, vec: Vec) -> bool:
        """Whether the op gives the whole buffer as a new list."""
        if not self._is_whole(vec):
            return False
        if isinstance(op, Affine):
            return self._is_packed(op)
        if isinstance(op, Elementwise):
            return self.copied(op) is not None
        return isinstance(op, (Softmax, Gather))

    def copied(self, op: Elementwise) -> Vec | None:
        """The vector that the op copies as it is, where that is all it does."""
        if op.locals or len(op.stores) != 1:
            return None
        value = op.stores[0][1]
        if not isinstance(value, At) or value.vec.stride == 0:
            return None
        if value.vec.buffer.dtype == "int32" and not self.integers:
            return None
        return value.vec if op.stores[0][0].stride == 1 and op.size == value.vec.size else None

    def into(self, op: Op, vec: Vec, value: str, note: str) -> View:
        """A list put where it belongs: a new list where it makes up the whole buffer."""
        buffer = vec.buffer
        if self._makes(op, vec) and buffer.kind in ("temp", "output"):
            return Assign(note, self.name(buffer), value)
        if vec.stride != 1:
            index = self._index()
            sums = self.local("sums")
            target = self.element(vec, index)
            body = Each("", index, dims.text(vec.size), (f"{target} = {sums}[{index}]",))
            return Repeat("", "", (Assign(note, sums, value), body))
        self.file.help("store")
        return Store(note, self.name(buffer), self.start(vec), value)


def is_fixed(mat: Mat) -> bool:
    """Whether all elements of the matrix are known when the file is made."""
    where = (mat.offset, mat.rows, mat.columns)
    return mat.buffer.kind == "const" and all(isinstance(n, int) for n in where)


def uses_infinity(programs: Iterable[Program]) -> bool:
    """Whether an expression holds an infinite number or NaN."""
    return any(
        isinstance(node, Number) and not math.isfinite(node.value)
        for program in programs
        for op in walk_ops(program.ops)
        for root in roots(op)
        for node in walk(root)
    )
