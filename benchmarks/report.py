"""The kept results as one Markdown file and two pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import (
    pictures,
    report_before,
    report_c,
    report_integers,
    report_mcu,
    report_python,
    report_vad,
)

RESULTS = Path(__file__).parent / "results"


def load(name: str) -> dict[str, Any] | None:
    """A results file, if it is there."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write() -> None:
    """results/README.md and the pictures, of what results there are."""
    c, python, mcu, vad = load("c"), load("python"), load("mcu"), load("vad")
    parts = ["# Results", "", "Written by `python -m benchmarks --report`; do not edit.", ""]
    parts += ["What each row is, and its caveats: [benchmarks](../README.md).", ""]
    if c and python:
        (RESULTS / "speed.svg").write_text(pictures.speed(c, python), encoding="utf-8")
        parts += ["![How many times as long as the generated code](speed.svg)", ""]
    if mcu:
        (RESULTS / "size.svg").write_text(pictures.size(mcu), encoding="utf-8")
        parts += ["![Code, RAM and stack on a Cortex-M4F](size.svg)", ""]
    if c:
        parts += ["## C on a desktop core", "", report_c.markdown(c)]
    if vad:
        parts += ["## A voice activity detector, from ONNX", "", report_vad.markdown(vad)]
    if python:
        parts += ["## Python", "", report_python.markdown(python)]
    if mcu:
        parts += ["## C on a microcontroller", "", report_mcu.markdown(mcu)]
    integers = load("integers")
    if integers:
        (RESULTS / "integers.svg").write_text(pictures.integers(integers), encoding="utf-8")
        parts += ["## C of integers", "", "![Integers beside floats](integers.svg)", ""]
        parts += [report_integers.markdown(integers)]
    before = load("before")
    if before:
        parts += ["## Beside an earlier generator", "", report_before.markdown(before)]
    (RESULTS / "README.md").write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
