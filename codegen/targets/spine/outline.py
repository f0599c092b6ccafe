"""The parts of a generated file before any language: which methods, states, lengths and sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from codegen.lowered import Lowered
from codegen.passes import Pass
from codegen.program import dims
from codegen.program.derived import shared
from codegen.program.dims import Dim
from codegen.program.ops import (
    Buffer,
    Loop,
    Port,
    Program,
    Reduce,
    State,
    bytes_of,
    constants,
    temps,
    walk_ops,
    width_of,
)
from codegen.targets.base import dtype_of
from codegen.targets.spine.banner import Sizes


class Outline:
    """The methods of a generated file and what they work on.

    `passes` run on the program of step, and on that of predict where `whole_passes` are not given.
    """

    def __init__(
        self,
        lowered: Lowered,
        options: Mapping[str, Any],
        passes: Sequence[Pass] = (),
        whole_passes: Sequence[Pass] | None = None,
    ) -> None:
        self.lowered = lowered
        self.dtype = dtype_of(lowered, options)
        whole = _after(passes if whole_passes is None else whole_passes, lowered.whole)
        if lowered.step is None:
            (self.whole,), self.step = shared([whole]), None
        else:
            self.step, self.whole = shared([_after(passes, lowered.step), whole])
        self.warmup, self.hop = lowered.warmup, lowered.hop

    @property
    def first(self) -> Program:
        """The program of `step`, or that of `predict` where there is no step."""
        return self.step or self.whole

    @property
    def loops(self) -> bool:
        """Whether predict is a loop around the step: one row a step, one length for all inputs."""
        return self.lowered.loops

    @property
    def printed(self) -> tuple[Program, ...]:
        """The programs that have code of their own."""
        programs = (self.step, None if self.loops else self.whole)
        return tuple(program for program in programs if program is not None)

    # ---- states -----------------------------------------------------------------------------

    @cached_property
    def states(self) -> tuple[State, ...]:
        """All states, each once, as get_state gives them; a number of steps seen comes last."""
        found = {state.buffer: state for program in self.printed for state in program.states}
        return tuple(found.values())

    @property
    def fresh(self) -> tuple[State, ...]:
        """The states that predict puts at their start, with the number of steps seen."""
        return tuple(state for state in self.states if not state.carried)

    @property
    def carried(self) -> tuple[State, ...]:
        """The states that predict goes on from."""
        return tuple(state for state in self.states if state.carried)

    @property
    def restart(self) -> str:
        """What predict calls first: `restart`, `reset` where that does no more, or nothing."""
        if not (self.fresh or self.warmup):
            return ""
        return "restart" if self.carried else "reset"

    # ---- arguments --------------------------------------------------------------------------

    def conditions(self, program: Program) -> tuple[tuple[Dim, str, Dim], ...]:
        """The checks on the lengths that some length of 1 or more can break."""
        return tuple(check for check in program.checks if not _holds(*check))

    def ports(self) -> Iterator[tuple[Port, tuple[Buffer, ...]]]:
        """Inputs, then outputs: the port of the first program, and its buffers in all of them."""
        programs = [(*p.inputs, *p.outputs) for p in (self.step, self.whole) if p is not None]
        for ports in zip(*programs, strict=True):
            yield ports[0], tuple(port.buffer for port in ports)

    def symbols(self) -> Iterator[str]:
        """Free lengths and loop counters."""
        for program in (self.step, self.whole):
            if program is None:
                continue
            yield from program.lengths
            for op in walk_ops(program.ops):
                if isinstance(op, Loop):
                    yield op.counter
                elif isinstance(op, Reduce):
                    yield from (name for name, _ in op.counters)

    # ---- sizes ------------------------------------------------------------------------------

    @property
    def item(self) -> int:
        """Bytes of a number."""
        return int(np.dtype(self.dtype).itemsize)

    def sizes(self) -> Sizes:
        """Bytes of the model's own constants, of the states, and of scratch for one step."""
        known = dict.fromkeys(self.whole.lengths, 1)
        weights = sum(bytes_of(buffer, self.item) for buffer in self.consts())
        held = [state.buffer for state in self.states]
        scratch = [buffer for program in self.printed for buffer in temps(program)]
        state, more = (
            sum(dims.value(b.size, known) * width_of(b.dtype, self.item) for b in buffers)
            for buffers in (held, scratch)
        )
        return Sizes(weights, state, more)

    def consts(self) -> tuple[Buffer, ...]:
        """The constants of all programs, each once."""
        return tuple(dict.fromkeys(b for program in self.printed for b in constants(program)))


def _after(passes: Sequence[Pass], program: Program) -> Program:
    for one in passes:
        program = one(program)
    return program


def _holds(left: Dim, relation: str, right: Dim) -> bool:
    """Whether a check holds for all lengths, which are 1 or more."""
    if relation != ">=" or not isinstance(right, int) or isinstance(left, int):
        return False
    plain = all(isinstance(atom, dims.Symbol) and factor > 0 for atom, factor in left.terms)
    return plain and dims.value(left, dict.fromkeys(dims.symbols(left), 1)) >= right
