"""Time generated Python beside what users could pick instead.

python -m benchmarks.run_python [--rounds N] [--only W1 ...] [--quick]
python -m benchmarks.run_python --plain     # that table alone, beside what is kept of the others
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, peers, prepare, report_python
from benchmarks.networks import BY_KEY, NETWORKS, Case
from benchmarks.python import handwritten, numba_model
from benchmarks.timing import Entry, interleave, pin

RESULTS = Path(__file__).parent / "results"
PROBE = Path(__file__).parent / "python" / "probe.py"
BATCH, BATCH_STEPS = 256, 64
PLAIN = ("W1", "W2a", "W2b")  # networks for the table of plain Python
VERSIONS = [f"python3.{minor}" for minor in range(6, 16)] + ["pypy3"]


class Ours:
    """A generated module, as a peer."""

    def __init__(self, path: Path, batch: int | None = None) -> None:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.model = module.Model() if batch is None else module.Model(batch=batch)
        self.reset = self.model.reset

    def step(self, x: Any) -> Any:
        """The outputs."""
        found = self.model.step(x)
        return found if isinstance(found, tuple) else (found,)


def generated(case: Case, target: str, *options: str) -> Path:
    """A file of ours in a folder of its own."""
    folder = prepare.work_folder() / "python"
    folder.mkdir(parents=True, exist_ok=True)
    variant = "".join(options).replace("--", "_").replace("weights", "")
    path = folder / f"{case.network.name}_{target}{variant}.py"
    prepare.convert(case, path, "--target", target, *options)
    return path


def stepping(case: Case) -> list[Entry]:
    """One step a call, state carried."""
    ours, plain = generated(case, "numpy"), generated(case, "python")
    found: list[tuple[str, Any, str]] = [
        ("ours", Ours(ours), "NumPy target"),
        ("handwritten", handwritten.Model(case), "NumPy as people write it"),
        ("numba", numba_model.Model(case), "the whole step compiled"),
        ("litert", peers.LiteRtStep(prepare.litert(case), case), ""),
        ("onnxruntime", peers.OnnxRuntimeStep(prepare.onnx(case), case), "memory bound"),
        ("ours, plain Python", Ours(plain), "Python target, standard library only"),
    ]
    if not any(layer.kind == "conv" for layer in case.network.layers):
        found += [
            ("keras predict", peers.KerasStep(case, "predict"), "stateful model"),
            ("keras predict_on_batch", peers.KerasStep(case, "batch"), "stateful model"),
        ]
    entries = []
    for who, peer, note in found:
        stepper = peers.Stepper(peer, case)
        error = stepper.error(case, 16 if "keras" in who else None)
        entries.append(Entry({"who": who}, stepper.run, error, note))
    model = Ours(ours).model
    whole = Entry({"who": "ours, predict"}, _repeat(model.predict, case.x), note="whole sequence")
    whole.per_run = len(case.x)
    whole.error = float(np.abs(_joined(model.predict(case.x)) - case.y).max())
    return [*entries, whole]


def batched(case: Case) -> list[Entry]:
    """256 sequences at once: nanoseconds for one step of one sequence."""
    from benchmarks.workloads import build

    generator = np.random.default_rng(3)
    x = generator.normal(0, 1, (BATCH, BATCH_STEPS, case.network.input_size)).astype(np.float32)
    model = Ours(generated(case, "numpy"), BATCH).model
    keras = build(case.network)
    expected = _joined(keras.predict(x, batch_size=BATCH, verbose=0))
    error = float(np.abs(_joined(model.predict(x)) - expected).max())
    entries = [
        Entry({"who": "ours"}, _repeat(model.predict, x), error, f"Model(batch={BATCH})"),
        Entry(
            {"who": "keras predict"},
            _repeat(lambda v: keras.predict(v, batch_size=BATCH, verbose=0), x),
            0.0,
        ),
        Entry({"who": "handwritten"}, _repeat(_loop(handwritten.Model(case, BATCH)), x), None),
    ]
    for entry in entries:
        entry.per_run = BATCH * BATCH_STEPS
    return entries


def _joined(found: Any) -> np.ndarray:
    """Several outputs side by side."""
    parts = found if isinstance(found, (tuple, list)) else [found]
    return np.concatenate([np.asarray(part) for part in parts], axis=-1)


def _repeat(function: Any, x: np.ndarray) -> Any:
    def run(times: int) -> None:
        for _ in range(times):
            function(x)

    return run


def _loop(model: handwritten.Model) -> Any:
    def run(x: np.ndarray) -> None:
        model.reset()
        np.stack([_joined(model.step(x[:, t])) for t in range(x.shape[1])], axis=1)

    return run


def timed(entries: list[Entry], rounds: int) -> list[dict[str, Any]]:
    """Interleave, and compare with the first entry, which is ours."""
    interleave(entries, rounds)
    for entry in entries:
        entry.extra["over_ours"] = round(entry.ratio(entries[0]), 4)
    return [entry.as_dict() for entry in entries]


def imports(case: Case, repeats: int) -> list[dict[str, Any]]:
    """Milliseconds to import a generated file in a fresh process, numpy already loaded."""
    variants = {
        "numpy, text (default)": generated(case, "numpy"),
        "numpy, base64": generated(case, "numpy", "--weights", "base64"),
        "python, bytes (default)": generated(case, "python"),
        "python, text": generated(case, "python", "--weights", "text"),
    }
    script = (
        "import sys, time, numpy, importlib.util as util;"
        "spec = util.spec_from_file_location('m', sys.argv[1]);"
        "module = util.module_from_spec(spec); start = time.process_time();"
        "spec.loader.exec_module(module); print(time.process_time() - start)"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # empty: write it
    rows = []
    for name, path in variants.items():
        row: dict[str, Any] = {"file": name, "bytes": path.stat().st_size}
        for kind in ("first", "cached"):
            samples = []
            cache = Path(importlib.util.cache_from_source(str(path)))
            for _ in range(repeats + 1):
                if kind == "first":
                    cache.unlink(missing_ok=True)
                done = subprocess.run(
                    [sys.executable, "-c", script, str(path)],
                    check=True, capture_output=True, text=True, env=environment,
                )  # fmt: skip
                samples.append(float(done.stdout))
            row[f"ms_{kind}"] = round(1000 * statistics.median(samples[1:]), 2)
        rows.append(row)
    return rows


def interpreters() -> dict[str, str]:
    """Every Python that is found, by version; pyenv's too."""
    places = [shutil.which(name) for name in VERSIONS]
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places += [str(path) for path in sorted(root.glob("versions/3.*/bin/python"))]
    found: dict[str, str] = {}
    script = "import platform as p, sys; print(p.python_implementation(), p.python_version())"
    for place in filter(None, places):
        done = subprocess.run([place, "-c", script], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found.setdefault(done.stdout.strip(), place)
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def _order(version: str) -> tuple[str, list[int]]:
    name, _, number = version.partition(" ")
    return name, [int(part) for part in number.split(".")]


def plain_python(cases: list[Case], repeats: int, seconds: float) -> list[dict[str, Any]]:
    """Nanoseconds for a multiply-add under every Python."""
    rows = []
    for case in cases:
        path = generated(case, "python")
        macs = case.matrix_bytes // 4
        samples: dict[str, list[float]] = {}
        for _ in range(repeats):
            for version, place in interpreters().items():
                arguments = [str(path), str(case.network.input_size), str(seconds)]
                done = subprocess.run(
                    [place, str(PROBE), *arguments], check=True, capture_output=True, text=True
                )
                samples.setdefault(version, []).append(float(done.stdout))
        for version, found in samples.items():
            step = statistics.median(found)
            rows.append(
                {
                    "workload": case.network.key,
                    "python": version,
                    "us_per_step": round(step * 1e6, 1),
                    "ns_per_mac": round(step * 1e9 / macs, 2),
                }
            )
    return rows


def main() -> None:
    """Measure, keep the results, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100, help="default: 100")
    parser.add_argument("--only", nargs="*", choices=list(BY_KEY), default=list(BY_KEY))
    parser.add_argument("--quick", action="store_true", help="few rounds; results are not kept")
    parser.add_argument("--plain", action="store_true", help="the table of plain Python alone")
    options = parser.parse_args()
    pin()
    if options.plain:
        again_plain()
        return
    rounds = 5 if options.quick else options.rounds
    cases = prepare.models(tuple(n for n in NETWORKS if n.key in options.only))
    described = machine.describe()
    steps, batches = {}, {}
    for case in cases:
        steps[case.network.key] = {
            "title": case.network.title,
            "parameters": case.parameters,
            "entries": timed(stepping(case), rounds),
        }
        if not case.network.key.startswith("W5"):
            batches[case.network.key] = timed(batched(case), max(5, rounds // 10))
        print(f"{case.network.key}: done", file=sys.stderr, flush=True)
    chosen = [case for case in cases if case.network.key in PLAIN]
    results = {
        "machine": described,
        "rounds": rounds,
        "steps": steps,
        "batch": {"size": BATCH, "steps": BATCH_STEPS, "workloads": batches},
        "imports": imports(cases[0], 3 if options.quick else 11),
        "plain": plain_python(chosen, *((1, 0.1) if options.quick else (5, 0.5))),
    }
    described["load_average_at_end"] = machine.load()
    if not options.quick:
        keep(results)
    print(report_python.markdown(results))


def again_plain() -> None:
    """Measure plain Python alone; the results then name its machine beside that of the others."""
    results = json.loads((RESULTS / "python.json").read_text(encoding="utf-8"))
    cases = prepare.models(tuple(n for n in NETWORKS if n.key in PLAIN))
    results["plain"] = plain_python(cases, 5, 0.5)
    results["plain_machine"] = machine.describe()
    keep(results)
    print(report_python.markdown(results))


def keep(results: dict[str, Any]) -> None:
    """Write the results for the report."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(results, indent=1) + "\n"
    (RESULTS / "python.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
