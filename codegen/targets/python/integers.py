"""The ops of a program of integers as text."""

from __future__ import annotations

from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.integers import LIMITS
from codegen.program.ops import (
    Affine,
    Call,
    Expr,
    Gather,
    Number,
    Softmax,
    Table,
    Vec,
    first_row,
)
from codegen.targets.python.ops import Printer
from codegen.targets.spine.expressions import ATOM, COMPARISON, PRODUCT, SUM


class IntegerPrinter(Printer):
    """The body of a method that computes with integers."""

    integers = True

    # ---- expressions ----------------------------------------------------------------------

    def number(self, value: float) -> str:
        """A literal; what a float is multiplied by is a power of two, and may be a fraction."""
        return str(int(value)) if float(value).is_integer() else repr(float(value))

    def count(self, dim: Dim) -> str:
        """A length or a loop counter."""
        text = dims.text(dim)
        return text if isinstance(dim, int) or dims.is_plain(dim) else f"({text})"

    def bound(self, node: Expr, index: str) -> tuple[str, int]:
        """The text, and how tightly it binds."""
        if not isinstance(node, Call):
            return super().bound(node, index)
        first, *others = node.arguments
        if node.function in ("shifted", "floor_shift"):
            (count,) = others
            assert isinstance(count, Number), node
            places = int(count.value)
            if node.function == "shifted":
                rounded = f"{self.expression(first, index, SUM)} + {1 << (places - 1)}"
                return f"({rounded}) >> {places}", COMPARISON
            return f"{self.expression(first, index, ATOM)} >> {places}", COMPARISON
        if node.function == "scaled" and not self.file.small:
            factor = self.expression(others[0], index, ATOM)
            return f"({self.expression(first, index, PRODUCT)} * {factor}) >> 15", COMPARISON
        if node.function == "real":
            q, scale = (self.expression(part, index, PRODUCT) for part in node.arguments)
            return f"{q} * {scale}", PRODUCT
        return super().bound(node, index)

    def function(self, name: str, arguments: tuple[Expr, ...]) -> str:
        """What is built in, a kernel, or a function or method of the file."""
        if name in ("abs", "min", "max"):
            return name
        if name in ("fixed", "limited"):
            self.file.methods.add(name)
            return f"self.{name}"
        if self.file.small:
            self.file.kernels.add(name)
            return name
        return self.file.use(name)

    def between(self, node: Table, index: str) -> str:
        """A call of the function that the table stands for."""
        curve = self.file.curve(node.vec, node.shift, node.mirror)
        value = self.expression(node.value, index)
        if not self.file.small:
            return f"{curve.name}({value})"
        if node.mirror is None:
            value = f"max({value}, 0)"
        return f"{curve.name}({value}, {curve.settings}, {curve.mirror or 0})"

    # ---- ops --------------------------------------------------------------------------------

    def packed(self, op: Affine) -> str:
        """Each product with its vector, after the bias."""
        bias = f"{self.file.help('zeros')}({dims.text(op.out.size)})"
        parts = [self.bias(op.bias) if op.bias else bias]
        for (mat, vec), shift in zip(op.products, op.shifts, strict=True):
            parts.append(f"({self.file.kernel(mat, shift)}, {self.part(vec)})")
        return f"affine({', '.join(parts)})"

    def bias(self, vec: Vec) -> str:
        """A bias; that of a small board stays the bytes that it is, if all of it is one."""
        whole = vec == vec.buffer.vec() and vec.buffer.dtype == "int32"
        if self.file.small and whole and vec.buffer.kind == "const":
            return self.file.bias(vec.buffer)
        return self.part(vec)

    def term(self, op: Affine, number: int, dot: str, rest: str, index: str) -> str:
        """The sum of a row, times its scale."""
        mat, _ = op.products[number]
        first = first_row(mat)
        row = index if first == 0 else f"{dims.text(first)} + {index}"
        scale = f"{self.file.scales(mat.buffer)}[{row}]"
        function = self.file.help("requantised")
        return f"{self.local('total')} + {function}({dot}0, {rest}, {scale}, {op.shifts[number]})"

    def extreme(self, kind: str) -> tuple[str, str]:
        """The least or the largest that there is, and what is built in."""
        return str(-LIMITS["int32"] if kind == "max" else LIMITS["int32"] - 1), kind

    def shares(self, op: Softmax) -> str:
        """A softmax by a table."""
        assert op.table is not None, op
        curve = self.file.curve(op.table, op.shift, None)
        exp = curve.settings if self.file.small else curve.name
        return f"{self.file.use('softmax')}({self.part(op.x)}, {exp})"

    def looked_up(self, op: Gather) -> str:
        """A row with its scale."""
        lookup, table = self.file.help("lookup"), self.file.rows(op.table, op.shift)
        return f"{lookup}({table}, {self.element(op.index, '')})"

    def copy(self, value: str) -> str:
        """What products read is an array on a small board."""
        return f'array("i", {value})' if self.file.small else super().copy(value)
