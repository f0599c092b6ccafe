"""`convert --package python`: an extension with the interface of the NumPy file."""

from __future__ import annotations

import ast
import copy
import importlib.util
import subprocess
import sys
import sysconfig
import types
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import keras.layers as kl
import numpy as np
import pytest

from codegen.lowered import Lowered
from codegen.program.ops import Port
from tests.layers.oracle import lowered, randomised
from tests.support.interpreters import environments
from tests.support.packages import blocks, command, listing, package
from tests.support.targets import module, rendered

EXAMPLES = Path(__file__).parents[2] / "generated_examples"
AMPLIFIER = EXAMPLES.parent / "examples" / "amplifier" / "amp.json"


def two_of_each() -> keras.Model:
    """A sequence and a condition in, a sequence and a vector out."""
    sound, knob = keras.Input((None, 2), name="sound"), keras.Input((3,), name="knob")
    hidden = kl.LSTM(4, return_sequences=True)(sound)
    scale = kl.Dense(4)(knob)
    both = kl.Multiply()([hidden, kl.Reshape((1, 4))(scale)])
    return keras.Model([sound, knob], [both, kl.Dense(2)(kl.GRU(3)(both))])


def decoder() -> keras.Model:
    """A step by hand: states in and out, numbers of a table in."""
    token, h = keras.Input((None,), name="token"), keras.Input((3,), name="h")
    y, after = kl.GRU(3, return_sequences=True, return_state=True)(
        kl.Embedding(5, 2)(token), initial_state=h
    )
    return keras.Model([token, h], [kl.Dense(5)(y), after])


CASES: dict[str, Callable[[], keras.Model]] = {
    "several": two_of_each,
    "tokens": lambda: keras.Sequential(
        [keras.Input((None,)), kl.Embedding(6, 3), kl.GRU(4, return_sequences=True, stateful=False)]
    ),
    "warming up": lambda: keras.Sequential(
        [keras.Input((None, 2)), kl.Conv1D(3, 4), kl.LSTM(3, return_sequences=True)]
    ),
    "hops": lambda: keras.Sequential(
        [keras.Input((None, 2)), kl.Conv1D(3, 3, strides=2, padding="causal"), kl.GRU(2)]
    ),
    "both ways": lambda: keras.Sequential(
        [keras.Input((None, 2)), kl.Bidirectional(kl.GRU(3, return_sequences=True))]
    ),
    "no time": lambda: keras.Sequential([keras.Input((5,)), kl.Dense(3, activation="tanh")]),
    "decoder": decoder,
}
OPTIONS: dict[str, dict[str, Any]] = {"both ways": {"max_steps": 6}, "decoder": {"max_steps": 6}}
# Not -Wpedantic: slots of the stable ABI are pointers to functions as `void *`.
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]


def compiled(model: Lowered, folder: Path, **options: Any) -> types.ModuleType:
    """The extension of a package of the model, imported."""
    return imported(package("python", model, "net", folder, **options), folder)


def imported(made: Path, folder: Path) -> types.ModuleType:
    """The extension of a package called `net`, compiled without a warning, and imported."""
    source = made / "src" / "net"
    includes = [sysconfig.get_path("include"), np.get_include()]
    flags = [flag for path in includes for flag in ("-isystem", path)]
    library = folder / "_model.so"
    subprocess.run(
        ["gcc", "-std=c99", "-O1", *WARNINGS, *flags, "-DPy_LIMITED_API=0x030A0000"]
        + ["-shared", "-fPIC", source / "_model.c", "-o", library, "-lm"],
        check=True,
    )
    spec = importlib.util.spec_from_file_location("_model", library)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def outputs(found: Any) -> list[Any]:
    """The arrays that a call gives."""
    return list(found) if isinstance(found, (tuple, list)) else [found]


def agree(found: Any, wanted: Any) -> None:
    """The same shapes and types, and the same numbers to rounding."""
    assert type(found) is type(wanted)
    for left, right in zip(outputs(found), outputs(wanted), strict=True):
        assert (left is None) == (right is None)
        if left is not None:
            assert (left.shape, left.dtype) == (right.shape, right.dtype)
            np.testing.assert_allclose(left, right, rtol=2e-5, atol=2e-6)


def given(ports: Sequence[Port], length: int, lead: tuple[int, ...], seed: int) -> list[Any]:
    """Random inputs of this many steps, numbers below 5 for a table."""
    rng, found = np.random.default_rng(seed), []
    for port in ports:
        shape = (*lead, *(n if isinstance(n, int) else length for n in port.shape))
        ids = port.buffer.dtype == "int32"
        found.append(rng.integers(0, 5, shape) if ids else rng.normal(size=shape))
    return found


@pytest.mark.parametrize("lead", [(), (2,)], ids=["one", "batch"])
@pytest.mark.parametrize("case", CASES)
def test_it_computes_what_keras_does(case: str, lead: tuple[int, ...], tmp_path: Path) -> None:
    model = randomised(CASES[case]())
    low = lowered(model)
    extension = compiled(low, tmp_path, **OPTIONS.get(case, {}))
    assert extension.selftest()
    mine = extension.Model(*lead)
    other = module(rendered(low, "numpy")).Model(*lead)
    assert mine.batch == other.batch
    for length in (6, 4, 5):
        x = given(low.whole.inputs, length, lead, length)
        found = mine.predict(*x)
        agree(found, other.predict(*x))
        if length % low.hop == 0:  # in C, zeros fill up the last hop
            agree(mine.get_state(), other.get_state())
        batched = [np.asarray(value if lead else value[None]) for value in x]
        expected = outputs(model(batched if len(batched) > 1 else batched[0]))
        expected = [np.asarray(y)[slice(None) if lead else 0] for y in expected]
        agree([y.astype(np.float32) for y in outputs(found)], expected)
    assert hasattr(mine, "step") == hasattr(other, "step") == (low.step is not None)
    if low.step is not None:
        mine.reset()
        other.reset()
        for number in range(9):
            x = given(low.step.inputs, 0, lead, number)
            again = copy.deepcopy(mine)
            found = mine.step(*x)
            agree(found, other.step(*x))
            agree(found, again.step(*x))
            agree(mine.get_state(), other.get_state())
            mine.reset()
            mine.set_state(other.get_state())


WRONG: dict[str, Callable[[Any], Any]] = {
    "too many": lambda m: m.step([0, 0]),
    "no numbers": lambda m: m.predict("abc"),
    "no step": lambda m: m.predict([]),
    "beyond the table": lambda m: m.step(6),
    "below it": lambda m: m.predict([0, -1]),
    "between rows": lambda m: m.step(1.5),
    "not a number": lambda m: m.predict([np.nan]),
    "huge": lambda m: m.step(2**40),
    "truth": lambda m: m.step(True),
    "no states": lambda m: m.set_state([]),
    "another state": lambda m: m.set_state([np.zeros(5)]),
    "no batch": lambda m: type(m)(0),
    "half a batch": lambda m: type(m)(1.5),
}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The classes of one model, compiled and in NumPy."""
    low = lowered(randomised(CASES["tokens"]()))
    extension = compiled(low, tmp_path_factory.mktemp("tokens"))
    return extension.Model, module(rendered(low, "numpy")).Model


@pytest.mark.parametrize("wrong", WRONG)
def test_it_refuses_what_the_numpy_file_refuses(wrong: str, tokens: tuple[Any, Any]) -> None:
    messages = []
    for model in (kind() for kind in tokens):
        before = model.get_state()
        with pytest.raises(ValueError, match=r"expected|convert") as caught:
            WRONG[wrong](model)
        messages.append(str(caught.value))
        agree(model.get_state(), before)
    if wrong != "no numbers":
        assert messages[0].replace("np.", "") == messages[1].replace("np.", "")


@pytest.mark.parametrize(
    ("case", "length", "message"),
    [
        ("warming up", 2, "expected steps - 3 >= 1, found steps = 2"),
        ("both ways", 7, "expected steps <= 6, found steps = 7"),
    ],
)
def test_it_refuses_lengths(case: str, length: int, message: str, tmp_path: Path) -> None:
    extension = compiled(lowered(CASES[case]()), tmp_path, **OPTIONS.get(case, {}))
    with pytest.raises(ValueError, match=message):
        extension.Model().predict(np.zeros((length, 2)))


def test_float64_and_states_that_do_not_start_at_zero(tmp_path: Path) -> None:
    out = tmp_path / "amp"
    options = ["--prewarm", "100", "--dtype", "float64", "--package", "python"]
    assert command("convert", AMPLIFIER, "-o", out, *options).exit_code == 0
    assert ast.parse((out / "src" / "amp" / "__init__.pyi").read_text())
    init = (out / "src" / "amp" / "__init__.py").read_text()
    assert "SAMPLE_RATE = 44100" in init
    assert '__all__ = ["Model", "selftest", "SAMPLE_RATE"' in init


USE = """\
import pickle, sys
import numpy as np
import seed
model = seed.Model()
x = np.load("x.npy")
model.predict(x)
again = pickle.loads(pickle.dumps(model))
assert np.array_equal(again.step(x[0]), model.step(x[0]))
assert seed.selftest() and "_model.abi3" in sys.modules["seed._model"].__file__
np.save("y.npy", seed.Model().predict(x))
"""


def test_one_wheel_is_for_all_pythons(tmp_path: Path) -> None:
    out = tmp_path / "seed"
    source = EXAMPLES / "seed" / "seed.h5"
    assert command("convert", source, "-o", out, "--package", "python").exit_code == 0
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q"]
    subprocess.run(
        [*pip, "--no-build-isolation", "--no-deps", "--no-index", "-w", tmp_path, out], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith("seed-1.0.0-cp310-abi3-")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "dist-info" not in name]
        archive.extractall(tmp_path / "site")
    files = ["__init__.py", "__init__.pyi", "__main__.py", "_model.abi3.so", "py.typed"]
    assert sorted(names) == [f"seed/{name}" for name in files]
    with np.load(EXAMPLES / "seed" / "recorded.npz") as stored:
        x, y = stored["x"][:200], stored["y"][:200]
    np.save(tmp_path / "x.npy", x)
    pythons = {"this": sys.executable, **environments()}
    for name, python in pythons.items():
        found = subprocess.run(
            [python, "-c", USE],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path / "site")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, f"{name}: {found.stderr}"
        np.testing.assert_allclose(np.load(tmp_path / "y.npy"), y, atol=2e-6)
    told = [sys.executable, "-c", blocks(out, "python")]
    subprocess.run(told, env={"PYTHONPATH": str(tmp_path / "site")}, check=True)
    with zipfile.ZipFile(wheel) as archive:
        assert b"# seed\n" in archive.read("seed-1.0.0.dist-info/METADATA")


def test_what_would_hide_a_module_is_refused(tmp_path: Path) -> None:
    for name in ("numpy", "Random", "math"):
        result = command(
            "convert", EXAMPLES / "seed" / "seed.h5", "-o", tmp_path / name, "--package", "python"
        )
        assert "means something else there" in result.output
    assert not listing(tmp_path)
