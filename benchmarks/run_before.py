"""Time what this generator writes beside what an earlier commit of it wrote, in one run.

    python -m benchmarks.run_before [--before COMMIT] [--rounds N] [--only W1 ...]

Both files are made of the same models; C is built by every compiler with every set of flags, Python
runs in this process, and all of them take turns. W4a and W4b, whose weights take minutes to
compile, are measured when they are named.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, prepare, report_before
from benchmarks.c import build, wrappers
from benchmarks.networks import BY_KEY, NETWORKS, Case
from benchmarks.peers import Stepper
from benchmarks.run_mcu import KEYS
from benchmarks.run_python import BATCH, BATCH_STEPS, Ours
from benchmarks.timing import Entry, interleave, pin

RESULTS = Path(__file__).parent / "results" / "before.json"
FIRST = "1fd3f2c"  # the last commit before targets, readers and passes were laid out anew


def converted(tree: Path, case: Case, target: str, folder: Path) -> Path:
    """The file of a target, by the generator of a tree."""
    ending = {"c": ".h"}.get(target, f"_{target}.py")
    path = folder / f"{case.network.name}{ending}"
    command = [sys.executable, "-m", "codegen", "convert", str(case.model), "-o", str(path)]
    subprocess.run([*command, "--target", target], check=True, cwd=tree, capture_output=True)
    return path


def in_c(case: Case, trees: dict[str, Path], folder: Path) -> list[Entry]:
    """Both headers under every compiler and set of flags, the earlier one first."""
    found = []
    sources = {}
    for who, tree in trees.items():
        place = folder / who
        place.mkdir()
        header = converted(tree, case, "c", place)
        sources[who] = place / "ours.c"
        sources[who].write_text(wrappers.ours(case.network, header.name), encoding="utf-8")
    for compiler in build.compilers():
        for flags in build.FLAGS:
            for who, source in sources.items():
                loaded = build.Compiled(build.compile_library(source, compiler, flags), case)
                labels = {"who": who, "what": f"C, {compiler} {flags}"}
                found.append(Entry(labels, loaded.run, loaded.error(case)))
    return found


def in_python(case: Case, trees: dict[str, Path], folder: Path) -> list[Entry]:
    """Steps of the NumPy file and of plain Python, and whole sequences at once of the former."""
    paths = {
        (who, target): converted(tree, case, target, folder / who)
        for who, tree in trees.items()
        for target in ("numpy", "python")
    }
    found = []
    for target, what in (("numpy", "NumPy, one step"), ("python", "plain Python, one step")):
        for who in trees:
            stepper = Stepper(Ours(paths[who, target]), case)
            found.append(Entry({"who": who, "what": what}, stepper.run, stepper.error(case)))
    if not case.network.key.startswith("W5"):
        shape = (BATCH, BATCH_STEPS, case.network.input_size)
        x = np.random.default_rng(3).normal(0, 1, shape).astype(np.float32)
        for who in trees:
            predict = Ours(paths[who, "numpy"], BATCH).model.predict

            def run(times: int, predict: Any = predict) -> None:
                for _ in range(times):
                    predict(x)

            labels = {"who": who, "what": f"NumPy, {BATCH} sequences at once"}
            found.append(Entry(labels, run, per_run=BATCH * BATCH_STEPS))
    return found


def measured(case: Case, trees: dict[str, Path], rounds: int) -> list[dict[str, Any]]:
    """A row for each thing that was timed: nanoseconds of both, and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entries = [*in_c(case, trees, folder), *in_python(case, trees, folder)]
        interleave(entries, rounds)
    return [
        {
            "what": before.labels["what"],
            "before": round(before.median, 1),
            "now": round(now.median, 1),
            "ratio": round(now.ratio(before), 3),
            "best_ratio": round(now.best / before.best, 3),
        }
        for before, now in zip(entries[::2], entries[1::2], strict=True)
    ]


def main() -> None:
    """Measure, keep the results, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", default=FIRST, help=f"a commit; default: {FIRST}")
    parser.add_argument("--rounds", type=int, default=40, help="default: 40")
    parser.add_argument("--only", nargs="*", choices=list(BY_KEY), default=KEYS)
    options = parser.parse_args()
    cases = prepare.models(tuple(n for n in NETWORKS if n.key in options.only))
    results: dict[str, Any] = {"before": options.before, "machine": machine.describe()}
    pin()
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name, "tree")
        git = ["git", "-C", str(prepare.REPOSITORY), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(tree), options.before], check=True)
        try:
            trees = {"before": tree, "now": prepare.REPOSITORY}
            results["workloads"] = {
                case.network.key: {
                    "title": case.network.title,
                    "rows": measured(case, trees, options.rounds),
                }
                for case in cases
            }
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    results["load_average_at_end"] = machine.load()
    if options.only == KEYS:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(report_before.markdown(results))


if __name__ == "__main__":
    main()
