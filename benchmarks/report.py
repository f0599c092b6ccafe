"""The kept results as one Markdown file and a plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import report_c, report_mcu, report_python
from benchmarks.report_c import find

RESULTS = Path(__file__).parent / "results"
GCC = {"compiler": "gcc", "flags": "-O3 -march=native"}
C_BARS = (
    ("plain C", "handwritten", GCC, "#9aa5b1"),
    ("emx-onnx-cgen", "emx-onnx-cgen", GCC, "#d98c5f"),
    ("Eigen (C++)", "eigen", GCC, "#7fae7f"),
    ("LiteRT", "litert", {}, "#8f7fb8"),
    ("ONNX Runtime", "onnxruntime", {}, "#c06c84"),
)
PYTHON_BARS = (
    ("NumPy by hand", "handwritten", "#9aa5b1"),
    ("Numba", "numba", "#7fae7f"),
    ("LiteRT", "litert", "#8f7fb8"),
    ("ONNX Runtime", "onnxruntime", "#c06c84"),
    ("Keras predict_on_batch", "keras predict_on_batch", "#d98c5f"),
    ("Keras predict", "keras predict", "#b0413e"),
)


def load(name: str) -> dict[str, Any] | None:
    """A results file, if it is there."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _c_ratios(results: dict[str, Any], who: str, labels: dict[str, str]) -> list[float]:
    """Times as long as ours, both in their best build by gcc."""
    ratios = []
    for work in results["workloads"].values():
        ours = find(work["entries"], "ours", **GCC)
        peer = find(work["entries"], who, **labels)
        ratios.append(peer["ns_median"] / ours["ns_median"] if ours and peer else float("nan"))
    return ratios


def _python_ratios(results: dict[str, Any], who: str) -> list[float]:
    found = [find(work["entries"], who) for work in results["steps"].values()]
    return [entry["over_ours"] if entry else float("nan") for entry in found]


def _bars(axes: Any, keys: list[str], groups: list[tuple[str, list[float], str]]) -> None:
    width = 0.8 / len(groups)
    for index, (label, ratios, colour) in enumerate(groups):
        places = [i + (index - (len(groups) - 1) / 2) * width for i in range(len(keys))]
        axes.bar(places, [r - 1 for r in ratios], width, bottom=1, label=label, color=colour)
    axes.axhline(1, color="#222222", linewidth=1)
    axes.set_yscale("log")
    axes.set_xticks(range(len(keys)), keys)
    axes.set_ylabel("times as long as ours")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(ncols=3, fontsize=8, frameon=False, loc="upper right")


def plot(c: dict[str, Any], python: dict[str, Any], path: Path) -> None:
    """How many times as long as ours everybody takes for one step; 1 is ours."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "rnn-codegen"  # the same file from the same numbers
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter

    figure, (upper, lower) = plt.subplots(2, 1, figsize=(9, 7.2), layout="constrained")
    keys = list(c["workloads"])
    bars = [(label, _c_ratios(c, who, labels), colour) for label, who, labels, colour in C_BARS]
    _bars(upper, keys, bars)
    upper.set_title("C: one step, gcc -O3 -march=native, 1 = generated C (less is faster)")
    keys = list(python["steps"])
    _bars(lower, keys, [(label, _python_ratios(python, w), col) for label, w, col in PYTHON_BARS])
    lower.set_title("Python: one step, 1 = generated NumPy (less is faster)")
    for axes in (upper, lower):
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * 4)  # room for the legend
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def write() -> None:
    """results/README.md and results/steps.svg, of what results there are."""
    c, python, mcu = load("c"), load("python"), load("mcu")
    parts = ["# Results", "", "Written by `python -m benchmarks --report`; do not edit.", ""]
    parts += ["What each row is, and its caveats: [benchmarks](../README.md).", ""]
    if c and python:
        plot(c, python, RESULTS / "steps.svg")
        parts += ["![Times as long as the generated code](steps.svg)", ""]
    if c:
        parts += ["## C on a desktop core", "", report_c.markdown(c)]
    if python:
        parts += ["## Python", "", report_python.markdown(python)]
    if mcu:
        parts += ["## C on a microcontroller", "", report_mcu.markdown(mcu)]
    (RESULTS / "README.md").write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
