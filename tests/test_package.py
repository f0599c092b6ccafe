"""`convert --package arduino`: the folder, what its compilers say of it, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import codegen
from codegen.commands.main import main
from codegen.commands.package import files
from codegen.lowering import lower
from codegen.program.evaluate import Reference
from tests.support.compilers import WARNINGS
from tests.support.emulators import BOARDS, run_model
from tests.targets.test_c import (
    conv,
    dense,
    embedding,
    gru,
    inputs,
    lstm,
    model,
    render,
)

EXAMPLES = Path(__file__).parents[1] / "generated_examples"
FILES = ["examples/chirp/chirp.ino", "library.properties", "src/chirp.c", "src/chirp.h"]
MODELS = {
    "lstm": lambda: model(lstm(1, 8), dense(8, 1), shape=(None, 1)),
    "windows": lambda: model(conv(2, 4, "conv"), gru(4, 8), dense(8, 3), shape=(None, 2)),
    "tokens": lambda: model(embedding(), gru(5, 4), dense(4, 2), shape=(None,), ids=True),
}

# As much of Arduino's core as a sketch needs to compile.
ARDUINO = """\
#ifndef ARDUINO_H
#define ARDUINO_H
#include <stdint.h>
#define A0 14
int analogRead(uint8_t pin);
void delay(unsigned long milliseconds);
struct Printer {
  void begin(unsigned long baud);
  void print(char c);
  void print(double value, int digits);
  void println();
};
extern Printer Serial;
void setup();
void loop();
#endif
"""


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    return Path(shutil.copy(EXAMPLES / "seed" / "seed.h5", tmp_path))


def listing(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def compile_sketch(board: str, folder: Path, name: str) -> None:
    """The library's C as C99, the sketch as Arduino compiles it: C++ after Arduino.h."""
    kind = BOARDS[board]
    (folder / "core").mkdir()
    (folder / "core" / "Arduino.h").write_text(ARDUINO)
    include = ["-I", folder / "src", "-I", folder / "core"]
    # Arduino's own warnings are fewer; these hold for the generated C alone
    subprocess.run(
        [f"{kind.prefix}gcc", *kind.options, "-std=gnu99", "-Os", *WARNINGS, *include]
        + ["-c", folder / "src" / f"{name}.c", "-o", folder / "core" / "model.o"],
        check=True,
    )
    cpp = ["-std=gnu++11", "-Os", "-Wall", "-Wextra", "-Werror", "-fno-exceptions"]
    subprocess.run(
        [f"{kind.prefix}g++", *kind.options, *cpp, "-nostdinc++", *include]
        + ["-include", "Arduino.h", "-x", "c++", "-c"]
        + [folder / "examples" / name / f"{name}.ino", "-o", folder / "core" / "sketch.o"],
        check=True,
    )


def test_the_folder_is_an_arduino_library(seed: Path, tmp_path: Path) -> None:
    out = tmp_path / "chirp"
    result = command("convert", seed, "-o", out, "--package", "arduino")
    assert result.exit_code == 0, result.output
    assert listing(out) == FILES
    properties = dict(
        line.split("=", 1) for line in (out / "library.properties").read_text().splitlines()
    )
    assert properties["name"] == "chirp"
    assert properties["includes"] == "chirp.h"
    header = (out / "src" / "chirp.h").read_text()
    line = "rnn-codegen convert seed.h5 -o chirp --profile mcu --package arduino"
    assert f"     {line}\n" in header
    plain = command("convert", seed, "-o", tmp_path / "chirp.h", "--profile", "mcu")
    assert plain.exit_code == 0
    other = (tmp_path / "chirp.h").read_text().splitlines()
    assert [a for a, b in zip(header.splitlines(), other, strict=True) if a != b] == [
        f" *     {line}"
    ]


def test_check_knows_it_and_twice_is_the_same(seed: Path, tmp_path: Path) -> None:
    out = tmp_path / "a folder"
    arguments = ["convert", seed, "-o", out, "--package", "arduino", "--name", "chirp"]
    assert command(*arguments).exit_code == 0
    before = {path: (out / path).read_bytes() for path in listing(out)}
    assert sorted(before) == FILES
    checked = command("check", out / "src" / "chirp.h")
    assert checked.exit_code == 0, checked.output
    assert command(*arguments).exit_code == 0
    assert {path: (out / path).read_bytes() for path in listing(out)} == before
    (out / "src" / "chirp.h").write_text(before["src/chirp.h"].decode() + "\n")
    assert "edited by hand" in command("check", out / "src" / "chirp.h").output


@pytest.mark.parametrize("board", ["uno", "microbit", "m4f"])
@pytest.mark.parametrize("case", MODELS)
def test_library_and_sketch_compile(case: str, board: str, tmp_path: Path) -> None:
    lowered = MODELS[case]()
    for path, text in files(lowered, "net", {}, render(lowered, profile="mcu")).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("".join(text))
    compile_sketch(board, tmp_path, "net")


def test_the_seed_compiles_and_runs(seed: Path, tmp_path: Path) -> None:
    out = tmp_path / "chirp"
    assert command("convert", seed, "-o", out, "--package", "arduino").exit_code == 0
    compile_sketch("m4f", out, "chirp")
    lowered = lower(codegen.read(seed))
    (x,) = inputs(lowered, 4)
    found = run_model("m4f", (out / "src" / "chirp.h").read_text(), "chirp", x, folder=tmp_path)
    (wanted,) = Reference(lowered).predict(x[None])
    np.testing.assert_allclose(found.outputs[0], wanted[0], atol=2e-6)


def test_what_is_refused(seed: Path, tmp_path: Path) -> None:
    package = ["--package", "arduino"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    cases = [
        ((seed, "-o", other, *package), "holds something else already"),
        ((seed, "-o", seed, *package), "is a file"),
        ((seed, "-o", "-", *package), "into a folder"),
        ((seed, "-o", tmp_path / "p", "--target", "numpy", *package), "writes C"),
        ((seed, "-o", tmp_path / "math", *package), "would hide another header"),
        (
            (EXAMPLES / "bidirectional" / "bidirectional.keras", "-o", tmp_path / "b")
            + ("--max-steps", "16", *package),
            "needs its whole input at once",
        ),
    ]
    for arguments, reason in cases:
        result = command("convert", *arguments)
        assert result.exit_code != 0
        assert reason in result.output, result.output
    assert listing(other) == ["notes.txt"]
    assert not (tmp_path / "math").exists()
    assert not (tmp_path / "b").exists()
