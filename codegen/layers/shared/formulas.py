"""What operations on single elements compute, by the name of the operation.

Truth values are 1 and 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from codegen.program.ops import Compare, Expr, Number, Select, call


def _sign(x: Expr) -> Expr:
    below = Select(Compare("<", x, Number(0.0)), Number(-1.0), x)  # zero gives itself
    return Select(Compare(">", x, Number(0.0)), Number(1.0), below)


def _towards_zero(x: Expr) -> Expr:
    up = -call("floor", -x)
    return Select(Compare("<", x, Number(0.0)), up, call("floor", x))


def _logaddexp(x: Expr, y: Expr) -> Expr:
    return call("max", x, y) + call("log1p", call("exp", -call("abs", x - y)))


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
}
# Those whose result is true or false, one that chooses, and those that do not need their operand.
OTHER: dict[str, Callable[..., Expr]] = {
    "equal": partial(Compare, "=="),
    "not_equal": partial(Compare, "!="),
    "greater": partial(Compare, ">"),
    "greater_equal": partial(Compare, ">="),
    "less": partial(Compare, "<"),
    "less_equal": partial(Compare, "<="),
    "logical_not": lambda x: Compare("==", x, Number(0.0)),
    "where": lambda x, yes, no: Select(Compare("!=", x, Number(0.0)), yes, no),
    "clip": lambda x, low, high: call("min", call("max", x, low), high),
    "zeros_like": lambda x: Number(0.0),
    "ones_like": lambda x: Number(1.0),
}
FORMULAS: dict[str, Callable[..., Expr]] = {**UNARY, **BINARY, **OTHER}
