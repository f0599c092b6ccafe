"""Scalar expressions as text of a language with the usual operators and a conditional."""

from __future__ import annotations

from codegen.program.dims import Dim
from codegen.program.ops import (
    At,
    Binary,
    Call,
    Compare,
    Count,
    Expr,
    Index,
    Local,
    Negate,
    Number,
    Select,
    Vec,
)

# How tightly the text of an expression binds; an operand that binds weaker gets parentheses.
CONDITIONAL, COMPARISON, SUM, PRODUCT, SIGN, ATOM = range(6)
OPERATORS = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT}


class Scalars:
    """Prints an expression for one element. A language says how its smallest parts are written."""

    def expression(self, node: Expr, index: str, outer: int = CONDITIONAL) -> str:
        """The text, in parentheses where it binds weaker than `outer`; `index` "" is element 0."""
        text, own = self.bound(node, index)
        return f"({text})" if own < outer else text

    def bound(self, node: Expr, index: str) -> tuple[str, int]:
        """The text, and how tightly it binds."""
        match node:
            case Number(value):
                text = self.number(value)
                return text, SIGN if text.startswith("-") else ATOM
            case At(vec):
                return self.element(vec, index), ATOM
            case Local(name):
                return self.local(name), ATOM
            case Index():
                return index or "0", ATOM
            case Count(dim):
                return f"({self.dim(dim)})", ATOM
            case Binary(operator, left, right):
                own = OPERATORS[operator]
                first = self.expression(left, index, own)
                return f"{first} {operator} {self.expression(right, index, own + 1)}", own
            case Negate(value):
                return f"-{self.expression(value, index, ATOM)}", SIGN
            case Compare():
                return self.choice(self.condition(node, index), "1", "0")
            case Select(condition, yes, no):
                texts = (self.expression(part, index, COMPARISON) for part in (yes, no))
                return self.choice(self.condition(condition, index), *texts)
            case Call(function, arguments):
                return self.call(function, [self.expression(a, index) for a in arguments]), ATOM
        raise NotImplementedError(node)

    def condition(self, node: Expr, index: str) -> str:
        """An expression as a condition."""
        if not isinstance(node, Compare):
            node = Compare("!=", node, Number(0.0))
        left, right = (self.compared(part, index) for part in (node.left, node.right))
        return f"{left} {self.relation(node.operator)} {right}"

    def compared(self, node: Expr, index: str) -> str:
        """One side of a comparison."""
        return self.expression(node, index, SUM)

    def relation(self, operator: str) -> str:
        """A comparison operator."""
        return operator

    def choice(self, condition: str, yes: str, no: str) -> tuple[str, int]:
        """A conditional expression."""
        return f"{condition} ? {yes} : {no}", CONDITIONAL

    def number(self, value: float) -> str:
        """A literal."""
        raise NotImplementedError

    def element(self, vec: Vec, index: str) -> str:
        """An element of a vector."""
        raise NotImplementedError

    def local(self, name: str) -> str:
        """A local of the op."""
        raise NotImplementedError

    def dim(self, dim: Dim) -> str:
        """A length or a loop counter."""
        raise NotImplementedError

    def call(self, function: str, arguments: list[str]) -> str:
        """The call of a function of `program.FUNCTIONS`."""
        raise NotImplementedError
