"""Every error that the generator raises on purpose, and text of others as it may be printed."""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_WORD = 200
LONGEST_LINE = 2000
LONGEST_CELL = 60  # of a table
_LONGEST_READ = 100_000  # characters of a line that are looked at
_LONG_WORD = re.compile(rf"[^ ]{{{LONGEST_WORD + 1},}}")


class CodegenError(Exception):
    """Root of all errors of this package; its text is one readable message.

    Each argument is a line. Whatever a file or a caller has put into it is made visible and
    shortened here, so no message has to.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(visible(line) for line in lines))


class UsageError(CodegenError):
    """What was asked for is no choice, whatever the model: a target, a name, an option."""


class ReadError(CodegenError):
    """The file cannot be read as a model: damaged, hostile, incomplete or of an unknown format."""


class NotStreamable(CodegenError):
    """Raised while lowering one step: the layer needs more of the sequence than its past."""


class TooLate(NotStreamable):
    """The same, about rows that an earlier layer gives after the last step; it is named already."""


class NeedsHop(CodegenError):
    """Raised while lowering one step: a stride over time needs `factor` times more rows a step."""

    def __init__(self, factor: int, message: str) -> None:
        super().__init__(message)
        self.factor = factor


class LayerError(CodegenError):
    """One layer cannot be lowered exactly; the message says what was found and what would work."""


class LengthError(LayerError, ValueError):
    """A layer needs a length that only a call tells."""


class NumberError(CodegenError, ValueError):
    """A number that the target cannot hold."""


@dataclass(frozen=True)
class Problem:
    """One reason why a model is refused, with the layer that it is about."""

    layer: str
    class_name: str
    message: str

    def __str__(self) -> str:
        return f"layer {self.layer!r} ({self.class_name}): {self.message}"


class UnsupportedError(CodegenError):
    """The model was read but cannot be converted exactly; `problems` lists every reason."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        lines = [f"{source}: cannot be converted exactly, {len(problems)} problem(s):"]
        lines += [f"  {problem}" for problem in problems]
        super().__init__(*lines)
        self.problems = problems


def visible(text: object, longest: int = LONGEST_LINE) -> str:
    r"""`text` as one line: what steers a terminal is spelled out, what is too long is cut inside.

    `\x1b` stands for an escape character, `\n` for the end of a line, `\u202e` for a direction
    mark. What comes out stays as it is when it goes through again.
    """
    line = cut(str(text), _LONGEST_READ)
    if not line.isprintable():
        line = "".join(c if c.isprintable() else _spelled(c) for c in line)
    line = _LONG_WORD.sub(lambda match: cut(match[0], LONGEST_WORD, "..."), line)
    return cut(line, longest)


def visible_lines(text: str) -> str:
    """The same for text of several lines, where none of what was put in has any."""
    return "\n".join(visible(line) for line in text.split("\n"))


def cut(text: str, limit: int = LONGEST_LINE, mark: str = " ... ") -> str:
    """`text` without its middle where it is longer: who says it comes first, what to do last."""
    if len(text) <= limit:
        return text
    end = limit // 3
    return text[: limit - len(mark) - end] + mark + text[-end:]


def _spelled(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
