"""The kept results as two pictures: results/speed.svg and results/size.svg.

Plain SVG with text as text. Colours follow the reader's light or dark page, and shapes tell what
colours tell, for print and for those who see no colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from benchmarks.report_c import find

GCC = {"compiler": "gcc", "flags": "-O3 -march=native"}
SMALL = "-Os -std=gnu99"

# Results, key of a workload -> a number, or None where there is none.
Value = Callable[[str], "float | None"]

STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.small { font-size: 11px; }
.grid { stroke: #8c959f; stroke-opacity: 0.35; }
.ours { stroke: #24292f; stroke-width: 2; }
.a { fill: #0969da; } .b { fill: #bc4c00; } .c { fill: #1a7f37; }
.d { fill: #8250df; } .e { fill: #bf3989; } .self { fill: #24292f; }
@media (prefers-color-scheme: dark) {
  text, .self { fill: #e6edf3; }
  .ours { stroke: #e6edf3; }
  .a { fill: #58a6ff; } .b { fill: #f0883e; } .c { fill: #56d364; }
  .d { fill: #bc8cff; } .e { fill: #f778ba; }
}
"""
SHAPES = {
    "self": '<rect class="self" x="{x0:.1f}" y="{y0:.1f}" width="9" height="9"/>',
    "a": '<circle class="a" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>',
    "b": '<path class="b" d="M{x:.1f} {y:.1f}m0 -5.5l5 9.5h-10z"/>',
    "c": '<path class="c" d="M{x:.1f} {y:.1f}m0 -6l6 6l-6 6l-6 -6z"/>',
    "d": '<path class="d" d="M{x:.1f} {y:.1f}m0 5.5l5 -9.5h-10z"/>',
    "e": '<path class="e" d="M{x:.1f} {y:.1f}m-5 -5l5 3l5 -3l-3 5l3 5l-5 -3l-5 3l3 -5z"/>',
}


@dataclass(frozen=True)
class Series:
    """One competitor: its name, its shape and its numbers."""

    name: str
    shape: str
    value: Value


@dataclass(frozen=True)
class Panel:
    """One axis: what it shows, the numbers at its ends and ticks, and who stands on it."""

    title: str
    unit: str
    ticks: tuple[float, ...]
    series: tuple[Series, ...]
    line: float | None = None  # where ours is, if it is a line and not a point


WIDTH, LEFT, GAP, TOP, ROW = 820, 166, 42, 80, 26


def dots(rows: dict[str, str], panels: tuple[Panel, Panel], about: str) -> str:
    """An SVG with a line for each of `rows` (key -> label) and the panels side by side."""
    bottom = TOP + ROW * len(rows)
    height = bottom + 42
    inner = (WIDTH - LEFT - GAP - 16) / 2
    shape = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {shape} role="img">',
        f"<title>{escape(about)}</title>",
        f"<style>\n{STYLE}</style>",
    ]
    for place, label in enumerate(rows.values()):
        y = TOP + ROW * (place + 0.5) + 4
        parts.append(f'<text x="{LEFT - 10}" y="{y:.1f}" text-anchor="end">{escape(label)}</text>')
    for index, panel in enumerate(panels):
        parts += _panel(panel, list(rows), LEFT + index * (inner + GAP), inner, bottom)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _panel(panel: Panel, keys: list[str], left: float, width: float, bottom: int) -> list[str]:
    low, high = math.log(panel.ticks[0]), math.log(panel.ticks[-1])

    def place(value: float) -> float:
        return left + width * (math.log(value) - low) / (high - low)

    parts = [f'<text class="title" x="{left:.1f}" y="16">{escape(panel.title)}</text>']
    parts += _legend(panel.series, left)
    for tick in panel.ticks:
        x = place(tick)
        kind = "ours" if tick == panel.line else "grid"
        parts.append(f'<path class="{kind}" d="M{x:.1f} {TOP}V{bottom}"/>')
        text = f"{tick:g}" if tick < 1000 else f"{tick / 1000:g}k"
        parts.append(
            f'<text class="small" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{text}</text>'
        )
    parts.append(
        f'<text class="small" x="{left + width / 2:.1f}" y="{bottom + 34}" '
        f'text-anchor="middle">{escape(panel.unit)}</text>'
    )
    for index, key in enumerate(keys):
        y = TOP + ROW * (index + 0.5)
        parts.append(f'<path class="grid" d="M{left:.1f} {y:.1f}h{width:.1f}"/>')
        for series in panel.series:
            value = series.value(key)
            if value is not None:
                parts.append(_shape(series, place(value), y, f"{series.name}: {value:,.3g}"))
    return parts


def _shape(series: Series, x: float, y: float, title: str) -> str:
    shape = SHAPES[series.shape].format(x=x, y=y, x0=x - 4.5, y0=y - 4.5)
    return f"<g><title>{escape(title)}</title>{shape}</g>"


def _legend(series: tuple[Series, ...], left: float) -> list[str]:
    parts, x, y = [], left + 6, 36
    for one in series:
        if x + 7 * len(one.name) + 22 > left + 305:
            x, y = left + 6, y + 20
        parts.append(_shape(one, x, y - 4, one.name))
        parts.append(f'<text class="small" x="{x + 10:.1f}" y="{y}">{escape(one.name)}</text>')
        x += 7 * len(one.name) + 28
    return parts


def speed(c: dict[str, Any], python: dict[str, Any]) -> str:
    """How many times as long as ours everybody takes for one step; 1 is ours."""

    def of_c(who: str, **labels: str) -> Value:
        def ratio(key: str) -> float | None:
            entries = c["workloads"][key]["entries"]
            ours, peer = find(entries, "ours", **GCC), find(entries, who, **labels)
            return float(peer["ns_median"] / ours["ns_median"]) if ours and peer else None

        return ratio

    def of_python(who: str) -> Value:
        def ratio(key: str) -> float | None:
            entry = find(python["steps"][key]["entries"], who)
            return float(entry["over_ours"]) if entry else None

        return ratio

    rows = {key: _label(work["title"]) for key, work in c["workloads"].items()}
    panels = (
        Panel(
            "C header (gcc -O3 -march=native)",
            "times as long as ours, one step; left of 1 is faster",
            (0.5, 1, 2, 5, 10, 20, 50, 100, 300),
            (
                Series("Eigen, C++", "c", of_c("eigen", **GCC)),
                Series("emx-onnx-cgen", "b", of_c("emx-onnx-cgen", **GCC)),
                Series("plain C loops", "a", of_c("handwritten", **GCC)),
                Series("LiteRT", "d", of_c("litert")),
                Series("ONNX Runtime", "e", of_c("onnxruntime")),
            ),
            1,
        ),
        Panel(
            "NumPy file (called from Python)",
            "times as long as ours, one step; left of 1 is faster",
            (0.3, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 600),
            (
                Series("Numba", "c", of_python("numba")),
                Series("NumPy by hand", "a", of_python("handwritten")),
                Series("LiteRT", "d", of_python("litert")),
                Series("ONNX Runtime", "e", of_python("onnxruntime")),
                Series("Keras predict_on_batch", "b", of_python("keras predict_on_batch")),
            ),
            1,
        ),
    )
    return dots(rows, panels, "Time of one step, as a multiple of the generated file's time")


def size(mcu: dict[str, Any]) -> str:
    """Bytes of code, and of RAM with the stack, on a Cortex-M4F; the weights are left out."""

    def of(who: str, *fields: str) -> Value:
        def total(key: str) -> float | None:
            for entry in mcu["workloads"][key]["entries"]:
                if (entry["who"], entry["flags"]) == (who, SMALL):
                    return float(sum(entry[field] for field in fields))
            return None

        return total

    def series(*fields: str) -> tuple[Series, ...]:
        return (
            Series("rnn-codegen", "self", of("ours, --profile mcu", *fields)),
            Series("plain C loops", "a", of("handwritten", *fields)),
            Series("emx-onnx-cgen", "b", of("emx-onnx-cgen", *fields)),
        )

    rows = {key: _label(work["title"]) for key, work in mcu["workloads"].items()}
    panels = (
        Panel("Code", "bytes of flash beside the weights", (500, 1000, 2000, 5000), series("text")),
        Panel(
            "RAM and stack",
            "bytes of states, scratch and stack",
            (200, 500, 1000, 2000, 5000, 20000, 50000, 200000),
            series("ram", "stack"),
        ),
    )
    return dots(rows, panels, "Bytes on a Cortex-M4F, gcc -Os, beyond a program without a model")


def integers(results: dict[str, Any]) -> str:
    """Instructions and tables of integers, as parts of those of floats."""

    def of(board: str, who: str, field: str) -> Value:
        def ratio(key: str) -> float | None:
            rows = results["workloads"][key]["entries"]
            chosen = {
                row["who"]: row[field]
                for row in rows
                if (row["board"], row["flags"]) == (board, "-O2 -std=gnu99")
            }
            floats, found = chosen.get("float"), chosen.get(who)
            return float(found / floats) if floats and found else None

        return ratio

    rows = {key: _label(work["title"]) for key, work in results["workloads"].items()}
    panels = (
        Panel(
            "Instructions (-O2)",
            "of one step, as a part of those of floats; left of 1 is fewer",
            (0.02, 0.05, 0.1, 0.2, 0.5, 1, 1.5),
            (
                Series("int8, M4F", "a", of("m4f", "int8", "instructions")),
                Series("int16, M4F", "c", of("m4f", "int16", "instructions")),
                Series("int8, no DSP", "b", of("m4f", "int8, no DSP", "instructions")),
                Series("int8, M0", "d", of("microbit", "int8", "instructions")),
                Series("int8, AVR", "e", of("uno", "int8", "instructions")),
            ),
            1,
        ),
        Panel(
            "Tables",
            "bytes of weights, scales and functions, as a part of those of floats",
            (0.2, 0.3, 0.4, 0.5, 0.75, 1),
            (
                Series("int8", "a", of("m4f", "int8", "rodata")),
                Series("int16", "c", of("m4f", "int16", "rodata")),
                Series("weights", "b", of("m4f", "weights", "rodata")),
            ),
            1,
        ),
    )
    return dots(rows, panels, "Integers beside floats on microcontrollers")


def _label(title: str) -> str:
    """A workload in a few words: what the left column has room for."""
    short = {
        "3 x GRU(64), reset_after=False": "3 x GRU(64)",
        "3 x GRU(64), reset_after=True": "3 x GRU(64), reset_after",
        "8 x dilated Conv1D(16, 3, relu), Dense(1)": "8 x Conv1D(16), relu",
        "8 x dilated Conv1D(16, 3, tanh), Dense(1)": "8 x Conv1D(16), tanh",
    }
    return short.get(title, title.split(", Dense", maxsplit=1)[0])
