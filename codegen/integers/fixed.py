"""Numbers of fixed point: an expression of integers, its fraction, and the integers it may give.

The bounds are exact, so that a sum or a product that would leave int32 is seen here, and made of
numbers of fewer bits: nothing can overflow when the program runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from codegen.program.ops import Binary, Call, Expr, Negate, Number, Select

MOST = (1 << 31) - 1  # of int32
SHORT = 1 << 15  # what a product takes: 16 bits
ONE = 1 << 15  # 1.0 with 15 bits of fraction
ENOUGH = 30  # bits of fraction that a constant has at most


class CannotFit(Exception):
    """Numbers so large that int32 does not hold them with any fraction; says what they are."""


@dataclass(frozen=True)
class Fixed:
    """`node / 2^fraction`, `node` between `low` and `high`.

    A constant has `remade`, which gives it with another fraction, rounded once.
    """

    node: Expr
    fraction: int
    low: int
    high: int
    remade: Callable[[int], Fixed] | None = None

    @property
    def most(self) -> int:
        """How far from zero it may be."""
        return max(abs(self.low), abs(self.high))


def number(value: float, fraction: int | None = None) -> Fixed:
    """A constant; without a fraction one that is exact, or has 15 bits."""
    if not math.isfinite(value) or abs(value) >= 2.0**30:
        raise CannotFit(f"the number {value:g}")
    if fraction is None:
        fraction = next((n for n in range(16) if (value * 2.0**n).is_integer()), None)
        if fraction is None or abs(value) * 2.0**fraction > SHORT:
            fraction = min(ENOUGH, 14 - exponent(abs(value)) + 1)
    whole = math.floor(value * 2.0**fraction + 0.5)
    return Fixed(Number(float(whole)), fraction, whole, whole, lambda n: number(value, n))


def _least(fraction: int) -> Fixed:
    return Fixed(Number(-float(MOST)), fraction, -MOST, -MOST, _least)


LEAST = _least(0)  # less than everything: what it is chosen from has a lowest number in its place


def exponent(largest: float) -> int:
    """The smallest e for which 2^e is no less than a number; -32 for what is smaller still."""
    if largest <= 2.0**-32:
        return -32
    mantissa, power = math.frexp(largest)
    return power - 1 if mantissa == 0.5 else power


def with_fraction(x: Fixed, fraction: int) -> Fixed:
    """The number with this fraction: multiplied, or shifted with rounding."""
    if x.fraction == fraction:
        return x
    if x.remade is not None:
        return x.remade(fraction)
    more = fraction - x.fraction
    if more > 0:
        if x.most << more > MOST:
            raise CannotFit(f"a number up to {x.most / 2.0**x.fraction:g}")
        factor = 1 << more
        node = Binary("*", x.node, Number(float(factor)))
        return Fixed(node, fraction, x.low * factor, x.high * factor)
    return _shifted(x, -more)


def _shifted(x: Fixed, n: int) -> Fixed:
    node, fraction = x.node, x.fraction - n
    if n > 31:
        return Fixed(Number(0.0), fraction, 0, 0)
    low, high, left = x.low, x.high, n
    if high + (1 << (n - 1)) > MOST:  # half of it first: rounding down twice is rounding down once
        node, low, high, left = Call("floor_shift", (node, Number(1.0))), low >> 1, high >> 1, n - 1
    if left:
        half = 1 << (left - 1)
        node = Call("shifted", (node, Number(float(left))))
        low, high = (low + half) >> left, (high + half) >> left
    return Fixed(node, fraction, low, high)


def fitted(x: Fixed, most: int) -> Fixed:
    """The number with so much less fraction that it is no further from zero than `most`."""
    n = 0
    while (x.most + (1 << n >> 1)) >> n > most:
        n += 1
    return with_fraction(x, x.fraction - n) if n else x


def short(x: Fixed) -> Fixed:
    """The number in 16 bits, or one more than they hold."""
    return fitted(x, SHORT)


def clipped(x: Fixed, low: int, high: int, function: str | None = None) -> Fixed:
    """The number within bounds: by `limited`, which counts what lies beyond, or by min and max."""
    if x.low >= low and x.high <= high:
        return x
    bounds = max(low, min(high, x.low)), min(high, max(low, x.high))
    if function is not None:
        ends = Number(float(low)), Number(float(high))
        return Fixed(Call(function, (x.node, *ends)), x.fraction, *bounds)
    if (low, high) == (-SHORT, SHORT - 1):
        return Fixed(Call("saturated", (x.node,)), x.fraction, *bounds)
    node = x.node
    if x.low < low:
        node = Call("max", (node, Number(float(low))))
    if x.high > high:
        node = Call("min", (node, Number(float(high))))
    return Fixed(node, x.fraction, *bounds)


def aligned(a: Fixed, b: Fixed, room: int = MOST) -> tuple[Fixed, Fixed]:
    """Both with one fraction, the larger one if the sum of the sizes then stays within `room`."""
    if a.remade is not None and b.remade is None:
        b, a = aligned(b, a, room)
        return a, b
    fraction = max(a.fraction, b.fraction)
    if b.remade is not None:  # a constant takes what the other has, with some bits of its own
        fraction = max(a.fraction, min(b.fraction, 16))
    while True:
        if _size(a, fraction) + _size(b, fraction) <= room:
            return with_fraction(a, fraction), with_fraction(b, fraction)
        fraction -= 1
        if fraction < -64:
            raise CannotFit("a sum")


def _size(x: Fixed, fraction: int) -> int:
    """A bound of the integer with another fraction, and of those on the way to it."""
    more = fraction - x.fraction
    return x.most << more if more >= 0 else (x.most >> -more) + 1


def add(a: Fixed, b: Fixed) -> Fixed:
    """The sum."""
    a, b = aligned(a, b)
    return Fixed(Binary("+", a.node, b.node), a.fraction, a.low + b.low, a.high + b.high)


def subtract(a: Fixed, b: Fixed) -> Fixed:
    """The difference."""
    a, b = aligned(a, b)
    return Fixed(Binary("-", a.node, b.node), a.fraction, a.low - b.high, a.high - b.low)


def negate(a: Fixed) -> Fixed:
    """The number with the other sign."""
    return Fixed(Negate(a.node), a.fraction, -a.high, -a.low)


def product(a: Fixed, b: Fixed) -> Fixed:
    """The product of what both are in 16 bits."""
    a, b = short(a), short(b)
    while a.most * b.most > MOST:
        a, b = (fitted(a, a.most >> 1), b) if a.most >= b.most else (a, fitted(b, b.most >> 1))
    ends = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    return Fixed(Binary("*", a.node, b.node), a.fraction + b.fraction, min(ends), max(ends))


def scaled(q: Fixed, r: Fixed) -> Fixed:
    """A number of 32 bits times one between 0 and 1: all its bits stay."""
    ends = [(x * y) >> 15 for x in (q.low, q.high) for y in (r.low, r.high)]
    return Fixed(Call("scaled", (q.node, r.node)), q.fraction, min(ends), max(ends))


def is_part(r: Fixed) -> bool:
    """Whether a number lies between 0 and 1 and has 15 bits of fraction, as gates have."""
    return r.fraction == 15 and r.low >= 0 and r.high <= ONE


def power_of_two(value: float) -> int | None:
    """The n of 2^n, None for any other number."""
    mantissa, power = math.frexp(value)
    return power - 1 if mantissa == 0.5 else None


def no_least(a: Fixed, b: Fixed) -> tuple[Fixed, Fixed]:
    """Both, with the lowest number of the other in place of LEAST."""
    if a.remade is _least:
        return _lowest_of(b), b
    return (a, _lowest_of(a)) if b.remade is _least else (a, b)


def _lowest_of(x: Fixed) -> Fixed:
    return Fixed(Number(float(x.low)), x.fraction, x.low, x.low, None)


def choose(condition: Expr, yes: Fixed, no: Fixed) -> Fixed:
    """One of two numbers."""
    yes, no = together(yes, no)
    bounds = min(yes.low, no.low), max(yes.high, no.high)
    return Fixed(Select(condition, yes.node, no.node), yes.fraction, *bounds)


def together(a: Fixed, b: Fixed) -> tuple[Fixed, Fixed]:
    """Both with one fraction, where they are not added."""
    a, b = no_least(a, b)
    if a.remade is not None and b.remade is not None:
        fraction = max(a.fraction, b.fraction)
        while max(_size(a, fraction), _size(b, fraction)) > MOST:
            fraction -= 1
        return with_fraction(a, fraction), with_fraction(b, fraction)
    if a.remade is not None:
        b, a = together(b, a)
        return a, b
    fraction = a.fraction if b.remade is not None else max(a.fraction, b.fraction)
    if b.remade is not None:
        fraction = max(fraction, min(b.fraction, 16))
    while max(_size(a, fraction), _size(b, fraction)) > MOST:
        fraction -= 1
    return with_fraction(a, fraction), with_fraction(b, fraction)
