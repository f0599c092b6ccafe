"""Random models that Keras of each era drew, saved and ran: what is converted gives its numbers.

The interpreter computes all of them, every target a share, in steps, too, where the model streams.
What is refused is listed with the reasons, so that a new refusal shows as well as one that is gone.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from codegen.errors import CodegenError
from tests.support.random_eras import COUNT, ERAS, REFUSED, models, predicted, reasons
from tests.support.steps import (
    gives_steps,
    interpreter_steps_as_it_predicts,
    row,
    steps_as_it_predicts,
)
from tests.support.targets import TARGETS, TOLERANCE, options, started, worst

LISTED: dict[str, list[str]] = json.loads(REFUSED.read_text(encoding="utf-8"))
SHARE = 15  # every target runs one model out of so many

ALL = [(era, number) for era in ERAS for number in range(COUNT)]
KEPT = [(era, number) for era, number in ALL if f"{era}/{number:02}" not in LISTED]


@pytest.mark.parametrize("era", ERAS)
def test_an_era_has_so_many(era: str) -> None:
    assert [one.number for one in models(era)] == list(range(COUNT))
    assert all(len(one.calls) >= 2 for one in models(era))
    outputs = [y for one in models(era) for call in one.calls for y in call.outputs]
    assert all(np.isfinite(y).all() for y in outputs)


def test_few_are_refused() -> None:
    assert LISTED.keys() <= {f"{era}/{number:02}" for era, number in ALL}
    assert len(LISTED) < len(ALL) / 10


@pytest.mark.parametrize("name", LISTED)
def test_what_is_listed_is_refused(name: str) -> None:
    """If rightly no longer, or for other reasons, list anew: see tests.support.random_eras."""
    era, number = name.split("/")
    one = models(era)[int(number)]
    with pytest.raises((CodegenError, ValueError)) as caught:
        predicted(one, one.read())
    assert reasons(caught.value) == LISTED[name]


@pytest.mark.parametrize(("era", "number"), KEPT)
def test_the_interpreter_predicts_what_keras_did(era: str, number: int) -> None:
    one = models(era)[number]
    lowered, inputs = one.read(), row(one.calls[-1].inputs, 0)
    for outputs, call in zip(predicted(one, lowered), one.calls, strict=True):
        assert worst(outputs, call.outputs) <= TOLERANCE
    if gives_steps(lowered, inputs):
        interpreter_steps_as_it_predicts(lowered, inputs)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("era", "number"), KEPT[::SHARE])
def test_a_target_predicts_what_keras_did(
    era: str, number: int, target: str, tmp_path: Path
) -> None:
    one = models(era)[number]
    lowered = one.read()
    given = options(target, lowered, [call.inputs for call in one.calls])
    model = started(target, lowered, tmp_path, **given)
    for sample in range(len(one.calls[0].inputs[0])):
        model.reset()
        for call in one.calls:
            if call.reset:
                model.reset()
            found = model.predict(*row(call.inputs, sample))
            assert worst(found, row(call.outputs, sample)) <= TOLERANCE
    if gives_steps(lowered, inputs := row(one.calls[-1].inputs, 0)):
        steps_as_it_predicts(model, lowered, inputs)
