"""The results of `run_c` as Markdown tables."""

from __future__ import annotations

from typing import Any

from benchmarks.c.build import FLAGS

PEERS = ("handwritten", "emx-onnx-cgen", "eigen")
RUNTIMES = ("litert", "onnxruntime", "onnxruntime, sequence", "keras")
BUILDS = [(compiler, flags) for compiler in ("gcc", "clang") for flags in FLAGS]


def find(entries: list[dict[str, Any]], who: str, **labels: str) -> dict[str, Any] | None:
    """The fastest entry that fits."""
    found = [
        e for e in entries if e["who"] == who and all(e.get(k) == v for k, v in labels.items())
    ]
    return min(found, key=lambda e: e["ns_median"], default=None)


def microseconds(entry: dict[str, Any] | None) -> str:
    """Three digits."""
    return "" if entry is None else f"{entry['ns_median'] / 1000:.3g}"


def times(entry: dict[str, Any] | None) -> str:
    """How many times as long as ours."""
    return "" if entry is None else f"{entry['over_ours']:.3g}x"


def row(cells: list[str]) -> str:
    """A line of a table."""
    return "| " + " | ".join(cells) + " |"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table, first column to the left."""
    return [row(head), row(["---"] + ["---:"] * (len(head) - 1)), *map(row, rows), ""]


def _build_table(results: dict[str, Any], compiler: str, flags: str) -> list[str]:
    rows = []
    for key, work in results["workloads"].items():
        entries = work["entries"]
        labels = {"compiler": compiler, "flags": flags}
        ours = find(entries, "ours", **labels)
        if ours is None:
            continue
        cells = [f"{key} {work['title']}", microseconds(ours)]
        for limit in ("limit: multiply", "limit: read"):
            entry = find(entries, limit, **labels)
            cells.append("" if entry is None else f"{1 / entry['over_ours']:.2f}")
        cells += [times(find(entries, who, **labels)) for who in PEERS]
        rows.append(cells)
    head = ["workload", "ours, us", "ours / multiply", "ours / read", "plain C", "emx", "Eigen"]
    return [f"**{compiler} {flags}**", "", *table(head, rows)] if rows else []


def _runtime_table(results: dict[str, Any]) -> list[str]:
    rows = []
    for key, work in results["workloads"].items():
        entries = work["entries"]
        ours = find(entries, "ours", compiler="gcc", flags="-O2")
        rows.append([key, microseconds(ours)])
        for who in RUNTIMES:
            entry = find(entries, who)
            rows[-1].append("" if entry is None else f"{microseconds(entry)} ({times(entry)})")
    names = ["LiteRT", "ONNX Runtime", "ONNX Runtime, whole sequence", "Keras predict_on_batch"]
    return table(["workload", "ours, gcc -O2, us", *names], rows)


def _error_table(results: dict[str, Any]) -> list[str]:
    names = ("ours", *PEERS, *RUNTIMES)
    rows = []
    for key, work in results["workloads"].items():
        rows.append([key])
        for who in names:
            errors = [e["error"] for e in work["entries"] if e["who"] == who]
            rows[-1].append(f"{max(errors):.1e}" if errors else "")
    return table(["workload", *names], rows)


def machine_line(results: dict[str, Any]) -> str:
    """One sentence about the machine."""
    m = results["machine"]
    caches = ", ".join(f"{name} {size}" for name, size in m["caches"].items())
    compilers = "; ".join(m["compilers"].values())
    return (
        f"{m['date']}. {m['cpu']} ({m['vector_instructions']}; {caches}), {m['cores']} cores, one "
        f"used; {m['system']}; {compilers}; Python {m['python']}. Medians of "
        f"{results['rounds']} interleaved rounds, CPU time; load average of the machine "
        f"{m['load_average']} at the start, {m['load_average_at_end']} at the end."
    )


def markdown(results: dict[str, Any]) -> str:
    """All tables."""
    lines = [machine_line(results), ""]
    lines += ["Peers: how many times as long as ours in the same build.", ""]
    for compiler, flags in BUILDS:
        lines += _build_table(results, compiler, flags)
    lines += ["Runtimes, called from Python; microseconds a step, and times ours:", ""]
    lines += _runtime_table(results)
    lines += ["Largest difference from Keras (worst build), over 256 steps from zero state:", ""]
    lines += _error_table(results)
    return "\n".join(lines)
