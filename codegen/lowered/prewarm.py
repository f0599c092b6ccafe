"""`--prewarm`: the state that N steps of silence leave becomes the one that `reset` gives.

Players of audio models run silence before the first sample. Here that is done once, when the file
is made: the interpreter takes N steps of zeros, and the states as they then are become the initial
ones. What a whole sequence gives is then defined by the steps alone, since a layer that sees all of
it knows nothing of the silence before: predict is a loop around the step.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codegen.errors import Problem, UnsupportedError
from codegen.lowered import Lowered, Reference, machine_of
from codegen.program import dims
from codegen.program.looped import looped
from codegen.program.ops import (
    Array,
    Buffer,
    Loop,
    Op,
    Port,
    Program,
    When,
    walk_ops,
)
from codegen.text import terminal

MOST_STEPS = 200_000
NOTHING = 1e-30  # a state that is smaller is zero: such numbers are slow, and nothing hears them


def prewarmed(lowered: Lowered, steps: int) -> Lowered:
    """The same model, whose states start as so many steps of zeros leave them.

    The warm-up is over then. UnsupportedError says why there is no such state.
    """
    reason = _refusal(lowered, steps)
    step = lowered.step
    if reason or step is None:
        raise _refused(lowered, reason)
    initial = _silence(lowered, steps)
    most = np.finfo(lowered.model.dtype).max
    if not all((np.abs(values) < most).all() for values in initial.values()):
        raise _refused(lowered, f"the state after {steps} steps of silence is not finite")
    states = tuple(replace(s, initial=initial[s.buffer]) for s in step.states)
    warm = replace(step, states=states).map_blocks(lambda block: _always(block.ops))
    return replace(lowered, step=warm, whole=looped(warm, lowered.hop), warmup=0, fills_up=False)


def _refused(lowered: Lowered, reason: str) -> UnsupportedError:
    return UnsupportedError(
        lowered.model.source, (Problem("model", "Model", f"--prewarm: {reason}"),)
    )


def _refusal(lowered: Lowered, steps: int) -> str:
    """Why a model has no state after silence; empty where it has one."""
    if not 1 <= steps <= MOST_STEPS:
        return f"{steps} steps, expected 1 to {MOST_STEPS}"
    if lowered.step is None:
        return f"the model has no step: {lowered.reason}"
    for port in lowered.step.inputs:
        if port.buffer.dtype == "int32":
            return f"its input {port.name!r} takes integers, none of which means silence"
    if not lowered.step.states:
        return "the model has no state, so silence changes nothing; leave --prewarm out"
    if steps < lowered.warmup:
        return f"{steps} steps, expected {lowered.warmup} or more: before, it gives no output"
    return ""


def _silence(lowered: Lowered, steps: int) -> dict[Buffer, Array]:
    """Each state after so many steps of zeros."""
    reference = Reference(lowered, machine=machine_of(lowered))
    program = lowered.step
    assert program is not None
    zeros = [np.zeros((1, *(dims.fixed(n) for n in port.shape))) for port in program.inputs]

    def states() -> list[Array]:
        return [reference.machine.array(state.buffer).copy() for state in program.states]

    taken = min(steps, sum(state.shape[0] for state in program.states))
    if taken > lowered.warmup and not _is_recurrent(lowered.whole):
        reference.predict(*(_zeros(port, taken * lowered.hop) for port in lowered.whole.inputs))
    else:
        taken = 0
    found = states()
    for number in terminal.watched(range(taken, steps), "prewarm"):
        reference.step(*zeros)
        before, found = found, states()
        if number >= lowered.warmup and all(map(np.array_equal, before, found)):
            break  # a step of zeros changes nothing any more
    return {
        state.buffer: np.where(np.abs(values) < NOTHING, 0.0, values).reshape(state.shape)
        for state, values in zip(program.states, found, strict=True)
    }


def _is_recurrent(whole: Program) -> bool:
    """Whether a row waits for the one before it; else many of them at once take a moment."""
    return any(isinstance(op, Loop) and op.carried for op in walk_ops(whole.ops))


def _zeros(port: Port, rows: int) -> Array:
    """Silence for a whole input, of so many rows where their number is free."""
    return np.zeros((1, *(n if isinstance(n, int) else rows for n in port.shape)))


def _always(ops: tuple[Op, ...]) -> tuple[Op, ...]:
    """The ops without the conditions on the number of steps seen, which hold from now on."""
    found: list[Op] = []
    for op in ops:
        if isinstance(op, When):
            found += _always(op.body)
        else:
            found.append(replace(op, body=_always(op.body)) if isinstance(op, Loop) else op)
    return tuple(found)
