"""Move what a loop does not carry out of it: all time steps of an input product at once.

A carried loop becomes a parallel loop with every op that depends on nothing carried, and a
carried loop with the rest. Of a product with several terms, the terms that are known beforehand
move, and the rest is added to their sum. Small products stay: one computes all of them at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from codegen.program.dims import Dim
from codegen.program.ops import (
    Affine,
    Buffer,
    Loop,
    Mat,
    Op,
    Program,
    Shift,
    Vec,
    reads,
    walk_ops,
    writes,
)
from codegen.program.spread import moved, spread

FEW = 65536  # multiply-adds that take less time than to keep their sums for all time steps
FEWEST = 8192  # those that cost no more than a call, which another product may save


def split_loops(program: Program) -> Program:
    """Move what a loop does not carry into a loop of its own before it."""
    return program.map_blocks(lambda block: _fission(block.ops))


def _fission(ops: Sequence[Op], around: tuple[str, ...] = ()) -> tuple[Op, ...]:
    """The ops with every carried loop split; `around` are the counters of the loops outside."""
    result: list[Op] = []
    for op in ops:
        if isinstance(op, Loop):
            inner = replace(op, body=_fission(op.body, (*around, op.counter)))
            result += _split(inner, around) if op.carried else [inner]
        else:
            result.append(op)
    return tuple(result)


def _written(op: Op) -> set[Buffer]:
    return {v.buffer for o in walk_ops((op,)) for v in writes(o)}


def _read(op: Op) -> set[Buffer]:
    return {v.buffer for o in walk_ops((op,)) for v in reads(o)}


def _can_move(op: Op, counter: str) -> bool:
    """Whether the op computes scratch of one iteration, whatever it reads, and is not small."""
    if isinstance(op, Affine) and not op.shifts and 0 < _work(op.products) <= FEWEST:
        return False
    for o in walk_ops((op,)):
        if isinstance(o, Shift) or (isinstance(o, Loop) and o.carried):
            return False
        for vec in writes(o):
            if vec.buffer.kind != "temp" or counter not in vec.buffer.scope:
                return False
    return True


def _split(loop: Loop, around: tuple[str, ...]) -> list[Op]:
    moving = [_can_move(op, loop.counter) for op in loop.body]
    while True:
        varying: set[Buffer] = set()
        for op, moves in zip(loop.body, moving, strict=True):
            if not moves:
                varying |= _written(op)
        now = []
        seen: set[Buffer] = set()  # by ops that stay: what they read must not change before them
        for op, moves in zip(loop.body, moving, strict=True):
            now.append(
                moves and not (_read(op) | _written(op)) & varying and not _written(op) & seen
            )
            if not moves:
                seen |= _read(op)
        if now == moving:
            break
        moving = now
    before: list[Op] = []
    kept: list[Op] = []
    for op, moves in zip(loop.body, moving, strict=True):
        if moves:
            before.append(op)
            continue
        early, late = _parted(op, varying, (*around, loop.counter))
        before += early
        kept.append(late)
    if not before:
        return [loop]
    grown: dict[Buffer, tuple[Buffer, Dim]] = {}
    for out in (vec.buffer for op in walk_ops(tuple(before)) for vec in writes(op)):
        if out not in grown:
            grown[out] = spread(out, [(loop.counter, loop.count)])

    def all_steps(ops: Sequence[Op]) -> tuple[Op, ...]:
        return tuple(moved(op, lambda buffer: grown.get(buffer, (buffer, 0))) for op in ops)

    first = replace(loop, body=all_steps(before), carried=False)
    return [first, replace(loop, body=all_steps(kept))] if kept else [first]


def _parted(op: Op, varying: set[Buffer], counters: tuple[str, ...]) -> tuple[list[Op], Op]:
    """The terms of the products in `op` that nothing carried enters, and `op` without them."""
    if isinstance(op, Loop) and not op.carried:
        parts = [_parted(inner, varying, (*counters, op.counter)) for inner in op.body]
        early = tuple(o for first, _ in parts for o in first)
        late = replace(op, body=tuple(o for _, o in parts))
        return ([replace(op, body=early)] if early else []), late
    if not isinstance(op, Affine) or op.shifts:  # products of integers are rounded by themselves
        return [], op
    known = [p for p in op.products if not ({p[0].buffer, p[1].buffer} & varying)]
    rest = [p for p in op.products if p not in known]
    if not rest or (op.bias is not None and op.bias.buffer in varying) or _work(known) <= FEW:
        return [], op
    size = op.out.size
    name = f"{op.out.buffer.name}_in"
    start = Buffer(name, size, "temp", "float32", None, counters, (size,)).vec()
    return [Affine(start, op.bias, tuple(known))], Affine(op.out, start, tuple(rest))


def _work(products: Sequence[tuple[Mat, Vec]]) -> float:
    """How many multiply-adds there are, infinity where a length is free."""
    work = sum((mat.rows * mat.columns for mat, _ in products), 0)
    return work if isinstance(work, int) else math.inf
