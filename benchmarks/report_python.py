"""The results of `run_python` as Markdown tables."""

from __future__ import annotations

from typing import Any

from benchmarks.report_c import find, machine_line, microseconds, table, times

STEP_PEERS = (
    "handwritten",
    "numba",
    "litert",
    "onnxruntime",
    "keras predict",
    "keras predict_on_batch",
)


def _steps(results: dict[str, Any]) -> list[str]:
    rows, errors = [], []
    for key, work in results["steps"].items():
        entries = work["entries"]
        ours, whole = find(entries, "ours"), find(entries, "ours, predict")
        cells = [f"{key} {work['title']}", microseconds(ours), microseconds(whole)]
        cells.append(microseconds(find(entries, "ours, plain Python")))
        cells += [
            "" if e is None else f"{microseconds(e)} ({times(e)})"
            for e in (find(entries, who) for who in STEP_PEERS)
        ]
        rows.append(cells)
        names = ("ours", "ours, predict", "ours, plain Python", *STEP_PEERS)
        found = [find(entries, who) for who in names]
        errors.append([key, *("" if e is None else f"{e['error']:.1e}" for e in found)])
    head = [
        "workload", "ours", "ours, `predict` a step", "ours, plain Python", "NumPy by hand",
        "Numba", "LiteRT", "ONNX Runtime", "Keras predict", "Keras predict_on_batch",
    ]  # fmt: skip
    lines = ["One step, microseconds; in brackets how many times as long as ours:", ""]
    lines += table(head, rows)
    lines += ["Largest difference from Keras:", ""]
    return lines + table(head, errors)


def _batches(results: dict[str, Any]) -> list[str]:
    batch, rows = results["batch"], []
    for key, entries in batch["workloads"].items():
        cells = [key]
        for who in ("ours", "keras predict", "handwritten"):
            entry = find(entries, who)
            cells.append(f"{1e9 / entry['ns_median']:,.0f}" if entry else "")
        keras = find(entries, "keras predict")
        ours = find(entries, "ours")
        cells.append(f"{keras['over_ours']:.2f}x" if keras else "")
        cells.append(f"{ours['error']:.1e}" if ours else "")
        rows.append(cells)
    head = ["workload", "ours", "Keras predict", "NumPy by hand", "ours / Keras", "error"]
    text = f"{batch['size']} sequences of {batch['steps']} steps at once; steps a second:"
    return [text, "", *table(head, rows)]


def _imports(results: dict[str, Any]) -> list[str]:
    rows = [
        [row["file"], f"{row['bytes']:,}", f"{row['ms_first']:.1f}", f"{row['ms_cached']:.1f}"]
        for row in results["imports"]
    ]
    head = ["file of W1", "bytes", "first import, ms", "later imports, ms"]
    return ["Import in a fresh process, numpy already loaded:", "", *table(head, rows)]


def _plain(results: dict[str, Any]) -> list[str]:
    rows: dict[str, list[str]] = {}
    keys: list[str] = []
    for row in results["plain"]:
        cells = rows.setdefault(row["python"], [row["python"]])
        cells += [f"{row['us_per_step']:,.0f}", f"{row['ns_per_mac']:.1f}"]
        if row["workload"] not in keys:
            keys.append(row["workload"])
    head = ["Python", *(word for key in keys for word in (f"{key}, us", "ns a multiply-add"))]
    title = "Plain Python target, standard library only:"
    m = results.get("plain_machine")
    if m:  # measured apart from the others
        title += f" {m['date']}; {m['cpu']}, {m['cores']} cores, load average {m['load_average']}."
    return [title, "", *table(head, list(rows.values()))]


def markdown(results: dict[str, Any]) -> str:
    """All tables."""
    kernel = results["machine"]["openblas_kernel"]
    lines = [f"{machine_line(results)} NumPy's OpenBLAS kernel: {kernel}.", ""]
    for part in (_steps, _batches, _imports, _plain):
        lines += part(results)
    return "\n".join(lines)
