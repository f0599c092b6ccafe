"""The vectors that a generated file carries to prove itself without Keras.

Inputs are short decimals from a fixed sequence, outputs what the float64 interpreter makes of
them from reset on: the recurrent states are carried from step to step, so a wrong weight, gate or
state shows. The states that are left at the end are compared too: what the layers after a recurrent
one make of it may hide much.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codegen.errors import CodegenError
from codegen.lowered import Lowered, Reference, machine_of
from codegen.program.dims import symbols, value
from codegen.program.evaluate import Machine, Rounding
from codegen.program.integers import ONE
from codegen.program.ops import Array, Gather, Port, Program, walk_ops

# A wrong convention shows as 1e-2, float32 rounding over so few steps as 1e-6.
TOLERANCE = 2e-5
ROUNDINGS = 2  # runs with rounded numbers that tell what rounding does
MARGIN = 16  # times what these moved: other orders of sums, coarser functions, 22 digits
SMALLEST = 1e-30  # size of numbers that are all 0, so that tiny ones are too
GOOD = 50.0  # times 1, or the largest number: a size with which inputs are taken at once (1e-3)
MOST = 1e4  # likewise: no size is larger
# Scale and seed of inputs. A network that explodes does so later with small inputs; one that
# divides by the number of unmasked steps needs one to begin with; a norm wants inputs that differ.
TRIES = ((1.0, 0), (0.01, 0), (0.0, 0), (1.0, 1), (1.0, 2), (1.0, 3), (0.77, 4), (10.0, 5))
STEPS = 4
DEEPEST = 28  # more steps for delay lines, until what came first has reached their ends
LONGEST = 1 << 20
MOST_STATE = 64  # numbers of state that are recorded of any model; of a large one, this part of its
STATE_PART = 40  # weights, and no delay line that is longer
LARGEST = 1e30  # what float32 holds, with room for sums


@dataclass(frozen=True, eq=False)
class SelfTest:
    """Recorded calls: |found - expected| <= TOLERANCE * (size + |expected|) must hold for all.

    The `sizes` are those of the outputs; all states share one. A size is that of the largest
    number, 1 at most, or larger where rounding to float32 moves the numbers by more.

    What a program of integers computes is the same everywhere, and has no sizes.

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
    sizes: tuple[float, ...] = ()
    state_size: float = 1.0

    @property
    def coarseness(self) -> float:
        """The largest size, each as a part of the largest number compared, if that is above 1."""
        sizes = (*self.sizes, *(self.state_size for _ in self.states))
        pairs = zip(sizes, (*self.outputs, *self.states), strict=True)
        return max(size / _largest(y[np.isfinite(y)]) for size, y in pairs)

    @property
    def is_finite(self) -> bool:
        """Whether finite numbers are expected everywhere."""
        return all(np.isfinite(y).all() for y in (*self.outputs, *self.states))


def record(lowered: Lowered, longest: int | None = None) -> SelfTest:
    """The vectors of a model: a few carried steps, or one predict of at most `longest` steps.

    Of integers they are exact.
    """
    if lowered.whole.integers:
        return calls(lowered, longest, 1.0, 0, machine_of(lowered))
    finite, first = [], None
    for scale, seed in TRIES:
        with np.errstate(all="ignore"):
            test = _recorded(lowered, longest, scale, seed)
        if all(np.isfinite(y).all() for y in test.outputs):
            if test.coarseness <= GOOD:
                return test
            finite.append(test)
        first = first or test
    assert first is not None
    return min(finite, key=lambda test: test.coarseness, default=first)


def _recorded(lowered: Lowered, longest: int | None, scale: float, seed: int) -> SelfTest:
    """The calls with inputs of at most `scale`."""
    exact = calls(lowered, longest, scale, seed, Machine())
    rounded = [calls(lowered, longest, scale, seed, Rounding(run)) for run in range(ROUNDINGS)]
    sizes = tuple(
        _size([expected], [[test.outputs[n]] for test in rounded])
        for n, expected in enumerate(exact.outputs)
    )
    state_size = _size(exact.states, [test.states for test in rounded]) if exact.states else 1.0
    outputs = tuple(_written(y, size) for y, size in zip(exact.outputs, sizes, strict=True))
    states = tuple(_written(state, state_size) for state in exact.states)
    return replace(exact, outputs=outputs, states=states, sizes=sizes, state_size=state_size)


def _size(expected: Sequence[Array], rounded: Sequence[Sequence[Array]]) -> float:
    """What is to be added to |expected|: 1, 2 or 5 times a power of ten, at least as much as asked.

    Rounding may move the numbers by TOLERANCE times that, MARGIN times.
    """
    needed, most = SMALLEST, MOST
    for y, *moved in zip(expected, *rounded, strict=True):
        ordinary = np.abs(y) < LARGEST
        known = np.abs(y[ordinary])
        needed = max(needed, min(1.0, float(np.max(known, initial=0.0))))
        most = max(most, MOST * _largest(known))
        for other in moved:
            error = np.abs(other[ordinary] - y[ordinary])
            room = MARGIN / TOLERANCE * np.where(np.isfinite(error), error, LARGEST) - known
            needed = max(needed, float(np.max(room, initial=0.0)))
    # A millionth more is no reason for the next: no machine may find another size than others.
    needed = min(needed, most) / (1 + 1e-6)
    power = 10.0 ** math.floor(math.log10(needed))
    return float(f"{next(n * power for n in (1, 2, 5, 10) if needed <= n * power):.0e}")


def _largest(y: Array) -> float:
    """The largest of some numbers and 1."""
    return float(np.max(np.abs(y), initial=1.0))


def calls(
    lowered: Lowered,
    longest: int | None,
    scale: float,
    seed: int,
    machine: Machine,
    steps: int = STEPS,
) -> SelfTest:
    """What the machine computes of inputs of at most `scale`, reset before.

    So many `steps` after warm-up, or one predict of at most `longest` steps.
    """
    reference = Reference(lowered, machine=machine)
    reference.reset()
    if lowered.step is not None:
        rows = sum(state.shape[0] for state in lowered.step.states if state.line)
        steps += lowered.warmup + min(-(-rows // lowered.hop), DEEPEST)
        inputs = tuple(
            numbers(
                (steps, *port.shape) if port.time else port.shape, lowered, port, n + seed, scale
            )
            for n, port in enumerate(lowered.step.inputs)
        )
        results = []
        for t in range(steps):
            given = (
                machine.given(x[t] if port.time else x)[None]
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
            found = reference.predict(*(machine.given(x)[None] for x in inputs))
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


def _written(y: Array, size: float) -> Array:
    """Six digits: enough for TOLERANCE, and too few for other machines to round them otherwise.

    Of a number that is small beside what is allowed no digit is sure: it is 0.
    """
    least = TOLERANCE * size / 1000
    flat = [
        (float(f"{v:.6g}") if abs(v) >= least else 0.0) if abs(v) < LARGEST else np.nan
        for v in np.ravel(y).tolist()
    ]
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
    """Decimals of two places in [-1, 1), or small ids for an integer input, always the same.

    An input of int16 takes the integers that stand for the decimals.
    """
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
    known = {} if lowered.quantised is None else lowered.quantised.inputs
    decimals = np.round((values % 200 - 100) / 100.0 * scale, 4).reshape(shape)
    decimals = noise(decimals, known.get(port.name))
    if port.buffer.dtype == "int16":
        whole = np.floor(decimals * 2.0**port.buffer.fraction + 0.5)
        return np.clip(whole, -ONE, ONE - 1).astype(np.int64)
    return decimals


def noise(x: Array, within: tuple[float, float] | None) -> Array:
    """Decimals in [-1, 1) as decimals of four digits in a range; whole numbers as they are."""
    if within is None or x.dtype.kind != "f":
        return x
    low, high = within
    flat = [float(f"{low + (v + 1) / 2 * (high - low):.4g}") for v in np.ravel(x).tolist()]
    return np.reshape(flat, np.shape(x))


def _vocabulary(lowered: Lowered) -> int:
    """The number of rows of the smallest table, so that every id is in range."""
    tables = [op.table.rows for op in walk_ops(lowered.whole.ops) if isinstance(op, Gather)]
    return min((rows for rows in tables if isinstance(rows, int)), default=2)


@dataclass(frozen=True)
class Recorded:
    """The calls of a self-test one by one: what is called, and what comes back."""

    method: str  # step or predict
    calls: tuple[tuple[Array, ...], ...]  # the arguments of each call
    waiting: int  # so many calls give nothing at first
    results: tuple[tuple[Array, ...], ...]  # of each call after these
    test: SelfTest


def recorded(lowered: Lowered) -> Recorded:
    """The calls of the self-test of a model."""
    test = record(lowered)
    if not test.by_step:
        return Recorded("predict", (test.inputs,), 0, (test.outputs,), test)
    assert lowered.step is not None
    ports = lowered.step.inputs
    given = tuple(
        tuple(x[t] if p.time else x for x, p in zip(test.inputs, ports, strict=True))
        for t in range(test.steps)
    )
    due = test.steps - lowered.warmup
    results = tuple(tuple(y[t] for y in test.outputs) for t in range(due))
    return Recorded("step", given, lowered.warmup, results, test)
