"""Programs of integers as C: statements of int32 arithmetic, and the functions that they call."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from codegen.passes.layout import LARGEST_SHIFT
from codegen.program.dims import Dim, fixed
from codegen.program.ops import (
    Affine,
    At,
    Binary,
    Buffer,
    Call,
    Expr,
    Gather,
    Mat,
    Negate,
    Number,
    Select,
    Softmax,
    Table,
    first_row,
)
from codegen.targets.c.expressions import INTEGERS
from codegen.targets.c.ops import Printer
from codegen.targets.spine.expressions import ATOM, OPERATORS, PRODUCT, SIGN
from codegen.text import templates
from codegen.text.numbers import c_number

SMALLEST = -(1 << 31)
LENGTHS = ("floor_div", "min_length", "max_length", "ring")
OF_KINDS = ("affine", "product", "softmax", "push", "shift")  # one for each type
LINES = ("push", "shift")  # what moves delay lines, as those of floats
ELSEWHERE = {**dict.fromkeys(LINES, "kernels"), **dict.fromkeys(LENGTHS, "functions")}
# What each function is built on, in the order in which they stand in a file.
CALLS: Mapping[str, tuple[str, ...]] = {
    "shifted": (),
    "scaled": (),
    "saturated": (),
    "limited": (),
    "fixed": (),
    "abs": (),
    "min": (),
    "max": (),
    "line": ("shifted",),
    "multiplied": (),
    "added": ("multiplied", "shifted"),
    "affine": ("added",),
    "product": ("added",),
    "softmax": ("line", "min", "max"),
    "push": (),
    "shift": (),
    **dict.fromkeys(LENGTHS, ()),
}
# What a header of integers calls its own, with the prefix.
WORDS = (
    *CALLS,
    *(f"{name}_{kind}" for name in OF_KINDS for kind in ("int8", "int16", "int32")),
    *("four_int8", "four_int16", "dsp", "right_shift", "read_int16", "read_int32"),
    *("times_int8", "times_int16", "lpm", "lpm_times", "lpm_four"),
)
RANGES = ("limited", "fixed")  # they tell where a range is left


class IntegerPrinter(Printer):
    """Prints the ops of a program of integers.

    Everything is computed in int32, also where `int` has 16 bits: of two operands of 16 bits one is
    converted first.
    """

    @property
    def type(self) -> str:
        """The C type of what is computed."""
        return "int32_t"

    @cached_property
    def tables(self) -> dict[object, tuple[str, Table]]:
        """The functions that tables stand for: the name, and a use of each."""
        return {}

    # ---- numbers --------------------------------------------------------------------------

    negative = PRODUCT

    def number(self, value: float) -> str:
        """A whole number."""
        whole = int(value)
        assert whole == value, value
        return "INT32_MIN" if whole == SMALLEST else str(whole)

    def real_number(self, value: float) -> str:
        """A float, of a conversion."""
        return c_number(value, self.dtype, self.suffix)

    def real(self, text: str) -> str:
        """A whole number of the program."""
        return text

    def count(self, dim: Dim) -> str:
        """A length or a loop counter."""
        return f"(int32_t){self.dim(dim, ATOM)}"

    def read(self, buffer: Buffer, text: str) -> str:
        """An element, through a hook where it is a constant."""
        return (
            f"{self.upper}_READ_{buffer.dtype.upper()}({text})" if buffer.kind == "const" else text
        )

    def cast(self, buffer: Buffer) -> str:
        """What stands before a value that is stored."""
        return "(int16_t)" if buffer.dtype == "int16" else ""

    def farthest(self, kind: str) -> str:
        """What every number replaces as the largest one, or the smallest one."""
        return "INT32_MIN" if kind == "max" else "INT32_MAX"

    # ---- expressions ----------------------------------------------------------------------

    def bound(self, node: Expr, index: str) -> tuple[str, int]:
        """The text, and how tightly it binds."""
        match node:
            case At(vec):
                return self.element(vec, index), ATOM
            case Binary(operator, left, right) if _is_narrow(left) and _is_narrow(right):
                own = OPERATORS[operator]
                texts = [
                    self.expression(left, index, own),
                    self.expression(right, index, own + 1),
                ]
                first = 1 if isinstance(left, Number) else 0
                texts[first] = self._wide((left, right)[first], index)
                return f" {operator} ".join(texts), own
            case Negate(value) if _is_narrow(value):
                return f"-{self._wide(value, index)}", SIGN
            case Table():
                return f"{self.table(node)}({self.expression(node.value, index)})", ATOM
            case Call("floor_shift", (value, by)):
                text = self.expression(value, index, PRODUCT)
                return f"({text} >> {self.expression(by, index)})", ATOM
            case Call("fixed", (value, scale, *limits)):
                assert isinstance(scale, Number)
                arguments = [self.expression(value, index), self.real_number(scale.value)]
                arguments += [self.expression(e, index) for e in limits]
                return f"{self.function('fixed', ())}({', '.join(arguments)})", ATOM
            case Call("real", (value, scale)):
                assert isinstance(scale, Number)
                text = self.expression(value, index, ATOM)
                return f"{self.real_number(scale.value)} * ({self.real_type}){text}", PRODUCT
        return super().bound(node, index)

    def _wide(self, node: Expr, index: str) -> str:
        """A number of 16 bits as one of 32."""
        return f"(int32_t){self.expression(node, index, ATOM)}"

    def function(self, name: str, arguments: tuple[Expr, ...]) -> str:
        """What a function is called in this file."""
        self.used.functions.add(name)
        return f"{self.prefix}_{name}"

    def table(self, node: Table) -> str:
        """The function that a table stands for."""
        buffer = node.vec.buffer
        self.buffer(buffer)
        self.used.functions.add("line")
        key = (node.vec, node.shift, node.mirror)
        if key not in self.tables:
            name = self.names(f"{self.prefix}_{buffer.name.removesuffix('_table')}", ("table", key))
            self.tables[key] = name, node
        return self.tables[key][0]

    # ---- ops ------------------------------------------------------------------------------

    def _affine(self, op: Affine) -> str:
        """Kernel calls, or plain loops where offsets or strides vary."""
        calls = self.packing.calls.get(id(op))
        if calls is None:
            return self._affine_plain(op)
        out, size = self.pointer(op.out), self.dim(op.out.size)
        bias = op.bias
        given = bias is not None and bias.buffer.kind == "const" and bias.stride == 1
        lines = [] if given else [self._start(op)]
        host = self.profile == "host"
        for call in calls:
            kernel = f"{'product' if host else 'affine'}_{call.packed.kind.name}"
            self.used.kernels.add(kernel)
            start = "0"
            if given and bias is not None and call is calls[0]:
                start = self.pointer(bias)
            (group,) = call.groups
            w, m = self.const_names[call.packed], self.scale_names[call.packed]
            x = f"{self.pointer(group.x)}, {group.columns}"
            values = f"{out}, {start}, {size}, {w}, {m}, {call.shift}, {x}"
            lines.append(f"{self.prefix}_{kernel}({values});\n")
        return "".join(lines)

    def _affine_plain(self, op: Affine) -> str:
        """Loops that take any offsets and strides."""
        products = [
            (
                self.dim(mat.columns),
                self._matrix(mat, "i", "j"),
                self.expression(At(x), "j", PRODUCT),
                self._added(self._scale(mat, "i"), shift),
            )
            for (mat, x), shift in zip(op.products, op.shifts, strict=True)
        ]
        return self.macro(
            "scaled_affine",
            size=self.dim(op.out.size),
            start="0" if op.bias is None else self.expression(At(op.bias), "i"),
            products=products,
            out=self.element(op.out, "i"),
        )

    def _added(self, scale: str, shift: int) -> str:
        """The total with the sum of a row."""
        if shift <= LARGEST_SHIFT:
            return f"{self.function('added', ())}(total, sum, {scale}, {shift})"
        product = f"{self.function('multiplied', ())}(sum, {scale})"
        return f"total + {self.function('shifted', ())}({product}, {shift})"

    def _scale(self, mat: Mat, row: str) -> str:
        """What the sum of a row is multiplied by."""
        self.buffer(mat.buffer)
        first = first_row(mat)
        at = row if first == 0 else f"{self.dim(first)} + {row}"
        return f"{self.upper}_READ_UINT16({self.scale_names[mat.buffer]}[{at}])"

    def _matrix(self, mat: Mat, row: str, column: str) -> str:
        """An element of a matrix, without its scale."""
        return self.read(mat.buffer, self.cell(mat, row, column))

    def softmax(self, op: Softmax) -> str:
        """A kernel call."""
        assert op.table is not None, op
        kernel = f"softmax_{op.out.buffer.dtype}"
        self.used.kernels.add(kernel)
        last = (fixed(op.table.size) - 1 << op.shift) - 1
        table = f"{self.pointer(op.table)}, {op.shift}, {last}"
        vectors = f"{self.pointer(op.out)}, {op.out.stride}, {self.pointer(op.x)}, {op.x.stride}"
        return f"{self.prefix}_{kernel}({vectors}, {self.dim(op.x.size)}, {table});\n"

    def line_kernel(self, name: str, line: Buffer) -> str:
        """What moves a delay line."""
        return f"{name}_{line.dtype}"

    def gather(self, op: Gather) -> str:
        """A loop over a row of the table."""
        self.used.functions.add("shifted")
        table, row = op.table, self.names("row_of_table", ("local", "row of table"))
        scale, weight = self._scale(table, row), self._matrix(table, row, "i")
        value = f"{self.prefix}_shifted((int32_t){scale} * {weight}, {op.shift})"
        return self.macro(
            "gather",
            row=row,
            index=self.element(op.index, ""),
            last=self.dim(table.rows - 1),
            size=self.dim(op.out.size),
            out=self.element(op.out, "i"),
            value=self.cast(op.out.buffer) + value,
        )


def _is_narrow(node: Expr) -> bool:
    """Whether C computes the expression in `int`, which may have 16 bits."""
    if isinstance(node, At):
        return node.vec.buffer.dtype != "int32"
    if isinstance(node, Number):
        return -(1 << 15) < node.value < 1 << 15
    return isinstance(node, Select) and _is_narrow(node.yes) and _is_narrow(node.no)


def functions(printer: IntegerPrinter) -> dict[str, str]:
    """The text of every function that is used, by name, each after what it is built on."""
    found: dict[str, str] = {}

    def add(name: str) -> None:
        if name in found:
            return
        stem, _, kind = name.partition("_") if name not in CALLS else (name, "", "")
        for other in CALLS[stem]:
            add(other)
        found[name] = _source(printer, stem, kind)

    used = printer.used
    for word in CALLS:
        for name in sorted(used.functions | used.kernels):
            if name == word or (word in OF_KINDS and name.rsplit("_", 1)[0] == word):
                add(name)
    for name, node in printer.tables.values():
        found[name] = _of_table(printer, name, node)
    return found


def _source(printer: IntegerPrinter, stem: str, kind: str) -> str:
    """A source with this file's prefixes, for numbers of a type."""
    names = {"p": printer.prefix, "P": printer.upper, "real": printer.real_type, "kind": kind}
    names |= {"one": printer.real_number(1.0), "half": printer.real_number(0.5)}
    if stem in LINES:
        names |= {"real": INTEGERS[kind], "of_kind": f"_{kind}"}
    folder = ELSEWHERE.get(stem, "integers")
    return "".join(templates.render(f"c/{folder}/{stem}.c.j2", **names))


def _of_table(printer: IntegerPrinter, name: str, node: Table) -> str:
    """The function of a table."""
    last = (fixed(node.vec.size) - 1 << node.shift) - 1
    what = f"lines between its values {2**node.shift} apart"
    mirror = "" if node.mirror is None else f", and {node.mirror} - f(-q) below 0"
    return printer.macro(
        "table",
        function=name,
        word=node.vec.buffer.name,
        note=f"{what}{mirror}",
        inline=f"{printer.upper}_INLINE",
        prefix=printer.prefix,
        table=printer.pointer(node.vec),
        shift=node.shift,
        last=last,
        mirror=node.mirror,
    )
