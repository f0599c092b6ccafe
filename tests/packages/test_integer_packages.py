"""Packages of models in integers: their types, in each language that has both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.packages.test_boards import ESP, STRICT, ZEPHYR, run
from tests.packages.test_python import imported
from tests.support.packages import command
from tests.support.targets import module

MODEL = Path(__file__).parents[2] / "generated_examples" / "last_step" / "last_step.h5"


def integers(folder: Path, io: str) -> list[str]:
    """Options for integers, with samples that tell the ranges."""
    x = np.random.default_rng(1).uniform(-2, 2, (200, 3))
    np.savetxt(folder / "samples.csv", x, delimiter=",", fmt="%.4f")
    return ["--quantize", "int8", "--calibration", str(folder / "samples.csv"), "--io", io]


@pytest.mark.parametrize("io", ["float", "int16"])
def test_the_extension_gives_the_integers_of_plain_python(io: str, tmp_path: Path) -> None:
    options = integers(tmp_path, io)
    out = tmp_path / "net"
    assert command("convert", MODEL, "-o", out, *options, "--package", "python").exit_code == 0
    result = command("convert", MODEL, "-o", tmp_path / "p.py", *options, "--target", "python")
    assert result.exit_code == 0, result.output
    mine = imported(out, tmp_path).Model()
    other = module((tmp_path / "p.py").read_text()).Model()
    x = np.random.default_rng(0).uniform(-2, 2, (40, 3)).astype(np.float32)
    kind = np.float32
    if io == "int16":
        x, kind = np.round(x * 1000).astype(np.int16), np.int16
    y = mine.predict(x)
    assert y.dtype == kind
    np.testing.assert_array_equal(y, np.array(other.predict(x.tolist()), kind))
    for state, wanted in zip(mine.get_state(), other.get_state(), strict=True):
        assert state.dtype == np.int32
        np.testing.assert_array_equal(state, wanted)
    states = mine.get_state()
    first = mine.step(x[0])
    mine.set_state(states)
    np.testing.assert_array_equal(mine.step(x[0]), first)
    if io == "int16":
        assert type(other).INPUT_FRACTIONS == imported(out, tmp_path).Model.INPUT_FRACTIONS
        assert type(other).OUTPUT_FRACTIONS == imported(out, tmp_path).Model.OUTPUT_FRACTIONS
        for wrong in (40000, -32769, 0.5):
            with pytest.raises(ValueError, match=r"whole numbers from -32768 to 32767, found"):
                mine.step([0, wrong, 0])
    stub = (out / "src" / "net" / "__init__.pyi").read_text()
    assert f"-> npt.NDArray[np.{np.dtype(kind)}]" in stub
    assert "list[npt.NDArray[np.int32]]" in stub


@pytest.mark.parametrize("io", ["float", "int16"])
@pytest.mark.parametrize(
    ("kind", "stubs", "main", "source"),
    [
        ("espidf", ESP, "examples/step/main/main.c", "net.c"),
        ("zephyr", ZEPHYR, "samples/step/src/main.c", "src/net.c"),
    ],
)
def test_examples_compile(
    kind: str, stubs: dict[str, str], main: str, source: str, io: str, tmp_path: Path
) -> None:
    out = tmp_path / "net"
    options = [*integers(tmp_path, io), "--package", kind]
    assert command("convert", MODEL, "-o", out, *options).exit_code == 0
    for path, text in stubs.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    include = ["-I", out / "include", "-I", tmp_path]
    for file in (main, source):
        run("gcc", *STRICT, *include, "-c", out / file, "-o", tmp_path / "object.o")


def test_typescript_knows_the_arrays(tmp_path: Path) -> None:
    options = [*integers(tmp_path, "int16"), "--package", "npm"]
    assert command("convert", MODEL, "-o", tmp_path / "chirp", *options).exit_code == 0
    types = (tmp_path / "chirp" / "chirp.d.ts").read_text()
    assert "y?: Int16Array,\n  ): Int16Array;" in types
    assert "getState(): Int32Array[];" in types
    check = (
        "import { Model } from './chirp/chirp.js';\nconst m = new Model();\n"
        "const own = [m.predict([1, 2, 3]), ...m.getState()].map((a) => a.constructor.name);\n"
        "console.log(own.join(' '), Model.inputFractions.length, Model.outputFractions.length);\n"
    )
    (tmp_path / "check.mjs").write_text(check)
    said = run("node", tmp_path / "check.mjs").split()
    assert said == ["Int16Array", *["Int32Array"] * 4, "1", "1"]


def test_sketches_print_whole_numbers_as_such(tmp_path: Path) -> None:
    out = tmp_path / "net"
    options = [*integers(tmp_path, "int16"), "--package", "arduino"]
    assert command("convert", MODEL, "-o", out, *options).exit_code == 0
    sketch = (out / "examples" / "net" / "net.ino").read_text()
    assert "static int16_t x0[NET_INPUT_0_SIZE];" in sketch
    assert "Serial.print(y0[i]);" in sketch
    assert "NET_INPUT_0_FRACTION" in sketch
