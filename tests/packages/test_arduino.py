"""`convert --package arduino`: the folder, what its compilers say of it, and what is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import codegen
from codegen.lowered import Reference
from codegen.lowering import lower
from tests.support.agreement import inputs
from tests.support.compilers import WARNINGS
from tests.support.emulators import BOARDS, run_model
from tests.support.models import conv, dense, embedding, gru, lstm
from tests.support.packages import arduino_build, command, listing, package
from tests.targets.test_c import model

EXAMPLES = Path(__file__).parents[2] / "generated_examples"
FILES = [
    "README.md",
    *("examples/chirp/chirp.ino", "examples/chirp_timing/chirp_timing.ino"),
    *("library.properties", "src/chirp.c", "src/chirp.h"),
]
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
unsigned long micros();
struct Printer {
  void begin(unsigned long baud);
  void print(char c);
  void print(const char *text);
  void print(unsigned long value);
  void print(double value, int digits);
  void println();
  void println(const char *text);
};
extern Printer Serial;
void setup();
void loop();
#endif
"""


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    return Path(shutil.copy(EXAMPLES / "seed" / "seed.h5", tmp_path))


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
    for sketch in (name, f"{name}_timing"):
        subprocess.run(
            [f"{kind.prefix}g++", *kind.options, *cpp, "-nostdinc++", *include]
            + ["-include", "Arduino.h", "-x", "c++", "-c"]
            + [folder / "examples" / sketch / f"{sketch}.ino", "-o", folder / "core" / "sketch.o"],
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


@pytest.mark.parametrize("board", ["uno", "microbit", "m4f"])
@pytest.mark.parametrize("case", MODELS)
def test_library_and_sketch_compile(case: str, board: str, tmp_path: Path) -> None:
    compile_sketch(board, package("arduino", MODELS[case](), "net", tmp_path), "net")


def test_arduino_builds_and_an_uno_times_it(tmp_path: Path) -> None:
    library = package("arduino", MODELS["lstm"](), "net", tmp_path / "libraries" / "net")
    arduino_build(library, library / "examples" / "net" / "net.ino", tmp_path / "first")
    sketch = library / "examples" / "net_timing" / "net_timing.ino"
    program = arduino_build(library, sketch, tmp_path / "second")
    uno = ["simavr", "-m", "atmega328p", "-f", "16000000", program]
    with subprocess.Popen(uno, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        line = next(text for text in process.stdout if b"a step" in text)
        process.kill()  # the sketch goes on for ever
    (microseconds,) = re.findall(rb"(\d+\.\d+) us a step", line)
    assert 5000 < float(microseconds) < 30000


def test_the_sketch_has_room_for_all_rows_of_a_step(tmp_path: Path) -> None:
    strided = replace(conv(2, 4, "conv"), strides=(2,))
    lowered = model(strided, gru(4, 3), shape=(None, 2))
    assert lowered.hop == 2
    package("arduino", lowered, "net", tmp_path)
    for sketch in ("net", "net_timing"):
        text = (tmp_path / "examples" / sketch / f"{sketch}.ino").read_text()
        assert "static float x0[NET_INPUT_0_SIZE * 2];" in text
        assert "static float y0[NET_OUTPUT_0_SIZE];" in text
    assert "i < NET_INPUT_0_SIZE * 2;" in (tmp_path / "examples" / "net" / "net.ino").read_text()


def test_the_seed_compiles_and_runs(seed: Path, tmp_path: Path) -> None:
    out = tmp_path / "chirp"
    assert command("convert", seed, "-o", out, "--package", "arduino").exit_code == 0
    compile_sketch("m4f", out, "chirp")
    lowered = lower(codegen.read(seed))
    (x,) = inputs(lowered.whole.inputs, 4)
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
        ((seed, "-o", tmp_path / "math", *package), "'math' means something else there"),
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
