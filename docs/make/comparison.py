"""The table of measured alternatives in README and docs/comparison.md, from benchmarks/results.

`python -m docs.make.comparison` writes it into both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "comparison.md")
START, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
NATIVE = "-O3 -march=native"
SMALL = "-Os -std=gnu99"
FAST = f"{NATIVE} -ffast-math"


@dataclass(frozen=True)
class Row:
    """An alternative, what it stands beside, and its time over ours for each network."""

    name: str
    beside: str
    ratios: tuple[float, ...]
    remark: str

    def cells(self) -> str:
        """The row of the table."""
        low, high = min(self.ratios), max(self.ratios)
        wins = sum(ratio < 1 for ratio in self.ratios)
        count = f"{wins} of {len(self.ratios)}" if wins else "none"
        cells = (self.beside, self.name, f"{_two(low)} to {_two(high)}", count, self.remark)
        return f"| {' | '.join(cells)} |"


def _two(value: float) -> str:
    """A number with two digits, or as a whole one."""
    return f"{value:,.0f}" if value >= 10 else f"{value:#.2g}"


def _load(name: str) -> dict[str, Any]:
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _ratios(
    networks: Iterable[Iterable[dict[str, Any]]], who: str, flags: str | None = None
) -> tuple[float, ...]:
    """The peer's time over ours for each network, in the build with these flags by gcc."""
    return tuple(
        float(entry["over_ours"])
        for entries in networks
        for entry in entries
        if entry["who"] == who
        and (flags is None or (entry["compiler"], entry["flags"]) == ("gcc", flags))
    )


def _instructions(who: str) -> tuple[float, ...]:
    """The peer's instructions over ours on the microcontroller, for each network."""
    found = []
    for work in _load("mcu")["workloads"].values():
        counts = {e["who"]: e["instructions"] for e in work["entries"] if e["flags"] == SMALL}
        found.append(counts[who] / counts["ours, --profile mcu"])
    return tuple(found)


def rows() -> list[Row]:
    """A row for each alternative that was measured."""
    compiled = [work["entries"] for work in _load("c")["workloads"].values()]
    python = _load("python")
    called = [work["entries"] for work in python["steps"].values()]
    batches = list(python["batch"]["workloads"].values())
    c, m4, numpy = "C, one step", "C, one step on a Cortex-M4F", "NumPy, one step"
    batch = "NumPy, 256 sequences at once"
    counted = "instructions, not cycles: a load of eight weights is one"
    sequence = _ratios(compiled, "onnxruntime, sequence")
    return [
        Row("Numba", numpy, _ratios(called, "numba"), "LLVM compiles at run time"),
        Row("LiteRT", numpy, _ratios(called, "litert"), "stacked and large layers"),
        Row("ONNX Runtime", numpy, _ratios(called, "onnxruntime"), ""),
        Row("ONNX Runtime", "C, 256 steps in one call", sequence, "large layers; does not stream"),
        Row("Eigen, C++", c, _ratios(compiled, "eigen", NATIVE), "the arithmetic of RTNeural"),
        Row("emx-onnx-cgen", c, _ratios(compiled, "emx-onnx-cgen", NATIVE), "C from ONNX"),
        Row("emx-onnx-cgen", f"{c}, `-ffast-math`", _ratios(compiled, "emx-onnx-cgen", FAST), ""),
        Row("emx-onnx-cgen", m4, _instructions("emx-onnx-cgen"), counted),
        Row("plain C loops", m4, _instructions("handwritten"), counted),
        Row("plain C loops", c, _ratios(compiled, "handwritten", NATIVE), "by hand"),
        Row("NumPy", numpy, _ratios(called, "handwritten"), "by hand"),
        Row("NumPy", batch, _ratios(batches, "handwritten"), "by hand"),
        Row("Keras", numpy, _ratios(called, "keras predict_on_batch"), "`predict_on_batch`"),
        Row("Keras", batch, _ratios(batches, "keras predict"), "`predict`"),
    ]


def markdown(page: Path) -> str:
    """The page with the table of today's results."""
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    table = [
        "| our file | alternative | its time, ours = 1 | faster in | |",
        "| --- | --- | --- | --- | --- |",
        *(row.cells() for row in rows()),
    ]
    return f"{before}{START}\n" + "\n".join(table) + f"\n\n{END}{after}"


def main() -> None:
    """Write the table into the pages."""
    for page in PAGES:
        page.write_text(markdown(page), encoding="utf-8")


if __name__ == "__main__":
    main()
