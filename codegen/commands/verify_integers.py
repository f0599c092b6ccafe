"""Runs a generated file of integers against the machine of integers, to the bit, then to floats.

Both take the same float32 numbers (or the same int16, with `--io int16`), so nothing may differ: an
output, a state, or how often a range was left. How far integers are from the model in floats is
told beside, in all steps and behind every layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.commands.layer_errors import LayerError, behind_layers
from codegen.commands.pairs import Interpreted, cut_to, is_mark, lengths_of, row_at
from codegen.errors import CodegenError
from codegen.integers.quantisation import taken
from codegen.lowered import Lowered, Reference, machine_of
from codegen.lowered.differences import Difference, difference
from codegen.model import Array
from codegen.program.integers import Integers
from codegen.program.ops import Port
from codegen.running import Outputs, Runner


@dataclass(frozen=True)
class Equality:
    """What was found: `reason` is empty where the file equals the machine in every bit.

    `growth` is the largest error against floats up to some steps; `left` how often a range was left
    in `steps` steps; `layers` the largest error behind each layer beside the largest number there.
    """

    reason: str
    steps: int
    against_floats: tuple[Difference, ...]
    growth: tuple[tuple[int, float], ...]
    left: int
    layers: tuple[LayerError, ...]
    curve: tuple[float, ...] = ()  # the largest error against floats at each step


def verify_integers(lowered: Lowered, runner: Runner, data: Sequence[Array]) -> Equality:
    """Compare every step from reset on, or predict of several lengths where there is no step."""
    assert lowered.quantised is not None
    inputs = [_as_taken(x) for x in data]
    if lowered.step is None:
        found = _predicts(lowered, runner, inputs)
    else:
        found = _steps(lowered, runner, inputs)
    return found


def _as_taken(x: Array) -> Array:
    """Floats as a float32 file takes them; whole numbers as they are."""
    return x if x.dtype.kind != "f" else x.astype(np.float32).astype(np.float64)


def _whole(inputs: Sequence[Array], ports: Sequence[Port]) -> list[Array]:
    return [taken(x, port) for x, port in zip(inputs, ports, strict=True)]


def in_floats(outputs: Outputs, ports: Sequence[Port]) -> list[Array]:
    """The real numbers that outputs stand for."""
    return [
        np.asarray(y, np.float64) / 2.0**port.buffer.fraction
        for y, port in zip(outputs, ports, strict=True)
    ]


def _steps(lowered: Lowered, runner: Runner, inputs: Sequence[Array]) -> Equality:
    made = lowered.quantised
    assert made is not None
    assert lowered.step is not None
    ports, outputs = lowered.step.inputs, lowered.step.outputs
    machine = Integers()
    exact = Interpreted(Reference(lowered, machine=machine))
    original = Interpreted(Reference(made.original))
    total = min(len(x) for x, port in zip(inputs, ports, strict=True) if port.time)
    runner.reset()
    pairs: list[tuple[list[Array], list[Array]]] = []
    growth: list[tuple[int, float]] = []
    worst = 0.0
    curve: list[float] = []
    for t in range(total):
        row = row_at(inputs, ports, t)
        whole = _whole(row, ports)
        want, right = exact.step(*whole), original.step(*row)
        try:
            found = runner.step(*whole)
        except ValueError as error:
            raise CodegenError(f"the file does not accept these steps: {error}") from error
        reason = _reason(want, found, outputs, f"step {t + 1}")
        if reason:
            return Equality(reason, t + 1, (), (), machine.left, ())
        if want is not None and right is not None:
            pairs.append((list(right), in_floats(want, outputs)))
            curve.append(max(_largest(a, b) for a, b in zip(*pairs[-1], strict=True)))
            worst = max(worst, curve[-1])
        if is_mark(t + 1, total):
            growth.append((t + 1, worst))
    reason = _states(exact, runner)
    errors: tuple[Difference, ...] = ()
    if pairs:
        rights, lefts = zip(*pairs, strict=True)
        errors = _differences(outputs, _stacked(rights), _stacked(lefts))
    layers = behind_layers(lowered, [row_at(inputs, ports, t) for t in range(total)])
    return Equality(reason, total, errors, tuple(growth), machine.left, layers, tuple(curve))


def _predicts(lowered: Lowered, runner: Runner, inputs: Sequence[Array]) -> Equality:
    made, program = lowered.quantised, lowered.whole
    assert made is not None
    machine = machine_of(lowered)
    assert isinstance(machine, Integers)
    exact = Interpreted(Reference(lowered, machine=machine))
    original = Interpreted(Reference(made.original))
    runner.reset()
    growth: list[tuple[int, float]] = []
    worst, ran = 0.0, 0
    errors: tuple[Difference, ...] = ()
    for length in lengths_of(inputs, program.inputs) if program.lengths else [0]:
        cut = cut_to(inputs, program.inputs, length)
        whole = _whole(cut, program.inputs)
        try:
            want, right = exact.predict(*whole), original.predict(*cut)
            found = runner.predict(*whole)
        except ValueError:
            continue
        ran = length or max((len(np.atleast_1d(x)) for x in cut), default=0)
        reason = _reason(want, found, program.outputs, f"predict of {ran} steps")
        if reason:
            return Equality(reason, ran, (), (), machine.left, ())
        left = in_floats(want, program.outputs)
        worst = max(worst, *(_largest(a, b) for a, b in zip(right, left, strict=True)))
        errors = _differences(program.outputs, right, left)
        growth.append((ran, worst))
    if not growth:
        raise CodegenError("no number of steps is accepted by both the model and the file")
    reason = _states(exact, runner)
    return Equality(reason, ran, errors, tuple(growth), machine.left, ())


def _stacked(rows: Sequence[Sequence[Array]]) -> list[Array]:
    """Each output of all steps in one array."""
    return [np.stack(part) for part in zip(*rows, strict=True)]


def _differences(
    ports: Sequence[Port], right: Sequence[Array], left: Sequence[Array]
) -> tuple[Difference, ...]:
    return tuple(difference(port.name, a, b) for port, a, b in zip(ports, right, left, strict=True))


def _largest(a: Array, b: Array) -> float:
    return float(np.max(np.abs(a - b), initial=0.0))


def _reason(want: Outputs | None, found: Outputs | None, ports: Sequence[Port], where: str) -> str:
    """Why a call is not the same to the bit; empty where it is."""
    if (want is None) != (found is None):
        return f"{where}: an output where none is expected, or none where one is"
    if want is None or found is None:
        return ""
    for port, a, b in zip(ports, want, found, strict=True):
        if np.shape(a) != np.shape(b):
            raise CodegenError(f"an output of shape {np.shape(b)}, expected {np.shape(a)}")
        right, left = np.asarray(a, np.float64), np.asarray(b, np.float64)
        # a file of float32 rounds what has more bits, as NumPy does
        same = (right == left) | (right.astype(np.float32) == left)
        if not np.all(same):
            place = int(np.argmin(np.ravel(same)))
            first, second = np.ravel(right)[place], np.ravel(left)[place]
            return f"{where}: {port.name!r} is {second:.9g}, the integers say {first:.9g}"
    return ""


def _states(exact: Interpreted, runner: Runner) -> str:
    """Why the states are not the same at the end; empty where they are."""
    states = exact.reference.states
    for state, want, found in zip(states, exact.get_state(), runner.get_state(), strict=False):
        if not np.array_equal(np.ravel(want), np.ravel(np.asarray(found))):
            return f"the state {state.role!r} of {state.layer!r} differs after the last step"
    return ""
