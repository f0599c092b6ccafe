"""Instructions as lines of Python.

A `Scope` knows how to write an operand at one place of the file: at the top of `predict` as the
text of a view, in a loop as a name bound before the loop or by it, and in `step` as a name of a
view that `__init__` made once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import At, Buffer, Count, Expr, Index, Mat, Number, Vec
from codegen.targets.numpy.instructions import (
    After,
    Axes,
    Axis,
    Dot,
    Fold,
    Instruction,
    MatMul,
    Packed,
    Repeat,
    Rows,
    Ufunc,
    is_full,
)
from codegen.targets.numpy.views import Base, Span, shape_text, view
from codegen.text.names import Names
from codegen.text.numbers import number
from codegen.text.words import PYTHON_WORDS

FOLDS = {"sum": "add", "max": "maximum", "min": "minimum"}
NUMBERS = {0.0: "ZERO", 1.0: "ONE", 0.5: "HALF", 2.0: "TWO", -1.0: "MINUS_ONE"}
# A third positional argument of these is deprecated since NumPy 2.4.
BY_KEYWORD = ("minimum", "maximum")
WIDTH = 100


@dataclass
class Module:
    """What the methods of one file share: constants, packed matrices, functions in use."""

    dtype: str
    names: Names
    arrays: dict[Buffer, str] = field(default_factory=dict)
    packed: dict[Packed, str] = field(default_factory=dict)
    numbers: dict[float, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)  # NumPy functions and helpers
    composed: dict[Buffer, str] = field(default_factory=dict)  # of other constants

    def constant(self, buffer: Buffer) -> Base:
        """The array of a const buffer."""
        if buffer.parts:
            if buffer not in self.composed:
                self.composed[buffer] = self.names(f"{buffer.name.upper()}_SCALED")
            shape = buffer.shape if buffer.shape[1] != 1 else buffer.shape[:1]
            return Base(self.composed[buffer], shape, has_lead=False)
        if buffer not in self.arrays:
            self.arrays[buffer] = self.names(buffer.name.upper())
        return Base(self.arrays[buffer], buffer.shape or (buffer.size,), has_lead=False)

    def matrix(self, packed: Packed) -> str:
        """The name of a packed matrix."""
        if packed not in self.packed:
            for piece in packed.pieces:
                self.constant(piece.mat.buffer)
            stem = packed.name.upper()
            self.packed[packed] = self.names(stem if packed.notes else f"{stem}_T")
        return self.packed[packed]

    def number(self, value: float) -> str:
        """The name of a number kept as an array, which NumPy takes faster than the number."""
        if value not in self.numbers:
            text = self.literal(value).replace("np.", "").replace("-", "MINUS_")
            self.numbers[value] = self.names(NUMBERS.get(value, f"NUMBER_{text}"))
        return self.numbers[value]

    def literal(self, value: float) -> str:
        """The number as text."""
        if math.isnan(value):
            return "np.nan"
        if value in (float("inf"), float("-inf")):
            return "np.inf" if value > 0 else "-np.inf"
        return number(value, self.dtype)

    def use(self, function: str) -> str:
        """A NumPy function or a helper that the file must import or define."""
        self.used.add(function)
        return function


class Scope:
    """The top of `predict`: operands are the text of views, scratch is made where it is used."""

    def __init__(self, module: Module, names: Names) -> None:
        self.module = module
        self.names = names
        self.bases: dict[Buffer, Base] = {}
        self.pending: list[str] = []  # lines that must stand before the next statement
        self.hints: dict[Vec, str] = {}  # names for vectors
        self.full_names: dict[Buffer, str] = {}  # of arrays that more than one block uses
        self.homes: dict[Buffer, tuple[Buffer, int]] = {}  # buffers that lie inside a window
        self.prefix = ""  # of the names in the block, which is left out
        self.reads_axis = False  # whether the number of leading axes is asked for

    def base(self, buffer: Buffer) -> Base:
        """The array of a buffer."""
        if buffer.kind == "const":
            return self.module.constant(buffer)
        if buffer not in self.bases:
            self.bases[buffer] = self.make(buffer)
        return self.bases[buffer]

    def make(self, buffer: Buffer) -> Base:
        """Make scratch."""
        name = self.full_names.get(buffer) or self.names(self.short(buffer.name))
        base = Base(name, buffer.shape or (buffer.size,))
        text = self.allocation(buffer, base)
        self.pending.append(f"{base.name} = {text}")
        return base

    def allocation(self, buffer: Buffer, base: Base) -> str:
        """The text that makes the array of a buffer, or its place in a window."""
        if buffer in self.homes:
            window, start = self.homes[buffer]
            stop = dims.text(start + buffer.size)
            text = f"{self.base(window).name}[..., {start}:{stop}]"
            return text if len(base.shape) == 1 else f"{text}.reshape({shape_text(base.shape)})"
        dtype = {"float32": self.module.dtype}.get(buffer.dtype, buffer.dtype)
        if buffer.kind == "window":  # its last element stays 1: what the bias is multiplied by
            return f"{self.module.use('ones')}({shape_text(base.shape)}, {self.module.use(dtype)})"
        kind = dtype if dtype == "bool" else self.module.use(dtype)
        return f"{self.module.use('empty')}({shape_text(base.shape)}, {kind})"

    def text(self, source: Vec | Mat, axes: Axes) -> str:
        """The view of a vector (or a matrix, as two more axes) along the axes."""
        base = self.base(source.buffer)
        offset = source.offset
        spans: list[Span] = []
        for axis in axes:
            slope = dims.slope(offset, axis.counter)
            spans.append((axis.count, slope))
            offset = dims.substitute(offset, {axis.counter: 0})
        if isinstance(source, Mat):
            spans += [
                (source.rows, source.row_stride),
                (source.columns, source.column_stride),
            ]
        else:
            count = 1 if source.stride == 0 else source.size
            spans.append((count, source.stride or 1))
        for dim in (offset, *(n for span in spans for n in span)):
            for symbol in sorted(dims.symbols(dim)):
                self.counter(symbol)
        return view(base, offset, spans, self.module.use)

    def get(self, source: Vec | Mat, axes: Axes, hint: str = "") -> str:
        """The operand as it is written here; `hint` is a name for it."""
        return self.text(source, axes)

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
        """Note that a loop variable is read."""

    def axis(self) -> str:
        """The axis after the leading ones."""
        self.reads_axis = True
        return "axis"

    def count(self, dim: Dim, axes: Axes) -> str:
        """A length or a counter as an operand."""
        return self.count_text(dim, axes)

    def count_text(self, dim: Dim, axes: Axes) -> str:
        """A number, or an array along the axis of the counter."""
        known: dict[str, Dim] = {}
        texts: dict[str, str] = {}
        for n, axis in enumerate(axes):
            if axis.counter in dims.symbols(dim):
                place = f"\0{n}\0"
                known[axis.counter] = dims.symbol(place)
                units = ", ".join("None" for _ in axes[n:])
                texts[place] = f"{self._range(axis.count)}[:, {units}]"
        for symbol in sorted(dims.symbols(dim) - set(known)):
            self.counter(symbol)
        text = dims.text(dims.substitute(dim, known), call="np.{}imum({}, {})")
        for place, array in texts.items():
            text = text.replace(place, array)
        return text if text.isidentifier() or isinstance(dim, int) else f"({text})"

    def index(self, size: Dim) -> str:
        """The numbers of the elements as an operand."""
        return self._range(size)

    def _range(self, count: Dim) -> str:
        dtype = self.module.use(self.module.dtype)
        return f"{self.module.use('arange')}({dims.text(count)}, dtype={dtype})"

    def hint_of(self, source: Vec | Mat) -> str:
        """A name for a view: that of the value it holds, or of its array."""
        found = self.hints.get(source) if isinstance(source, Vec) else None
        return found or self.short(source.buffer.name)

    def short(self, name: str) -> str:
        """A name without that of the block in front."""
        return name[len(self.prefix) + 1 :] if name.startswith(f"{self.prefix}_") else name

    def operand(self, node: Expr, axes: Axes, size: Dim) -> str:
        """An At, Number, Count or Index."""
        if isinstance(node, At):
            return self.get(node.vec, axes)
        if isinstance(node, Number):
            return self.number(node.value)
        if isinstance(node, Index):
            return self.index(size)
        assert isinstance(node, Count), node
        return self.count(node.dim, axes)

    def is_whole(self, vec: Vec, axes: Axes) -> bool:
        """Whether the vector with its axes is all of a contiguous array, in order."""
        # A part of a window, as a state may be, has gaps where there is a leading axis.
        if vec.buffer.kind == "state" or vec.buffer in self.homes:
            return False
        if vec.stride != 1 or not is_full(vec, axes, vec.size):
            return False
        extent: Dim = vec.size
        offset = vec.offset
        for axis in reversed(axes):
            if dims.slope(offset, axis.counter) != extent:
                return False
            offset = dims.substitute(offset, {axis.counter: 0})
            extent = extent * axis.count
        return offset == 0 and extent == vec.buffer.size

    def take(self) -> list[str]:
        """The lines that must stand before the next statement."""
        lines, self.pending = self.pending, []
        return lines


class StepScope(Scope):
    """A block of `step`: views are made in `__init__` and handed over in a tuple of the block."""

    def __init__(
        self,
        module: Module,
        init: Names,
        reserved: Sequence[str],
        bases: dict[Buffer, Base],
        prefix: str,
    ) -> None:
        super().__init__(module, Names(PYTHON_WORDS, reserved))
        self.init = init  # names of the locals of __init__
        self.bases = bases
        self.prefix = prefix
        self.setup: list[str] = []  # lines of __init__
        self.scratch: list[Buffer] = []  # what those lines make
        self.kept: dict[str, str] = {}  # expression in __init__: name in step

    def make(self, buffer: Buffer) -> Base:
        """Make scratch in __init__."""
        base = Base(self.init(buffer.name), buffer.shape or (buffer.size,))
        text = self.allocation(buffer, base)
        if buffer not in self.homes:
            self.scratch.append(buffer)
        self.setup.append(f"{base.name} = {text}")
        return base

    def get(self, source: Vec | Mat, axes: Axes, hint: str = "") -> str:
        """A name for the view."""
        text = self.text(source, axes)
        if source.buffer.kind == "const" and text.isidentifier():
            return text
        hint = hint or self.hint_of(source)
        if isinstance(source, Vec) and source.stride == 0 and source.size != 1 and not axes:
            # NumPy takes an array without axes faster than one of length 1.
            shape = "()" if source.buffer.kind == "const" else "lead + (1,) * len(lead)"
            return self.bind(f"{hint}_scalar", f"{text}.reshape({shape})")
        return self.bind(hint, text)

    def bind(self, hint: str, text: str) -> str:
        """A name for what __init__ makes once."""
        if text not in self.kept:
            self.kept[text] = self.names(self.short(hint))
        return self.kept[text]

    def number(self, value: float) -> str:
        """Numbers are arrays without axes here."""
        return self.module.number(value)

    def count(self, dim: Dim, axes: Axes) -> str:
        """Positions are made once."""
        text = self.count_text(dim, axes)
        return text if isinstance(dim, int) else self.bind("position", text)

    def index(self, size: Dim) -> str:
        """Made once."""
        return self.bind("index", self._range(size))


class LoopScope(Scope):
    """The body of a Python loop."""

    def __init__(self, parent: Scope, counter: str, count: Dim) -> None:
        super().__init__(parent.module, parent.names)
        self.parent = parent
        self.variable = counter
        self.length = count
        self.known: dict[str, str] = {}
        self.rows: dict[str, str] = {}  # a name for each pass: what it runs over
        self.reads_counter = False
        self.hints = parent.hints
        self.prefix = parent.prefix

    def _moves(self, *lengths: Dim) -> bool:
        return any(self.variable in dims.symbols(n) for n in lengths)

    def base(self, buffer: Buffer) -> Base:
        """Arrays are made outside unless their size changes with the counter."""
        if buffer.kind == "const" or not self._moves(*(buffer.shape or (buffer.size,))):
            return self.parent.base(buffer)
        return super().base(buffer)

    def get(self, source: Vec | Mat, axes: Axes, hint: str = "") -> str:
        """A name bound before the loop, by the loop, or at the start of the body."""
        sizes = (source.rows, source.columns) if isinstance(source, Mat) else (source.size,)
        shape = source.buffer.shape or (source.buffer.size,)
        local = self._moves(*sizes, *(a.count for a in axes), *shape)
        hint = hint or self.hint_of(source)
        if not local and not self._moves(source.offset):
            return self._outer(hint, self.parent.get(source, axes, hint))
        if not local and _is_plain(source.offset, self.variable):
            across = (Axis(self.variable, self.length), *axes)
            whole = self.parent.get(source, across, f"{hint}_rows")
            if source.buffer.kind != "const":
                # The loop's axis stands before the leading one.
                whole = f"{whole}.swapaxes(0, {self.axis()})"
            key = f"each of {whole}"
            if key not in self.known:
                self.known[key] = self.names(f"{hint}_{self.variable}")
                self.rows[self.known[key]] = whole
            return self.known[key]
        text = self.text(source, axes)
        if text not in self.known:
            self.known[text] = self.names(f"{hint}_{self.variable}")
            self.pending.append(f"{self.known[text]} = {text}")
        return self.known[text]

    def _outer(self, hint: str, text: str) -> str:
        if text.isidentifier():
            return text
        if text not in self.known:
            self.known[text] = self.parent.bind(hint, text)
        return self.known[text]

    def bind(self, hint: str, text: str) -> str:
        """Before the loop."""
        return self._outer(hint, text)

    def number(self, value: float) -> str:
        """Numbers are arrays without axes here."""
        return self.module.number(value)

    def count(self, dim: Dim, axes: Axes) -> str:
        """What changes with the counter is written in the body."""
        if self._moves(dim):
            return self.count_text(dim, axes)
        return self.parent.count(dim, axes)

    def index(self, size: Dim) -> str:
        """What changes with the counter is written in the body."""
        if self._moves(size):
            self.counter(self.variable)
            return self._range(size)
        return self._outer("index", self.parent.index(size))

    def counter(self, name: str) -> None:
        """Ask for the loop variable where it is this loop's."""
        if name == self.variable:
            self.reads_counter = True
        else:
            self.parent.counter(name)

    def axis(self) -> str:
        """As outside."""
        return self.parent.axis()

    def is_whole(self, vec: Vec, axes: Axes) -> bool:
        """As outside."""
        return self.parent.is_whole(vec, axes) and not self._moves(vec.offset)


def _is_plain(dim: Dim, name: str) -> bool:
    """Whether the symbol occurs in `dim` as a plain multiple and nowhere else."""
    return bool(dims.factor_of(dim, name)) and name not in dims.symbols(
        dim - dims.symbol(name) * dims.factor_of(dim, name)
    )


# ---- lines ---------------------------------------------------------------------------------


def lines_of(instructions: Sequence[Instruction], scope: Scope) -> list[str]:
    """The statements of the instructions in order."""
    lines: list[str] = []
    for instruction in instructions:
        statement = _statement(instruction, scope)
        lines += scope.take()
        lines += statement
    return lines


def fresh(op: Instruction, scope: Scope) -> str | None:
    """What the instruction computes as a new array, where its function makes one by itself."""
    if isinstance(op, Dot) and not op.axes:
        product = f"{scope.get(op.x, ())}.dot({scope.module.matrix(op.matrix)})"
        if op.add:
            return f"{scope.module.use('add')}({scope.get(op.out, ())}, {product})"
        return product if scope.is_whole(op.out, ()) else None
    if not isinstance(op, Ufunc) or op.axes or op.function in ("choose", "clip", "erf"):
        return None
    sources = [operand.vec for operand in op.operands if isinstance(operand, At)]
    # Not where another shape or type would come of the operands.
    if all(vec.size != op.out.size for vec in sources):
        return None
    if any(vec.buffer.dtype != "float32" for vec in sources):
        return None
    operands = [scope.operand(operand, (), op.out.size) for operand in op.operands]
    if op.function == "copy":
        return f"{operands[0]}.copy()"
    return f"{scope.module.use(op.function)}({', '.join(operands)})"


def _statement(instruction: Instruction, scope: Scope) -> list[str]:
    if isinstance(instruction, Ufunc):
        return _ufunc(instruction, scope)
    if isinstance(instruction, Fold):
        return [_fold(instruction, scope)]
    if isinstance(instruction, Dot):
        return [_dot(instruction, scope)]
    if isinstance(instruction, MatMul):
        return [_matmul(instruction, scope)]
    if isinstance(instruction, Rows):
        table = scope.get(instruction.table, ())
        index = f"{scope.get(instruction.index, instruction.axes)}[..., 0]"
        if instruction.index.buffer.dtype != "int32":
            index = f"{index}.astype({scope.module.use('int32')})"
        out = scope.get(instruction.out, instruction.axes)
        return [_assign(out, f"{table}[{index}]")]
    if isinstance(instruction, After):
        body = lines_of(instruction.body, scope)
        return [f"if self.seen >= {instruction.after}:", *indented(body)]
    assert isinstance(instruction, Repeat), instruction
    return _repeat(instruction, scope)


def _repeat(loop: Repeat, scope: Scope) -> list[str]:
    inner = LoopScope(scope, loop.counter, loop.count)
    body = lines_of(loop.body, inner)
    scope_count = dims.text(loop.count)
    for symbol in sorted(dims.symbols(loop.count)):
        scope.counter(symbol)
    names, sources = list(inner.rows), list(inner.rows.values())
    if not names:
        variable = loop.counter if inner.reads_counter else "_"
        return [f"for {variable} in range({scope_count}):", *indented(body)]
    if inner.reads_counter:
        names.insert(0, loop.counter)
        sources.insert(0, f"range({scope_count})")
    if len(names) == 1:
        return [f"for {names[0]} in {sources[0]}:", *indented(body)]
    rows = wrapped("for ", names, " in zip(")
    if len(rows) == 1:
        rows = wrapped(f"{rows[0]}", sources, "):")
    else:
        rows = [*wrapped("for (", names, ") in zip("), *indented([f"{s}," for s in sources]), "):"]
    return [*rows, *indented(body)]


def wrapped(opening: str, items: Sequence[str], closing: str) -> list[str]:
    """`opening` items `closing`, on one line or on as many as it takes."""
    comma = "," if len(items) == 1 and opening.endswith("(") and " import" not in opening else ""
    one = f"{opening}{', '.join(items)}{comma}{closing}"
    if len(one) + 12 <= WIDTH or not items:
        return [one]
    lines = [""]
    for item in items:
        if len(lines[-1]) + len(item) + 2 > WIDTH - 16 and lines[-1]:
            lines.append("")
        lines[-1] += f"{item}, " if lines[-1].endswith(", ") or not lines[-1] else item
    return [opening.rstrip(), *(f"    {line.rstrip()}" for line in lines), closing.lstrip()]


def indented(lines: Sequence[str]) -> list[str]:
    """The lines of a body."""
    return [f"    {line}" if line else line for line in lines]


def _assign(out: str, value: str) -> str:
    target = out if out.endswith("]") else f"{out}[...]"
    return f"{target} = {value}"


def _ufunc(op: Ufunc, scope: Scope) -> list[str]:
    module = scope.module
    size = op.out.size
    operands = [scope.operand(o, op.axes, size) for o in op.operands]
    out = scope.get(op.out, op.axes)
    if op.function == "copy":
        return [_assign(out, operands[0])]
    if op.function == "choose":
        condition, yes, no = operands
        copy = module.use("copyto")
        lines = [] if no == out else [f"{copy}({out}, {no})"]
        return [*lines, f"{copy}({out}, {yes}, where={condition})"]
    if op.function == "clip":
        for name in ("minimum", "maximum"):  # what it is made of in an old NumPy
            module.use(name)
    arguments = ", ".join(operands)
    target = f"out={out}" if op.function in BY_KEYWORD else out
    return [f"{module.use(op.function)}({arguments}, {target})"]


def _fold(op: Fold, scope: Scope) -> str:
    function = scope.module.use(FOLDS[op.kind])
    operand = scope.get(op.operand, (*op.axes, *op.over))
    out = scope.get(op.out, op.axes)
    size = op.operand.size
    if not op.over and op.kind == "sum" and not op.axes and isinstance(size, int):
        module = scope.module  # a product with ones takes less than half of the time
        column = f"{module.use('ones')}(({size}, 1), {module.use(module.dtype)})"
        return f"{operand}.dot({scope.bind('column_of_ones', column)}, {out})"
    if not op.over:
        return f"{function}.reduce({operand}, -1, None, {out}, True)"
    numbers = [-2 - k for k in range(len(op.over))]
    axis = str(numbers[0]) if len(numbers) == 1 else str(tuple(numbers))
    return f"{function}.reduce({operand}, {axis}, None, {out})"


def _dot(op: Dot, scope: Scope) -> str:
    module = scope.module
    x = scope.get(op.x, op.axes)
    matrix = module.matrix(op.matrix)
    out = scope.get(op.out, op.axes)
    whole = scope.is_whole(op.out, op.axes) and not op.add
    if not op.axes:
        if whole:
            return f"{x}.dot({matrix}, {out})"
        product = f"{x}.dot({matrix})"
    elif whole and _reads_all(op.x, op.axes):
        rows, columns = op.matrix.rows, op.matrix.columns
        return f"{x}.reshape(-1, {rows}).dot({matrix}, {out}.reshape(-1, {columns}))"
    else:
        product = f"{module.use('product')}({x}, {matrix})"
    if op.add:
        return f"{module.use('add')}({out}, {product}, {out})"
    return _assign(out, product)


def _reads_all(vec: Vec, axes: Axes) -> bool:
    """Whether every axis has its own elements, overlapping or not."""
    return vec.stride != 0 and all(dims.slope(vec.offset, a.counter) != 0 for a in axes)


def _matmul(op: MatMul, scope: Scope) -> str:
    module = scope.module
    matmul = module.use("matmul")
    out = scope.get(op.out, op.axes)
    last = op.axes[-1] if op.axes else None
    mat_moves = last is not None and last.counter in dims.symbols(op.mat.offset)
    if last is not None and not mat_moves and _reads_all(op.x, (last,)):
        # The innermost axis gives the rows of one product.
        matrix = scope.get(op.mat, op.axes[:-1])
        x = scope.get(op.x, op.axes)
        product = f"{matmul}({x}, {matrix}.swapaxes(-1, -2))"
    else:
        matrix = scope.get(op.mat, op.axes)
        x = scope.get(op.x, op.axes)
        product = f"{matmul}({matrix}, {x}[..., None])[..., 0]"
    if op.add:
        return f"{module.use('add')}({out}, {product}, {out})"
    return _assign(out, product)


def folded(lines: Sequence[str], indent: int) -> list[str]:
    """The lines, with those that are too long broken inside their last parentheses."""
    result: list[str] = []
    for line in lines:
        if len(line) + indent <= WIDTH or '"' in line or "#" in line:
            result.append(line)
            continue
        if not line.endswith(")"):
            target, equals, value = line.partition(" = ")
            broken = [f"{target} = (", f"    {value}", ")"] if equals else [line]
            result += broken
            continue
        depth = 0
        for start in range(len(line) - 1, -1, -1):
            depth += {")": 1, "(": -1}.get(line[start], 0)
            if depth == 0:
                break
        blanks = " " * (len(line) - len(line.lstrip()) + 4)
        parts = _arguments(line[start + 1 : -1])
        inside = f"{blanks}{', '.join(parts)},"
        body = [inside] if len(inside) + indent <= WIDTH else [f"{blanks}{p}," for p in parts]
        result += [line[: start + 1], *body, f"{blanks[4:]})"]
    return result


def _arguments(text: str) -> list[str]:
    """The arguments of a call."""
    parts = [""]
    depth = 0
    for char in text:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append("")
        elif char != " " or parts[-1]:
            parts[-1] += char
    return [part for part in parts if part]
