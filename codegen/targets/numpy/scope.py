"""How operands are written at one place of the file.

At the top of `predict` an operand is the text of a view, in a loop a name bound before the loop or
an index in it, and in `step` the name of a view that `__init__` made once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import At, Buffer, Count, Expr, Index, Mat, Number, Vec
from codegen.targets.numpy.axes import Axes, is_whole
from codegen.targets.numpy.rows import Packed, Place, packed
from codegen.targets.numpy.views import Base, Span, View, shape_text, view
from codegen.targets.spine.integers import Curve
from codegen.text.names import Names
from codegen.text.numbers import number

NUMBERS = {0.0: "ZERO", 1.0: "ONE", 0.5: "HALF", 2.0: "TWO", -1.0: "MINUS_ONE"}
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
    # Functions that tables stand for, by vector, shift and mirror.
    curves: dict[tuple[Vec, int, int | None], Curve] = field(default_factory=dict)

    def constant(self, buffer: Buffer, behind: str = "") -> Base:
        """The array of a const buffer."""
        shape = buffer.shape or (buffer.size,)
        if buffer.parts:
            rows, columns = (dims.fixed(n) for n in shape)
            mat = Mat(buffer, 0, rows, columns, columns)
            name = self.matrix(packed(f"{buffer.name}_scaled", [(mat, 0, 0)]))
            return Base(name, shape[: 1 if columns == 1 else 2], behind)
        if buffer not in self.arrays:
            self.arrays[buffer] = self.names(buffer.name.upper())
        return Base(self.arrays[buffer], shape, behind)

    def matrix(self, matrix: Packed) -> str:
        """The name of a packed matrix."""
        if matrix not in self.packed:
            for *_, part in matrix.pieces:
                assert part.mat is not None, part
                self.constant(part.mat.buffer)
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

    def curve(self, vec: Vec, shift: int, mirror: int | None) -> str:
        """The name of a function of integers that lies between the numbers of a table."""
        key = vec, shift, mirror
        if key not in self.curves:
            name = self.names(vec.buffer.name.removesuffix("_table") or vec.buffer.name)
            table = self.constant(vec.buffer).name
            self.curves[key] = Curve(name, table, dims.fixed(vec.size), shift, mirror)
        return self.curves[key].name

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

    runs_once = True  # else arrays are made elsewhere, and numbers are arrays without axes

    def __init__(
        self, module: Module, names: Names, homes: dict[Buffer, Place], hints: dict[Vec, str]
    ) -> None:
        self.module, self.names = module, names
        self.homes = homes  # buffers that live in a row
        self.hints = hints  # names for vectors
        self.lines: list[str] = []
        self.bases: dict[Buffer, Base] = {}
        self.full_names: dict[Buffer, str] = {}  # of arrays that more than one block uses
        self.prefix = ""  # of the names in the block, which is left out
        self.reads: set[str] = set()  # lengths, counters and locals of the method that are read
        self.inside = self.reads  # in the bodies of loops

    def enter(self, block: str, names: Names) -> None:
        """Begin a block: its names are free, and its lines are its own."""
        self.prefix, self.names, self.lines = block, names, []

    # ---- arrays -----------------------------------------------------------------------------

    def base(self, buffer: Buffer) -> Base:
        """The array of a buffer."""
        if buffer not in self.bases:
            self.bases[buffer] = Base(self.named(buffer), buffer.shape or (buffer.size,))
            self.make(f"{self.bases[buffer].name} = {self.allocation(buffer)}")
        return self.bases[buffer]

    def named(self, buffer: Buffer) -> str:
        """A name for an array."""
        return self.full_names.get(buffer) or self.names(self.short(buffer.name))

    def make(self, line: str) -> None:
        """Write the line that makes an array."""
        self.lines.append(line)

    def new(self, vec: Vec, axes: Axes) -> str | None:
        """A name for the array if it is to be made here and now, and the vector is all of it."""
        if not self.runs_once or vec.buffer in self.bases or not is_whole(vec, axes):
            return None
        name = self.named(vec.buffer)
        self.bases[vec.buffer] = Base(name, (*(axis.length for axis in axes), vec.size))
        return name

    def base_inside(self, buffer: Buffer) -> Base:
        """The array of a buffer in the body of a loop."""
        return self.base(buffer)

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

    # ---- operands ---------------------------------------------------------------------------

    def view(self, source: Vec | Mat, axes: Axes = (), bare: bool = False) -> View:
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
            spans.append((axis.length, dims.slope(offset, axis.counter)))
            offset = dims.substitute(offset, {axis.counter: 0})
        if isinstance(source, Mat):
            spans += [(source.rows, source.row_stride), (source.columns, source.column_stride)]
        else:
            spans.append((source.size, source.stride))
        self.note(offset, *(n for span in spans for n in span))
        found = view(base, offset, spans, self.use)
        # NumPy takes an array without axes faster than one of length 1.
        return View(f"{found}", "0, ...") if spans[-1][1] == 0 and not axes else found

    def get(self, source: Vec | Mat, axes: Axes = (), bare: bool = False) -> View:
        """The operand as it is written here."""
        return self.view(source, axes, bare)

    def bind(self, hint: str, made: View) -> View:
        """A name for what stays the same while this scope runs."""
        if made.is_whole:
            return made
        name = self.names(self.short(hint))
        self.lines.append(f"{name} = {made}")
        return View(name, is_whole=True)

    def operand(self, node: Expr, axes: Axes, size: Dim) -> View:
        """An At, Number, Count or Index."""
        match node:
            case At(vec):
                while axes and dims.slope(vec.offset, axes[0].counter) == 0:
                    axes = axes[1:]  # NumPy repeats what has fewer axes
                return self.get(vec, axes)
            case Number(value):
                return View(self.number(value))
            case Count(dim):
                text = View(self.count(dim, axes))
                return text if isinstance(dim, int) else self.once("position", text)
        assert isinstance(node, Index), node
        return self.once("index", View(self.numbers(size)))

    def once(self, hint: str, made: View) -> View:
        """What always has the same value, computed once if that is possible."""
        return made

    def number(self, value: float) -> str:
        """A number as an operand."""
        return self.module.literal(value) if self.runs_once else self.module.number(value)

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
            axis.counter: self.numbers(axis.length, len(axes) - n)
            for n, axis in enumerate(axes)
            if axis.counter in read
        }
        self.reads.update(read - set(known))
        return dims.text(dim, call="np.{}imum({}, {})", known=known)

    def use(self, name: str) -> str:
        """A helper, or a local of the method."""
        if name in ("lead", "unit"):
            self.reads.add(name)
            return name
        return self.module.use(name)

    def note(self, *lengths: Dim) -> None:
        """Note that these are read."""
        self.reads.update(*map(dims.symbols, lengths))

    # ---- names ------------------------------------------------------------------------------

    def hint_of(self, source: Vec | Mat) -> str:
        """A name for a view: that of the value it holds, of those it holds, or of its array."""
        buffer, name = source.buffer, self.short(source.buffer.name)
        if isinstance(source, Mat):
            return name
        if source.stride == 0:
            return f"{name}_value"
        if source in self.hints or source.size == buffer.size:
            return self.hints.get(source, name)
        own = [(v, hint) for v, hint in self.hints.items() if v.buffer is buffer]
        end = source.offset + source.size
        first = [hint for v, hint in own if v.offset == source.offset]
        last = [hint for v, hint in own if v.offset + v.size == end]
        return f"{first[0]}_to_{last[0]}" if first and last else name

    def short(self, name: str) -> str:
        """A name without that of the block in front."""
        return name.removeprefix(f"{self.prefix}_")


class StepScope(Scope):
    """A block of `step`: views are made in `__init__` and handed over in a tuple of the block."""

    runs_once = False

    def __init__(
        self, module: Module, names: Names, homes: dict[Buffer, Place], hints: dict[Vec, str]
    ) -> None:
        super().__init__(module, names, homes, hints)
        self.init = names  # of the locals of __init__
        self.setup: list[str] = []  # lines of __init__
        self.kept: dict[View, str] = {}  # what __init__ makes: its name in step
        self.inside = set()

    def enter(self, block: str, names: Names) -> None:
        """Nothing is handed over yet."""
        super().enter(block, names)
        self.kept = {}

    def named(self, buffer: Buffer) -> str:
        """Arrays are made in __init__."""
        return self.init(buffer.name)

    def make(self, line: str) -> None:
        """In __init__."""
        self.setup.append(line)

    def base_inside(self, buffer: Buffer) -> Base:
        """Handed over like a view."""
        base = self.base(buffer)
        return replace(base, name=self.bind(buffer.name, View(base.name, is_whole=True)).array)

    def get(self, source: Vec | Mat, axes: Axes = (), bare: bool = False) -> View:
        """A name for the view."""
        found = self.view(source, axes, bare)
        if source.buffer.kind == "const" and found.is_whole:
            return found
        return self.bind(self.hint_of(source), found)

    def bind(self, hint: str, made: View) -> View:
        """A name for what __init__ makes once."""
        if made not in self.kept:
            self.kept[made] = self.names(self.short(hint))
        return View(self.kept[made], is_whole=True)

    def once(self, hint: str, made: View) -> View:
        """In __init__."""
        return self.bind(hint, made)


class LoopScope(Scope):
    """The body of a Python loop."""

    runs_once = False

    def __init__(self, parent: Scope, counter: str) -> None:
        super().__init__(parent.module, parent.names, parent.homes, parent.hints)
        self.parent, self.variable = parent, counter
        self.known: dict[View, View] = {}
        self.prefix, self.full_names = parent.prefix, parent.full_names
        self.reads = self.inside = parent.inside

    def _moves(self, *lengths: Dim) -> bool:
        return any(self.variable in dims.symbols(n) for n in lengths)

    def base(self, buffer: Buffer) -> Base:
        """Arrays are made outside unless their size changes with the counter."""
        moves = self._moves(*(buffer.shape or (buffer.size,)))
        return super().base(buffer) if moves else self.parent.base_inside(buffer)

    def get(self, source: Vec | Mat, axes: Axes = (), bare: bool = False) -> View:
        """A name bound before the loop, or an index in it."""
        sizes = (source.rows, source.columns) if isinstance(source, Mat) else (source.size,)
        shape = source.buffer.shape or (source.buffer.size,)
        if self._moves(source.offset, *sizes, *(axis.length for axis in axes), *shape):
            return self.view(source, axes, bare)
        found = self.parent.get(source, axes, bare)
        if found.is_whole:
            return found
        if found not in self.known:
            self.known[found] = self.parent.bind(self.hint_of(source), found)
        return self.known[found]
