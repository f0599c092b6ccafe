"""Time one chunk of a voice activity detector beside ONNX Runtime, with the memory of both.

python -m benchmarks.run_vad [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import codegen
from benchmarks import machine, prepare, report_vad, vad
from benchmarks.c import build
from benchmarks.timing import Entry, interleave, pin

RESULTS = Path(__file__).parent / "results"
CHUNKS = 64
SOURCE = """#define VAD_IMPLEMENTATION
#include "vad.h"
static vad_state s;
void bench_reset(void) { vad_reset(&s); }
int bench_state(void) { return (int)sizeof s; }
void bench_run(int steps, int n, const float *x, float *y)
{
    for (int t = 0; t < steps; ++t) {
        vad_step(&s, x + t % n * VAD_INPUT_SIZE, y + t % n);
    }
}
"""


class Ours:
    """A compiled header."""

    def __init__(self, library: Path, x: np.ndarray) -> None:
        self.library, self.x = ctypes.CDLL(str(library)), x
        self.y = np.zeros(len(x), np.float32)
        pointer = ctypes.POINTER(ctypes.c_float)
        self.arguments = (x.ctypes.data_as(pointer), self.y.ctypes.data_as(pointer))

    def run(self, steps: int) -> None:
        """That many chunks."""
        self.library.bench_run(steps, len(self.x), *self.arguments)

    def outputs(self) -> np.ndarray:
        """What comes out for all chunks, from zero state."""
        self.library.bench_reset()
        self.run(len(self.x))
        return self.y.copy()


def resident(*lines: str) -> int:
    """Bytes that a process has in memory more after the last line than before it."""
    count = (
        "def count():\n    with open('/proc/self/statm') as f:\n"
        "        return int(f.read().split()[1]) * 4096\n"
    )
    program = "\n".join(
        [count, *lines[:-1], "start = count()", lines[-1], "print(count() - start)"]
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def main() -> None:
    """Measure, keep the results, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100, help="default: 100")
    parser.add_argument("--quick", action="store_true", help="few rounds; results are not kept")
    options = parser.parse_args()
    pin()
    folder = prepare.work_folder() / "vad"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "vad.onnx"
    vad.write(path)
    model = codegen.read(path, states={"state": "stateN"}, axes={"input": "B_"})
    prepare.write_if_new(folder / "vad.h", codegen.generate(model, "c", "vad"))
    source = folder / "bench.c"
    prepare.write_if_new(source, SOURCE)
    x = np.random.default_rng(1).normal(0, 0.1, (CHUNKS, 1, vad.SAMPLES)).astype(np.float32)
    peer = vad.OnnxRuntime(path, x)
    expected = peer.outputs()
    entries = [Entry({"who": "onnxruntime"}, peer.run, 0.0)]
    for compiler in build.compilers():
        for flags in build.FLAGS:
            library = build.compile_library(source, compiler, flags)
            ours = Ours(library, x)
            error = float(np.abs(ours.outputs() - expected).max())
            labels = {"who": "ours", "compiler": compiler, "flags": flags}
            extra = {"bytes": library.stat().st_size, "state_bytes": ours.library.bench_state()}
            entries.append(Entry(labels, ours.run, error, extra=extra))
    described = machine.describe()
    interleave(entries, 5 if options.quick else options.rounds)
    for entry in entries:
        entry.extra["over_onnxruntime"] = round(entry.ratio(entries[0]), 4)
    session = f"import onnxruntime as o; s = o.InferenceSession({str(path)!r})"
    entries[0].extra["bytes"] = resident("import numpy", session)
    described["load_average_at_end"] = machine.load()
    results = {"machine": described, "entries": [entry.as_dict() for entry in entries]}
    if not options.quick:
        text = json.dumps(results, indent=1) + "\n"
        (RESULTS / "vad.json").write_text(text, encoding="utf-8")
    print(report_vad.markdown(results))


if __name__ == "__main__":
    main()
