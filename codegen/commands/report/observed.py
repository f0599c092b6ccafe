"""What each layer puts out on given inputs, in the interpreter; and its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codegen.commands.pairs import Interpreted, cut_to, lengths_of, row_at
from codegen.errors import CodegenError
from codegen.lowered import Lowered, Reference
from codegen.model import Array
from codegen.program.derived import numbers_of
from codegen.program.evaluate import Machine
from codegen.program.ops import Buffer, Op, Program, reads, walk_ops, writes

KEPT = 1 << 21  # numbers of one layer; of more, as many in even steps


class Observer(Machine):
    """A machine that keeps what each block puts out, when its last op is done."""

    def __init__(self, lowered: Lowered, dtype: Any = np.float64) -> None:
        super().__init__(1, dtype)
        self.seen_values: dict[str, list[Array]] = {}
        self.ends: dict[int, tuple[str, Buffer]] = {}
        for program in (lowered.step, lowered.whole):
            self.ends |= results(program) if program else {}

    def execute(self, op: Op) -> None:
        """One op; where a layer ends with it, what that puts out is kept."""
        super().execute(op)
        if id(op) in self.ends:
            name, buffer = self.ends[id(op)]
            self.seen_values.setdefault(name, []).append(np.ravel(self.read(buffer.vec())))


def results(program: Program) -> dict[int, tuple[str, Buffer]]:
    """By the identity of the last op of a block: its name, and the buffer that it puts out.

    That is the last one written there that a later block reads, or the caller gets. Delay lines are
    none; nor is what a loop forgets.
    """
    lines = {state.buffer for state in program.states if state.line}
    wanted = {port.buffer for port in program.outputs}
    found: dict[int, tuple[str, Buffer]] = {}
    for block in reversed(program.blocks):
        ops = list(walk_ops(block.ops))
        made = [vec.buffer for op in ops for vec in writes(op)]
        out = [b for b in made if b in wanted and b not in lines and not b.scope]
        if out:
            found[id(block.ops[-1])] = (block.name, out[-1])
        wanted |= {source.buffer for op in ops for source in reads(op)}
    return found


def layer_values(
    lowered: Lowered,
    inputs: Sequence[Array],
    dtype: str = "float64",
) -> dict[str, Array]:
    """All numbers that each layer puts out, by its name, in order: all steps, or one predict."""
    machine = Observer(lowered, np.dtype(dtype))
    runner = Interpreted(Reference(lowered, dtype=np.dtype(dtype), machine=machine))
    if lowered.step is None:
        _predict(lowered, runner, inputs)
    else:
        for t in range(steps_of(lowered, inputs)):
            runner.step(*row_at(inputs, lowered.step.inputs, t))
    return {name: np.concatenate(parts) for name, parts in machine.seen_values.items()}


def _predict(lowered: Lowered, runner: Interpreted, inputs: Sequence[Array]) -> None:
    """The longest of the inputs that the model takes."""
    ports = lowered.whole.inputs
    last = ValueError("there are none")
    for length in reversed(lengths_of(inputs, ports) if lowered.whole.lengths else [0]):
        try:
            runner.predict(*cut_to(inputs, ports, length))
        except ValueError as error:
            last = error
        else:
            return
    raise CodegenError(f"the inputs are not accepted: {last}") from last


def steps_of(lowered: Lowered, inputs: Sequence[Array]) -> int:
    """The number of steps that the inputs are enough for; 1 where there are none."""
    ports = (lowered.step or lowered.whole).inputs
    return min((len(x) for x, p in zip(inputs, ports, strict=True) if p.time), default=1)


def layer_weights(program: Program) -> dict[str, Array]:
    """The constants by the layer that is the first to read them, as real numbers, in one array."""
    found: dict[str, list[Array]] = {}
    seen: set[Buffer] = set()
    for block in program.blocks:
        for source in (source for op in walk_ops(block.ops) for source in reads(op)):
            buffer = source.buffer
            if buffer.kind == "const" and buffer not in seen:
                seen.add(buffer)
                found.setdefault(block.name, []).append(np.ravel(numbers_of(buffer)))
    return {name: np.concatenate(parts).astype(np.float64) for name, parts in found.items()}


def some(values: Array) -> Array:
    """The finite ones; of very many, as many as KEPT in even steps."""
    flat = values[:: max(1, values.size // KEPT)]
    return np.asarray(flat[np.isfinite(flat)])
