"""Ops as equations for a reader."""

from __future__ import annotations

from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import (
    Affine,
    Compare,
    Elementwise,
    Expr,
    Gather,
    Loop,
    Mat,
    Op,
    Reduce,
    Select,
    Shift,
    Softmax,
    Table,
    Vec,
    When,
)
from codegen.targets.spine.expressions import ATOM, Scalars

LONGEST_EQUATION = 50_000  # characters; a cut one would be another equation


class Equations(Scalars):
    """Prints ops; names that begin with that of a `block` go without it."""

    negative = ATOM

    def __init__(self, block: str = "") -> None:
        self.start = f"{block}_" if block else ""

    def lines(self, op: Op) -> list[str]:
        """What an op computes."""
        match op:
            case Loop(counter, count, body):
                order = "in order" if op.carried else "each by itself"
                head = f"for {counter} = 0 ... {dims.text(count - 1)}, {order}:"
                return [head, *(f"  {line}" for part in body for line in self.lines(part))]
            case When(after, body):
                head = f"once {after} steps have gone by:"
                return [head, *(f"  {line}" for part in body for line in self.lines(part))]
            case Affine(out, bias, products):
                terms = [f"{self.matrix(m)} {self.vector(v)}" for m, v in products]
                terms += [] if bias is None else [self.vector(bias)]
                return [f"{self.vector(out)} = {' + '.join(terms)}"]
            case Elementwise():
                lines = [f"{name} = {self.expression(e, 'index')}" for name, e in op.locals]
                stores = ((self.target(vec), self.expression(e, "index")) for vec, e in op.stores)
                return [*lines, *(f"{target} = {value}" for target, value in stores)]
            case Reduce():
                over = ", ".join(f"{name} < {dims.text(count)}" for name, count in op.counters)
                value = self.expression(op.value, "index")
                return [f"{self.vector(op.out)} = {op.kind} over {over} of {value}"]
            case Softmax():
                function = "log softmax" if op.log else "softmax"
                return [f"{self.vector(op.out)} = {function}({self.vector(op.x)})"]
            case Gather():
                row = f"row {self.vector(op.index)} of {self.matrix(op.table)}"
                return [f"{self.vector(op.out)} = {row}"]
            case Shift(line, x):
                name = self.name(line.name)
                return [f"{name}' = {name} without its oldest row, then {self.vector(x)}"]
        raise NotImplementedError(op)

    def name(self, name: str) -> str:
        """A name inside the block."""
        return name.removeprefix(self.start)

    def target(self, vec: Vec) -> str:
        """A vector that is stored."""
        return self.vector(vec) + ("'" if vec.buffer.kind == "state" else "")

    def vector(self, vec: Vec) -> str:
        """A buffer, or a slice of it."""
        name = self.name(vec.buffer.name)
        if vec.offset == 0 and vec.size == vec.buffer.size and vec.stride == 1:
            return name
        start = dims.text(vec.offset)
        if vec.size == 1 or vec.stride == 0:
            return f"{name}[{start}]"
        stop = dims.text(vec.offset + vec.size * vec.stride)
        return f"{name}[{start}:{stop}{'' if vec.stride == 1 else f':{vec.stride}'}]"

    def matrix(self, mat: Mat) -> str:
        """A matrix with its rows and columns."""
        start = "" if mat.offset == 0 else f" from {dims.text(mat.offset)}"
        size = f"{dims.text(mat.rows)} x {dims.text(mat.columns)}"
        return f"{self.name(mat.buffer.name)}({size}{start})"

    # ---- expressions ----------------------------------------------------------------------

    def bound(self, node: Expr, index: str) -> tuple[str, int]:
        """The text; a comparison, which is 1 or 0, stands in brackets."""
        match node:
            case Compare():
                return f"[{self.condition(node, index)}]", ATOM
            case Select(condition, yes, no):
                parts = (self.expression(part, index) for part in (yes, condition, no))
                return "({} where {}, else {})".format(*parts), ATOM
        return super().bound(node, index)

    def count(self, dim: Dim) -> str:
        """A length or a loop counter."""
        return dims.text(dim)

    def number(self, value: float) -> str:
        """A literal, in digits enough for float32."""
        return f"{value:.9g}"

    def element(self, vec: Vec, index: str) -> str:
        """The vector: an equation is of all its elements."""
        return self.vector(vec)

    def local(self, name: str) -> str:
        """A local of the op."""
        return name

    def between(self, node: Table, index: str) -> str:
        """A table as the function that it stands for."""
        return f"{node.vec.buffer.name}({self.expression(node.value, index)})"

    def function(self, name: str, arguments: tuple[Expr, ...]) -> str:
        """The sigmoid of a gate is a sigmoid."""
        return "sigmoid" if name == "gate_sigmoid" else name
