"""Two computations of one model on the same inputs: generated files, or the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from codegen.errors import CodegenError
from codegen.integers.quantisation import taken
from codegen.lowered import Lowered, Reference
from codegen.lowered.differences import Difference, difference
from codegen.model import Array
from codegen.program import dims
from codegen.program.dims import symbols
from codegen.program.ops import Port
from codegen.running import Outputs, Runner


@dataclass(frozen=True)
class Interpreted:
    """The interpreter as a runner; arrays have no batch axis."""

    reference: Reference
    longest: int | None = None

    def reset(self) -> None:
        """Every state at its start."""
        self.reference.reset()

    def step(self, *inputs: Array) -> Outputs | None:
        """One step; None while warming up."""
        y = self.reference.step(*(np.asarray(x)[None] for x in inputs))
        return None if y is None else tuple(part[0] for part in y)

    def predict(self, *inputs: Array) -> Outputs:
        """A whole input; ValueError where its length is not accepted."""
        return tuple(y[0] for y in self.reference.predict(*(np.asarray(x)[None] for x in inputs)))

    def get_state(self) -> list[Array]:
        """Copies of the states, each flattened."""
        return [np.ravel(state) for state in self.reference.get_state()]

    def set_state(self, states: Sequence[Array]) -> None:
        """Put back what get_state gave."""
        self.reference.set_state([state[None] for state in states])


def in_real_numbers(lowered: Lowered, runner: Runner) -> Runner:
    """The file, with real numbers in and out whatever it takes and gives."""
    ports = (*lowered.whole.inputs, *lowered.whole.outputs)
    if all(port.buffer.dtype != "int16" for port in ports):
        return runner
    return RealNumbers(lowered, runner)


@dataclass(frozen=True)
class RealNumbers:
    """A file that takes and gives int16, called with the numbers that these stand for."""

    lowered: Lowered
    runner: Runner

    @property
    def longest(self) -> int | None:
        """As the file."""
        return self.runner.longest

    def reset(self) -> None:
        """As the file."""
        self.runner.reset()

    def step(self, *inputs: Array) -> Outputs | None:
        """One step; None while warming up."""
        y = self.runner.step(*self._taken(inputs))
        return None if y is None else self._given(y)

    def predict(self, *inputs: Array) -> Outputs:
        """A whole input; ValueError where its length is not accepted."""
        return self._given(self.runner.predict(*self._taken(inputs)))

    def get_state(self) -> list[Array]:
        """As the file."""
        return self.runner.get_state()

    def set_state(self, states: Sequence[Array]) -> None:
        """As the file."""
        self.runner.set_state(states)

    def _taken(self, inputs: Sequence[Array]) -> list[Array]:
        return [taken(x, p) for x, p in zip(inputs, self.lowered.whole.inputs, strict=True)]

    def _given(self, outputs: Outputs) -> Outputs:
        return tuple(
            np.asarray(y, np.float64) / 2.0**port.buffer.fraction
            for y, port in zip(outputs, self.lowered.whole.outputs, strict=True)
        )


def differences(
    lowered: Lowered, exact: Runner, found: Runner, inputs: Sequence[Array]
) -> tuple[Difference, ...]:
    """How far each output of `found` is from `exact`, all steps from reset on or one predict."""
    return measured(lowered, *outputs_of(lowered, exact, found, inputs))


def measured(lowered: Lowered, wanted: Outputs, found: Outputs) -> tuple[Difference, ...]:
    """The measures of each output."""
    ports = lowered.whole.outputs
    return tuple(
        difference(port.name, right, left)
        for port, right, left in zip(ports, wanted, found, strict=True)
    )


def error_curve(lowered: Lowered, wanted: Outputs, found: Outputs) -> Array:
    """The largest error at each step of all outputs that have steps; empty where none has."""
    curves = []
    for port, right, left in zip(lowered.whole.outputs, wanted, found, strict=True):
        if lowered.step is not None or port.time:
            error = np.abs(np.asarray(left, np.float64) - np.asarray(right, np.float64))
            curves.append(error.reshape(len(error), -1).max(axis=1, initial=0.0))
    length = min((len(curve) for curve in curves), default=0)
    return np.max([curve[:length] for curve in curves], axis=0) if curves else np.zeros(0)


def outputs_of(
    lowered: Lowered,
    exact: Runner,
    found: Runner,
    inputs: Sequence[Array],
    advance: Callable[[], None] = lambda: None,
) -> tuple[Outputs, Outputs]:
    """What both put out, all steps from reset on (a row for each) or one predict.

    `advance` is called after each step.
    """
    inputs = in_steps(lowered, inputs)
    exact.reset()
    found.reset()
    try:
        if lowered.step is None:
            return _predicted(lowered, exact, found, inputs)
        return _stepped(lowered, exact, found, inputs, advance)
    except ValueError as error:
        raise CodegenError(f"the inputs are not accepted: {error}") from error


def _predicted(
    lowered: Lowered, exact: Runner, found: Runner, inputs: Sequence[Array]
) -> tuple[Outputs, Outputs]:
    """The outputs of both for the longest inputs that they take."""
    ports = lowered.whole.inputs
    last = ValueError("there are none")
    for length in reversed(lengths_of(inputs, ports) if lowered.whole.lengths else [0]):
        given = cut_to(inputs, ports, length)
        try:
            return exact.predict(*given), found.predict(*given)
        except ValueError as error:
            last = error
    raise last


def _stepped(
    lowered: Lowered,
    exact: Runner,
    found: Runner,
    inputs: Sequence[Array],
    advance: Callable[[], None],
) -> tuple[Outputs, Outputs]:
    """The outputs of both, those of all steps in one array."""
    assert lowered.step is not None
    ports = lowered.step.inputs
    pairs = []
    for t in range(min(len(x) for x, port in zip(inputs, ports, strict=True) if port.time)):
        row = row_at(inputs, ports, t)
        right, left = exact.step(*row), found.step(*row)
        if right is not None and left is not None:
            pairs.append((right, left))
        advance()
    if not pairs:
        raise ValueError(f"more than {lowered.warmup} steps are needed before an output is due")
    first, second = zip(*pairs, strict=True)
    return tuple(map(np.stack, zip(*first, strict=True))), tuple(
        map(np.stack, zip(*second, strict=True))
    )


def in_steps(lowered: Lowered, inputs: Sequence[Array]) -> list[Array]:
    """Whole inputs as steps take them: with an axis for the rows of a hop; a rest is left out."""
    if lowered.step is None or lowered.hop == 1:
        return list(inputs)
    hop = lowered.hop
    return [
        np.reshape(x[: len(x) // hop * hop], (-1, *map(dims.fixed, port.shape)))
        if port.time and np.ndim(x) == len(port.shape)
        else x
        for x, port in zip(inputs, lowered.step.inputs, strict=True)
    ]


def in_rows(lowered: Lowered, inputs: Sequence[Array]) -> list[Array]:
    """The reverse: inputs of steps as predict takes them."""
    if lowered.step is None or lowered.hop == 1:
        return list(inputs)
    return [
        np.reshape(x, (-1, *np.shape(x)[2:]))
        if port.time and np.ndim(x) == len(port.shape) + 1
        else x
        for x, port in zip(inputs, lowered.step.inputs, strict=True)
    ]


def row_at(inputs: Sequence[Array], ports: Sequence[Port], t: int) -> list[Array]:
    """What one step takes of whole inputs."""
    return [x[t] if port.time else x for x, port in zip(inputs, ports, strict=True)]


def cut_to(inputs: Sequence[Array], ports: Sequence[Port], length: int) -> list[Array]:
    """The inputs, those whose length is free with so many rows; 0: as they are."""
    return [
        x[:length] if length and symbols(port.shape[0] if port.shape else 0) else x
        for x, port in zip(inputs, ports, strict=True)
    ]


def lengths_of(inputs: Sequence[Array], ports: Sequence[Port]) -> list[int]:
    """Numbers of rows to try, the longest last."""
    longest = min(len(x) for x, p in zip(inputs, ports, strict=True) if p.time)
    return [n for n in range(1, longest + 1) if is_mark(n, longest)]


def is_mark(step: int, total: int) -> bool:
    """1, 2, 5, 10, 20, 50, ... and the last."""
    return step == total or str(step).rstrip("0") in ("1", "2", "5")
