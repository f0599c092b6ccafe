"""examples/gesture: what its README says of the generated code, measured again."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import codegen
from tests.support.emulators import build, run, sizes
from tests.support.examples import table
from tests.support.packages import arduino_build
from tests.support.targets import module

EXAMPLE = Path(__file__).parents[2] / "examples" / "gesture"
LIBRARY = EXAMPLE / "Activity"
BOARD = Path(__file__).parent / "gesture"  # as much of Arduino as the sketches need
HEADERS = {
    "float": EXAMPLE / "activity_float.h",
    "int16": EXAMPLE / "activity_int16.h",
    "int8": LIBRARY / "src" / "Activity.h",
}


def readme() -> str:
    return (EXAMPLE / "README.md").read_text(encoding="utf-8")


def recordings(step: int = 16, count: int = 4) -> list[list[str]]:
    """The rows of the first recordings of test.csv, with accelerations that any sensor can say."""
    with (EXAMPLE / "test.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1 : 1 + 100 * count]
    return [[*r[:2], *(str(int(a) // step * step) for a in r[2:5]), *r[5:]] for r in rows]


def baked(rows: list[list[str]], folder: Path) -> None:
    """The readings as a header for a program on a board."""
    lines = [f"    {{{', '.join(row[2:])}}}," for row in rows]
    text = f"#include <stdint.h>\n#define READINGS {len(rows)}\n"
    text += "static const int16_t readings[READINGS][6] = {\n" + "\n".join(lines) + "\n};\n"
    (folder / "readings.h").write_text(text)


def compiled(kind: str, folder: Path) -> Path:
    """replay.c with one of the generated files."""
    source = library(kind, folder)
    files = [EXAMPLE / "replay.c", source / "Activity.c"]
    strict = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
    program = folder / "replay"
    subprocess.run(["gcc", *strict, "-I", source, *files, "-o", program], check=True)
    return program


def library(kind: str, folder: Path) -> Path:
    """The sources of the library with one of the generated files."""
    source = shutil.copytree(LIBRARY / "src", folder / "src")
    shutil.copy(HEADERS[kind], source / "Activity.h")
    return source


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("int8", tmp_path_factory.mktemp("replay"))


def played(replay: Path, *words: str | Path) -> str:
    return subprocess.run([replay, *words], check=True, capture_output=True, text=True).stdout


def test_the_generated_code_is_as_right_as_the_readme_says(tmp_path: Path) -> None:
    command = [sys.executable, "-B", "measure.py", "--out", str(tmp_path)]
    subprocess.run(command, cwd=EXAMPLE, check=True, capture_output=True)
    found = json.loads((tmp_path / "results.json").read_text())
    kept = json.loads((EXAMPLE / "results.json").read_text())
    # integers are the same on every machine, and a float may decide otherwise once or twice
    for name, row in found["readings"].items():
        assert row == pytest.approx(kept["readings"][name], abs=0.002), name
    for part in ("recordings of int8", "answers of int8"):
        assert found[part] == kept[part]
    for name, counts in found["right after"].items():
        assert counts == pytest.approx(kept["right after"][name], abs=1), name

    said = table(readme(), "readings that are right")
    for name, row in kept["readings"].items():
        assert said[name] == [round(100 * part, 1) for part in row.values()], name
    part = kept["readings"]["int8"]["as recorded"]
    first = f"{kept['recordings of int8']} of the 40 test recordings, and {100 * part:.1f} % of its"
    assert first in readme()


def test_boards_prepare_readings_as_training_does(tmp_path: Path) -> None:
    motion = module((EXAMPLE / "motion.py").read_text())
    test, _ = motion.read(EXAMPLE / "test.csv")
    shown = motion.prepare(test.reshape(1, -1, 6))[0]
    text = codegen.generate(codegen.read(EXAMPLE / "activity.keras"), "numpy", "net")
    answers = module(text).Model().predict(shown).argmax(-1)[4::5]
    said = played(compiled("float", tmp_path), EXAMPLE / "test.csv", "-v").splitlines()
    other = [motion.ACTIVITIES.index(line.split()[-1]) for line in said]
    # gravity is rounded to thousandths of g on a board
    assert np.count_nonzero(answers != other) <= 4


def test_the_picture_is_of_the_results(tmp_path: Path) -> None:
    before = (EXAMPLE / "activity.svg").read_bytes()
    for name in ("picture.py", "motion.py", "results.json"):
        (tmp_path / name).write_bytes((EXAMPLE / name).read_bytes())
    subprocess.run([sys.executable, "picture.py"], cwd=tmp_path, check=True)
    assert (tmp_path / "activity.svg").read_bytes() == before


@pytest.mark.emulator
@pytest.mark.parametrize("kind", HEADERS)
def test_a_reading_takes_what_the_readme_says(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    baked(recordings(count=1), tmp_path)
    source = library(kind, tmp_path)
    files = [BOARD / "steps.c", source / "Activity.c"]
    options = ["-I", str(source), "-I", str(tmp_path)]
    found = []
    for board in ("microbit", "m4f"):
        elf, without = tmp_path / f"{board}.elf", tmp_path / f"{board}_without.elf"
        build(board, files, elf, optimise="-Os", options=options)
        build(board, files, without, optimise="-Os", options=[*options, "-DWITHOUT"])
        done = run(board, elf)
        assert done.status == 0, done.text
        assert "Standing\n" in done.text
        whole, rest = sizes(board, elf), sizes(board, without)
        found += [whole.flash - rest.flash, whole.ram - rest.ram + int(done.values["stack"])]
        found += [int(done.values["instructions"])]
    if request.config.getoption("--update-golden"):
        row = " | ".join(f"{number:,}" for number in found)
        text = re.sub(rf"(?m)^\| {kind} \| [\d,]+ \|.*$", f"| {kind} | {row} |", readme())
        (EXAMPLE / "README.md").write_text(text, encoding="utf-8")
    assert table(readme(), "a reading takes")[kind] == pytest.approx(found, rel=0.002), found


def test_the_first_lines_say_what_the_table_says() -> None:
    said = re.search(r"([\d.]+) KB of flash and ([\d.]+) KB of RAM, and ([\d,]+) instr", readme())
    assert said is not None
    flash, ram, instructions = (float(figure.replace(",", "")) for figure in said.groups())
    row = table(readme(), "a reading takes")["int8"]
    assert [1000 * flash, 1000 * ram, instructions] == pytest.approx(row[:3], rel=0.02)


@pytest.mark.emulator
@pytest.mark.parametrize(
    ("sketch", "board", "sensor"),
    [
        ("microbit", "microbit", "0x1D"),
        ("microbit", "microbit", "0x19"),
        ("nano33ble", "m4f", "0"),
    ],
)
def test_a_sketch_answers_on_its_board_what_the_program_answers_here(
    sketch: str, board: str, sensor: str, replay: Path, tmp_path: Path
) -> None:
    rows = recordings()
    baked(rows, tmp_path)
    whole = tmp_path / "readings.csv"
    whole.write_text("header\n" + "".join(",".join(row) + "\n" for row in rows))
    wanted = played(replay, whole, "-v", *(["-a"] if sketch == "microbit" else []))
    answers = [line.split()[-1] for line in wanted.splitlines()]
    assert {"Standing", "Walking", "Running", "Badminton"} <= set(answers)

    text = (LIBRARY / "examples" / sketch / f"{sketch}.ino").read_text()
    source = tmp_path / "sketch.cpp"
    source.write_text(f"#include <Arduino.h>\n{text}")
    files = [source, BOARD / "core.cpp", LIBRARY / "src" / "Activity.c"]
    places = (LIBRARY / "src", BOARD, tmp_path)
    options = [*(word for path in places for word in ("-I", str(path))), f"-DSENSOR={sensor}"]
    options += ["-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra"]
    elf = build(board, files, tmp_path / "sketch.elf", optimise="-Os", options=options)
    done = run(board, elf)
    assert done.status == 0, done.text
    assert done.text.split() == answers


def test_the_sketch_for_a_bus_builds_with_the_tools_of_arduino(tmp_path: Path) -> None:
    library = shutil.copytree(LIBRARY, tmp_path / "libraries" / "Activity")
    sketch = library / "examples" / "microbit" / "microbit.ino"
    assert arduino_build(library, sketch, tmp_path / "work").exists()


def test_recordings_are_taken_out_of_a_package(tmp_path: Path) -> None:
    head = "#words\n@classLabel true Standing Running Walking Badminton\n@data\n"
    axes = ["9.80665,-19.6133", "0,0", "0,0", "3.1415927,0.0", "0,0", "0,-0.5"]
    names = ("Standing", "Running", "Walking", "Badminton")
    body = "".join(f"{':'.join(axes)}:{name}\n" for name in names)
    with zipfile.ZipFile(tmp_path / "sktime.whl", "w") as wheel:
        for split in ("TRAIN", "TEST"):
            path = f"sktime/datasets/data/BasicMotions/BasicMotions_{split}.ts"
            wheel.writestr(path, head + body + body)
    command = [
        sys.executable,
        EXAMPLE / "recordings.py",
        tmp_path / "sktime.whl",
        "--out",
        tmp_path,
    ]
    subprocess.run(command, check=True)
    lines = (tmp_path / "test.csv").read_text().splitlines()
    assert len(lines) == 1 + 8 * 2
    assert lines[1:4] == [
        "0,Standing,1000,0,0,180,0,0",
        "0,Standing,-2000,0,0,0,0,-29",
        "1,Walking,1000,0,0,180,0,0",
    ]
    assert lines[-1] == "7,Badminton,-2000,0,0,0,0,-29"


def test_the_program_says_what_it_cannot_play(replay: Path, tmp_path: Path) -> None:
    for words in ([], [tmp_path / "none.csv"]):
        done = subprocess.run([replay, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (2, "usage: replay FILE.csv [-v] [-a]\n")
    other = tmp_path / "other.csv"
    good = "0,Walking,1,2,3,4,5,6\n"
    for line, said in (
        ("0,Swimming,1,2,3,4,5,6", "no activity is called Swimming"),
        ("0,Walking,1,2,3", "a line of recording 0 or the next is not a reading"),
        ("0,Walking,1,2,3,4,5,x", "a line of recording 0 or the next is not a reading"),
    ):
        other.write_text(f"header\n{good}{line}\n{good}")
        done = subprocess.run([replay, other], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, f"replay: {said}\n")
