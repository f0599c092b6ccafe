"""Runs a generated file against the float64 interpreter of the Program.

Errors are judged with an absolute part, since relative errors and ULPs mean nothing near zero.
A recurrent network may be chaotic: two right computations of it then part completely within some
hundred steps. So the verdict rests on single steps, each from the reference's state; a free run
must agree too unless the interpreter in float32 parts from the one in float64 just as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from codegen.commands.against_keras import ask, layer_output, top_layers
from codegen.commands.layer_errors import LayerError
from codegen.commands.pairs import (
    Interpreted,
    cut_to,
    differences,
    error_curve,
    in_rows,
    in_steps,
    is_mark,
    lengths_of,
    row_at,
)
from codegen.commands.verify_integers import Equality, verify_integers
from codegen.errors import CodegenError
from codegen.lowered import Lowered, Reference
from codegen.lowered.differences import Difference, worst_of
from codegen.model import Array
from codegen.program.dims import symbols
from codegen.program.ops import Gather, walk_ops
from codegen.running import Outputs, Runner

# |found - expected| <= TOLERANCE * (1 + |expected|): a wrong convention shows as 1e-2.
TOLERANCE = {"float32": 2e-5, "float64": 1e-9}
# How much further than float32 NumPy a free run may part from float64.
CHAOS_RATIO = 8.0


@dataclass(frozen=True)
class OutputError:
    """Largest errors of one output."""

    output: str
    absolute: float
    relative: float  # |found - expected| / (1 + |expected|)


@dataclass(frozen=True)
class LayerDifference:
    """How far the interpreter is from Keras behind one layer."""

    layer: str
    relative: float


@dataclass(frozen=True)
class Report:
    """What verify found. `growth` gives the error up to some steps of a free run.

    `keras` is the version that was asked, with `layers` in the order of the model. A file with
    rounded weights is verified against these; `against_floats` is how far it is from the model. Of
    a file of integers `growth` and `layer_errors` are those against floats, and `left` is how often
    a range was left.
    `curve` has the largest absolute error at each step that gives an output (of integers, against
    floats).
    """

    same: bool
    verdict: str
    steps: int
    outputs: tuple[OutputError, ...]
    single_step: float | None
    growth: tuple[tuple[int, float], ...]
    keras: str | None = None
    layers: tuple[LayerDifference, ...] = ()
    against_floats: tuple[Difference, ...] = ()
    left: int | None = None
    layer_errors: tuple[LayerError, ...] = ()
    curve: tuple[float, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the curve; None stands for infinite numbers, which it has not."""
        plain = {key: value for key, value in asdict(self).items() if key != "curve"}
        found: dict[str, Any] = json.loads(json.dumps(plain), parse_constant=lambda _: None)
        return {**found, **(worst_of(self.against_floats) if self.against_floats else {})}


def verify(
    lowered: Lowered,
    runner: Runner,
    steps: int = 100,
    data: Sequence[Array] | None = None,
    dtype: str = "float32",
    advance: Callable[[], None] = lambda: None,
) -> Report:
    """Compare `steps` steps from reset (or predict, for a model without step).

    `advance` is called after each step.
    """
    inputs = in_steps(lowered, data if data is not None else samples(lowered, steps))
    if lowered.whole.integers:
        return _of_integers(verify_integers(lowered, runner, inputs))
    if lowered.step is None:
        report = _verify_predict(lowered, runner, inputs, dtype)
    else:
        report = _verify_steps(lowered, runner, inputs, dtype, advance)
    if lowered.quantised is None or not report.outputs:
        return report
    original = lowered.quantised.original
    exact = Interpreted(Reference(original))
    return replace(report, against_floats=differences(original, exact, runner, inputs))


def _of_integers(found: Equality) -> Report:
    """What verify says of a file of integers."""
    verdict = f"equals the integers of the model to the bit, over {found.steps} steps"
    return Report(
        not found.reason,
        f"differs: {found.reason}" if found.reason else verdict,
        found.steps,
        (),
        None,
        found.growth,
        against_floats=found.against_floats,
        left=found.left,
        layer_errors=found.layers,
        curve=found.curve,
    )


def steps_of(lowered: Lowered, steps: int, data: Sequence[Array] | None) -> int:
    """How many steps `verify` takes."""
    if lowered.step is None or data is None:
        return steps
    return min(len(x) for x, p in zip(data, lowered.step.inputs, strict=True) if p.time)


def verify_against_keras(
    model: str,
    config: str | None,
    lowered: Lowered,
    runner: Runner,
    inputs: Sequence[Array],
    by_layer: bool,
) -> Report:
    """Compare predict from reset with what the installed Keras computes of the model's file."""
    if lowered.quantised is not None:
        raise CodegenError(
            f"{lowered.model.source}: the file has rounded weights, which --against keras would "
            "find wrong; without it, verify also says how far the file is from the model"
        )
    form = lowered.model.format
    if not form.startswith(("keras", "weights")):
        raise CodegenError(f"{lowered.model.source}: --against keras cannot load a {form} file")
    inputs = in_rows(lowered, inputs)
    tops = top_layers(lowered.model) if by_layer else {}
    found = ask(model, config, inputs, list(tops))
    runner.reset()
    try:
        errors = _errors(found.outputs, runner.predict(*inputs))
    except ValueError as error:
        raise CodegenError(f"the file does not accept these inputs: {error}") from error
    outputs = tuple(
        OutputError(port.name, a, r)
        for port, (a, r) in zip(lowered.whole.outputs, errors, strict=True)
    )
    layers = []
    for name, node in tops.items():
        if name in found.layers:
            own = layer_output(lowered.model, node, inputs)
            ((_, relative),) = _errors((found.layers[name],), (own,))
            layers.append(LayerDifference(name, relative))
    limit, worst = TOLERANCE["float32"], max(o.relative for o in outputs)
    same = worst <= limit
    said = f"Keras {found.version}"
    verdict = f"agrees with {said}" if same else f"differs from {said}: {worst:.3g}"
    first = next((one for one in layers if one.relative > limit), None)
    if first is not None:
        verdict += f"; the difference starts at layer {first.layer!r}"
    steps = max((len(x) for x in inputs if np.ndim(x)), default=0)
    return Report(same, verdict, steps, outputs, None, (), found.version, tuple(layers))


def samples(lowered: Lowered, steps: int) -> list[Array]:
    """Noise for every input: `steps` rows where time is free.

    Normal numbers, those of its range for an input of a file of integers, or ids.
    """
    random = np.random.default_rng(2021)
    ranges = {} if lowered.quantised is None else lowered.quantised.inputs
    tables = [op.table.rows for op in walk_ops(lowered.whole.ops) if isinstance(op, Gather)]
    ids = min((n for n in tables if isinstance(n, int)), default=2)
    program = lowered.whole if lowered.step is None else lowered.step
    found = []
    for port in program.inputs:
        shape = tuple(n if isinstance(n, int) else steps for n in port.shape)
        if lowered.step is not None and port.time:
            shape = (steps, *shape)
        if port.buffer.dtype == "int32":
            found.append(random.integers(0, ids, shape))
        elif port.name in ranges:
            within = random.uniform(*ranges[port.name], shape)
            found.append(within.astype(np.float32).astype(np.float64))
        else:
            found.append(random.normal(size=shape).astype(np.float32).astype(np.float64))
    return found


def _ran(
    runner: Runner, row: Sequence[Array], state: Sequence[Array] | None = None
) -> Outputs | None:
    """A step of the file, from `state` if it is given."""
    try:
        if state is not None:
            runner.set_state(state)
        return runner.step(*row)
    except ValueError as error:
        raise CodegenError(f"the file does not accept the steps of this model: {error}") from error


def _verify_steps(
    lowered: Lowered,
    runner: Runner,
    inputs: Sequence[Array],
    dtype: str,
    advance: Callable[[], None],
) -> Report:
    assert lowered.step is not None
    ports = lowered.step.inputs
    total = min(len(x) for x, port in zip(inputs, ports, strict=True) if port.time)
    exact = Interpreted(Reference(lowered))
    coarse = Interpreted(Reference(lowered, dtype=np.dtype(dtype)))
    free: list[tuple[tuple[float, float], ...]] = []
    single = drift = 0.0
    growth = []

    runner.reset()
    expected: list[Outputs | None] = []
    starts: list[list[Array]] = []
    for t in range(total):
        row = row_at(inputs, ports, t)
        starts.append(exact.get_state())
        want, rough, found = exact.step(*row), coarse.step(*row), _ran(runner, row)
        expected.append(want)
        if (want is None) != (found is None):
            return _differs(
                f"step {t + 1}: an output where none is expected, or none where one is", t + 1
            )
        if want is not None and found is not None and rough is not None:
            free.append(_errors(want, found))
            drift = max(drift, *(relative for _, relative in _errors(want, rough)))
        advance()
        if is_mark(t + 1, total):
            growth.append((t + 1, max((r for row_ in free for _, r in row_), default=0.0)))

    if lowered.warmup == 0:
        for t in range(total):
            found = _ran(runner, row_at(inputs, ports, t), starts[t])
            want = expected[t]
            if want is not None and found is not None:
                single = max(single, *(relative for _, relative in _errors(want, found)))

    limit = TOLERANCE[dtype]
    curve = tuple(max((a for a, _ in row), default=0.0) for row in free)
    outputs = tuple(
        OutputError(
            port.name,
            max((row[n][0] for row in free), default=0.0),
            max((row[n][1] for row in free), default=0.0),
        )
        for n, port in enumerate(lowered.step.outputs)
    )
    worst = max((o.relative for o in outputs), default=0.0)
    if single > limit:
        verdict, same = f"differs: {single:.3g} within one step", False
    elif worst <= limit:
        verdict, same = f"agrees over {total} steps", True
    elif worst <= CHAOS_RATIO * drift and lowered.warmup == 0:
        verdict = (
            "agrees step by step; the network is chaotic, so two right computations of a free run "
            f"differ, too (NumPy float32: {drift:.3g})"
        )
        same = True
    else:
        verdict, same = f"differs: {worst:.3g} in a free run of {total} steps", False
    return Report(same, verdict, total, outputs, single, tuple(growth), curve=curve)


def _verify_predict(
    lowered: Lowered, runner: Runner, inputs: Sequence[Array], dtype: str
) -> Report:
    program = lowered.whole
    free = any(symbols(n) for port in program.inputs for n in port.shape)
    reference = Reference(lowered)
    runner.reset()
    worst = [(0.0, 0.0)] * len(program.outputs)
    growth = []
    curve: Array = np.zeros(0)
    lengths = lengths_of(inputs, program.inputs) if free else [0]
    ran = 0
    for length in lengths:
        cut = cut_to(inputs, program.inputs, length)
        try:
            want = tuple(y[0] for y in reference.predict(*(np.asarray(x)[None] for x in cut)))
            found = runner.predict(*cut)
        except ValueError:
            continue
        errors, curve = _errors(want, found), error_curve(lowered, want, found)
        worst = [(max(a, c), max(r, d)) for (a, r), (c, d) in zip(worst, errors, strict=True)]
        ran = max(ran, length or len(np.atleast_1d(cut[0])))
        growth.append((ran, max(r for _, r in worst)))
    if not growth:
        raise CodegenError("no number of steps is accepted by both the model and the file")
    outputs = tuple(
        OutputError(port.name, a, r) for port, (a, r) in zip(program.outputs, worst, strict=True)
    )
    error = max(o.relative for o in outputs)
    same = error <= TOLERANCE[dtype]
    verdict = f"agrees over {ran} steps" if same else f"differs: {error:.3g}"
    return Report(same, verdict, ran, outputs, None, tuple(growth), curve=tuple(map(float, curve)))


def _differs(why: str, step: int) -> Report:
    return Report(False, f"differs: {why}", step, (), None, ())


def _errors(want: Outputs, found: Outputs) -> tuple[tuple[float, float], ...]:
    """Largest absolute error, and the same over 1 + |expected|, of each output."""
    result = []
    for a, b in zip(want, found, strict=True):
        if np.shape(a) != np.shape(b):
            raise CodegenError(f"an output of shape {np.shape(b)}, expected {np.shape(a)}")
        right, left = np.asarray(a, np.float64), np.asarray(b, np.float64)
        # NaN where NaN is due agrees; infinity agrees with itself alone.
        same = (right == left) | (np.isnan(right) & np.isnan(left))
        if not np.all(same | (np.isfinite(right) & np.isfinite(left))):
            result.append((np.inf, np.inf))
            continue
        right, left = np.where(same, 0.0, right), np.where(same, 0.0, left)
        difference = np.abs(right - left)
        relative = difference / (1 + np.abs(right))
        largest = float(np.max(difference, initial=0.0))
        result.append((largest, float(np.max(relative, initial=0.0))))
    return tuple(result)
