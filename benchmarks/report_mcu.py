"""The results of `run_mcu` as a Markdown table."""

from __future__ import annotations

from typing import Any

from benchmarks.report_c import table

# GNU C, the compiler's own default, joins a product and a sum into one fused instruction; standard
# C99 forbids that, and gives the same bits on every core.
FLAGS = ("-O2 -std=gnu99", "-Os -std=gnu99", "-O2 -std=c99", "-Os -std=c99")


def _cells(work: dict[str, Any], entry: dict[str, Any]) -> list[str]:
    best = min(
        e["instructions"]
        for e in work["entries"]
        if e["who"] == "ours, --profile mcu" and e["flags"] == entry["flags"]
    )
    return [
        entry["who"],
        f"{entry['instructions']:,}",
        f"{entry['instructions'] / best:.2f}x",
        f"{entry['text']:,}",
        f"{entry['rodata']:,} ({100 * entry['rodata'] / (4 * work['parameters']):.1f} %)",
        f"{entry['ram']:,}",
        f"{entry['stack']:,}",
        f"{entry['error']:.1e}",
    ]


def markdown(results: dict[str, Any]) -> str:
    """A table for each set of flags."""
    about = (
        f"{results['board']}; instructions a step. Code, tables (and their part of four bytes a "
        "parameter) and RAM are bytes beyond a program without a model; RAM includes the states."
    )
    lines = [about, ""]
    head = ["workload", "", "instructions", "ratio", "code", "tables", "RAM", "stack", "error"]
    for flags in FLAGS:
        rows = [
            [f"{key} {work['title']}" if index == 0 else "", *_cells(work, entry)]
            for key, work in results["workloads"].items()
            for index, entry in enumerate(e for e in work["entries"] if e["flags"] == flags)
        ]
        lines += [f"**{flags}**", "", *table(head, rows)]
    return "\n".join(lines)
