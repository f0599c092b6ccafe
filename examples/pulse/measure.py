"""Measure the generated code on the test persons, and draw one of them.

    python measure.py [--out DIR]

Compiles beats.c with each generated file, plays test.npz through it, prints the table of README.md
and writes pulse.svg.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import baseline
import numpy as np
from detect import Array, Score, judged
from picture import picture

HERE = Path(__file__).parent
FILES = {"float": "pulse_float.h", "int16": "pulse_int16.h", "int8": "Pulse/src/Pulse.h"}
GROUPS = {"still": 0, "moving": 1}  # of the test persons the first, third, ...; the second, ...


def persons(file: Path = HERE / "test.npz") -> tuple[Array, list[Array]]:
    """The counts of all test persons, and the samples of their beats."""
    data = np.load(file)
    ends = np.cumsum(data["beats_of"])[:-1]
    return data["counts"], np.split(data["beats"].astype(float), ends)


def built(header: str, folder: Path) -> Path:
    """beats.c with one of the generated files."""
    program = folder / "beats"
    warnings = ["-Wall", "-Wextra", "-Werror"]
    define = f'-DNETWORK="{header}"'
    command = ["cc", "-std=c99", "-O2", *warnings, define, "-o", program, HERE / "beats.c", "-lm"]
    subprocess.run(command, check=True)
    return program


def played(program: Path, counts: Array, *options: str) -> list[list[float]]:
    """The numbers that the program prints for a recording, line by line."""
    text = "\n".join(map(str, counts.tolist())) + "\n"
    command = [program, *options]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return [[float(word) for word in line.split()] for line in done.stdout.splitlines()]


def found(program: Path, counts: Array) -> Array:
    """The samples of the beats that the program finds."""
    return np.array([50 * second for second, _ in played(program, counts)])


def measured() -> dict[str, dict[str, Score]]:
    """The scores of the baseline and of each file, for persons who keep still and who move."""
    counts, true = persons()
    all_found = {"threshold": [baseline.beats(row) for row in counts]}
    for kind, header in FILES.items():
        with tempfile.TemporaryDirectory() as folder:
            program = built(header, Path(folder))
            all_found[kind] = [found(program, row) for row in counts]
    return {
        kind: {name: judged(mine[k::2], true[k::2]) for name, k in GROUPS.items()}
        for kind, mine in all_found.items()
    }


def row(kind: str, scores: dict[str, Score]) -> str:
    """A row of the table of README.md."""
    cells = [kind]
    for name in GROUPS:
        score = scores[name]
        cells += [f"{score.sensitivity:.1%}", f"{score.precision:.1%}", f"{score.rate_error:.1f}"]
    return f"| {' | '.join(cells)} |".replace("%", " %")


def main() -> None:
    """Print the table and draw the picture."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=HERE)
    out = parser.parse_args().out
    for kind, scores in measured().items():
        print(row(kind, scores))
    (out / "pulse.svg").write_text(picture(HERE / "test.npz"), encoding="utf-8")


if __name__ == "__main__":
    main()
