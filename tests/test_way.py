from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
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


def imported(path: Path) -> Iterator[str]:
    """The rooms that a file imports from, for types or inside a function, too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            package, _, rest = node.module.partition(".")
            names = [rest] if rest else [alias.name for alias in node.names]
            if package == "codegen":
                yield from (name.split(".")[0] for name in names)


def test_rooms_import_only_from_those_below_them() -> None:
    """In the order of CONTRIBUTING; whole files stand where they are named."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```\n(commands/ .*?)```", text, re.DOTALL)
    rooms = [line.split()[0].removesuffix("/").removesuffix(".py") for line in block.splitlines()]
    places = (ROOT / "codegen").iterdir()
    found = {path.stem for path in places if path.name not in ("__pycache__", "py.typed")}
    assert found == {*rooms, "__init__", "__main__", "version"}
    for number, room in enumerate(rooms):
        place = ROOT / "codegen" / room
        for path in place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]:
            above = [name for name in imported(path) if name in rooms[:number]]
            assert not above, (path, above)
