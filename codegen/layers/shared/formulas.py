"""What operations on single elements compute, by the name of the operation.

Truth values are 1 and 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from codegen.program.ops import Compare, Expr, Number, Select, call

_SQUARED = 1e9  # from here on 1 is nothing beside the square, in float64 too


def _sign(x: Expr) -> Expr:
    below = Select(Compare("<", x, Number(0.0)), Number(-1.0), x)  # zero gives itself
    return Select(Compare(">", x, Number(0.0)), Number(1.0), below)


def _towards_zero(x: Expr) -> Expr:
    up = -call("floor", -x)
    return Select(Compare("<", x, Number(0.0)), up, call("floor", x))


def _logaddexp(x: Expr, y: Expr) -> Expr:
    return call("max", x, y) + call("log1p", call("exp", -call("abs", x - y)))


def _asinh(x: Expr) -> Expr:
    """log(|x| + sqrt(x^2 + 1)) with the sign of x; where the square would overflow, log(2 |x|)."""
    size = call("abs", x)
    square = call("min", size, _SQUARED) * call("min", size, _SQUARED)
    near = call("log1p", size + square / (1.0 + call("sqrt", square + 1.0)))
    far = call("log", size) + math.log(2.0)
    found = Select(Compare("<", size, Number(_SQUARED)), near, far)
    return _signed(x, found)


def _atanh(x: Expr) -> Expr:
    """log((1 + |x|) / (1 - |x|)) / 2 with the sign of x."""
    size = call("abs", x)
    return _signed(x, 0.5 * call("log1p", (2.0 * size) / (1.0 - size)))


def _signed(x: Expr, size: Expr) -> Expr:
    return Select(Compare("<", x, Number(0.0)), -size, size)


def _acosh(x: Expr) -> Expr:
    """log(x + sqrt(x^2 - 1)); where the square would overflow, log(2 x)."""
    above = call("min", x, _SQUARED) - 1.0
    near = call("log1p", above + call("sqrt", above * (above + 2.0)))
    far = call("log", x) + math.log(2.0)
    return Select(Compare("<", x, Number(_SQUARED)), near, far)


def _exact_modulo(x: Expr, y: Expr) -> Expr:
    """What is left after division with the sign of the divisor, whatever the quotient is."""
    rest = call("fmod", x, y)
    other = Compare("!=", Compare("<", rest, Number(0.0)), Compare("<", y, Number(0.0)))
    moved = Select(other, rest + y, rest)
    return Select(Compare("!=", rest, Number(0.0)), moved, rest)


UNARY: dict[str, Callable[[Expr], Expr]] = {
    "negative": lambda x: -x,
    "absolute": lambda x: call("abs", x),
    "square": lambda x: x * x,
    "sqrt": lambda x: call("sqrt", x),
    "rsqrt": lambda x: 1.0 / call("sqrt", x),
    "reciprocal": lambda x: 1.0 / x,
    "exp": lambda x: call("exp", x),
    "exp2": lambda x: call("pow", 2.0, x),
    "expm1": lambda x: call("expm1", x),
    "log": lambda x: call("log", x),
    "log2": lambda x: call("log", x) / math.log(2.0),
    "log10": lambda x: call("log", x) / math.log(10.0),
    "log1p": lambda x: call("log1p", x),
    "sinh": lambda x: (call("expm1", x) - call("expm1", -x)) * 0.5,
    "cosh": lambda x: (call("exp", x) + call("exp", -x)) * 0.5,
    "erf": lambda x: call("erf", x),
    "sin": lambda x: call("sin", x),
    "cos": lambda x: call("cos", x),
    "tan": lambda x: call("sin", x) / call("cos", x),
    "asin": lambda x: call("atan", x / call("sqrt", (1.0 - x) * (1.0 + x))),
    "acos": lambda x: 2.0 * call("atan", call("sqrt", (1.0 - x) / (1.0 + x))),
    "atan": lambda x: call("atan", x),
    "asinh": _asinh,
    "acosh": _acosh,
    "atanh": _atanh,
    "floor": lambda x: call("floor", x),
    "ceil": lambda x: -call("floor", -x),
    "round": lambda x: call("round", x),
    "trunc": _towards_zero,
    "sign": _sign,
}
BINARY: dict[str, Callable[[Expr, Expr], Expr]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "power": lambda x, y: call("pow", x, y),
    "maximum": lambda x, y: call("max", x, y),
    "minimum": lambda x, y: call("min", x, y),
    "logical_or": lambda x, y: call("max", x, y),
    "logical_and": lambda x, y: call("min", x, y),
    "floor_divide": lambda x, y: call("floor", x / y),
    "modulo": lambda x, y: x - call("floor", x / y) * y,
    "squared_difference": lambda x, y: (x - y) * (x - y),
    "logaddexp": _logaddexp,
    "exact_modulo": _exact_modulo,
    "remainder": lambda x, y: call("fmod", x, y),
    "prelu": lambda x, slope: Select(Compare("<", x, Number(0.0)), slope * x, x),
    "whole_divide": lambda x, y: _towards_zero(x / y),
    "logical_xor": partial(Compare, "!="),
}


def _is_infinite(x: Expr, below: Expr, above: Expr) -> Expr:
    """Whether x is -inf, where `below` is not 0, or inf, where `above` is not."""
    low = Select(Compare("==", x, Number(-math.inf)), below, Number(0.0))
    return Select(Compare("==", x, Number(math.inf)), above, low)


# Those whose result is true or false, one that chooses, and those that do not need their operand.
OTHER: dict[str, Callable[..., Expr]] = {
    "equal": partial(Compare, "=="),
    "not_equal": partial(Compare, "!="),
    "greater": partial(Compare, ">"),
    "greater_equal": partial(Compare, ">="),
    "less": partial(Compare, "<"),
    "less_equal": partial(Compare, "<="),
    "logical_not": lambda x: Compare("==", x, Number(0.0)),
    "is_nan": lambda x: Compare("!=", x, x),
    "is_infinite": _is_infinite,
    "where": lambda x, yes, no: Select(Compare("!=", x, Number(0.0)), yes, no),
    "clip": lambda x, low, high: call("min", call("max", x, low), high),
    "zeros_like": lambda x: Number(0.0),
    "ones_like": lambda x: Number(1.0),
}
FORMULAS: dict[str, Callable[..., Expr]] = {**UNARY, **BINARY, **OTHER}
