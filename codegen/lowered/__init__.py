"""What lowering returns and every target starts from: a model as Programs; what they compute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codegen.errors import Problem
from codegen.lowered.differences import Difference
from codegen.model import Array, Model
from codegen.program import dims
from codegen.program.evaluate import Machine
from codegen.program.integers import Integers
from codegen.program.ops import (
    Buffer,
    Number,
    Op,
    Port,
    Program,
    State,
    reads,
    roots,
    walk,
    walk_ops,
    writes,
)
from codegen.program.portable import Portable


@dataclass(frozen=True)
class LayerReport:
    """One layer for tables: `output_shape` has None for a free length."""

    name: str
    class_name: str
    describe: str
    output_shape: tuple[int | None, ...]
    parameters: int
    macs: int  # multiply-adds of one step (of one predict where there is no step)
    stateful: bool


@dataclass(frozen=True)
class Quantised:
    """The model as it was in floats, and what rounding does: how it is done, and how far off it is.

    The `errors` are those of the outputs over `steps` time steps of `data`, noise or a file's name.
    The `inputs` have their ranges in integers, and `told` says for the banner where these are from
    and what else saturates.
    """

    original: Lowered
    scheme: str  # weights, int8, int16
    steps: int
    errors: tuple[Difference, ...]
    data: str = "noise"
    inputs: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lowered:
    """What targets start from.

    `step` is None where the model cannot run one step at a time, and `reason` says why. A step
    takes `hop` rows of each input that has a time axis; the first `warmup` steps give nothing.
    `whole` is predict; it has the same states as `step` where there is one, and starts with all
    that are not carried at their initial value. With `fills_up` a window of `whole` may be short of
    rows where the sequence ends (padding='same'), which no step sees. With `by_row` there is no
    step, but predict of one row is one: its states are inputs and outputs. `quantised` where
    weights are rounded.
    """

    model: Model
    whole: Program
    step: Program | None
    reason: str | None
    warmup: int
    hop: int
    layers: tuple[LayerReport, ...]
    fills_up: bool = False
    by_row: bool = False
    quantised: Quantised | None = None

    @property
    def loops(self) -> bool:
        """Whether predict is a loop around the step: one row a step, one length for all inputs."""
        lengths = {str(p.shape[0]) for p in self.whole.inputs if p.time}
        return self.step is not None and self.hop == 1 and len(lengths) <= 1

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.model.name


def machine_of(lowered: Lowered, batch: int = 1) -> Machine:
    """The machine that says what a model computes to the last bit, on every computer."""
    return Integers(batch) if lowered.whole.integers else Portable(batch)


class Reference:
    """A lowered model with the methods of a generated one; a leading batch axis everywhere."""

    def __init__(
        self,
        lowered: Lowered,
        batch: int = 1,
        dtype: Any = np.float64,
        machine: Machine | None = None,
    ) -> None:
        self.lowered = lowered
        self.machine = Machine(batch, dtype) if machine is None else machine
        self.reset()

    @property
    def states(self) -> tuple[State, ...]:
        """States of the model, in order."""
        program = self.lowered.step or self.lowered.whole
        return program.states

    def reset(self) -> None:
        """Every state at its start."""
        self._start(carried=True)

    def _start(self, carried: bool) -> None:
        self.machine.seen = 0
        for program in (self.lowered.whole, self.lowered.step):
            for state in program.states if program else ():
                if carried or not state.carried:
                    initial = 0.0 if state.initial is None else np.ravel(state.initial)
                    self.machine.array(state.buffer)[:] = initial

    def step(self, *inputs: Array) -> tuple[Array, ...] | None:
        """One step; None while warming up."""
        program = self.lowered.step
        if program is None:
            raise ValueError(f"the model has no step: {self.lowered.reason}")
        outputs = self._run(program, inputs, {})
        self.machine.seen += 1
        return None if self.machine.seen <= self.lowered.warmup else outputs

    def predict(self, *inputs: Array) -> tuple[Array, ...]:
        """Whole sequences; states that Keras does not carry start fresh."""
        program = self.lowered.whole
        known = self._lengths(inputs)
        self._start(carried=False)
        if program.integers and self.lowered.loops:  # whose bits are those of the steps
            return self._stepped(inputs)
        outputs = self._run(program, inputs, known)
        self.machine.seen = known.get("steps", 0) // self.lowered.hop
        return outputs

    def _stepped(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Predict as a loop around the step."""
        step = self.lowered.step
        assert step is not None
        counts = [np.shape(x)[1] for x, port in zip(inputs, step.inputs, strict=True) if port.time]
        found = []
        for t in range(counts[0] if counts else 1):
            rows = (
                np.asarray(x)[:, t] if port.time else x
                for x, port in zip(inputs, step.inputs, strict=True)
            )
            y = self.step(*rows)
            if y is not None:
                found.append(y)
        shapes = [
            (self.machine.batch, 0, *(self.machine.number(n) for n in port.shape))
            if whole.time
            else None
            for port, whole in zip(step.outputs, self.lowered.whole.outputs, strict=True)
        ]
        return tuple(
            np.stack([y[n] for y in found], axis=1)
            if found and shape
            else (np.zeros(shape) if shape else found[-1][n])
            for n, shape in enumerate(shapes)
        )

    def _lengths(self, inputs: Sequence[Array]) -> dict[str, int]:
        """The free lengths of the inputs, each of which has to fit."""
        program = self.lowered.whole
        known: dict[str, int] = {}
        for port, x in zip(program.inputs, inputs, strict=True):
            wanted = (self.machine.batch, *port.shape)
            if np.ndim(x) != len(wanted):
                raise ValueError(f"expected {len(wanted)} axes, found {np.shape(x)}")
            for dim, length in zip(wanted, np.shape(x), strict=True):
                if isinstance(dim, int):
                    if dim != length:
                        raise ValueError(f"expected shape {wanted}, found {np.shape(x)}")
                    continue
                (name,) = dims.symbols(dim)
                if known.setdefault(name, length) != length:
                    raise ValueError(f"expected {known[name]} steps, found {length}")
        for left, relation, right in program.checks:
            a, b = dims.value(left, known), dims.value(right, known)
            if not (a == b if relation == "==" else a >= b):
                raise ValueError(f"this number of steps is not accepted: {a} {relation} {b}")
        return known

    def _run(
        self, program: Program, inputs: Sequence[Array], known: dict[str, int]
    ) -> tuple[Array, ...]:
        self.machine.known = dict(known)
        for port, x in zip(program.inputs, inputs, strict=True):
            target = self.machine.array(port.buffer)
            target[:] = np.reshape(np.asarray(x), (self.machine.batch, -1))
        with np.errstate(all="ignore"):  # NaN and infinity are results like others
            if program is self.lowered.step:
                self.machine.run(program.ops)
            else:  # whole sequences may take much scratch: forget what no later op needs
                for op, done in zip(program.ops, _last_uses(program.ops), strict=True):
                    self.machine.execute(op)
                    for buffer in done:
                        self.machine.memory.pop(buffer, None)
        return tuple(self._output(port) for port in program.outputs)

    def _output(self, port: Port) -> Array:
        shape = tuple(self.machine.number(n) for n in port.shape)
        return np.array(self.machine.array(port.buffer).reshape(self.machine.batch, *shape))

    def get_state(self) -> list[Array]:
        """Copies of all states, shaped."""
        batch = self.machine.batch
        return [self.machine.array(s.buffer).reshape(batch, *s.shape).copy() for s in self.states]

    def set_state(self, states: Sequence[Array]) -> None:
        """Put back what get_state gave."""
        for state, values in zip(self.states, states, strict=True):
            self.machine.array(state.buffer)[:] = np.reshape(values, (self.machine.batch, -1))


def _last_uses(ops: Sequence[Op]) -> list[set[Buffer]]:
    """For each op the scratch that it is the last to use."""
    seen: set[Buffer] = set()
    found = []
    for op in reversed(ops):
        inner = walk_ops((op,))
        used = {v.buffer for i in inner for v in (*reads(i), *writes(i)) if v.buffer.kind == "temp"}
        found.append(used - seen)
        seen |= used
    return found[::-1]


LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


def too_large(lowered: Lowered, advice: str) -> tuple[Problem, ...]:
    """A problem for each constant that is finite and would be infinite as float32."""
    classes = {layer.name: layer.class_name for layer in lowered.layers}
    found: dict[tuple[str, str], float] = {}
    for program in (lowered.whole, lowered.step):
        if program is None:
            continue
        for state in program.states:
            if state.initial is not None and (value := _outlier(state.initial)) is not None:
                found.setdefault((state.layer, f"the start of its state {state.role!r}"), value)
        for block in program.blocks:
            for what, value in _of_ops(block.ops):
                found.setdefault((block.name, what), value)
    return tuple(
        Problem(
            layer,
            classes.get(layer, "output"),
            f"{what} is {value:.6g}, more than float32 holds; {advice}",
        )
        for (layer, what), value in found.items()
    )


def _of_ops(ops: tuple[Op, ...]) -> Iterator[tuple[str, float]]:
    for op in walk_ops(ops):
        for source in reads(op):
            data = source.buffer.data
            if source.buffer.kind == "const" and data is not None:
                value = _outlier(data)
                if value is not None:
                    yield f"a number of its array {source.buffer.name!r}", value
        for root in roots(op):
            for node in walk(root):
                if isinstance(node, Number) and LARGEST_FLOAT32 < abs(node.value) < np.inf:
                    yield "a constant of its formula", node.value


def _outlier(data: Array) -> float | None:
    """A finite number that float32 has not; only wider types can have one."""
    if data.dtype != np.float64 or not data.size:
        return None
    wrong = np.isfinite(data) & (np.abs(data) > LARGEST_FLOAT32)
    return float(data[wrong][0]) if wrong.any() else None
