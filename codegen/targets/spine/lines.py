"""Lines of generated code: a statement that is too long breaks where its expression does."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator

WIDTH = 100
# What a line may be broken at, the best first: after the first of these, before the others.
_AFTER = (", ", "; ", " = ")
_BEFORE = ((" ? ", " : ", " && ", " || "), (" < ", " >= ", " === "), (" + ", " - "), (" * ", " / "))


def indented(lines: Iterable[str], by: str) -> Iterator[str]:
    """The lines moved right, empty ones left as they are."""
    return (f"{by}{line}" if line else "" for line in lines)


def fitted(pieces: Iterable[str], broken: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """The text in pieces, with every line broken that is longer than WIDTH."""
    left = ""
    for piece in pieces:
        *lines, left = (left + piece).split("\n")
        for line in lines:
            parts = [line] if len(line) <= WIDTH else broken(line)
            yield "".join(f"{part}\n" for part in parts)
    yield left


def filled(text: str, first: str, later: str | None = None) -> list[str]:
    """Words in lines no longer than WIDTH, the first of which begins otherwise than the others."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=first if later is None else later,
        break_on_hyphens=False,
    )


def broken(line: str, width: int = WIDTH, by: str = "    ") -> Iterator[str]:
    """The line, in several lines no longer than `width` where that can be.

    Each break is at the outermost brackets that have one, and there at the operator that binds
    weakest; what follows is indented by `by`.
    """
    start = line[: len(line) - len(line.lstrip())]
    indent = ""
    while len(indent) + len(line) > width:
        places = [*_places(line, width - len(indent))]
        if not places:
            break
        best = min(rank for _, rank in places)
        at = max(k for k, rank in places if rank == best)
        yield (indent + line[:at]).rstrip()
        indent, line = start + by, line[at:].lstrip()
    yield indent + line


def _places(line: str, last: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Where the line may be broken up to `last`: depth in brackets and rank among operators.

    What follows is not looked at: a line may be long, and is broken in many places.
    """
    depth, quote = 0, ""
    first = len(line) - len(line.lstrip())
    for k, sign in enumerate(line[:last]):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'`":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif k > first:
            for text in _AFTER:
                after = k + len(text)
                if line.startswith(text, k) and after <= last and line[after:].strip():
                    yield after, (depth, 0)
            for rank, texts in enumerate(_BEFORE):
                if line.startswith(texts, k):
                    yield k + 1, (depth, rank)
