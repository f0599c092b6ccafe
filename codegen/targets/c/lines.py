"""The lines of a C file, broken where an expression breaks once its names are known."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

WIDTH = 100
DEEPEST = 60  # the last column at which a line goes on under what it broke in

# Where a line may break, best first: after the first two, before the operators.
_RANKS = ("; ", ", ", " ? ", " : ", " || ", " && ", " == ", " != ", " < ", " > ", " <= ", " >= ",
          " + ", " - ", " * ", " / ", " % ")  # fmt: skip
_PLACES = re.compile("|".join(map(re.escape, _RANKS)) + r"|[(\[{}\])]")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def fitted(pieces: Iterable[str]) -> Iterator[str]:
    """The text in pieces, with statements and comments broken anew that are more than a line."""
    unit: list[str] = []
    left = ""
    for piece in pieces:
        *lines, left = (left + piece).split("\n")
        for line in lines:
            unit.append(line)
            if _complete(unit):
                yield broken(unit) + "\n"
                unit = []
    yield "\n".join([*unit, left])


def _complete(unit: Sequence[str]) -> bool:
    """Whether no comment and no parenthesis is open."""
    first = unit[0]
    if first.startswith("#"):
        return not unit[-1].endswith("\\")
    if len(unit) == 1 and "(" not in first and "/*" not in first:
        return True  # the case of nearly all lines: those of weights
    text = _COMMENT.sub("", "\n".join(unit))
    return "/*" not in text and text.count("(") <= text.count(")")


def broken(unit: Sequence[str]) -> str:
    """A statement or comment of some lines, in lines of WIDTH.

    A line of the preprocessor goes on after a backslash; the banner keeps its lines.
    """
    first = unit[0]
    if len(unit) == 1 and len(first) <= WIDTH:
        return first
    if first.startswith("#"):
        return "\n".join(line if len(line) <= WIDTH else _of_macro(line) for line in unit)
    if first == "/*":
        return "\n".join(line if _fits(line) else _filled(line, "", " * ") for line in unit)
    start = first[: len(first) - len(first.lstrip())]
    line = start + " ".join(part.strip() for part in unit)
    line = line.replace("( ", "(")
    comment = re.fullmatch(r"(.*?) */\*(.*)\*/", line)
    if comment:
        text = _filled(f"/*{comment[2]}*/", start, f"{start}   ")
        return f"{text}\n{broken([comment[1]])}" if comment[1].strip() else text
    lines = []
    opened: list[int] = []
    while len(line) > WIDTH and (at := _place(line, opened, len(start) + 4)):
        lines.append(line[:at].rstrip())
        line = " " * (opened[-1] if opened else len(start) + 4) + line[at:].lstrip()
    return "\n".join([*lines, line])


def _of_macro(line: str) -> str:
    """A line of a macro in lines that go on after a backslash, the last of them if it did."""
    start = " " * (len(line) - len(line.lstrip()))
    words = textwrap.wrap(
        line.rstrip(" \\"),
        WIDTH - 2,
        subsequent_indent=f"{start}    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return " \\\n".join([*words, ""] if line.endswith("\\") else words).rstrip("\n")


def _fits(line: str) -> bool:
    """Whether a line of the banner stays as it is: the command does, however long."""
    return len(line) <= WIDTH or line.startswith(" *     ")


def _filled(text: str, first: str, later: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _place(line: str, opened: list[int], indent: int) -> int:
    """Where to break a line, or 0.

    The outermost place is taken, there the weakest operator, and of these the last one that fits.
    `opened` holds, for each parenthesis that is open where the line begins, the column at which
    its contents go on, and then those for the next line.
    """
    best = (len(line), 0, 0)
    inside: list[int] = []
    now = list(opened)
    deepest = min(DEEPEST, WIDTH - 2 - max(map(len, _PLACES.split(line.strip()))))
    begin = len(line) - len(line.lstrip())
    for match in _PLACES.finditer(line, begin):
        text = match[0]
        if text in "([{":
            now.append(match.end() if match.end() <= deepest else indent)
        elif text in ")]}":
            now = now[:-1]
        else:
            at = match.end() if text in ("; ", ", ") else match.start() + 1
            if len(line[:at].rstrip()) > WIDTH:
                break
            rank = (len(now), _RANKS.index(text), -at)
            if rank < best:
                best, inside = rank, list(now)
    at = -best[2]
    if not at:  # after a parenthesis, or between two names
        at = max(line.rfind("(", begin, WIDTH), 0) or _blank(line, begin)
        at = at + 1 if at > begin + 4 else 0
        inside = [*opened, indent] if line[at - 1 : at] == "(" else list(opened)
    opened[:] = inside
    return at


def _blank(line: str, begin: int) -> int:
    """The last blank that fits, but none that would part `= {` from the name before it."""
    end = line.rfind(" = {")
    end = min(WIDTH, end) if end > 0 else WIDTH
    return line.rfind(" ", begin, end)
