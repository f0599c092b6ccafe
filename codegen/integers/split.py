"""What is written in place gets a place for each meaning: a sum, and what a function makes of it.

`y = W x + b; y = tanh(y)` becomes `s = W x + b; y = tanh(s)`: sums may be large, tanh is not, and
integers stand for both with as many bits as each needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, count

from codegen.program.ops import (
    Buffer,
    Elementwise,
    Loop,
    Op,
    Program,
    Shift,
    Softmax,
    Vec,
    When,
    map_expr,
    reads,
    walk_ops,
    writes,
)


def split_in_place(program: Program) -> Program:
    """The program, in which no op that something else has just written replaces it in place."""
    names = {buffer.name for buffer in buffers_of(program)}
    return program.map_blocks(lambda block: tuple(_split(block.ops, (), names)))


def buffers_of(program: Program) -> set[Buffer]:
    """Every buffer that an op of the program reads or writes."""
    return {v.buffer for op in walk_ops(program.ops) for v in (*reads(op), *writes(op))}


def free_name(wanted: str, taken: set[str]) -> str:
    """The name, or the first one that is free with a number behind it; it is taken then."""
    names = chain([wanted], (f"{wanted}_{number}" for number in count(2)))
    found = next(name for name in names if name not in taken)
    taken.add(found)
    return found


def _split(given: Sequence[Op], scope: tuple[str, ...], names: set[str]) -> list[Op]:
    ops = list(given)
    for k, op in enumerate(ops):
        if isinstance(op, Loop):
            ops[k] = replace(op, body=tuple(_split(op.body, (*scope, op.counter), names)))
        elif isinstance(op, When):
            ops[k] = replace(op, body=tuple(_split(op.body, scope, names)))
        else:
            for vec in _in_place(op):
                makers = _makers(ops[:k], vec)
                if makers:
                    name = free_name(f"{vec.buffer.name}_sum", names)
                    new = Buffer(name, vec.size, "temp", scope=scope, shape=(vec.size,))
                    for j in makers:
                        ops[j] = _writes_to(ops[j], vec, new)
                    ops[k] = _reads_from(ops[k], vec, new)
    return ops


def _in_place(op: Op) -> list[Vec]:
    """What the op reads and writes, element by element."""
    if isinstance(op, Softmax):
        return [op.out] if op.out == op.x else []
    if not isinstance(op, Elementwise):
        return []
    found = []
    for vec, _ in op.stores:
        same = [v for v in reads(op) if isinstance(v, Vec) and v.buffer is vec.buffer]
        if same and all(v == vec for v in same) and vec.stride == 1:
            found.append(vec)
    return found


def _makers(before: Sequence[Op], vec: Vec) -> list[int]:
    """The ops that have just written all of the vector, and nothing has read since; else none."""
    found: list[int] = []
    covered: set[int] = set()
    if not isinstance(vec.size, int):
        return _whole_maker(before, vec)
    for j in range(len(before) - 1, -1, -1):
        op = before[j]
        touched = [v for inner in walk_ops((op,)) for v in (*reads(inner), *writes(inner))]
        if all(v.buffer is not vec.buffer for v in touched):
            continue
        if isinstance(op, (Loop, When)):
            return []
        parts = [v for v in writes(op) if v.buffer is vec.buffer]
        for part in parts:
            start = part.offset - vec.offset
            if not (isinstance(start, int) and isinstance(part.size, int)) or part.stride != 1:
                return []
            covered |= set(range(start, start + part.size))
        found.append(j)
        wanted = set(range(vec.size))
        if not parts or not covered <= wanted:
            return []
        if covered == wanted:
            return found
        if any(v.buffer is vec.buffer for v in reads(op)):
            return []
    return []


def _whole_maker(before: Sequence[Op], vec: Vec) -> list[int]:
    for j in range(len(before) - 1, -1, -1):
        op = before[j]
        touched = [v for inner in walk_ops((op,)) for v in (*reads(inner), *writes(inner))]
        if any(v.buffer is vec.buffer for v in touched):
            plain = not isinstance(op, (Loop, When))
            return [j] if plain and vec in writes(op) else []
    return []


def _writes_to(op: Op, vec: Vec, new: Buffer) -> Op:
    """The op, which writes what it wrote into the vector into the new buffer."""

    def moved(v: Vec) -> Vec:
        if v.buffer is not vec.buffer:
            return v
        start = v.offset - vec.offset
        return replace(v, buffer=new, offset=start)

    if isinstance(op, Elementwise):
        return replace(op, stores=tuple((moved(v), e) for v, e in op.stores))
    assert not isinstance(op, (Loop, When))
    assert not isinstance(op, Shift)
    return replace(op, out=moved(op.out))


def _reads_from(op: Op, vec: Vec, new: Buffer) -> Op:
    def moved(v: Vec) -> Vec:
        return replace(v, buffer=new, offset=0) if v == vec else v

    if isinstance(op, Softmax):
        return replace(op, x=moved(op.x))
    assert isinstance(op, Elementwise), op
    local = tuple((name, map_expr(e, moved)) for name, e in op.locals)
    return replace(op, locals=local, stores=tuple((v, map_expr(e, moved)) for v, e in op.stores))
