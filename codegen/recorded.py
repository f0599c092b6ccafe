"""The vectors that a generated file carries to prove itself without Keras.

Inputs are short decimals from a fixed sequence, outputs what the float64 interpreter makes of
them from reset on: the recurrent states are carried from step to step, so a wrong weight, gate or
state shows. The states that are left at the end are compared too: what the layers after a recurrent
one make of it may hide much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codegen.errors import CodegenError
from codegen.lowered import Lowered
from codegen.model import Array
from codegen.program.dims import symbols, value
from codegen.program.evaluate import Reference
from codegen.program.ops import Gather, Port, Program, walk_ops

# A wrong convention shows as 1e-2, float32 rounding over so few steps as 1e-6.
TOLERANCE = 2e-5
STEPS = 4
DEEPEST = 28  # more steps for delay lines, until what came first has reached their ends
LONGEST = 1 << 20
MOST_STATE = 64  # numbers of state that are recorded of any model; of a large one, this part of its
STATE_PART = 40  # weights, and no delay line that is longer
LARGEST = 1e30  # what float32 holds, with room for sums


@dataclass(frozen=True, eq=False)
class SelfTest:
    """Recorded calls: |found - expected| <= TOLERANCE * (1 + |expected|) must hold for all.

    Where NaN is expected, what is found must be no finite number, or one beyond LARGEST.

    With `by_step`, `inputs` hold one row of axis 0 for each step of an input that has a time axis
    (others are given whole to every step), and `outputs` one row for each step after the warm-up.
    Otherwise they are one call of predict, with the free `lengths` in order. `states` is what
    get_state gives after the last call, empty where it is nothing or too much to record.
    """

    by_step: bool
    steps: int
    lengths: tuple[int, ...]
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    states: tuple[Array, ...]

    @property
    def is_finite(self) -> bool:
        """Whether finite numbers are expected everywhere."""
        return all(np.isfinite(y).all() for y in (*self.outputs, *self.states))


def record(lowered: Lowered, longest: int | None = None) -> SelfTest:
    """The vectors of a model: a few carried steps, or one predict of at most `longest` steps."""
    found = []
    # A network that explodes does so later with small inputs; one that divides by the number of
    # unmasked steps needs one to begin with.
    for scale, seed in ((1.0, 0), (0.01, 0), (0.0, 0), (1.0, 1), (1.0, 2), (1.0, 3)):
        with np.errstate(all="ignore"):
            found.append(_recorded(lowered, longest, scale, seed))
        if all(np.isfinite(y).all() for y in found[-1].outputs):
            return found[-1]
    return found[0]


def _recorded(lowered: Lowered, longest: int | None, scale: float, seed: int) -> SelfTest:
    """The calls with inputs of at most `scale`."""
    test = _calls(lowered, longest, scale, seed)
    outputs, states = (tuple(map(_rounded, part)) for part in (test.outputs, test.states))
    return replace(test, outputs=outputs, states=states)


def _calls(lowered: Lowered, longest: int | None, scale: float, seed: int) -> SelfTest:
    reference = Reference(lowered)
    reference.reset()
    if lowered.step is not None:
        rows = sum(state.shape[0] for state in lowered.step.states if state.line)
        steps = lowered.warmup + STEPS + min(-(-rows // lowered.hop), DEEPEST)
        inputs = tuple(
            numbers(
                (steps, *port.shape) if port.time else port.shape, lowered, port, n + seed, scale
            )
            for n, port in enumerate(lowered.step.inputs)
        )
        results = []
        for t in range(steps):
            given = (
                (x[t] if port.time else x)[None]
                for x, port in zip(inputs, lowered.step.inputs, strict=True)
            )
            y = reference.step(*given)
            if y is not None:
                results.append(y)
        outputs = tuple(np.concatenate(parts) for parts in zip(*results, strict=True))
        return SelfTest(True, steps, (), inputs, outputs, _states(reference))

    program = lowered.whole
    for steps in _lengths(program):
        if longest is not None and steps > longest:
            continue
        shapes = [
            tuple(n if isinstance(n, int) else steps for n in port.shape) for port in program.inputs
        ]
        inputs = tuple(
            numbers(shape, lowered, port, n + seed, scale)
            for n, (shape, port) in enumerate(zip(shapes, program.inputs, strict=True))
        )
        try:
            found = reference.predict(*(x[None] for x in inputs))
        except ValueError:
            continue
        lengths = tuple(steps for port in program.inputs if any(symbols(n) for n in port.shape[:1]))
        outputs = tuple(y[0] for y in found)
        return SelfTest(False, steps, lengths, inputs, outputs, _states(reference))
    limit = "" if longest is None else f" up to {longest}"
    raise CodegenError(f"{lowered.model.source}: no number of time steps{limit} is accepted")


def _states(reference: Reference) -> tuple[Array, ...]:
    """The states as they are now, where they are few beside the weights."""
    states = tuple(state[0] for state in reference.get_state())
    parameters = sum(layer.parameters for layer in reference.lowered.layers)
    most = max(MOST_STATE, parameters // STATE_PART)
    return states if sum(state.size for state in states) <= most else ()


def _rounded(y: Array) -> Array:
    """Six digits: enough for TOLERANCE, and too few for other machines to round them otherwise."""
    flat = [float(f"{v:.6g}") if abs(v) < LARGEST else np.nan for v in np.ravel(y).tolist()]
    return np.reshape(flat, np.shape(y))


def _lengths(program: Program) -> Iterator[int]:
    """Short lengths that the program accepts, best first; else the shortest there is."""

    def accepted(steps: int) -> bool:
        known = dict.fromkeys(program.lengths, steps)
        return all(
            value(a, known) == value(b, known)
            if relation == "=="
            else value(a, known) >= value(b, known)
            for a, relation, b in program.checks
        )

    yield from filter(accepted, (*range(STEPS, 4 * STEPS), *range(STEPS - 1, 0, -1)))
    high = 4 * STEPS
    while high < LONGEST and not accepted(high):
        high *= 2
    low = high // 2
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if accepted(middle) else (middle, high)
    yield high


def numbers(
    shape: tuple[Any, ...], lowered: Lowered, port: Port, seed: int, scale: float = 1.0
) -> Array:
    """Decimals of two places in [-1, 1), or small ids for an integer input, always the same."""
    count = int(np.prod(shape, dtype=np.int64))
    # A linear congruential generator (Numerical Recipes' constants): no library's random numbers
    # may change what is generated.
    values = np.empty(count, np.int64)
    state = 12345 + 777 * seed
    for k in range(count):
        state = (1664525 * state + 1013904223) % 2**32
        values[k] = state >> 8
    if port.buffer.dtype == "int32":
        return (values % _vocabulary(lowered)).reshape(shape)
    return np.round((values % 200 - 100) / 100.0 * scale, 4).reshape(shape)


def _vocabulary(lowered: Lowered) -> int:
    """The number of rows of the smallest table, so that every id is in range."""
    tables = [op.table.rows for op in walk_ops(lowered.whole.ops) if isinstance(op, Gather)]
    return min((rows for rows in tables if isinstance(rows, int)), default=2)
