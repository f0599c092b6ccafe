"""What the tests of examples/ share: an example's own modules, and the figures on its page."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest


def modules(folder: Path, *names: str) -> dict[str, Any]:
    """Modules of an example by name, as its own programs import them.

    Examples have modules of the same names, so none stays among those that Python has loaded.
    """
    own = [path.stem for path in folder.glob("*.py")]  # imported by name, or by each other
    with pytest.MonkeyPatch.context() as patch:
        for name in own:
            patch.delitem(sys.modules, name, raising=False)
        patch.syspath_prepend(str(folder))
        patch.setattr(sys, "dont_write_bytecode", True)
        found = {name: importlib.import_module(name) for name in names}
        for name in own:
            sys.modules.pop(name, None)
    return found


def table(page: str, first: str) -> dict[str, list[float]]:
    """The figures of the table of a page whose heading begins with `first`, by row."""
    _, _, after = page.partition(f"| {first} |")
    rows = after.partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("| ").split("|")] for row in rows]
    return {
        name: [float(re.sub(r"[^\d.]", "", figure)) for figure in figures]
        for name, *figures in cells
    }
