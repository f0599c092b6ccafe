"""Instructions as lines of Python.

A `Scope` knows how to write an operand at one place of the file: at the top of `predict` as the
text of a view, in a loop as a name bound before the loop or an index in it, and in `step` as a name
of a view that `__init__` made once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import At, Buffer, Count, Expr, Index, Mat, Number, Vec
from codegen.targets.numpy.elementwise import curve_of
from codegen.targets.numpy.instructions import (
    SHARES,
    After,
    Axes,
    Axis,
    Fold,
    Instruction,
    Lookup,
    Packed,
    Product,
    Repeat,
    Ufunc,
    is_whole,
    packed,
)
from codegen.targets.numpy.views import Base, Span, shape_text, view
from codegen.targets.spine.integers import Curve
from codegen.targets.spine.lines import indented
from codegen.text.names import Names
from codegen.text.numbers import number

FOLDS = {"sum": "add", "max": "maximum", "min": "minimum"}
NUMBERS = {0.0: "ZERO", 1.0: "ONE", 0.5: "HALF", 2.0: "TWO", -1.0: "MINUS_ONE"}
# A third positional argument of these is deprecated since NumPy 2.4.
BY_KEYWORD = ("minimum", "maximum")
METHODS = ("fixed", "limited")  # of integers: they count what is beyond a range
# What other functions of a file are made of.
MADE_OF = {"clip": ("minimum", "maximum"), "softmax": ("floor",)}


@dataclass
class Module:
    """What the methods of one file share: constants, packed matrices, functions in use."""

    dtype: str
    names: Names
    integers: bool = False  # numbers are integers, in float64
    arrays: dict[Buffer, str] = field(default_factory=dict)
    packed: dict[Packed, str] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)  # text that makes an array: its name
    used: set[str] = field(default_factory=set)  # NumPy functions and helpers
    curves: dict[str, Curve] = field(default_factory=dict)  # functions that tables stand for

    def constant(self, buffer: Buffer, behind: str = "") -> Base:
        """The array of a const buffer."""
        shape = buffer.shape or (buffer.size,)
        if buffer.parts:
            rows, columns = (dims.fixed(n) for n in shape)
            mat = Mat(buffer, 0, rows, columns, columns)
            name = self.matrix(packed(f"{buffer.name}_scaled", [(mat, 0)]))
            return Base(name, shape[: 1 if columns == 1 else 2], behind)
        if buffer not in self.arrays:
            self.arrays[buffer] = self.names(buffer.name.upper())
        return Base(self.arrays[buffer], shape, behind)

    def matrix(self, matrix: Packed) -> str:
        """The name of a packed matrix."""
        if matrix not in self.packed:
            for piece in matrix.pieces:
                self.constant(piece.mat.buffer)
            self.packed[matrix] = self.names(matrix.name.upper())
        return self.packed[matrix]

    def number(self, value: float) -> str:
        """The name of a number kept as an array, which NumPy takes faster than the number."""
        name = self.literal(value).replace("np.", "").replace("-", "MINUS_")
        made = f"np.array({self.literal(value)}, {self.use(self.dtype)})"
        return self.kept(NUMBERS.get(value, f"NUMBER_{name}"), made)

    def ones(self, count: int) -> str:
        """The name of a vector of ones: a product with it is a sum, in half of the time."""
        return self.kept(f"ONES_{count}", f"np.ones({count}, {self.use(self.dtype)})")

    def curve(self, vec: Vec, shift: int, mirror: int | None) -> None:
        """Note a function of integers that lies between the numbers of a table."""
        key = curve_of(vec, shift, mirror)
        if key not in self.curves:
            name = self.names(vec.buffer.name.removesuffix("_table") or vec.buffer.name)
            table = self.constant(vec.buffer).name
            self.curves[key] = Curve(name, table, dims.fixed(vec.size), shift, mirror)

    def kept(self, name: str, text: str) -> str:
        """The name of a small array."""
        if text not in self.numbers:
            self.numbers[text] = self.names(name)
        return self.numbers[text]

    def literal(self, value: float) -> str:
        """The number as text."""
        if math.isfinite(value):
            return number(value, self.dtype)
        return f"{'-' if value < 0 else ''}np.{'nan' if math.isnan(value) else 'inf'}"

    def use(self, function: str) -> str:
        """A NumPy function or a helper that the file must import or define."""
        self.used.update((function, *MADE_OF.get(function, ())))
        return function

    def kind(self, buffer: Buffer) -> str:
        """The type of the numbers of a buffer."""
        kind = {"float32": self.dtype, "single": "float32"}.get(buffer.dtype, buffer.dtype)
        return kind if kind == "bool" else self.use(kind)


class Scope:
    """The top of `predict`: operands are the text of views, scratch is made where it is used."""

    def __init__(self, module: Module, names: Names) -> None:
        self.module = module
        self.names = names
        self.bases: dict[Buffer, Base] = {}
        self.pending: list[str] = []  # lines that must stand before the next statement
        self.hints: dict[Vec, str] = {}  # names for vectors
        self.full_names: dict[Buffer, str] = {}  # of arrays that more than one block uses
        self.homes: dict[Buffer, tuple[Buffer, int]] = {}  # buffers that live in a row
        self.prefix = ""  # of the names in the block, which is left out
        self.reads: set[str] = set()  # lengths, counters and locals of the method that are read

    def base(self, buffer: Buffer) -> Base:
        """The array of a buffer."""
        if buffer not in self.bases:
            name = self.full_names.get(buffer) or self.names(self.short(buffer.name))
            self.bases[buffer] = Base(name, buffer.shape or (buffer.size,))
            self.made(f"{name} = {self.allocation(buffer)}")
        return self.bases[buffer]

    def made(self, line: str) -> None:
        """Note the line that makes an array."""
        self.pending.append(line)

    def new(self, vec: Vec, axes: Axes) -> str | None:
        """A name for the array if it is not made yet, and the vector is all of it."""
        if vec.buffer in self.bases or not is_whole(vec, axes):
            return None
        name = self.full_names.get(vec.buffer) or self.names(self.short(vec.buffer.name))
        self.bases[vec.buffer] = Base(name, (*(axis.count for axis in axes), vec.size))
        return name

    def base_inside(self, buffer: Buffer) -> Base:
        """The array of a buffer in the body of a loop."""
        return self.base(buffer)

    def read_inside(self, name: str) -> None:
        """Note that a length, a loop variable or a local is read in the body of a loop."""
        self.counter(name)

    def allocation(self, buffer: Buffer) -> str:
        """The text that makes the array of a buffer, or its place in a row."""
        shape = buffer.shape or (buffer.size,)
        if buffer in self.homes:
            row, start = self.homes[buffer]
            text = f"{self.base(row).name}[{start or ''}:{dims.text(start + buffer.size)}]"
            return text if len(shape) == 1 else f"{text}.reshape({self.shape(shape)})"
        function = "ones" if buffer.kind == "row" else "empty"  # what a bias is multiplied by
        kind = self.module.kind(buffer)
        return f"{self.module.use(function)}({self.shape(shape)}, {kind})"

    def shape(self, shape: Sequence[Dim]) -> str:
        """A shape before that of a batch."""
        self.note(*shape)
        return shape_text(shape, self.use("lead"))

    def text(self, source: Vec | Mat, axes: Axes = (), bare: bool = False) -> str:
        """The view of a vector (or a matrix, as two more axes) along the axes.

        A `bare` constant has no axis for a batch.
        """
        if source.buffer.kind == "const":
            base = self.module.constant(source.buffer, "" if bare else "unit")
        else:
            base = self.base(source.buffer)
        offset = source.offset
        spans: list[Span] = []
        for axis in axes:
            spans.append((axis.count, dims.slope(offset, axis.counter)))
            offset = dims.substitute(offset, {axis.counter: 0})
        if isinstance(source, Mat):
            spans += [(source.rows, source.row_stride), (source.columns, source.column_stride)]
        else:
            spans.append((source.size, source.stride))
        self.note(offset, *(n for span in spans for n in span))
        text = view(base, offset, spans, self.use)
        # NumPy takes an array without axes faster than one of length 1.
        return f"{text}[0, ...]" if spans[-1][1] == 0 and not axes else text

    def use(self, name: str) -> str:
        """A helper, or a local of the method."""
        if name in ("lead", "unit"):
            self.counter(name)
            return name
        return self.module.use(name)

    def note(self, *lengths: Dim) -> None:
        """Note that these are read."""
        for dim in lengths:
            for symbol in sorted(dims.symbols(dim)):
                self.counter(symbol)

    def get(self, source: Vec | Mat, axes: Axes = (), bare: bool = False) -> str:
        """The operand as it is written here."""
        return self.text(source, axes, bare)

    def bind(self, hint: str, text: str) -> str:
        """A name for text that stays the same while this scope runs."""
        if text.isidentifier():
            return text
        name = self.names(self.short(hint))
        self.pending.append(f"{name} = {text}")
        return name

    def number(self, value: float) -> str:
        """A number as an operand."""
        return self.module.literal(value)

    def counter(self, name: str) -> None:
        """Note that a length, a loop variable or a local of the method is read."""
        self.reads.add(name)

    def numbers(self, count: Dim, behind: int = 0) -> str:
        """The numbers from 0 on along an axis with so many axes behind it, and those of a batch."""
        self.note(count)
        shape = shape_text((-1, *(1 for _ in range(behind))), self.use("unit"))
        kind = self.module.use(self.module.dtype)
        return f"{self.module.use('arange')}({dims.text(count)}, dtype={kind}).reshape({shape})"

    def count(self, dim: Dim, axes: Axes) -> str:
        """A length or a counter as an operand: a number, or an array along the counter's axis."""
        read = dims.symbols(dim)
        known = {
            axis.counter: self.numbers(axis.count, len(axes) - n)
            for n, axis in enumerate(axes)
            if axis.counter in read
        }
        self.note(*(dims.symbol(name) for name in sorted(read - set(known))))
        text = dims.text(dim, call="np.{}imum({}, {})", known=known)
        return text if text.isidentifier() or isinstance(dim, int) else f"({text})"

    def hint_of(self, source: Vec | Mat) -> str:
        """A name for a view: that of the value it holds, or of its array."""
        if isinstance(source, Vec) and source.stride == 0:
            return f"{self.short(source.buffer.name)}_value"
        found = self.hints.get(source) if isinstance(source, Vec) else None
        return found or self._from_to(source) or self.short(source.buffer.name)

    def _from_to(self, source: Vec | Mat) -> str:
        """A name for neighbours: those of the first and the last value that it holds."""
        if isinstance(source, Mat) or source.size == source.buffer.size:
            return ""
        own = [(v, name) for v, name in self.hints.items() if v.buffer is source.buffer]
        end = source.offset + source.size
        first = [name for v, name in own if v.offset == source.offset]
        last = [name for v, name in own if v.offset + v.size == end]
        return f"{first[0]}_to_{last[0]}" if first and last else ""

    def short(self, name: str) -> str:
        """A name without that of the block in front."""
        return name[len(self.prefix) + 1 :] if name.startswith(f"{self.prefix}_") else name

    def operand(self, node: Expr, axes: Axes, size: Dim) -> str:
        """An At, Number, Count or Index."""
        match node:
            case At(vec):
                while axes and dims.slope(vec.offset, axes[0].counter) == 0:
                    axes = axes[1:]  # NumPy repeats what has fewer axes
                return self.get(vec, axes)
            case Number(value):
                return self.number(value)
            case Count(dim):
                text = self.count(dim, axes)
                return text if isinstance(dim, int) else self.once("position", text)
        assert isinstance(node, Index), node
        return self.once("index", self.numbers(size))

    def once(self, hint: str, text: str) -> str:
        """What always has the same value, computed once if that is possible."""
        return text

    def take(self) -> list[str]:
        """The lines that must stand before the next statement."""
        lines, self.pending = self.pending, []
        return lines


class StepScope(Scope):
    """A block of `step`: views are made in `__init__` and handed over in a tuple of the block."""

    def __init__(self, module: Module, names: Names, init: Names) -> None:
        super().__init__(module, names)
        self.init = init  # names of the locals of __init__
        self.setup: list[str] = []  # lines of __init__
        self.kept: dict[str, str] = {}  # expression in __init__: name in step
        self.locals: set[str] = set()  # `lead` or `unit`, if step itself reads them

    def base(self, buffer: Buffer) -> Base:
        """Arrays are made in __init__."""
        if buffer not in self.bases:
            self.full_names[buffer] = self.init(buffer.name)
        return super().base(buffer)

    def made(self, line: str) -> None:
        """Note the line of __init__."""
        self.setup.append(line)

    def new(self, vec: Vec, axes: Axes) -> str | None:
        """Arrays are made in __init__."""
        return None

    def base_inside(self, buffer: Buffer) -> Base:
        """Handed over like a view."""
        base = self.base(buffer)
        return replace(base, name=self.bind(buffer.name, base.name))

    def read_inside(self, name: str) -> None:
        """A local of step."""
        self.locals.add(name)

    def get(self, source: Vec | Mat, axes: Axes = (), bare: bool = False) -> str:
        """A name for the view."""
        text = self.text(source, axes, bare)
        if source.buffer.kind == "const" and text.isidentifier():
            return text
        return self.bind(self.hint_of(source), text)

    def bind(self, hint: str, text: str) -> str:
        """A name for what __init__ makes once."""
        if text not in self.kept:
            self.kept[text] = self.names(self.short(hint))
        return self.kept[text]

    def once(self, hint: str, text: str) -> str:
        """In __init__."""
        return self.bind(hint, text)

    def number(self, value: float) -> str:
        """Numbers are arrays without axes here."""
        return self.module.number(value)


class LoopScope(Scope):
    """The body of a Python loop."""

    def __init__(self, parent: Scope, counter: str) -> None:
        super().__init__(parent.module, parent.names)
        self.parent = parent
        self.variable = counter
        self.known: dict[str, str] = {}
        self.hints, self.prefix, self.full_names = parent.hints, parent.prefix, parent.full_names
        self.homes = parent.homes

    def _moves(self, *lengths: Dim) -> bool:
        return any(self.variable in dims.symbols(n) for n in lengths)

    def base(self, buffer: Buffer) -> Base:
        """Arrays are made outside unless their size changes with the counter."""
        moves = self._moves(*(buffer.shape or (buffer.size,)))
        return super().base(buffer) if moves else self.parent.base_inside(buffer)

    def new(self, vec: Vec, axes: Axes) -> str | None:
        """Arrays are made outside."""
        return None

    def get(self, source: Vec | Mat, axes: Axes = (), bare: bool = False) -> str:
        """A name bound before the loop, or an index in it."""
        sizes = (source.rows, source.columns) if isinstance(source, Mat) else (source.size,)
        shape = source.buffer.shape or (source.buffer.size,)
        if self._moves(source.offset, *sizes, *(axis.count for axis in axes), *shape):
            return self.text(source, axes, bare)
        return self._outer(self.hint_of(source), self.parent.get(source, axes, bare))

    def _outer(self, hint: str, text: str) -> str:
        if text.isidentifier():
            return text
        if text not in self.known:
            self.known[text] = self.parent.bind(hint, text)
        return self.known[text]

    def number(self, value: float) -> str:
        """Numbers are arrays without axes here."""
        return self.module.number(value)

    def counter(self, name: str) -> None:
        """Ask for the loop variable where it is this loop's."""
        if name == self.variable:
            self.reads.add(name)
        else:
            self.parent.read_inside(name)


# ---- lines ---------------------------------------------------------------------------------


def lines_of(instructions: Iterable[Instruction], scope: Scope) -> Iterator[str]:
    """The statements of the instructions in order."""
    for instruction in instructions:
        statement = [*_statement(instruction, scope)]
        yield from scope.take()
        yield from statement


def _statement(instruction: Instruction, scope: Scope) -> Iterator[str]:
    match instruction:
        case Ufunc():
            yield from _ufunc(instruction, scope)
        case Fold():
            yield _fold(instruction, scope)
        case Product():
            yield _product(instruction, scope)
        case Lookup():
            yield _lookup(instruction, scope)
        case After(after, body):
            yield f"if self.seen >= {after}:"
            yield from indented([*lines_of(body, scope)], "    ")
        case Repeat(counter, count, body):
            inner = LoopScope(scope, counter)
            lines = [*lines_of(body, inner)]
            scope.note(count)
            variable = counter if counter in inner.reads else "_"
            yield f"for {variable} in range({dims.text(count)}):"
            yield from indented(lines, "    ")


def _assign(out: str, value: str) -> str:
    target = out if out.endswith("]") else f"{out}[...]"
    return f"{target} = {value}"


def _ufunc(op: Ufunc, scope: Scope) -> Iterator[str]:
    operands = [scope.operand(o, op.axes, op.out.size) for o in op.operands]
    out = scope.get(op.out, op.axes)
    if op.function == "copy":
        yield _assign(out, operands[0])
    elif op.function == "choose":
        condition, yes, no = operands
        copy = scope.module.use("copyto")
        if no != out:
            yield f"{copy}({out}, {no})"
        yield f"{copy}({out}, {yes}, where={condition})"
    elif op.function in METHODS:
        yield f"self.{scope.module.use(op.function)}({', '.join([*operands, out])})"
    elif op.function in scope.module.curves:
        yield f"{scope.module.curves[op.function].name}({operands[0]}, {out})"
    elif op.function.startswith(SHARES):
        exp = scope.module.curves[op.function[len(SHARES) :]].name
        yield f"{scope.module.use('softmax')}({operands[0]}, {len(op.axes)}, {exp}, {out})"
    else:
        target = f"out={out}" if op.function in BY_KEYWORD else out
        yield f"{scope.module.use(op.function)}({', '.join([*operands, target])})"


def _fold(op: Fold, scope: Scope) -> str:
    first = len(op.axes)
    function = f"{scope.module.use(FOLDS[op.kind])}.reduce"
    operand = scope.get(op.operand, (*op.axes, *op.over))
    if op.over:
        axes = [str(first + k) for k in range(len(op.over))]
        axis = axes[0] if len(axes) == 1 else f"({', '.join(axes)})"
        return f"{function}({operand}, {axis}, None, {scope.get(op.out, op.axes)})"
    if op.kind == "sum" and not op.axes and isinstance(op.operand.size, int):
        total = scope.get(op.out.every(op.operand.size))
        return f"{scope.module.ones(op.operand.size)}.dot({operand}, {total})"
    return f"{function}({operand}, {first}, None, {scope.get(op.out, op.axes)}, True)"


def _matrix(op: Product, scope: Scope) -> str:
    if isinstance(op.matrix, Packed):
        return scope.module.matrix(op.matrix)
    return scope.get(op.matrix, bare=True)


def _product(op: Product, scope: Scope) -> str:
    out_axes = op.axes
    if not op.fixed:
        product, out_axes = _product_of_rows(op, scope)
    elif not op.axes:
        product = f"{_matrix(op, scope)}.dot({scope.get(op.x)}"
        if not op.add and op.out.stride == 1 and op.x.buffer.kind != "const":
            return f"{product}, {scope.get(op.out)})"
        product = f"{product})"
    else:
        helper = scope.module.use("product")
        product = f"{helper}({_matrix(op, scope)}, {scope.get(op.x, op.axes)}, {len(op.axes)})"
        if not op.add and all(_moves(op.x, axis) for axis in op.axes):
            name = None if op.x.buffer.kind == "const" else scope.new(op.out, op.axes)
            if name:
                return f"{name} = {product}"
    out = scope.get(op.out, out_axes)
    if op.add:
        return f"{scope.module.use('add')}({out}, {product}, {out})"
    return _assign(out, product)


def _product_of_rows(op: Product, scope: Scope) -> tuple[str, Axes]:
    """The products of the rows of one matrix with those of another, and the axes that they have."""
    assert isinstance(op.matrix, Mat)
    axes = op.axes
    last = axes[-1] if axes else None
    if not (last and op.x.stride != 0 and _moves(op.x, last) and not _moves(op.matrix, last)):
        axes = (*axes, Axis("", 1))  # one row
    x, matrix = scope.get(op.x, axes), scope.get(op.matrix, axes[:-1])
    return f"{scope.module.use('product_of_rows')}({x}, {matrix}, {len(axes)})", axes


def _moves(source: Vec | Mat, axis: Axis) -> bool:
    return dims.slope(source.offset, axis.counter) != 0


def _lookup(op: Lookup, scope: Scope) -> str:
    index = f"{scope.get(op.index, op.axes)}[{':, ' * len(op.axes)}0]"
    if op.index.buffer.dtype != "int32":
        index = f"{index}.astype({scope.module.use('int32')})"
    rows = f"{scope.get(op.table, bare=True)}[{index}]"
    rows = f"np.moveaxis({rows}, -1, {len(op.axes)})" if op.axes else f"{rows}.T"
    return _assign(scope.get(op.out, op.axes), rows)
