"""The results of `run_integers` as Markdown tables."""

from __future__ import annotations

from typing import Any

from benchmarks.report_c import table

BOARDS = {
    "m4f": "Cortex-M4F (QEMU): instructions",
    "microbit": "Cortex-M0 (QEMU): instructions; what does not fit into its flash has no row",
    "uno": "ATmega328P (simavr): cycles; its tables are counted as code",
}
FLAGS = ("-O2 -std=gnu99", "-Os -std=gnu99")


def _cells(entry: dict[str, Any], floats: dict[str, Any] | None) -> list[str]:
    def ratio(*fields: str) -> str:
        whole = 0 if floats is None else sum(floats[field] for field in fields)
        return f"{sum(entry[field] for field in fields) / whole:.3f}" if whole else ""

    return [
        entry["who"],
        f"{entry['instructions']:,}",
        ratio("instructions"),
        f"{entry['text']:,}",
        f"{entry['rodata']:,}",
        ratio("rodata"),
        ratio("text", "rodata"),
        f"{entry['ram']:,}",
        f"{entry['stack']:,}",
        f"{entry['error']:.1e}",
    ]


def _board(results: dict[str, Any], board: str, flags: str) -> list[list[str]]:
    rows = []
    for key, work in results["workloads"].items():
        found = [e for e in work["entries"] if (e["board"], e["flags"]) == (board, flags)]
        floats = next((e for e in found if e["who"] == "float"), None)
        rows += [
            ["" if index else f"{key} {work['title']}", *_cells(entry, floats)]
            for index, entry in enumerate(found)
        ]
    return rows


def markdown(results: dict[str, Any]) -> str:
    """A table for each board and set of flags, then times."""
    about = (
        "One step, floats in and out. Ratios are to the same network in floats, on the same board, "
        "with the same flags. Code, tables and RAM are bytes beyond a program without a model, "
        "with all that is linked; image is code and tables together. The error is the largest "
        "difference from Keras in the steps that ran; weights are random, so it is no measure "
        "of a trained model."
    )
    lines = [about, ""]
    head = ["workload", "", "count", "ratio", "code", "tables", "ratio", "image, ratio", "RAM"]
    for board, told in BOARDS.items():
        for flags in FLAGS:
            rows = _board(results, board, flags)
            if rows:
                lines += [f"**{told}, {flags}**", "", *table([*head, "stack", "error"], rows)]
    rows = [
        [
            f"{key} {work['title']}" if index == 0 else "",
            *(e["compiler"], e["flags"]),
            *(f"{e['ns_median'] / 1000:.3g}", f"{e['over_floats']:.2f}"),
        ]
        for key, work in results["timed"].items()
        for index, e in enumerate(e for e in work["entries"] if e["who"] == "int8")
    ]
    if rows:
        told = "On a desktop core, --profile host, int8; times as long as floats, interleaved"
        head = ["workload", "compiler", "flags", "us", "ratio"]
        lines += [f"**{told}**", "", *table(head, rows)]
    return "\n".join(lines)
