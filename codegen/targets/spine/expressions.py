"""Scalar expressions as text of a language with the usual operators and a conditional."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain, count

from codegen.program.dims import Dim
from codegen.program.ops import (
    At,
    Binary,
    Buffer,
    Call,
    Compare,
    Count,
    Elementwise,
    Expr,
    Index,
    Local,
    Negate,
    Number,
    Select,
    Table,
    Vec,
    walk,
)

# How tightly the text of an expression binds; an operand that binds weaker gets parentheses.
CONDITIONAL, COMPARISON, SUM, PRODUCT, SIGN, ATOM = range(6)
OPERATORS = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT}


class Scalars:
    """Prints an expression for one element. A language says how its smallest parts are written.

    `index` is the text of the element's number, "" for the first of a single one.
    """

    negative = SIGN  # how tightly something with a minus in front binds
    integers = False  # whether the numbers are integers, which no type changes

    def expression(self, node: Expr, index: str, outer: int = CONDITIONAL) -> str:
        """The text, in parentheses where it binds weaker than `outer`."""
        text, own = self.bound(node, index)
        return f"({text})" if own < outer else text

    def bound(self, node: Expr, index: str) -> tuple[str, int]:
        """The text, and how tightly it binds."""
        match node:
            case Number(value):
                below = not math.isnan(value) and math.copysign(1.0, value) < 0
                return self.number(value), self.negative if below else ATOM
            case At(vec):
                text = self.element(vec, index)
                return self.converted(text) if vec.buffer.dtype == "int32" else text, ATOM
            case Local(name):
                return self.local(name), ATOM
            case Index():
                return self.converted(index or "0"), ATOM
            case Count(dim):
                return self.count(dim), ATOM
            case Binary(operator, left, right):
                own = OPERATORS[operator]
                first = self.expression(left, index, own)
                return f"{first} {operator} {self.expression(right, index, own + 1)}", own
            case Negate(value):
                return f"-{self.expression(value, index, ATOM)}", self.negative
            case Compare():
                return self.choice(self.condition(node, index), Number(1.0), Number(0.0), index)
            case Select(condition, yes, no):
                return self.choice(self.condition(condition, index), yes, no, index)
            case Table():
                return self.between(node, index), ATOM
            case Call(function, arguments):
                texts = ", ".join(self.expression(a, index) for a in arguments)
                return f"{self.function(function, arguments)}({texts})", ATOM
        raise NotImplementedError(node)

    def stored(
        self, op: Elementwise, index: str, named: str = "{} = {}", stored: str = "{} = {}"
    ) -> list[str]:
        """The stores of an op; what a later one reads waits under a name until all are computed."""
        names, lines, delayed = waiting(op), list[str](), list[str]()
        for number, (vec, node) in enumerate(op.stores):
            text, target = self.expression(node, index), self.element(vec, index)
            if number in names:
                name = self.local(names[number])
                lines.append(named.format(name, text))
                delayed.append(stored.format(target, name))
            else:
                lines.append(stored.format(target, text))
        return [*lines, *delayed]

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

    def choice(self, condition: str, yes: Expr, no: Expr, index: str) -> tuple[str, int]:
        """A conditional expression, and how tightly it binds."""
        first, second = (self.expression(part, index, COMPARISON) for part in (yes, no))
        return f"{condition} ? {first} : {second}", CONDITIONAL

    def converted(self, text: str) -> str:
        """A whole number as what is computed with."""
        return text if self.integers else self.real(text)

    def real(self, text: str) -> str:
        """A whole number as a number of the file's type."""
        return text

    def between(self, node: Table, index: str) -> str:
        """What lies between the numbers of a table."""
        raise NotImplementedError

    def count(self, dim: Dim) -> str:
        """A length or a loop counter as a number of the file's type."""
        raise NotImplementedError

    def number(self, value: float) -> str:
        """A literal."""
        raise NotImplementedError

    def element(self, vec: Vec, index: str) -> str:
        """An element of a vector."""
        raise NotImplementedError

    def local(self, name: str) -> str:
        """A local of the op."""
        raise NotImplementedError

    def function(self, name: str, arguments: tuple[Expr, ...]) -> str:
        """How a function of `program.FUNCTIONS` or `INTEGER_FUNCTIONS` is called here."""
        raise NotImplementedError


def identity(buffer: Buffer) -> object:
    """What the name of a buffer stands for: scratch of step and predict may share one."""
    return ("temp", buffer.name) if buffer.kind == "temp" else buffer


def waiting(op: Elementwise) -> Mapping[int, str]:
    """The stores into what a later one still reads: their numbers, and names for their values."""
    names: dict[int, str] = {}
    for number, (vec, _) in enumerate(op.stores):
        later = [node for _, e in op.stores[number + 1 :] for node in walk(e)]
        if any(isinstance(node, At) and node.vec.buffer is vec.buffer for node in later):
            short, own = f"new_{vec.buffer.name.rsplit('_', 1)[-1]}", f"new_{vec.buffer.name}"
            further = (f"{own}_{k}" for k in count(2))
            taken = names.values()
            names[number] = next(name for name in chain((short, own), further) if name not in taken)
    return names
