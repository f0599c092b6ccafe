"""What a terminal is shown beside text: small curves, bars and colours; none where there is none.

A pipe or a file gets none of it. NO_COLOR in the environment takes colours away (no-color.org).
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise

import click

STEPS = "▁▂▃▄▅▆▇█"
PARTS = " ▏▎▍▌▋▊▉█"
WIDTH = 60  # columns of a curve, where the terminal is wide enough
LEAST = 10  # columns of one where it is not
LONG_RUN = 2000  # steps; from here on a run may take seconds
BAR = 24  # columns of a bar


def can_draw() -> bool:
    """Whether standard output is a terminal whose encoding has what is drawn."""
    if not sys.stdout.isatty():
        return False
    try:
        (STEPS + PARTS).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def columns() -> int | None:
    """How wide the terminal is; None where standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def coloured(text: str, colour: str) -> str:
    """The text in a colour of the terminal, where standard output is one that may have colours."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain or not sys.stdout.isatty() else click.style(text, fg=colour)


def watched(items: range, label: str) -> Iterator[int]:
    """The numbers, with a bar on standard error while a command works through many of them."""
    shown = len(items) >= LONG_RUN and click.get_current_context(silent=True) is not None
    if not (shown and sys.stderr.isatty()):
        yield from items
        return
    with click.progressbar(items, label=label, file=sys.stderr) as bar:
        yield from bar


def curve(values: Sequence[float], width: int = WIDTH) -> str:
    """Errors as blocks, each as high as the logarithm of the largest of its part; 0 is a blank.

    What is not finite is as high as there is.
    """
    parts = _parts(values, width)
    known = [math.log10(v) for v in parts if 0 < v < math.inf]
    low, high = min(known, default=0.0), max(known, default=0.0)
    span = max(high - low, 1.0)  # less than a power of ten is nearly flat

    def block(value: float) -> str:
        if not value < math.inf:
            return STEPS[-1]
        if value <= 0:
            return " "
        return STEPS[round((math.log10(value) - low) / span * (len(STEPS) - 1))]

    return "".join(map(block, parts))


def _parts(values: Sequence[float], width: int) -> list[float]:
    """The largest of each of so many parts of the values, or they themselves; NaN is infinite."""
    clean = [math.inf if math.isnan(v) else v for v in values]
    count = min(width, len(clean))
    edges = [len(clean) * k // count for k in range(count + 1)] if count else [0]
    return [max(clean[a:b]) for a, b in pairwise(edges)]


def bar(part: float, width: int = BAR) -> str:
    """A bar that fills `part` of the width, in eighths of a column."""
    eighths = round(min(max(part, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return (PARTS[-1] * full + (PARTS[rest] if rest else "")).ljust(width)


def drawn(name: str, values: Sequence[float], first: int) -> str:
    """A line with the curve of errors over steps, the number of the first, and the largest."""
    worst = max(range(len(values)), key=lambda k: values[k])
    start, end = f"  {name} ", f"  largest {values[worst]:.2g} at step {first + worst}"
    room = (columns() or math.inf) - len(start) - len(end)
    return f"{start}{curve(values, int(max(LEAST, min(WIDTH, room))))}{end}"
