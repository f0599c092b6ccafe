"""Generated files, run beside the float64 interpreter: how far each is off, when and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codegen.commands import boards
from codegen.commands.pairs import (
    Interpreted,
    error_curve,
    in_real_numbers,
    measured,
    outputs_of,
    row_at,
)
from codegen.commands.report.observed import layer_values
from codegen.commands.verify import Report, verify
from codegen.errors import LONGEST_CELL, visible
from codegen.lowered import Lowered, Reference
from codegen.lowered.differences import Difference
from codegen.model import Array
from codegen.running import Outputs, Runner
from codegen.targets import TARGETS


@dataclass(frozen=True)
class File:
    """A generated file that runs: what it was made of, and the options in its banner."""

    path: Path
    target: str
    dtype: str
    options: Mapping[str, Any]
    lowered: Lowered
    runner: Runner

    @property
    def exact(self) -> Lowered:
        """The model in floats."""
        made = self.lowered.quantised
        return self.lowered if made is None else made.original

    @property
    def numbers(self) -> str:
        """What it computes with, in words."""
        made = self.lowered.quantised
        if made is None:
            return self.dtype
        if made.scheme == "weights":
            return "int8 weights"
        return f"integers, {made.scheme} weights"


@dataclass(frozen=True)
class LayerError:
    """The largest error of what one layer puts out, or of its states as the file holds them."""

    layer: str
    computed: float | None
    states: float | None


@dataclass(frozen=True, eq=False)
class Measured:
    """What was found of one file.

    `curve` has the largest error of all outputs at each step, from step `first` on; it is empty
    where no output has steps.
    """

    file: File
    size: int  # bytes of the file
    verdict: str
    same: bool
    outputs: tuple[Difference, ...]
    first: int
    curve: Array
    layers: tuple[LayerError, ...]
    cost: boards.Cost | None

    @property
    def worst_step(self) -> int | None:
        """The step with the largest error; None where there are no steps."""
        if self.curve.size == 0:
            return None
        return self.first + int(np.argmax(np.nan_to_num(self.curve, nan=np.inf)))


def measure(
    file: File,
    inputs: Sequence[Array],
    steps: int,
    advance: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Run the file on the inputs, from reset on; `advance` is told its name three times."""
    name = visible(file.path.name, LONGEST_CELL)
    exact = file.exact
    states = _States(file)
    reference = Interpreted(Reference(exact))
    wanted, found = outputs_of(exact, reference, states, inputs)
    advance(name)
    outputs = measured(exact, wanted, found)
    report = verify(file.lowered, file.runner, steps, inputs, file.dtype)
    advance(name)
    layers = _layers(file, inputs, states.errors(inputs), report)
    advance(name)
    return Measured(
        file,
        file.path.stat().st_size,
        report.verdict,
        report.same,
        outputs,
        exact.warmup + 1,
        error_curve(exact, wanted, found),
        layers,
        _cost(file),
    )


def _cost(file: File) -> boards.Cost | None:
    """Flash and RAM of a C header."""
    if file.target != "c":
        return None
    known = {option.name for option in TARGETS["c"].options}
    return boards.cost(file.lowered, {k: v for k, v in file.options.items() if k in known})


class _States:
    """The runner of a file, which keeps the states after each step."""

    def __init__(self, file: File) -> None:
        self.file, self.runner = file, in_real_numbers(file.lowered, file.runner)
        self.kept: list[list[Array]] = []

    @property
    def longest(self) -> int | None:
        return self.runner.longest

    def reset(self) -> None:
        self.runner.reset()
        self.kept = []

    def step(self, *inputs: Array) -> Outputs | None:
        found = self.runner.step(*inputs)
        self.kept.append(self.runner.get_state())
        return found

    def predict(self, *inputs: Array) -> Outputs:
        return self.runner.predict(*inputs)

    def get_state(self) -> list[Array]:
        return self.runner.get_state()

    def set_state(self, states: Sequence[Array]) -> None:
        self.runner.set_state(states)

    def errors(self, inputs: Sequence[Array]) -> dict[str, float]:
        """The largest error of the states of each layer; integers as what they stand for."""
        exact, made = self.file.exact, self.file.lowered.step
        if not self.kept or exact.step is None or made is None:
            return {}
        scales = [2.0**-state.buffer.fraction for state in made.states]
        runner, found = Interpreted(Reference(exact)), dict[str, float]()
        for t, states in enumerate(self.kept):
            runner.step(*row_at(inputs, exact.step.inputs, t))
            wanted = zip(exact.step.states, runner.get_state(), strict=True)
            for (state, a), b, scale in zip(wanted, states, scales, strict=False):
                error = float(np.max(np.abs(np.ravel(a) - np.ravel(b) * scale), initial=0.0))
                found[state.layer] = max(found.get(state.layer, 0.0), error)
        return found


def _layers(
    file: File, inputs: Sequence[Array], states: Mapping[str, float], report: Report
) -> tuple[LayerError, ...]:
    computed = {one.layer: one.error for one in report.layer_errors}  # of integers
    if not file.lowered.whole.integers:
        wanted = layer_values(file.exact, inputs)
        found = layer_values(file.lowered, inputs, file.dtype)
        for name, a in wanted.items():
            b = found.get(name)
            if b is not None and a.shape == b.shape:
                computed[name] = float(np.max(np.abs(a - b), initial=0.0))
    names = dict.fromkeys((*computed, *states))
    return tuple(LayerError(name, computed.get(name), states.get(name)) for name in names)
