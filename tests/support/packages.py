"""Packages of models, written into folders, and what shows what is in them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from codegen.commands.main import main
from codegen.lowered import Lowered
from codegen.packages import PACKAGES
from codegen.packages.folder import files, write
from codegen.targets import TARGETS
from codegen.targets.spine.outline import Origin


def command(*arguments: str | Path) -> Result:
    """What `rnn-codegen` does with these arguments."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def listing(folder: Path) -> list[str]:
    """The paths of all files in the folder."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def blocks(folder: Path, language: str) -> str:
    """The code of a language in the README of a package."""
    text = (folder / "README.md").read_text()
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))


def package(kind: str, lowered: Lowered, name: str, folder: Path, **options: Any) -> Path:
    """The folder, with a package of the model in it."""
    chosen, origin = PACKAGES[kind], Origin(folder.name)
    target = TARGETS[chosen.target]
    complete = target.complete({**chosen.options, **options})
    text = target.render(lowered, name, complete, origin)
    write(str(folder), "", files(chosen, lowered, name, complete, origin, text))
    return folder


def arduino_build(library: Path, sketch: Path, work: Path) -> Path:
    """Arduino's own builder on a sketch, for an Uno, without a warning in it or in the library."""
    work.mkdir()
    places = ["-hardware", "/usr/share/arduino-builder", "-hardware", "/usr/share/arduino/hardware"]
    places += ["-built-in-libraries", "/usr/share/arduino/hardware/arduino/avr/libraries"]
    # Debian's compiler lacks a limit that the core of Arduino wants
    core = "-prefs=compiler.cpp.extra_flags=-DDECIMAL_DIG=17"
    words = [*places, "-tools", "/usr/bin", "-libraries", str(library.parent), core]
    words += ["-fqbn", "arduino:avr:uno", "-build-path", str(work), "-warnings", "all", str(sketch)]
    done = subprocess.run(["arduino-builder", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for ours in (f"/{library.name}/", f"/{sketch.name}"):
        assert ours not in done.stderr, done.stderr
    return work / f"{sketch.name}.elf"
