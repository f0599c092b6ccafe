"""Expressions of floats as expressions of integers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from codegen.integers import fixed
from codegen.integers.fixed import ONE, SHORT, CannotFit, Fixed
from codegen.integers.ranges import weighted_mean
from codegen.integers.split import free_name
from codegen.integers.tables import is_inexact, numeric, only_leaf
from codegen.program import dims
from codegen.program.ops import (
    LOWEST,
    Array,
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
    Select,
    Table,
    Vec,
)
from codegen.program.portable import OWN

SUM = 16  # bits of fraction of what a gate is computed from
SATURATED = 12  # sigmoid(12) is 1 to 16 bits
SIGMOID_SHIFT = 11  # 2^5 numbers for a unit
STATE = 1 << 27  # a number so large has the bits of a state: its upper half is precise
MOST_SEGMENTS = 512
LEAST_SEGMENTS = 16
LONGEST_SEGMENT = 15  # bits
COARSEST = 2.0**-9  # of its largest number, by which a table may be off
TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
CLIPPED = 2.5 * (1 << SUM)  # where hard_sigmoid of Keras 1 and 2 ends


class Unsupported(Exception):
    """What integers have no exact arithmetic for, in words."""


@dataclass
class Tables:
    """The constant tables that expressions look functions up in, each once."""

    known: dict[object, Buffer] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def sigmoid(self) -> Vec:
        """The sigmoid at steps of 2^-5 from 0 to 12, with 15 bits of fraction."""
        x = np.arange(SATURATED * 32 + 1) / 32
        return self.made("sigmoid", "sigmoid_table", np.asarray(OWN["sigmoid"](x)), 15)

    def decay(self) -> tuple[Vec, int]:
        """The powers exp(-x) at steps of 2^-5 from 0 to 12; the last is 0."""
        x = np.arange(SATURATED * 32 + 1) / 32
        values = np.asarray(OWN["exp"](-x)) * (SHORT - 1) / SHORT
        values[-1] = 0.0
        return self.made("decay", "exp_table", values, 15), SIGMOID_SHIFT

    def made(self, key: object, name: str, values: Array, fraction: int) -> Vec:
        """A table of int16."""
        buffer = self.known.get(key)
        if buffer is None:
            data = np.clip(np.floor(values * 2.0**fraction + 0.5), -SHORT, SHORT - 1)
            buffer = constant(free_name(name, self.names), data.astype(np.int16), fraction)
            self.known[key] = buffer
        return buffer.vec()


def constant(name: str, data: Array, fraction: int) -> Buffer:
    """A constant of integers."""
    flat = data.reshape(-1)
    flat.flags.writeable = False
    kind = str(flat.dtype)
    return Buffer(name, flat.size, "const", kind, flat, (), data.shape, fraction=fraction)


class Compiler:
    """Expressions of one op. `read` gives an element of a buffer, `index` bounds its number."""

    def __init__(
        self, read: Callable[[Vec], Fixed], tables: Tables, most_index: int, name: str
    ) -> None:
        self.read, self.tables, self.name = read, tables, name
        self.most_index = most_index
        self.locals: dict[str, Fixed] = {}
        self.sources: dict[str, Expr] = {}

    def compiled(self, node: Expr, is_short: bool = False) -> Fixed:
        """The expression; with `is_short` it goes into a product, which takes 16 bits of it."""
        found = self._compiled(node, is_short)
        return fixed.short(found) if is_short and found.remade is None else found

    def _compiled(self, node: Expr, is_short: bool) -> Fixed:
        leaf = only_leaf(node) if is_inexact(node) else None
        if leaf is not None and node != leaf:
            return self._looked_up(node, leaf)
        match node:
            case Number(value):
                return fixed.LEAST if value == LOWEST else fixed.number(value)
            case At(vec):
                return self.read(vec)
            case Local(name):
                return self.locals[name]
            case Index():
                return Fixed(Index(), 0, 0, self.most_index)
            case Count(dim):
                return self._count(dim)
            case Negate(value):
                return fixed.negate(self.compiled(value, is_short))
            case Compare(operator, left, right):
                return self._compared(operator, left, right)
            case Select(condition, yes, no):
                chosen = self.compiled(condition)
                return fixed.choose(
                    chosen.node, self.compiled(yes, is_short), self.compiled(no, is_short)
                )
            case Binary():
                return self._binary(node, is_short)
            case Call(function, arguments):
                return self._called(function, arguments)
        raise NotImplementedError(node)

    def _count(self, dim: dims.Dim) -> Fixed:
        if isinstance(dim, int):
            return fixed.number(float(dim))
        raise Unsupported(
            "arithmetic with a number of steps that is known only when the model runs"
        )

    # ---- arithmetic ------------------------------------------------------------------------

    def _binary(self, node: Binary, is_short: bool) -> Fixed:
        mean = weighted_mean(node)
        if mean is not None:
            found = self._mean(*mean)
            if found is not None:
                return found
        left, right = node.left, node.right
        if node.operator == "/":
            return self._divided(left, right, is_short)
        if node.operator == "*":
            return self._multiplied(left, right, is_short)
        a, b = self.compiled(left, is_short), self.compiled(right, is_short)
        if a.remade and b.remade and isinstance(a.node, Number) and isinstance(b.node, Number):
            first, second = _value(left, a), _value(right, b)
            return fixed.number(first + second if node.operator == "+" else first - second)
        return fixed.add(a, b) if node.operator == "+" else fixed.subtract(a, b)

    def _mean(self, z: Expr, x: Expr, y: Expr) -> Fixed | None:
        """The mean z x + (1 - z) y as x + (1 - z)(y - x), where x has the bits of a state."""
        part, wide = self.compiled(z), self.compiled(x)
        new, old = self.compiled(y, is_short=True), self._short_state(wide)
        if not fixed.is_part(part) or wide.most < STATE or wide.remade is not None:
            return None
        fraction = min(new.fraction, old.fraction)
        if fraction + 15 != wide.fraction:
            return None
        new, old = fixed.with_fraction(new, fraction), fixed.with_fraction(old, fraction)
        change = fixed.subtract(new, old)
        rest = Fixed(
            Binary("-", Number(float(ONE)), part.node), 15, ONE - part.high, ONE - part.low
        )
        if change.fraction != fraction or change.most * rest.most > fixed.MOST:
            return None
        node = Binary("+", wide.node, Binary("*", rest.node, change.node))
        # Between x and y, but for half a bit that x is rounded by.
        low = min(wide.low, (new.low << 15) - (ONE >> 1))
        high = max(wide.high, (new.high << 15) + (ONE >> 1))
        return Fixed(node, wide.fraction, low, high)

    @staticmethod
    def _short_state(x: Fixed) -> Fixed:
        """The high half of a state, within int16."""
        return fixed.clipped(fixed.with_fraction(x, x.fraction - 15), -SHORT, SHORT - 1)

    def _multiplied(self, left: Expr, right: Expr, is_short: bool) -> Fixed:
        for factor, other in ((left, right), (right, left)):
            value = folded(factor)
            if value is not None:
                return self._times(value, other, is_short)
        a, b = self.compiled(left, is_short), self.compiled(right, is_short)
        if not is_short:
            for wide, part in ((a, b), (b, a)):
                if fixed.is_part(part) and wide.most > SHORT and wide.remade is None:
                    return fixed.scaled(wide, part)
        return fixed.product(_as_short(a), _as_short(b))

    def _times(self, value: float, other: Expr, is_short: bool) -> Fixed:
        """A constant times an expression: by powers of two the fraction alone changes."""
        known = folded(other)
        if known is not None:
            return fixed.number(value * known)
        if value == 0.0:
            return fixed.number(0.0)
        power = fixed.power_of_two(abs(value))
        x = self.compiled(other, is_short)
        if power is not None:
            moved = replace(x, fraction=x.fraction - power, remade=None)
            return moved if value > 0 else fixed.negate(moved)
        return fixed.product(_as_short(x), fixed.short(fixed.number(value)))

    def _divided(self, left: Expr, right: Expr, is_short: bool) -> Fixed:
        value = folded(right)
        if value is not None and value != 0.0:
            return self._times(1.0 / value, left, is_short)
        if isinstance(right, At) and right.vec.buffer.kind == "const":
            data = right.vec.buffer.data
            assert data is not None, right
            if np.all(np.asarray(data) != 0):
                turned = _reciprocal(right.vec.buffer)
                return self._multiplied(left, At(replace(right.vec, buffer=turned)), is_short)
        divisor = self.compiled(right)
        if divisor.fraction <= 0 and divisor.low >= 0:  # a number of rows
            return self._parted(self.compiled(left, is_short), divisor)
        raise Unsupported("division by what is computed")

    def _parted(self, x: Fixed, divisor: Fixed) -> Fixed:
        """A number divided by a whole number of at least 1, by the table of its reciprocal."""
        n = fixed.with_fraction(divisor, 1)
        if n.high > MOST_SEGMENTS << 1:
            raise Unsupported(f"division by whole numbers up to {n.high >> 1}")
        places = np.arange(1, (n.high >> 1) + 2)
        vec = self.tables.made(("1 /", n.high), "reciprocal_table", 1.0 / places, 15)
        start = fixed.subtract(n, fixed.number(1.0, 1))
        table = Table(vec, 1, start.node)
        return fixed.product(_as_short(x), Fixed(table, 15, 1, SHORT - 1))

    # ---- comparisons -----------------------------------------------------------------------

    def _compared(self, operator: str, left: Expr, right: Expr) -> Fixed:
        """1 or 0: numbers as they are, a constant rounded so that the answer is exact."""
        if folded(left) is not None and folded(right) is None:
            return self._compared(TURNED[operator], right, left)
        value = folded(right)
        a = self.compiled(left)
        if value is not None and a.remade is None and abs(value) < 2.0**30:
            edge = value * 2.0**a.fraction
            if edge.is_integer() or operator in ("==", "!="):
                whole = math.floor(edge)
                if not edge.is_integer():
                    return fixed.number(0.0 if operator == "==" else 1.0)
            else:
                whole = math.floor(edge) if operator in (">", "<=") else math.ceil(edge)
            whole = max(-fixed.MOST, min(fixed.MOST, whole))
            node: Expr = Compare(operator, a.node, Number(float(whole)))
            return Fixed(node, 0, 0, 1)
        a, b = fixed.together(a, self.compiled(right))
        return Fixed(Compare(operator, a.node, b.node), 0, 0, 1)

    # ---- functions -------------------------------------------------------------------------

    def _called(self, function: str, arguments: tuple[Expr, ...]) -> Fixed:
        first = self.compiled(arguments[0])
        match function:
            case "sigmoid" | "gate_sigmoid":
                return self._sigmoid(sum_of(first))
            case "tanh":
                half = self._sigmoid(_doubled(first))
                whole = Binary("-", Binary("*", Number(2.0), half.node), Number(float(ONE)))
                return Fixed(whole, 15, 2 * half.low - ONE, 2 * half.high - ONE)
            case "hard_sigmoid":
                inside = fixed.clipped(sum_of(first), -int(CLIPPED), int(CLIPPED))
                return self._line(inside, 6554, 16)
            case "hard_sigmoid_3":
                edge = 3 << SUM
                return self._line(fixed.clipped(sum_of(first), -edge, edge), 5461, 16)
            case "abs":
                return Fixed(Call("abs", (first.node,)), first.fraction, 0, first.most)
            case "min" | "max":
                return _extreme(function, first, self.compiled(arguments[1]))
            case "floor":
                if first.fraction <= 0:
                    return first
                node = Call("floor_shift", (first.node, Number(float(first.fraction))))
                low, high = first.low >> first.fraction, first.high >> first.fraction
                return Fixed(node, 0, low, high)
        leaf = Local("x")
        if len(arguments) == 1:
            return self._table(Call(function, (leaf,)), leaf, first)
        second = folded(arguments[1])
        if function == "pow" and second is not None:
            return self._table(Call(function, (leaf, Number(second))), leaf, first)
        raise Unsupported(f"{function} of two numbers that are computed")

    def _sigmoid(self, v: Fixed) -> Fixed:
        node = Table(self.tables.sigmoid(), SIGMOID_SHIFT, v.node, mirror=ONE)
        return Fixed(node, 15, 1, SHORT - 1)

    @staticmethod
    def _line(v: Fixed, slope: int, shift: int) -> Fixed:
        """A straight line through 1/2 between 0 and 1: 2^15 (slope v / 2^(shift + 15) + 1/2)."""
        rising = Call("shifted", (Binary("*", v.node, Number(float(slope))), Number(float(shift))))
        half = 1 << (shift - 1)
        low, high = ((v.low * slope + half) >> shift), ((v.high * slope + half) >> shift)
        line = Fixed(
            Binary("+", rising, Number(float(ONE >> 1))), 15, low + (ONE >> 1), high + (ONE >> 1)
        )
        return fixed.clipped(line, 0, ONE)

    def _looked_up(self, node: Expr, leaf: Expr) -> Fixed:
        """A function of one element or local, whole, as a table."""
        assert isinstance(leaf, (At, Local)), leaf
        return self._table(node, leaf, self.compiled(leaf))

    def _table(self, node: Expr, leaf: Expr, x: Fixed) -> Fixed:
        """`node` as a function of `leaf`, for whose numbers `x` stands."""
        x = fixed.fitted(x, (MOST_SEGMENTS << LONGEST_SEGMENT - 1) - 1)
        if x.low == x.high:
            x = replace(x, high=x.high + 1)
        segments = LEAST_SEGMENTS
        while True:
            shift = max(1, math.ceil(math.log2((x.high - x.low + 1) / segments)))
            low = (x.low >> shift) << shift  # zero is one of the places, with its corner
            count = ((x.high - low) >> shift) + 1
            places = (low + (np.arange(count + 1) << shift)) / 2.0**x.fraction
            middles = (low + (np.arange(count) << shift) + (1 << shift >> 1)) / 2.0**x.fraction
            with np.errstate(all="ignore"):
                y, between = numeric(node, leaf, places), numeric(node, leaf, middles)
            if not np.isfinite(y).all():
                raise Unsupported(
                    "table of a function that is not finite on the whole range of its input"
                )
            most = float(np.max(np.abs(y)))
            error = float(np.max(np.abs((y[1:] + y[:-1]) / 2 - between)))
            if error <= 2.0**-17 * most or segments >= MOST_SEGMENTS or shift == 1:
                break
            segments *= 2
        if error > COARSEST * most:
            raise Unsupported("table of a function that is so steep somewhere")
        fraction = min(fixed.ENOUGH, 15 - fixed.exponent(most))
        vec = self.tables.made((fraction, y.tobytes()), f"{self.name}_table", y, fraction)
        data = vec.buffer.data
        assert data is not None
        start = fixed.subtract(x, fixed.number(low / 2.0**x.fraction, x.fraction)) if low else x
        table = Table(vec, shift, start.node)
        return Fixed(table, fraction, int(data.min()), int(data.max()))


def folded(node: Expr) -> float | None:
    """The number that an expression of numbers is, None where it is none."""
    match node:
        case Number(value):
            return value
        case Count(dim) if isinstance(dim, int):
            return float(dim)
        case Negate(value):
            inner = folded(value)
            return None if inner is None else -inner
        case Binary(operator, left, right):
            a, b = folded(left), folded(right)
            if a is None or b is None or (operator == "/" and b == 0.0):
                return None
            return {"+": a + b, "-": a - b, "*": a * b}.get(operator, a / b if b else 0.0)
    return None


def _value(node: Expr, found: Fixed) -> float:
    value = folded(node)
    assert isinstance(found.node, Number)
    return found.node.value / 2.0**found.fraction if value is None else value


def _as_short(x: Fixed) -> Fixed:
    """A factor in 16 bits; a constant keeps as many as fit."""
    if x.remade is None or x.most <= SHORT:
        return x
    return x.remade(x.fraction - max(0, x.most.bit_length() - 15))


def sum_of(x: Fixed) -> Fixed:
    """What a gate is computed from: 16 bits of fraction, and no more than they can hold."""
    return fixed.with_fraction(fixed.clipped(x, -room(x.fraction), room(x.fraction)), SUM)


def room(fraction: int) -> int:
    """How large an integer of a fraction may be for its sum of 16 bits of fraction to fit."""
    more = fraction - SUM
    return (1 << 29) << more if more > 0 else (1 << 29) >> -more


def _doubled(x: Fixed) -> Fixed:
    v = sum_of(x)
    return Fixed(Binary("*", Number(2.0), v.node), SUM, 2 * v.low, 2 * v.high)


def _extreme(function: str, a: Fixed, b: Fixed) -> Fixed:
    a, b = fixed.together(a, b)
    pick = min if function == "min" else max
    node = Call(function, (a.node, b.node))
    return Fixed(node, a.fraction, pick(a.low, b.low), pick(a.high, b.high))


def _reciprocal(buffer: Buffer) -> Buffer:
    data = 1.0 / np.asarray(buffer.data, np.float64)
    data.flags.writeable = False
    return replace(buffer, name=f"{buffer.name}_reciprocal", data=data, parts=())


__all__ = ["CannotFit", "Compiler", "Tables", "Unsupported", "constant", "folded", "sum_of"]
