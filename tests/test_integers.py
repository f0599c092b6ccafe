"""Programs of integers: the machine runs them without leaving a type, in steps as at once."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.lowered import Lowered, Reference
from codegen.program.integers import Integers
from tests.support.integer_programs import PROGRAMS, inputs, random_program
from tests.support.targets import flat, inputs_of_step


def runs(lowered: Lowered, seed: int) -> None:
    """No assertion of the machine; a batch as its samples; steps as predict."""
    batch, steps = 3, 9
    machine = Integers(batch)
    whole = Reference(lowered, machine=machine)
    given = inputs(lowered, steps, seed, batch)
    expected = whole.predict(*given)
    left = 0
    for k in range(batch):
        single = Reference(lowered, machine=Integers())
        for y, wanted in zip(single.predict(*(x[k : k + 1] for x in given)), expected, strict=True):
            np.testing.assert_array_equal(y[0], wanted[k])
        assert isinstance(single.machine, Integers)
        left += single.machine.left
        if lowered.step is None:
            continue
        states = flat(single.get_state())
        single.reset()
        rows = []
        for t in range(steps):
            row = inputs_of_step(lowered, [x[k] for x in given], t)
            y = single.step(*(np.asarray(x)[None] for x in row))
            assert (y is None) == (t < lowered.warmup)
            if y is not None:
                rows.append([part[0] for part in y])
        for number, (port, wanted) in enumerate(zip(lowered.whole.outputs, expected, strict=True)):
            found = [row[number] for row in rows]
            np.testing.assert_array_equal(np.stack(found) if port.time else found[-1], wanted[k])
        np.testing.assert_array_equal(flat(single.get_state()), states)
    assert machine.left == left


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("io", ["float", "int16"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_machine_runs_it(name: str, io: str, extreme: bool) -> None:
    runs(PROGRAMS[name](seed=3, extreme=extreme, io=io), 1)


def test_the_machine_runs_random_programs() -> None:
    for seed in range(40):
        runs(random_program(seed, ("float", "int16")[seed % 2]), seed)
