from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import codegen
from codegen.lowering import lower

ROOT = Path(codegen.__file__).parents[1]


def test_a_conversion_runs_in_no_more_files_than_contributing_says() -> None:
    """Read, lowered, printed: the files of the package in which a function runs, each once."""
    path = ROOT / "generated_examples" / "seed" / "seed.h5"
    codegen.generate(codegen.read(path), "c")  # what is loaded now runs as it is imported
    entered: dict[str, None] = {}

    def note(frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            entered[frame.f_code.co_filename] = None

    def count() -> int:
        return sum(name.startswith(str(ROOT / "codegen")) for name in entered)

    sys.setprofile(note)
    try:
        model = codegen.read(path)
        read = count()
        lower(model)
        lowered = count()
        codegen.generate(model, "c")
    finally:
        sys.setprofile(None)
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    said = re.search(
        r"functions of (\d+) files: (\d+) read the model,\s(\d+) lower it, (\d+) print", text
    )
    assert said is not None
    figures = [int(number) for number in said.groups()]
    assert figures[0] == sum(figures[1:])
    found = (count(), read, lowered - read, count() - lowered)
    assert all(most >= number for most, number in zip(figures, found, strict=True)), found
