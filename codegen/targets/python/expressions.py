"""Names, vectors and expressions of one program as text."""

from __future__ import annotations

import math

from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import (
    Binary,
    Buffer,
    Call,
    Expr,
    Number,
    Program,
    Vec,
)
from codegen.targets.python.file import File
from codegen.targets.spine.expressions import ATOM, COMPARISON, CONDITIONAL, Scalars, identity

# How functions are spelled where not by their own names; those with a file under
# templates/python/functions are functions of the generated file, the others are built in.
SPELLING = {"gate_sigmoid": "sigmoid", "round": "round_even", "pow": "power"}
# What is built in keeps its first argument where one is NaN: enough where the second is a number.
KEEPS_NAN = {"max": "larger", "min": "smaller"}


class Expressions(Scalars):
    """Names, vectors and expressions of one program."""

    def __init__(self, file: File, program: Program) -> None:
        self.file = file
        self.program = program
        self.lines = {s.buffer: s for s in program.states if s.line}

    # ---- names ------------------------------------------------------------------------

    def name(self, buffer: Buffer) -> str:
        """The local name of a buffer, or the constant."""
        if buffer.kind == "const":
            return self.file.vector(buffer)
        if buffer in self.file.ports:
            return self.file.ports[buffer]
        return self.file.names(buffer.name, identity(buffer))

    def oldest(self, line: Buffer) -> str:
        """The name of where the oldest row of a delay line stands."""
        return self.file.names(f"{line.name}_oldest", ("oldest", line))

    def is_ring(self, buffer: Buffer) -> bool:
        """Whether the rows of a delay line go round (one row has nowhere to go)."""
        state = self.lines.get(buffer)
        return state is not None and state.shape[0] > 1

    def local(self, name: str) -> str:
        """A local of an op; unlike any other name of the file."""
        return self.file.names(name, ("local", name))

    # ---- vectors ----------------------------------------------------------------------

    def _is_whole(self, vec: Vec) -> bool:
        return vec.offset == 0 and vec.stride == 1 and vec.size == vec.buffer.size

    def start(self, vec: Vec) -> str:
        """Where the vector begins in its buffer."""
        if self.is_ring(vec.buffer):
            at = self.oldest(vec.buffer)
            if vec.offset != 0:
                at = f"{at} + {dims.text(vec.offset)}"
                return f"({at}) % {dims.text(vec.buffer.size)}"
            return at
        return dims.text(vec.offset)

    def element(self, vec: Vec, index: str) -> str:
        """One element, by the index of a loop."""
        return f"{self.name(vec.buffer)}[{self.place(vec, index)}]"

    def place(self, vec: Vec, index: str) -> str:
        """Where an element stands in its buffer."""
        start = self.start(vec)
        if not index or vec.stride == 0:
            return start
        moved = index if vec.stride == 1 else f"{vec.stride} * {index}"
        if vec.offset == 0 and not self.is_ring(vec.buffer):
            return moved
        return f"{start} + {moved}"

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
        if not isinstance(vec.offset, int):
            return f"{name}[{start} : {stop}]"
        if vec.offset == 0:
            return f"{name}[:{stop}]" if isinstance(vec.size, int) else f"{name}[0 : {stop}]"
        return f"{name}[{start}:{stop}]"

    def _index(self) -> str:
        return self.file.names("k", "index")

    # ---- expressions --------------------------------------------------------------------

    def bound(self, node: Expr, index: str) -> tuple[str, int]:
        """The text, and how tightly it binds; a division by what may be zero is a call."""
        if isinstance(node, Binary) and node.operator == "/" and not _is_positive(node.right):
            operands = (self.expression(part, index) for part in (node.left, node.right))
            return f"{self.file.use('divide')}({', '.join(operands)})", ATOM
        return super().bound(node, index)

    def choice(self, condition: str, yes: Expr, no: Expr, index: str) -> tuple[str, int]:
        """A conditional expression."""
        first = self.expression(yes, index, COMPARISON)
        return f"{first} if {condition} else {self.expression(no, index)}", CONDITIONAL

    def number(self, value: float) -> str:
        """A literal."""
        if math.isnan(value):
            return "NAN"
        if math.isinf(value):
            return "INF" if value > 0 else "-INF"
        return repr(float(value))

    def real(self, text: str) -> str:
        """A whole number as a float."""
        return f"float({text})" if text != "0" else "0.0"

    def count(self, dim: Dim) -> str:
        """A length or a loop counter as a float."""
        return f"float({dims.text(dim)})"

    def function(self, name: str, arguments: tuple[Expr, ...]) -> str:
        """What is built in, or a function of the file."""
        name = SPELLING.get(name, name)
        if name in KEEPS_NAN and not isinstance(arguments[1], Number):
            name = KEEPS_NAN[name]
        return name if name in ("abs", "min", "max") else self.file.use(name)


def _is_positive(node: Expr) -> bool:
    """Whether a divisor is above zero whatever the numbers are."""
    if isinstance(node, Number):
        return node.value != 0.0
    if isinstance(node, Binary) and node.operator == "+":
        for known, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(known, Number) and known.value > 0 and isinstance(other, Call):
                return other.function in (
                    "abs",
                    "exp",
                    "sqrt",
                    "sigmoid",
                    "gate_sigmoid",
                    "softplus",
                )
    return False
