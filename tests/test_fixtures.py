"""Every model that a real Keras or PyTorch saved: each target gives what was predicted.

Outputs of the interpreter and of each target are compared with those recorded, calls in order and
states carried as in Keras; steps are compared with predict, and the states that both leave with
each other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import codegen
from codegen.errors import UnsupportedError
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.running import Runner
from codegen.running.python import PythonRunner
from tests.support.fixtures import Call, Case
from tests.support.recorded import ALL, EVERY, KEPT, NEEDED, REFUSED, entry, read
from tests.support.steps import (
    in_step,
    interpreter_steps_as_it_predicts,
    is_even,
    row,
    steps_as_it_predicts,
)
from tests.support.targets import (
    TARGETS,
    TOLERANCE,
    options,
    selftest,
    started,
    worst,
)

# Outputs that Keras itself rounded to half precision at every operation; the others of half
# precision were recorded by a twin in float32.
LOOSE = {f"{era}/float16": 2e-2 for era in ("keras208", "keras224", "keras231")}


# Plain Python computes in float64, as the interpreter does; its weights are float32.
ROUNDING = 1e-6

NAMES = {str(case) for case in EVERY} | {case.name for case in EVERY}


def calls(case: Case) -> list[Call]:
    """The recorded calls, batch first."""
    if case.name != "time_major":
        return list(case.calls)
    return [
        Call(
            tuple(x.swapaxes(0, 1) for x in call.inputs),
            tuple(y.swapaxes(0, 1) if y.ndim > 2 else y for y in call.outputs),
            call.reset,
        )
        for call in case.calls
    ]


def tolerance(case: Case, lowered: Lowered) -> float:
    exact = lowered.model.dtype == "float64" and case.calls[0].outputs[0].dtype == np.float64
    return 1e-9 if exact else LOOSE.get(str(case), TOLERANCE)


def each_call(
    lowered: Lowered, recorded: Sequence[Call], model: Runner, number: int
) -> tuple[float, float]:
    """The worst error of one sample over all calls, and the worst distance to the interpreter."""
    error = distance = 0.0
    reference = Reference(lowered)
    model.reset()
    for call in recorded:
        if call.reset:
            model.reset()
            reference.reset()
        inputs, expected = row(call.inputs, number), row(call.outputs, number)
        even = is_even(lowered, inputs)
        if not even:  # a stream has one length: the rest is left out
            inputs = in_step(lowered, inputs)
        computed = row(reference.predict(*(x[None] for x in inputs)), 0)
        found = model.predict(*inputs)
        error = max(error, worst(found, expected if even else computed))
        distance = max(distance, worst(found, computed))
    return error, distance


def batch_error(lowered: Lowered, recorded: Sequence[Call], model: Any) -> float:
    """The worst error of a model that computes all samples at once."""
    error = 0.0
    reference = Reference(lowered, len(recorded[0].inputs[0]))
    for call in recorded:
        if call.reset:
            model.reset()
            reference.reset()
        inputs, expected = list(call.inputs), list(call.outputs)
        if not is_even(lowered, inputs, 1):
            inputs = in_step(lowered, inputs, 1)
            expected = list(reference.predict(*inputs))
        found = model.predict(*inputs)
        error = max(error, worst(found if isinstance(found, tuple) else (found,), expected))
    return error


# ---- what is refused -------------------------------------------------------------------------


def test_the_tables_name_cases() -> None:
    assert set(REFUSED) <= NAMES
    assert set(NEEDED) <= NAMES
    assert set(LOOSE) <= NAMES
    assert len(EVERY) > 600
    assert [case for case in KEPT if not case.calls] == []


@pytest.mark.parametrize(
    ("case", "source"),
    [(c, n) for c in ALL if entry(REFUSED, c) for n in range(len(c.sources))],
    ids=str,
)
def test_what_cannot_be_exact_is_refused(case: Case, source: int) -> None:
    with pytest.raises(UnsupportedError) as caught:
        read(case, source)
    message = str(caught.value)
    assert re.search(entry(REFUSED, case), message), message
    assert str(caught.value).startswith(case.sources[source][0].name)


@pytest.mark.parametrize("case", [c for c in KEPT if entry(NEEDED, c)], ids=str)
def test_what_the_file_does_not_tell_is_asked_for(case: Case) -> None:
    needed = entry(NEEDED, case)
    with pytest.raises(UnsupportedError) as caught:
        lower(codegen.read(*case.sources[0]))
    for option in needed:
        assert f"--{option.replace('_', '-')}" in str(caught.value)


# ---- the interpreter -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "source"), [(c, n) for c in KEPT for n in range(len(c.sources))], ids=str
)
def test_the_interpreter_predicts_what_was_recorded(case: Case, source: int) -> None:
    lowered = read(case, source)
    recorded = calls(case)
    reference = Reference(lowered, len(recorded[0].inputs[0]))
    for call in recorded:
        if call.reset:
            reference.reset()
        found = reference.predict(*call.inputs)
        assert worst(found, call.outputs) <= tolerance(case, lowered)


@pytest.mark.parametrize("case", KEPT, ids=str)
def test_the_interpreter_steps_as_it_predicts(case: Case) -> None:
    lowered = read(case)
    if lowered.step is None:
        assert lowered.reason
        return
    interpreter_steps_as_it_predicts(lowered, row(calls(case)[-1].inputs, 0))


# ---- the targets -----------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", KEPT, ids=str)
def test_a_target_predicts_what_was_recorded(case: Case, target: str, tmp_path: Path) -> None:
    """One sample after the other, calls and resets in order; NumPy all of them at once, too."""
    lowered, recorded = read(case), calls(case)
    given = options(target, lowered, [call.inputs for call in recorded])
    model = started(target, lowered, tmp_path, **given)
    assert selftest(model)
    exact = ROUNDING if target == "python" else TOLERANCE
    for number in range(len(recorded[0].inputs[0])):
        error, distance = each_call(lowered, recorded, model, number)
        assert error <= tolerance(case, lowered)
        assert distance <= exact
    if lowered.step is not None:
        steps_as_it_predicts(model, lowered, row(recorded[-1].inputs, 0), exact)
    if target == "numpy":
        assert isinstance(model, PythonRunner)
        whole = type(model.model)(batch=len(recorded[0].inputs[0]))
        assert batch_error(lowered, recorded, whole) <= tolerance(case, lowered)
