"""Count what a step of integers takes on emulated microcontrollers, beside a step of floats.

    python -m benchmarks.run_integers [--only W1 ...] [--rounds N]

Cortex-M4F with and without its DSP instructions, Cortex-M0, and an ATmega328P for the networks that
fit; then times on this machine. What is run is `convert --profile mcu` with `--quantize`, floats in
and out; the ranges come from the recorded inputs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import machine, prepare, report_integers
from benchmarks.c import build
from benchmarks.networks import BY_KEY, NETWORKS, Case
from benchmarks.run_mcu import EMPTY, KEYS, run
from benchmarks.timing import Entry, interleave, pin
from tests.support.compilers import CompileError

RESULTS = Path(__file__).parent / "results"
KINDS = ("float", "weights", "int16", "int8")
TIMED = ("W1b", "W3", "W4a", "W4b")
SMALLEST = ("W2a",)  # what an ATmega328P has room for
BOARDS = {"m4f": KEYS, "microbit": KEYS, "uno": SMALLEST}
FLAGS = ("-O2 -std=gnu99", "-Os -std=gnu99")


def source(case: Case, kind: str, profile: str) -> Path:
    """Our header of a kind, and the file around it."""
    options = ["--profile", profile]
    if kind != "float":
        options += ["--quantize", kind]
    if kind.startswith("int"):
        options += ["--calibration", str(prepare.samples(case))]
    return prepare.ours_source(case, *options, variant=f"_{profile}_{kind}")


def counted(case: Case, sources: dict[str, Path], board: str, flags: str) -> list[dict[str, Any]]:
    """All kinds on a board; sizes less those of a program without a model."""
    empty = run(case, EMPTY, flags, prepare.c_folder(case), board)
    off = f"#define {case.network.name.upper()}_DSP 0\n"
    chosen = [(kind, kind, "") for kind in KINDS]
    if board == "m4f":
        chosen.append(("int8, no DSP", "int8", off))
    rows = []
    for who, kind, before in chosen:
        path = sources[kind]
        try:
            row = run(case, before + path.read_text(encoding="utf-8"), flags, path.parent, board)
        except CompileError:  # it does not fit into the memory of the board
            continue
        for key in ("text", "rodata", "ram"):
            row[key] -= empty[key]
        rows.append({"who": who, "board": board, "flags": flags, **row})
    return rows


def timed(case: Case, rounds: int) -> list[dict[str, Any]]:
    """Floats and integers on this machine, interleaved."""
    entries = []
    sources = {kind: source(case, kind, "host") for kind in ("float", "int8")}
    for compiler in build.compilers():
        for flags in ("-O2", build.NATIVE):
            for kind, path in sources.items():
                library = build.compile_library(path, compiler, flags)
                loaded = build.Compiled(library, case)
                labels = {"who": kind, "compiler": compiler, "flags": flags}
                entries.append(Entry(labels, loaded.run, loaded.error(case)))
    interleave(entries, rounds)
    for one, other in zip(entries[::2], entries[1::2], strict=True):
        one.extra["over_floats"], other.extra["over_floats"] = 1.0, round(other.ratio(one), 4)
    return [entry.as_dict() for entry in entries]


def main() -> None:
    """Measure, keep the results, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50, help="default: 50")
    parser.add_argument("--only", nargs="*", choices=list(BY_KEY), default=list(BY_KEY))
    options = parser.parse_args()
    wanted = [n for n in NETWORKS if n.key in options.only and n.key in (*KEYS, *TIMED)]
    cases = {case.network.key: case for case in prepare.models(tuple(wanted))}
    described = machine.describe()
    results: dict[str, Any] = {"workloads": {}, "timed": {}, "machine": described}
    for key in (key for key in KEYS if key in cases):
        case = cases[key]
        sources = {kind: source(case, kind, "mcu") for kind in KINDS}
        entries = [
            row
            for board, keys in BOARDS.items()
            for flags in FLAGS
            if key in keys
            for row in counted(case, sources, board, flags)
        ]
        results["workloads"][key] = {
            "title": case.network.title,
            "parameters": case.parameters,
            "entries": entries,
        }
        print(f"{key}: counted", flush=True)
    pin()
    for key in (key for key in TIMED if key in cases):
        entries = timed(cases[key], options.rounds)
        results["timed"][key] = {"title": cases[key].network.title, "entries": entries}
    described["load_average_at_end"] = machine.load()
    if options.only == list(BY_KEY):
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps(results, indent=1) + "\n"
        (RESULTS / "integers.json").write_text(text, encoding="utf-8")
    print(report_integers.markdown(results))


if __name__ == "__main__":
    main()
