"""Plots as SVG, by matplotlib, to stand inside the page or in a file of their own.

Colours are variables of the page's style sheet, so that a plot follows the reader's theme; text
stays text. The same numbers make the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from codegen.errors import LONGEST_CELL, CodegenError, visible
from codegen.lowered import Lowered
from codegen.model import Array
from codegen.text.templates import source

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What stands for a variable of the style sheet while matplotlib draws.
INK, MUTED, GRID = "#010101", "#020202", "#030303"
SERIES = ("#0a0101", "#0a0102", "#0a0103", "#0a0104", "#0a0105", "#0a0106")
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid"}
VARIABLES |= {colour: f"--s{number}" for number, colour in enumerate(SERIES, 1)}
DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 1.5, 1.5, 1.5)))
WIDTH = 5.0  # inches, of 72 pixels: a phone's width
LABEL = 24  # columns of a label
POINTS = 400  # of a curve
BINS = 41
SMALLEST = 1e-12  # of an error on a logarithmic axis: what is 0 stands there


@contextmanager
def figure(height: float) -> Iterator[tuple[Figure, list[str]]]:
    """A figure of so many inches, in our style; when it is left its SVG is in the list."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure as NewFigure
    except ImportError as error:
        raise CodegenError(
            "plots need matplotlib, which is not installed here: "
            "`pip install rnn-codegen[report]` installs it"
        ) from error
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_style())
        drawn: list[str] = []
        new = NewFigure(figsize=(WIDTH, height), layout="constrained")
        yield new, drawn
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        new.savefig(buffer, format="svg", metadata=nothing, transparent=True)
        drawn.append(_inside(buffer.getvalue()))


def _style() -> dict[str, Any]:
    return {
        "svg.hashsalt": "rnn-codegen",
        "svg.fonttype": "none",
        "font.family": "DejaVu Sans",  # its measures; shown in the reader's own
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 9,
        "axes.edgecolor": GRID,
        "axes.labelcolor": MUTED,
        "axes.titlecolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "text.color": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "text.parse_math": False,  # names from a file are no formulas
    }


def _inside(text: str) -> str:
    """The SVG without what only a file needs, its colours variables, its ids away."""
    start = text.index("<svg")
    text = text[start:]
    for colour, name in VARIABLES.items():
        text = text.replace(colour, f"var({name})")
    text = re.sub(r"font: ([^;\"]*?)'DejaVu Sans'[^;\"]*", r"font: \1sans-serif", text)
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in used else "", text)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    return text.rstrip()


def titled(svg: str, title: str, number: int) -> Markup:
    """The SVG with a text that stands for it, and ids that no other has."""
    head, rest = svg.split(">", 1)
    view = re.search(r'viewBox="([^"]*)"', head)
    assert view is not None
    rest = re.sub(r'id="', f'id="p{number}-', rest)
    rest = re.sub(r"(url\(#|href=\"#)", rf"\g<1>p{number}-", rest)
    start = Markup(
        '<svg viewBox="{}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return start.format(view[1], title) + Markup(rest)  # noqa: S704  # matplotlib escapes its texts


def standing(svg: str, title: str) -> str:
    """The SVG as a file, with the colours of both themes."""
    head, rest = str(titled(svg, title, 0)).split(">", 1)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head)
    assert size is not None
    head += f' width="{size[1]}" height="{size[2]}"'
    colours = source("report/colours.css").replace(":root", "svg")
    return f"{head}>\n<style>\n{colours}svg {{ background: var(--paper); }}\n</style>{rest}\n"


# ---- the plots -----------------------------------------------------------------------------


def label(text: str, columns: int = LABEL) -> str:
    """A name as it may stand beside an axis."""
    name = visible(text, LONGEST_CELL)
    return name if len(name) <= columns else name[: columns - 1] + "\N{HORIZONTAL ELLIPSIS}"


def curves(series: Mapping[str, tuple[int, Array]], height: float = 2.9) -> str:
    """Errors over steps, a line each: where it starts, and its values."""
    with figure(height) as (page, drawn):
        axes = page.add_subplot()
        for number, (name, (first, values)) in enumerate(series.items()):
            x, y = _thinned(first, values)
            colour = SERIES[number % len(SERIES)]
            dash = DASHES[number // len(SERIES) % len(DASHES)]
            line: dict[str, Any] = {"color": colour, "linestyle": dash, "linewidth": 1.4}
            axes.plot(x, np.maximum(y, SMALLEST), label=label(name, 34), **line)
            if y.size:
                top = int(np.argmax(y))
                axes.plot(x[top], max(y[top], SMALLEST), "o", color=colour, markersize=4)
        axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("largest error")
        axes.grid(axis="y")
        _powers(axes.yaxis)
        page.legend(loc="outside lower center", ncols=1 if len(series) < 3 else 2)
    return drawn[0]


def _thinned(first: int, values: Array) -> tuple[Array, Array]:
    """At most POINTS of the values, each the largest of its part, and their steps."""
    clean = np.nan_to_num(values, nan=0.0, posinf=1e30)
    parts = np.array_split(np.arange(clean.size), min(POINTS, max(1, clean.size)))
    kept = [part[int(np.argmax(clean[part]))] for part in parts if part.size]
    return np.asarray(kept, np.int64) + first, clean[kept] if kept else np.zeros(0)


def bars(
    names: Sequence[str],
    groups: Mapping[str, Sequence[float | None]],
    xlabel: str,
    log: bool = False,
    spread: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> str:
    """Bars from left to right, some for each name; `spread` has how far each may be off."""
    spread = spread or {}
    rows = len(names) * max(1, len(groups))
    with figure(0.9 + 0.21 * rows + 0.12 * len(names)) as (page, drawn):
        axes = page.add_subplot()
        width = 0.78 / max(1, len(groups))
        for number, (group, values) in enumerate(groups.items()):
            places = np.arange(len(names)) + (number - (len(groups) - 1) / 2) * width
            shown = [SMALLEST if log and not v else (v or 0.0) for v in values]
            colour = SERIES[number % len(SERIES)]
            axes.barh(places, shown, width * 0.92, color=colour, label=label(group, 34))
            for (low, high), place in zip(spread.get(group, ()), places, strict=False):
                axes.plot([low, high], [place, place], color=INK, linewidth=1.3)
        if log:
            axes.set_xscale("log")
            known = [v for values in groups.values() for v in values if v]
            if known:
                low = min([*known, *(a for part in spread.values() for a, _ in part if a)])
                axes.set_xlim(left=10 ** np.floor(np.log10(low) - 0.5))
            _powers(axes.xaxis)
        else:
            axes.xaxis.set_major_locator(_locator(4))
            axes.xaxis.set_major_formatter(lambda value, _: short(value))
        _named_rows(axes, names)
        axes.set_xlabel(xlabel)
        axes.grid(axis="x")
        if len(groups) > 1:
            page.legend(loc="outside lower center", ncols=2)
    return drawn[0]


def stacks(names: Sequence[str], parts: Mapping[str, Sequence[float]], title: str) -> str:
    """Bytes as bars, each in parts one after the other, with its total beside it."""
    most = max((sum(values) for values in zip(*parts.values(), strict=True)), default=0)
    unit, size = ("KiB", 1024) if most >= 4096 else ("bytes", 1)
    with figure(1.0 + 0.36 * len(names)) as (page, drawn):
        axes = page.add_subplot()
        left = np.zeros(len(names))
        for number, (part, values) in enumerate(parts.items()):
            colour = SERIES[number % len(SERIES)]
            scaled = np.asarray(values, float) / size
            axes.barh(range(len(names)), scaled, 0.62, left=left, color=colour, label=part)
            left += scaled
        for place, total in enumerate(left):
            beside: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
            axes.annotate(f"{total:.4g}", (total, place), (4, 0), **beside)
        axes.set_xlim(0, max(1.0, float(left.max(initial=0))) * 1.25)
        axes.xaxis.set_major_locator(_locator(4))
        axes.set_xlabel(unit)
        _named_rows(axes, names)
        axes.set_title(title)
        axes.grid(axis="x")
        page.legend(loc="outside lower center", ncols=3)
    return drawn[0]


def histograms(weights: Array, activations: Array) -> str:
    """What one layer is made of, and what it puts out."""
    both = (("weights", weights), ("outputs", activations))
    parts = [(name, values) for name, values in both if values.size]
    with figure(1.75) as (page, drawn):
        for number, (name, values) in enumerate(parts):
            axes = page.add_subplot(1, len(parts), number + 1)
            counts, edges = _counted(values)
            axes.stairs(counts, edges, fill=True, color=SERIES[0 if name == "weights" else 1])
            axes.set_title(f"{values.size:,} {name}", fontsize=9)
            axes.xaxis.set_major_locator(_locator(4))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
    return drawn[0]


def _counted(values: Array) -> tuple[Array, Array]:
    """Counts and edges; the same number everywhere still has a width."""
    low, high = float(values.min()), float(values.max())
    if not high - low > 1e-6 * max(abs(low), abs(high)):
        middle = (low + high) / 2
        half = max(abs(middle) * 0.1, 1e-3)
        low, high = middle - half, middle + half
    return np.histogram(values, BINS, (low, high))


def _named_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [label(name) for name in names])
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)


def _locator(count: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count)


def _powers(axis: Any) -> None:
    """Few ticks on a logarithmic axis, as plain text."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(numticks=6))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    """A number in few letters: 20k, 1.5M, 1e-07."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size <= abs(value) < 1000 * size:
            return f"{value / size:.3g}{letter}"
    if 0 < abs(value) < 1e-3:
        mantissa, power = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(power)}"
    return f"{value:.3g}"


def layers(lowered: Lowered) -> tuple[str, str]:
    """The plot of multiply-adds and parameters of the layers, and the text that stands for it."""
    shown = [r for r in lowered.layers if r.macs or r.parameters]
    if not shown:
        raise CodegenError("--plot: no layer has parameters or multiply-adds")
    groups = {
        "multiply-adds": [float(r.macs) for r in shown],
        "parameters": [float(r.parameters) for r in shown],
    }
    told = "; ".join(
        f"{visible(r.name, LONGEST_CELL)} {r.macs:,} and {r.parameters:,}" for r in shown
    )
    svg = bars([r.name for r in shown], groups, "")
    return svg, f"Multiply-adds and parameters of each layer: {told}"
