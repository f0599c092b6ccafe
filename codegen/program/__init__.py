"""The Program: vector ops that know no layer and no language, and what they are written with.

The words that layers of one's own are written in can be imported from here.
"""

from codegen.program.ops import (
    FUNCTIONS,
    At,
    Call,
    Compare,
    Count,
    Expr,
    Index,
    Local,
    Number,
    Select,
    call,
    expr,
)

__all__ = [
    "FUNCTIONS",
    "At",
    "Call",
    "Compare",
    "Count",
    "Expr",
    "Index",
    "Local",
    "Number",
    "Select",
    "call",
    "expr",
]
