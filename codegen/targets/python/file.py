"""What all methods of a plain Python file share: names, constants, and what the file refers to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from codegen.program import dims
from codegen.program.derived import column, is_int8
from codegen.program.dims import Dim
from codegen.program.ops import Array, Buffer, Mat, Port, Vec, const
from codegen.targets.spine.integers import Curve
from codegen.text.names import Names, comment, common_words

WIDEST = 64  # columns in one expression of a product


@dataclass(frozen=True, eq=False)
class Table:
    """A constant of the file. `kind`: vector, matrix (for affine), table (rows for lookup)."""

    name: str
    kind: str
    note: str
    parts: tuple[Mat, ...]  # side by side: the columns of its rows, one row for a vector
    shift: int = 0  # of what integers are scaled by; see `Affine`

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        columns = sum(dims.fixed(part.columns) for part in self.parts)
        return dims.fixed(self.parts[0].rows), columns

    @property
    def is_whole(self) -> bool:
        """Whether its numbers are whole numbers."""
        return self.parts[0].buffer.dtype == "int32"

    @property
    def is_scaled(self) -> bool:
        """Whether its last part is of int8, with a scale for each row; only a bias then is not."""
        return is_int8(self.parts[-1])


@dataclass
class File:
    """Names, constants and functions of one generated file."""

    names: Names
    constants: Names
    small: bool = False  # for a board with a few kilobytes
    integers: bool = False
    tables: dict[object, Table] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)
    runtime: set[str] = field(default_factory=set)
    curves: dict[object, Curve] = field(default_factory=dict)
    kernels: set[str] = field(default_factory=set)  # of integers on a small board
    methods: set[str] = field(default_factory=set)  # of integers
    ports: dict[Buffer, str] = field(default_factory=dict)  # names of inputs and outputs
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

    def port(self, port: Port) -> str:
        """The name of an input or output."""
        return self.ports[port.buffer]

    def vector(self, buffer: Buffer) -> str:
        """The name of a constant as one flat list."""
        assert buffer.data is not None
        note = f"{comment(buffer.name)} {_shape(buffer.shape)}"
        return self._table(("vector", buffer), buffer.name, "vector", note, (_row(buffer),))

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
        key = ("matrix", *((m.buffer, m.offset, m.row_stride, m.column_stride) for m in parts))
        columns = [dims.fixed(m.columns) for m in mats]
        names = [comment(m.buffer.name) for m in mats]
        wanted = names[0] if len(mats) == 1 else f"{common_words(names) or out}_weights"
        each = [f"{n} of {name}" for n, name in zip(columns, names, strict=True)]
        note = f"{rows} row{'s' * (rows > 1)}: {', '.join(['bias' if bias else '0', *each])}"
        if any(m.buffer.parts for m in mats):
            note += "; sigmoid gates halved"
        if is_int8(mats[0]):
            note += "; int8 with a scale for each row"
        self.widths.update(group_sizes(sum(columns)))
        return self._table((*key, rows, *columns), wanted, "matrix", note, parts)

    def lookup(self, table: Mat) -> str:
        """The name of a constant whose rows are looked up."""
        shape = dims.fixed(table.rows), dims.fixed(table.columns)
        key = ("table", table.buffer, table.offset, shape)
        note = f"{comment(table.buffer.name)} {shape}"
        return self._table(key, table.buffer.name, "table", note, (table,))

    def kernel(self, mat: Mat, shift: int) -> str:
        """The name of a matrix of integers with the scales of its rows."""
        rows, columns = dims.fixed(mat.rows), dims.fixed(mat.columns)
        where = mat.buffer, mat.offset, mat.row_stride, mat.column_stride
        note = f"{comment(mat.buffer.name)} ({rows}, {columns}), scales of rows, shift"
        self.widths.update(group_sizes(columns))
        if self.small:
            self.kernels.add(product_of(mat.buffer))
        key = ("kernel", *where, rows, columns, shift)
        return self._table(key, mat.buffer.name, "kernel", note, (mat,), shift)

    def bias(self, buffer: Buffer) -> str:
        """The name of a constant that an array is made of when it is needed."""
        note = f"{comment(buffer.name)} {_shape(buffer.shape)}, int32"
        return self._table(("bias", buffer), buffer.name, "bias", note, (_row(buffer),))

    def scales(self, buffer: Buffer) -> str:
        """The name of the scales of all rows of a matrix of integers."""
        assert buffer.scales is not None
        name = f"{buffer.name}_scales"
        return self._table(("scales", buffer), name, "vector", comment(name), (_scales(buffer),))

    def rows(self, table: Mat, shift: int) -> str:
        """The name of a table of integers whose rows are looked up."""
        shape = dims.fixed(table.rows), dims.fixed(table.columns)
        key = ("rows", table.buffer, table.offset, shape, shift)
        note = f"{comment(table.buffer.name)} {shape}, scales of rows, shift"
        return self._table(key, table.buffer.name, "rows", note, (table,), shift)

    def curve(self, vec: Vec, shift: int, mirror: int | None) -> Curve:
        """The function of integers that lies between the numbers of a table."""
        key = vec.buffer, vec.offset, vec.size, shift, mirror
        if key not in self.curves:
            buffer, size = vec.buffer, dims.fixed(vec.size)
            part = Mat(buffer, vec.offset, 1, size, size, vec.stride)
            note = f"{comment(buffer.name)} ({size},), with {buffer.fraction} bits of fraction"
            place = "curve", buffer, vec.offset, vec.size
            table = self._table(place, buffer.name, "curve", note, (part,))
            wanted = buffer.name.removesuffix("_table") or buffer.name
            name = "curve" if self.small else self.names(wanted, ("curve", key))
            self.curves[key] = Curve(name, table, size, shift, mirror)
            if self.small:
                self.kernels.add("curve")
        return self.curves[key]

    def nested(self, value: str, shape: Sequence[Dim]) -> str:
        """A flat list as nested lists of this shape."""
        return value if len(shape) == 1 else f"{self.help('nest')}({value}, {tuple_text(shape)})"

    def _table(
        self,
        key: object,
        wanted: str,
        kind: str,
        note: str,
        parts: tuple[Mat, ...],
        shift: int = 0,
    ) -> str:
        if key not in self.tables:
            name = self.constants(wanted.upper())
            table = self.tables[key] = Table(name, kind, note, parts, shift)
            self.runtime.update(self._needs(table))
        return self.tables[key].name

    def _needs(self, table: Table) -> Sequence[str]:
        """The helpers that make a constant when the file is loaded, or compute with it."""
        if self.integers:
            return {"kernel": ("affine",), "rows": ("lookup",)}.get(table.kind, ())
        if table.kind == "matrix":
            if table.is_scaled:
                return ("affine_int8",) if self.small else ("affine", "scaled", "beside")
            return ("affine",)
        return ("vector", "scaled") if table.is_scaled else ("vector",)


def product_of(buffer: Buffer) -> str:
    """The kernel of a small board that multiplies rows of the constant."""
    return "product_int16" if buffer.dtype == "int16" else "product"


def tuple_text(shape: Sequence[Dim]) -> str:
    """A shape as a tuple."""
    inner = ", ".join(dims.text(n) for n in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def _row(buffer: Buffer) -> Mat:
    """A constant as a matrix of one row."""
    size = dims.fixed(buffer.size)
    return Mat(buffer, 0, 1, size, size)


def _scales(buffer: Buffer) -> Mat:
    """The scales of a matrix as a matrix of one row."""
    assert buffer.scales is not None
    data = buffer.scales.astype(np.int32)
    return _row(Buffer(f"{buffer.name}_scales", data.size, "const", "int32", data))


def group_sizes(columns: int) -> set[int]:
    """How many columns of a product each expression takes."""
    full, rest = divmod(columns, WIDEST)
    return {WIDEST, rest} - {0} if full else {rest}


def _shape(shape: Iterable[Dim]) -> str:
    return "(" + "".join(f"{dims.text(n)}, " for n in shape).rstrip(" ") + ")"
