"""Predict as a loop around the step, for a number of rows that whole steps make up."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TypeVar

from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import (
    Block,
    Buffer,
    Loop,
    Mat,
    Port,
    Program,
    Vec,
    map_buffers,
    map_op,
    walk_ops,
)

Place = TypeVar("Place", Vec, Mat)


def looped(step: Program, hop: int) -> Program:
    """The program of all steps in order, each of `hop` rows."""
    steps = dims.symbol("steps")
    count = steps // hop if hop > 1 else steps
    taken = {op.counter for op in walk_ops(step.ops) if isinstance(op, Loop)}
    names = itertools.chain(["t"], (f"t{n}" for n in itertools.count(2)))
    counter = next(name for name in names if name not in taken)
    known: dict[Buffer, Buffer] = {}

    def whole(port: Port, rows: Dim) -> Port:
        """The port for all steps, of so many rows."""
        shape = (rows, *port.buffer.shape[1:]) if port.time else port.buffer.shape
        buffer = replace(port.buffer, size=dims.product(shape), shape=shape)
        known[port.buffer] = buffer
        return Port(port.name, buffer, shape, port.time)

    inputs = tuple(whole(port, steps) for port in step.inputs)
    outputs = tuple(whole(p, count * p.buffer.shape[0] if p.time else 0) for p in step.outputs)
    moves = {p.buffer: p.buffer.size for p in (*step.inputs, *step.outputs) if p.time}

    def changed(buffer: Buffer) -> Buffer:
        if buffer.kind == "temp" and buffer not in known:
            known[buffer] = replace(buffer, scope=(counter, *buffer.scope))
        return known.get(buffer, buffer)

    def placed(source: Place) -> Place:
        moved = moves.get(source.buffer)
        if moved is None:
            return source
        return replace(source, offset=source.offset + dims.symbol(counter) * moved)

    body = map_buffers(tuple(map_op(op, placed, placed) for op in step.ops), changed)
    loop = Loop(counter, count, body, carried=True)
    checks = ((count * hop, "==", steps),) if hop > 1 else ()
    block = Block("steps", "every step in order", (loop,))
    lengths = ("steps",)
    return Program(
        step.name, inputs, outputs, step.states, (block,), lengths, checks, step.integers
    )
