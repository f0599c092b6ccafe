"""Buffers that hold whole numbers alone: counts, ids, truth values. They have no fraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from codegen.program.ops import (
    LOWEST,
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
    Number,
    Op,
    Program,
    Reduce,
    Select,
    children,
    walk_ops,
    writes,
)


def whole_numbers(programs: Sequence[Program]) -> set[Buffer]:
    """The buffers into which nothing but whole numbers goes."""
    ops = [op for program in programs for op in walk_ops(program.ops)]
    found = {vec.buffer for op in ops for vec in writes(op)}
    for program in programs:
        for state in program.states:
            if state.initial is not None and np.any(state.initial != np.rint(state.initial)):
                found.discard(state.buffer)
    while others := {b for op in ops for b in _fractions(op, found)} & found:
        found -= others
    return found


def _fractions(op: Op, found: set[Buffer]) -> set[Buffer]:
    """The buffers into which the op may write what is no whole number."""
    if isinstance(op, Elementwise):
        local: dict[str, bool] = {}
        for name, node in op.locals:
            local[name] = is_whole(node, local, found)
        return {vec.buffer for vec, node in op.stores if not is_whole(node, local, found)}
    if isinstance(op, Reduce):
        return set() if is_whole(op.value, {}, found) else {op.out.buffer}
    return {vec.buffer for vec in writes(op)}


def is_whole(node: Expr, local: Mapping[str, bool], found: set[Buffer]) -> bool:
    """Whether an expression gives whole numbers, if locals and buffers are what is said of them."""
    match node:
        case Number(value):
            return value.is_integer() and value != LOWEST
        case At(vec):
            return vec.buffer in found or vec.buffer.dtype == "int32"
        case Local(name):
            return local.get(name, False)
        case Index() | Count() | Compare():
            return True
        case Call(function, _) if function in ("floor", "round"):
            return True
        case Call(function, _) if function not in ("min", "max", "abs"):
            return False
        case Binary("/", _, _):
            return False
        case Select(_, yes, no):
            return is_whole(yes, local, found) and is_whole(no, local, found)
    return all(is_whole(part, local, found) for part in children(node))
