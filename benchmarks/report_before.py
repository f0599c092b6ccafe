"""The results of `run_before` as Markdown."""

from __future__ import annotations

from typing import Any


def markdown(results: dict[str, Any]) -> str:
    """One row for each thing that was timed, one column for each network; below 1 is faster now."""
    workloads = results["workloads"]
    table = {
        row["what"]: dict.fromkeys(workloads, "")
        for network in workloads.values()
        for row in network["rows"]
    }
    for key, network in workloads.items():
        for row in network["rows"]:
            table[row["what"]][key] = f"{row['ratio']:.2f}"
    ratios = [row["ratio"] for network in workloads.values() for row in network["rows"]]
    slower = sum(ratio > 1.05 for ratio in ratios)
    lines = [
        f"Time of what is generated now, that of commit {results['before']} = 1: the median over",
        f"rounds in which both take turns. {slower} of {len(ratios)} are over 1.05.",
        "",
        "|  | " + " | ".join(workloads) + " |",
        "| --- | " + " | ".join("---:" for _ in workloads) + " |",
        *(f"| {what} | " + " | ".join(row.values()) + " |" for what, row in table.items()),
    ]
    return "\n".join(lines) + "\n"
