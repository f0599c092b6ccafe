"""Replace vectors, matrices and operands in ops and expressions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from codegen.program.ops import (
    Affine,
    Binary,
    Call,
    Compare,
    Elementwise,
    Expr,
    Gather,
    Loop,
    Mat,
    Negate,
    Op,
    Reduce,
    Select,
    Shift,
    Softmax,
    Table,
    Vec,
    When,
    map_expr,
)


def map_op(op: Op, vec: Callable[[Vec], Vec], mat: Callable[[Mat], Mat]) -> Op:
    """The op with every vector and matrix replaced; the line of a Shift stays."""
    if isinstance(op, (Loop, When)):
        return replace(op, body=tuple(map_op(o, vec, mat) for o in op.body))
    if isinstance(op, Affine):
        products = tuple((mat(m), vec(v)) for m, v in op.products)
        bias = None if op.bias is None else vec(op.bias)
        return replace(op, out=vec(op.out), bias=bias, products=products)
    if isinstance(op, Elementwise):
        named = tuple((name, map_expr(e, vec)) for name, e in op.locals)
        return Elementwise(op.size, named, tuple((vec(v), map_expr(e, vec)) for v, e in op.stores))
    if isinstance(op, Reduce):
        return replace(op, out=vec(op.out), value=map_expr(op.value, vec))
    if isinstance(op, Softmax):
        table = None if op.table is None else vec(op.table)
        return replace(op, out=vec(op.out), x=vec(op.x), table=table)
    if isinstance(op, Gather):
        return replace(op, out=vec(op.out), table=mat(op.table), index=vec(op.index))
    return Shift(op.line, vec(op.x))


def map_exprs(op: Op, change: Callable[[Expr], Expr]) -> Op:
    """The op with each of its expressions replaced."""
    if isinstance(op, (Loop, When)):
        return replace(op, body=tuple(map_exprs(o, change) for o in op.body))
    if isinstance(op, Elementwise):
        named = tuple((name, change(e)) for name, e in op.locals)
        return Elementwise(op.size, named, tuple((vec, change(e)) for vec, e in op.stores))
    return replace(op, value=change(op.value)) if isinstance(op, Reduce) else op


def with_children(node: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The expression with `change` applied to each of its operands."""
    if isinstance(node, Binary):
        return Binary(node.operator, change(node.left), change(node.right))
    if isinstance(node, Compare):
        return Compare(node.operator, change(node.left), change(node.right))
    if isinstance(node, Negate):
        return Negate(change(node.value))
    if isinstance(node, Select):
        return Select(change(node.condition), change(node.yes), change(node.no))
    if isinstance(node, Call):
        return Call(node.function, tuple(change(a) for a in node.arguments))
    if isinstance(node, Table):
        return replace(node, value=change(node.value))
    return node
