"""Scratch memory: temps whose lives do not overlap share their place."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from codegen.program import dims
from codegen.program.ops import Buffer, Loop, Op, Program, When, reads, writes

ALIGN = 4  # elements; 16 bytes suit every vector unit


@dataclass
class _Life:
    buffer: Buffer
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """Where each temp stands in one array per dtype, and how long the arrays are."""

    offsets: Mapping[Buffer, int]
    sizes: Mapping[str, int]


def plan(program: Program, lengths: Mapping[str, int]) -> Plan:
    """Places for all temps, with room for the given lengths (the largest that may come)."""
    lives = _lives(program.ops)
    offsets: dict[Buffer, int] = {}
    sizes: dict[str, int] = {}
    for dtype in ("float32", "int32", "int16"):
        wanted = [
            (max(1, dims.value(life.buffer.size, lengths)), life)
            for life in lives
            if life.buffer.dtype == dtype
        ]
        sizes[dtype] = 0
        # The largest first, each at the lowest place that nothing alive at the same time takes.
        alive: dict[int, list[tuple[int, int]]] = {}  # by number of an op: places taken then
        begun: dict[int, list[tuple[int, int]]] = {}  # those of what is first touched there
        for size, life in sorted(wanted, key=lambda pair: (-pair[0], pair[1].first)):
            later = (begun.get(k, ()) for k in range(life.first + 1, life.last + 1))
            taken = sorted([*alive.get(life.first, ()), *itertools.chain.from_iterable(later)])
            place = 0
            for start, end in taken:
                if place + size <= start:
                    break
                place = max(place, -(-end // ALIGN) * ALIGN)
            begun.setdefault(life.first, []).append((place, place + size))
            for k in range(life.first, life.last + 1):
                alive.setdefault(k, []).append((place, place + size))
            offsets[life.buffer] = place
            sizes[dtype] = max(sizes[dtype], place + size)
    return Plan(offsets, sizes)


def _lives(ops: tuple[Op, ...]) -> list[_Life]:
    """For each temp the first and last op that touches it, ops numbered in order.

    A temp that belongs outside a loop and is used inside it lives through the whole loop.
    """
    found: dict[Buffer, _Life] = {}
    position = 0

    def touch(buffer: Buffer, first: int, last: int) -> None:
        life = found.setdefault(buffer, _Life(buffer, first, last))
        life.first, life.last = min(life.first, first), max(life.last, last)

    def walk(body: tuple[Op, ...]) -> set[Buffer]:
        nonlocal position
        touched: set[Buffer] = set()
        for op in body:
            start = position
            position += 1
            if isinstance(op, (Loop, When)):
                inside = walk(op.body)
                for buffer in inside if isinstance(op, Loop) else ():
                    assert isinstance(op, Loop)
                    if op.counter not in buffer.scope:
                        touch(buffer, start, position)
                touched |= inside
                position += 1
                continue
            for vec in (*reads(op), *writes(op)):
                if vec.buffer.kind == "temp":
                    touch(vec.buffer, start, start)
                    touched.add(vec.buffer)
        return touched

    walk(ops)
    return sorted(found.values(), key=lambda life: (life.first, life.buffer.name))
