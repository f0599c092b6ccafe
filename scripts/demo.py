"""Convert the seed model to every target, run each result, and compare it with what Keras gave.

`make demo` runs this. The model is generated_examples/seed/seed.h5, three GRU(64) and a softmax,
which Keras 2.1.5 trained; recorded.npz holds 1,000 steps of one stream, and what that Keras
predicted for them, one step at a time with its state carried on.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SEED = Path(__file__).parents[1] / "generated_examples" / "seed"
FILES = {"numpy": "seed.py", "python": "seed_plain.py", "c": "seed.h"}
TOLERANCE = 2e-6  # against float64, Keras itself is off by 9.6e-7

MAIN = """\
#define SEED_IMPLEMENTATION
#include "seed.h"
#include <stdio.h>
#include <time.h>

static seed_state s;
static float x[1000][SEED_INPUT_SIZE], y[1000][SEED_OUTPUT_SIZE];

int main(void)
{
    const size_t steps = fread(x, sizeof x[0], 1000, stdin);
    const clock_t from = clock();
    size_t t;

    seed_reset(&s);
    for (t = 0; t < steps; ++t) seed_step(&s, x[t], y[t]);
    fprintf(stderr, "%.9f\\n", (double)(clock() - from) / CLOCKS_PER_SEC);
    fwrite(y, sizeof y[0], steps, stdout);
    return 0;
}
"""


def convert(target: str, out: Path) -> None:
    """Make one file through the command line, as a user does, and show the command."""
    arguments = ["convert", SEED / "seed.h5", "-o", out, "--target", target, "--name", "seed"]
    shown = [a.name if isinstance(a, Path) else a for a in arguments]
    print("  rnn-codegen", *shown)
    command = [sys.executable, "-m", "codegen", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}")


def run_python(path: Path, x: Array) -> tuple[Array, float]:
    """Import a generated Python file and step through x; the outputs and the seconds it took."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.Model()
    rows = list(x) if "numpy" in vars(module) or "np" in vars(module) else x.tolist()
    before = time.perf_counter()
    y = [model.step(row) for row in rows]
    return np.array(y), time.perf_counter() - before


def run_c(path: Path, x: Array) -> tuple[Array, float]:
    """Compile a generated header with a small main and step through x."""
    source, program = path.with_name("main.c"), path.with_name("main")
    source.write_text(MAIN, encoding="utf-8")
    compiler = os.environ.get("CC", "gcc").split()
    subprocess.run([*compiler, "-std=c99", "-O2", source, "-o", program, "-lm"], check=True)
    done = subprocess.run(
        [program], input=x.astype("<f4").tobytes(), capture_output=True, check=True
    )
    y = np.frombuffer(done.stdout, "<f4").reshape(len(x), -1)
    return y, float(done.stderr)


RUN: dict[str, Callable[[Path, Array], tuple[Array, float]]] = {
    "numpy": run_python,
    "python": run_python,
    "c": run_c,
}


def main() -> int:
    """Print one line for each target; 0 when all agree with Keras."""
    with np.load(SEED / "recorded.npz") as recorded:
        x, expected = recorded["x"], recorded["y"]
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        print("Converting a model that Keras 2.1.5 trained:\n")
        for target, name in FILES.items():
            convert(target, Path(folder) / name)
        print(f"\nRunning {len(x):,} steps with each, state carried, and comparing with Keras:\n")
        print("  target   file            size     largest difference   one step")
        for target, name in FILES.items():
            path = Path(folder) / name
            y, seconds = RUN[target](path, x)
            difference = float(np.abs(y - expected).max())
            size = f"{path.stat().st_size / 1024:,.0f} KiB"
            step = f"{1e6 * seconds / len(x):,.1f} us"
            print(f"  {target:<8} {name:<14} {size:>9}   {difference:18.1e}   {step:>11}")
            if not difference <= TOLERANCE:
                wrong.append(target)
    if wrong:
        print(f"\nDiffers from Keras by more than {TOLERANCE:g}: {', '.join(wrong)}")
        return 1
    print(f"\nAll agree with Keras to {TOLERANCE:g}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
