"""Names, vectors and expressions of one program as text."""

from __future__ import annotations

import math

from codegen.program import dims
from codegen.program.ops import (
    At,
    Binary,
    Buffer,
    Call,
    Compare,
    Count,
    Expr,
    Index,
    Local,
    Negate,
    Number,
    Program,
    Select,
    Vec,
)
from codegen.targets.python.file import File

# How each function of a Call is spelled; a name with a file under templates/python/functions is
# a function of the generated file, the others are built in.
SPELLING = {
    "exp": "exp",
    "expm1": "expm1",
    "log": "log",
    "log1p": "log1p",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "gate_sigmoid": "sigmoid",
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
# What is built in keeps its first argument where one is NaN: enough where the second is a number.
KEEPS_NAN = {"max": "larger", "min": "smaller"}

# Precedence of what an expression prints as; an operand of a lower one gets parentheses.
CONDITIONAL, COMPARISON, SUM, PRODUCT, SIGN, ATOM = range(6)
OPERATOR = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT}


class Expressions:
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
        return self.file.names(buffer.name, buffer)

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

    def element(self, vec: Vec, index: str | None) -> str:
        """One element, by the index of a loop."""
        return f"{self.name(vec.buffer)}[{self.place(vec, index)}]"

    def place(self, vec: Vec, index: str | None) -> str:
        """Where an element stands in its buffer."""
        start = self.start(vec)
        if index is None or vec.stride == 0:
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
        if name in KEEPS_NAN and not isinstance(node.arguments[1], Number):
            name = KEEPS_NAN[name]
        if name not in ("abs", "min", "max"):
            self.file.use(name)
        return f"{name}({', '.join(show(a) for a in node.arguments)})", ATOM

    def _condition(self, node: Expr, index: str | None) -> str:
        if isinstance(node, Compare):
            left = self.expression(node.left, index, SUM)
            return f"{left} {node.operator} {self.expression(node.right, index, SUM)}"
        return f"{self.expression(node, index, SUM)} != 0.0"


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
                return other.function in (
                    "abs",
                    "exp",
                    "sqrt",
                    "sigmoid",
                    "gate_sigmoid",
                    "softplus",
                )
    return False
