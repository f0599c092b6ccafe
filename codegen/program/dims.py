"""Whole numbers that may depend on the number of time steps: lengths, offsets, loop counters.

A `Dim` is a sum of whole multiples of symbols, plus a constant, kept in one canonical form so
that equal lengths compare equal. A symbol is a free length (`steps`), a loop counter, or a
quotient, product or extremum that does not simplify. Plain `int` stands wherever no symbol is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from codegen.errors import LengthError

Dim: TypeAlias = "int | Sum"


@dataclass(frozen=True)
class Symbol:
    """A named whole number that is known only when the generated code runs."""

    name: str


@dataclass(frozen=True)
class Compound:
    """`a // b` (floor), `a * b`, `max(a, b)` or `min(a, b)` of two dims."""

    operator: str
    left: Dim
    right: Dim


Atom: TypeAlias = Symbol | Compound


@dataclass(frozen=True)
class Sum:
    """`constant` plus each atom times its whole factor; atoms in a fixed order, no zero factor."""

    terms: tuple[tuple[Atom, int], ...]
    constant: int = 0

    def __add__(self, other: Dim) -> Dim:
        return _sum(self, other, 1)

    __radd__ = __add__

    def __sub__(self, other: Dim) -> Dim:
        return _sum(self, other, -1)

    def __rsub__(self, other: Dim) -> Dim:
        return other + self * -1

    def __mul__(self, other: Dim) -> Dim:
        if isinstance(other, int):
            if other == 0:
                return 0
            return Sum(tuple((a, f * other) for a, f in self.terms), self.constant * other)
        result: Dim = other * self.constant
        for left, times in self.terms:
            for right, factor in other.terms:
                result = result + _times(left, right) * (times * factor)
            result = result + _atom(left) * (times * other.constant)
        return result

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> Dim:
        if other == 1:
            return self
        if all(f % other == 0 for _, f in self.terms):  # (k*d + c) // d = k + c // d
            whole = tuple((a, f // other) for a, f in self.terms)
            return Sum(whole, self.constant // other)
        return _atom(Compound("//", self, other))

    def __repr__(self) -> str:
        return text(self)


def symbol(name: str) -> Dim:
    """The dim that is this symbol alone."""
    return _atom(Symbol(name))


def _atom(atom: Atom) -> Dim:
    return Sum(((atom, 1),))


def _times(left: Atom, right: Atom) -> Dim:
    """The product of two atoms, the same in either order."""
    first, second = sorted((_atom(left), _atom(right)), key=str)
    return _atom(Compound("*", first, second))


def _sum(left: Dim, right: Dim, sign: int) -> Dim:
    factors: dict[Atom, int] = {}
    constant = 0
    for dim, times in ((left, 1), (right, sign)):
        if isinstance(dim, int):
            constant += times * dim
            continue
        constant += times * dim.constant
        for atom, factor in dim.terms:
            factors[atom] = factors.get(atom, 0) + times * factor
    terms = tuple(sorted(((a, f) for a, f in factors.items() if f), key=lambda t: str(t[0])))
    return Sum(terms, constant) if terms else constant


def maximum(left: Dim, right: Dim) -> Dim:
    """The larger of the two."""
    if isinstance(left, int) and isinstance(right, int):
        return max(left, right)
    return left if left == right else _atom(Compound("max", left, right))


def minimum(left: Dim, right: Dim) -> Dim:
    """The smaller of the two."""
    if isinstance(left, int) and isinstance(right, int):
        return min(left, right)
    return left if left == right else _atom(Compound("min", left, right))


def ceil_div(dim: Dim, divisor: int) -> Dim:
    """`dim / divisor` rounded up."""
    return (dim + (divisor - 1)) // divisor


def product(dims: tuple[Dim, ...]) -> Dim:
    """All dims multiplied; 1 for none."""
    result: Dim = 1
    for dim in dims:
        result = result * dim
    return result


def fixed(dim: Dim) -> int:
    """The number itself; a LengthError where it depends on a symbol."""
    if isinstance(dim, int):
        return dim
    raise LengthError(
        f"it needs to know the length {text(dim)}, which is free; save the model with a fixed "
        "number of time steps"
    )


def factor_of(dim: Dim, name: str) -> int:
    """The factor of the plain symbol `name` in `dim`, 0 where it does not occur."""
    if isinstance(dim, int):
        return 0
    return dict(dim.terms).get(Symbol(name), 0)


def symbols(dim: Dim) -> frozenset[str]:
    """Names of all symbols in `dim`, inside compounds too."""
    if isinstance(dim, int):
        return frozenset()
    names: set[str] = set()
    for atom, _ in dim.terms:
        if isinstance(atom, Symbol):
            names.add(atom.name)
        else:
            names |= symbols(atom.left) | symbols(atom.right)
    return frozenset(names)


def value(dim: Dim, known: Mapping[str, int]) -> int:
    """`dim` as a number where `known` gives every symbol."""
    return fixed(substitute(dim, known))


def substitute(dim: Dim, known: Mapping[str, Dim]) -> Dim:
    """`dim` with the known symbols replaced."""
    if isinstance(dim, int):
        return dim
    result: Dim = dim.constant
    for atom, factor in dim.terms:
        result = result + _substitute_atom(atom, known) * factor
    return result


def _substitute_atom(atom: Atom, known: Mapping[str, Dim]) -> Dim:
    if isinstance(atom, Symbol):
        return known.get(atom.name, _atom(atom))
    left, right = substitute(atom.left, known), substitute(atom.right, known)
    if atom.operator == "//":
        return left // fixed(right)
    if atom.operator == "*":
        return left * right
    return maximum(left, right) if atom.operator == "max" else minimum(left, right)


def text(
    dim: Dim,
    divide: str = "({} // {})",
    call: str = "{}({}, {})",
    known: Mapping[str, str] | None = None,
) -> str:
    """`dim` as source text; `divide` floors, `call` gives an extremum, `known` texts of symbols."""

    def part(atom: Atom) -> str:
        if isinstance(atom, Symbol):
            return (known or {}).get(atom.name, atom.name)
        left, right = (text(side, divide, call, known) for side in (atom.left, atom.right))
        if atom.operator in ("max", "min"):
            return call.format(atom.operator, left, right)
        left = left if _single(atom.left) else f"({left})"
        right = right if _single(atom.right) else f"({right})"
        return (divide if atom.operator == "//" else "({} * {})").format(left, right)

    if isinstance(dim, int):
        return str(dim)
    parts: list[str] = []
    for atom, factor in dim.terms:
        body = part(atom)
        sign = "-" if factor < 0 else "+"
        if abs(factor) != 1:
            body = f"{abs(factor)} * {body}"
        parts.append(f"{sign} {body}" if parts else (f"-{body}" if factor < 0 else body))
    if dim.constant:
        parts.append(f"{'-' if dim.constant < 0 else '+'} {abs(dim.constant)}")
    return " ".join(parts)


def is_plain(dim: Dim) -> bool:
    """Whether it is a number from 0 on, or a symbol alone."""
    return _single(dim) and (isinstance(dim, int) or isinstance(dim.terms[0][0], Symbol))


def _single(dim: Dim) -> bool:
    if isinstance(dim, int):
        return dim >= 0
    return len(dim.terms) == 1 and not dim.constant and dim.terms[0][1] == 1


def slope(dim: Dim, name: str) -> Dim:
    """How much `dim` grows when the symbol grows by one; `dim` must be affine in it."""
    return substitute(dim, {name: 1}) - substitute(dim, {name: 0})
