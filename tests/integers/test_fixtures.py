"""Every recorded model in int8 and int16: it runs without leaving a type, and near the floats."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest

import codegen
from codegen.errors import CodegenError, UnsupportedError
from codegen.integers import Scheme, to_integers
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.model import Array
from codegen.program.integers import Integers
from tests.support.fixtures import Case, cases

# Of the largest number of an output, or of one half where all are smaller. 16 bits of 2^13 to 2^15
# steps, through a few layers; 8 bits of weights are 1 / 127 of the largest of a row each.
NEAR = {"int16": 3e-3, "int8": 0.1}
# What integers have no arithmetic for; everything else is an accident.
REASONS = (
    "no product of two matrices",
    "so steep somewhere",
    "not finite on the whole range",
    "no bound for a sum over any number of steps",
    "no logarithm of a softmax",
    "no division by what is computed",
    "no arithmetic with a number of steps",
    "is of no width",
    "no softmax of",
)
ERAS = tuple(dict.fromkeys(case.era for case in cases()))


def models(era: str) -> Iterator[tuple[Case, Lowered, list[Array]]]:
    """The models of an era that lower, with the inputs of their first call."""
    for case in cases(era):
        calls = [call for call in case.calls if call.outputs]
        if not case.sources or not calls:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                lowered = lower(codegen.read(*case.sources[0]))
        except CodegenError:
            continue
        yield case, lowered, [x[0] for x in calls[0].inputs]


@pytest.mark.parametrize("weights", ["int8", "int16"])
@pytest.mark.parametrize("era", ERAS)
def test_recorded_models_are_near_floats(era: str, weights: str) -> None:
    taken, refused = 0, 0
    for case, lowered, inputs in models(era):
        try:
            made = to_integers(lowered, Scheme(weights, data=inputs)).lowered
        except UnsupportedError as error:
            problems, refused = error.problems, refused + 1
        else:
            problems, taken = (), taken + 1
        assert all(any(r in str(p) for r in REASONS) for p in problems), (case, problems)
        if problems:
            continue
        given = [x[None] for x in inputs]
        wanted = Reference(lowered).predict(*given)
        found = Reference(made, machine=Integers()).predict(*given)
        for right, left in zip(wanted, found, strict=True):
            size = max(0.5, float(np.max(np.abs(right), initial=0.0)))
            assert np.max(np.abs(right - left), initial=0.0) <= NEAR[weights] * size, case
    assert taken > 4 * refused
