"""Functions of one number: numbers of the function, and tables of them.

What is looked up lies on straight lines between numbers of the function, as many as the last bits
of the result ask for. They are computed by functions of our own, so that a table is the same on
every machine.
"""

from __future__ import annotations

import numpy as np

from codegen.program.evaluate import MEANING, OPERATORS
from codegen.program.ops import (
    Array,
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
    children,
    walk,
)
from codegen.program.portable import OWN

SAMPLES = 4096
# What integers compute exactly or by the one table of sigmoid; all else needs a table of its own.
EXACT = frozenset("tanh sigmoid gate_sigmoid hard_sigmoid hard_sigmoid_3 abs min max floor".split())


def is_inexact(node: Expr) -> bool:
    """Whether some part of the expression is what integers have no arithmetic for."""
    return any(
        (isinstance(part, Call) and part.function not in EXACT)
        or (isinstance(part, Binary) and part.operator == "/" and not is_constant(part.right))
        for part in walk(node)
    )


def is_constant(node: Expr) -> bool:
    """Whether the numbers of the expression are known now."""
    return all(
        isinstance(part, (Number, Binary, Negate, Call))
        or (isinstance(part, At) and part.vec.buffer.kind == "const")
        or (isinstance(part, Count) and isinstance(part.dim, int))
        for part in walk(node)
    )


def only_leaf(node: Expr) -> Expr | None:
    """The one element or local that the expression is a function of; None if it is of several."""
    leaves = {part for part in walk(node) if isinstance(part, (At, Local, Index, Count))}
    if len(leaves) != 1:
        return None
    (leaf,) = leaves
    return leaf if isinstance(leaf, (At, Local)) else None


def numeric(node: Expr, leaf: Expr, x: Array) -> Array:
    """The expression where its leaf is each of the numbers."""
    if node == leaf:
        return x
    if isinstance(node, Number):
        return np.full_like(x, node.value)
    found = [numeric(part, leaf, x) for part in children(node)]
    if isinstance(node, Negate):
        return -found[0]
    if isinstance(node, (Binary, Compare)):
        return np.asarray(OPERATORS[node.operator](*found), np.float64)
    if isinstance(node, Select):
        return np.where(found[0] != 0, found[1], found[2])
    assert isinstance(node, Call), node
    return np.asarray(OWN.get(node.function, MEANING[node.function])(*found), np.float64)


def sampled(node: Expr, leaf: Expr, inside: tuple[float, float]) -> Array:
    """The function at many places of the range, its ends and zero among them."""
    x = np.linspace(*inside, SAMPLES)
    with np.errstate(all="ignore"):
        return numeric(node, leaf, np.append(x, np.clip(0.0, *inside)))
