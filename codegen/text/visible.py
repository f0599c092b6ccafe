"""Text from files and callers as it may be printed: every character visible, and not too many."""

from __future__ import annotations

import re

LONGEST_WORD = 200
LONGEST_LINE = 2000
LONGEST_CELL = 60  # of a table
_LONGEST_READ = 100_000  # characters of a line that are looked at
_LONG_WORD = re.compile(rf"[^ ]{{{LONGEST_WORD + 1},}}")


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
