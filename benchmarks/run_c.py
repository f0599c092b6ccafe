"""Time one step of generated C beside what users could pick instead.

python -m benchmarks.run_c [--rounds N] [--only W1 ...] [--quick]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import machine, peers, prepare, report_c
from benchmarks.c import build
from benchmarks.networks import BY_KEY, NETWORKS, Case
from benchmarks.timing import Entry, interleave, pin

RESULTS = Path(__file__).parent / "results"
LIMIT = Path(__file__).parent / "c" / "limit.c"
OURS, HANDWRITTEN, EMX, EIGEN = "ours", "handwritten", "emx-onnx-cgen", "eigen"
WIDEST = 512 // 8  # bytes of a vector register
PAGE = 4096  # unaligned vectors would cross cache lines


def compiled(case: Case) -> list[Entry]:
    """Every source, every compiler, every set of flags."""
    sources = {
        OURS: prepare.ours_source(case),
        HANDWRITTEN: prepare.handwritten_source(case),
        EMX: prepare.emx_source(case),
    }
    if build.EIGEN.exists():
        sources[EIGEN] = prepare.eigen_source(case)
    entries = []
    for compiler in build.compilers():
        for flags in build.FLAGS:
            for who, source in sources.items():
                library = build.compile_library(source, compiler, flags)
                loaded = build.Compiled(library, case)
                labels = {"who": who, "compiler": compiler, "flags": flags}
                entries.append(Entry(labels, loaded.run, loaded.error(case)))
    return entries


def limits(case: Case) -> list[Entry]:
    """Read, and read and multiply, all weights once a step."""
    lanes = 2 * WIDEST  # floats in one turn of the loop, whatever its width
    count = -(-case.matrix_bytes // (4 * lanes)) * lanes
    room = np.zeros(count + PAGE // 4, np.float32)
    start = -room.ctypes.data % PAGE // 4
    weights = room[start : start + count]
    weights[:] = np.random.default_rng(0).normal(0, 0.1, count)
    pointer = weights.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    source = prepare.work_folder() / "c" / LIMIT.name
    prepare.write_if_new(source, LIMIT.read_text(encoding="utf-8"))
    wide = [64, 32] if "avx512f" in machine.vector_instructions() else [32]
    entries = []
    for compiler in build.compilers():
        for flags in build.FLAGS:
            for width in wide if "native" in flags else [32] if "haswell" in flags else [16]:
                library = build.compile_library(source, compiler, flags, f"-DWIDTH={width}")
                loaded = ctypes.CDLL(str(library))
                for who in ("read", "multiply"):
                    function = getattr(loaded, f"bench_{who}")

                    def run(
                        steps: int,
                        function: Callable[..., object] = function,
                        kept: np.ndarray = weights,
                    ) -> None:
                        function(steps, kept.size, pointer, None)

                    labels = {"who": f"limit: {who}", "compiler": compiler, "flags": flags}
                    entries.append(Entry(labels, run, extra={"vector_bytes": width}))
    return entries


def runtimes(case: Case) -> list[Entry]:
    """Runtimes that are called from Python."""
    step = peers.Stepper(peers.OnnxRuntimeStep(prepare.onnx(case), case), case)
    lite = peers.Stepper(peers.LiteRtStep(prepare.litert(case), case), case)
    whole = peers.OnnxRuntimeSequence(prepare.onnx(case, sequence=True), case)
    error = float(np.abs(whole.outputs() - case.y).max())
    found = [
        Entry({"who": "onnxruntime"}, step.run, step.error(case), "from Python, memory bound"),
        Entry({"who": "litert"}, lite.run, lite.error(case), "from Python"),
        Entry({"who": "onnxruntime, sequence"}, whole.run, error, "one call for the sequence"),
    ]
    found[-1].per_run = len(case.x)
    if not any(layer.kind == "conv" for layer in case.network.layers):
        keras = peers.Stepper(peers.KerasStep(case, "predict_on_batch"), case)
        note = "predict_on_batch of the stateful model"
        found.append(Entry({"who": "keras"}, keras.run, keras.error(case, 64), note))
    return found


def measure(case: Case, rounds: int) -> dict[str, object]:
    """All entries of a network, interleaved."""
    entries = [*compiled(case), *limits(case), *runtimes(case)]
    interleave(entries, rounds)
    ours = {
        (e.labels["compiler"], e.labels["flags"]): e for e in entries if e.labels["who"] == OURS
    }
    for entry in entries:
        build_key = (entry.labels.get("compiler", "gcc"), entry.labels.get("flags", "-O2"))
        entry.extra["over_ours"] = round(entry.ratio(ours[build_key]), 4)
    print(f"{case.network.key}: done", file=sys.stderr, flush=True)
    return {
        "title": case.network.title,
        "parameters": case.parameters,
        "matrix_bytes": case.matrix_bytes,
        "entries": [entry.as_dict() for entry in entries],
    }


def main() -> None:
    """Measure, keep the results, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=150, help="default: 150")
    parser.add_argument("--only", nargs="*", choices=list(BY_KEY), default=list(BY_KEY))
    parser.add_argument("--quick", action="store_true", help="few rounds; results are not kept")
    options = parser.parse_args()
    pin()
    rounds = 5 if options.quick else options.rounds
    cases = prepare.models(tuple(n for n in NETWORKS if n.key in options.only))
    described = machine.describe()
    results = {
        "machine": described,
        "rounds": rounds,
        "workloads": {case.network.key: measure(case, rounds) for case in cases},
    }
    described["load_average_at_end"] = machine.load()
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps(results, indent=1) + "\n"
        (RESULTS / "c.json").write_text(text, encoding="utf-8")
    print(report_c.markdown(results))


if __name__ == "__main__":
    main()
