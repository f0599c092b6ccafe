"""Programs of integers in C: every compiler and processor gives the integers of the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codegen.lowered import Lowered
from codegen.program.evaluate import Reference
from codegen.program.integers import Integers
from codegen.targets import TARGETS
from codegen.text.banner import Origin
from tests.support.compilers import CModel
from tests.support.integer_programs import PROGRAMS, inputs, random_program
from tests.support.targets import flat, inputs_of_step

STEPS = 9
# Each program is built in some of these ways, so that each way builds some programs.
WAYS: tuple[dict[str, Any], ...] = (
    {"compiler": "gcc", "optimise": "-O0"},
    {"compiler": "clang", "optimise": "-O2"},
    {"compiler": "g++", "optimise": "-O1", "sanitize": "address,undefined"},
    {"compiler": "gcc", "optimise": "-O3", "options": ["-march=native"]},
    {"compiler": "clang", "optimise": "-O1", "sanitize": "address,undefined"},
    {"compiler": "clang++", "optimise": "-O3", "options": ["-march=native"]},
    {"compiler": "gcc", "optimise": "-O2"},
)


def header(lowered: Lowered, profile: str) -> str:
    """The text of the C file."""
    target = TARGETS["c"]
    more = {} if lowered.step or not lowered.whole.lengths else {"max_steps": STEPS}
    options = target.complete({"profile": profile, "cpp": True, **more})
    return "".join(target.render(lowered, "net", options, Origin("net.h")))


def agrees(lowered: Lowered, profile: str, folder: Path, **how: Any) -> None:
    """Whole, in steps, and on from a state that is put back: all numbers are the machine's."""
    reference = Reference(lowered, machine=Integers())
    given = inputs(lowered, STEPS, seed=2)
    expected = [y[0] for y in reference.predict(*(x[None] for x in given))]
    states = flat(reference.get_state())
    with CModel(header(lowered, profile), "net", folder, defines=["NET_SELFTEST"], **how) as model:
        assert model.selftest() == 0
        for y, wanted in zip(model.predict(*given), expected, strict=True):
            np.testing.assert_array_equal(y.reshape(wanted.shape), wanted.astype(y.dtype))
        found = model.get_state()
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found[: len(states)], states)
        if lowered.step is None:
            return
        model.reset()
        reference.reset()
        for t in range(STEPS):
            row = inputs_of_step(lowered, given, t)
            wanted = reference.step(*(np.asarray(x)[None] for x in row))
            kept = model.get_state()
            outputs = model.step(*row)
            assert (outputs is None) == (wanted is None)
            for y, one in zip(outputs or (), wanted or (), strict=True):
                np.testing.assert_array_equal(y, np.ravel(one).astype(y.dtype))
            after = model.get_state()
            model.set_state(kept, instance=1)
            np.testing.assert_array_equal(model.get_state(instance=1), kept)
            model.step(*row, instance=1)
            np.testing.assert_array_equal(model.get_state(instance=1), after)
        np.testing.assert_array_equal(after[: len(states)], flat(reference.get_state()))


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
@pytest.mark.parametrize("profile", ["host", "mcu"])
def test_a_program_gives_the_integers_of_the_machine(
    profile: str, number: int, tmp_path: Path
) -> None:
    turn = number + 3 * (profile == "mcu")
    lowered = list(PROGRAMS.values())[number](
        seed=5, extreme=turn % 4 == 0, io=("float", "int16")[turn // 2 % 2]
    )
    agrees(lowered, profile, tmp_path, **WAYS[turn % len(WAYS)])


@pytest.mark.parametrize("seed", range(12))
def test_a_random_program_gives_the_integers_of_the_machine(seed: int, tmp_path: Path) -> None:
    lowered = random_program(seed, ("float", "int16")[seed // 2 % 2])
    agrees(lowered, ("host", "mcu")[seed % 2], tmp_path, **WAYS[seed % len(WAYS)])
