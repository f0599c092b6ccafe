"""The extension of `convert --package python` beside the NumPy file, for docs/packages.md.

    python -m benchmarks.python_package

Needs a C compiler and setuptools 77 or later; the models are those of the examples.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import pin
from codegen.commands.main import main as command

ROOT = Path(__file__).parents[1]
MODELS = {
    "generated_examples/seed/seed.h5": "3 x GRU(64), Dense(2)",
    "examples/amplifier/amp.json": "LSTM(20), Dense(1)",
    "generated_examples/tokens/tokens.keras": "Embedding(4), GRU(5), Dense(9)",
}
STEPS, ROUNDS, TIMES = 512, 25, 1000


def made(path: str, folder: Path) -> str:
    """Convert the model to both; the name of the package."""
    name = f"net_{Path(path).stem}"
    for options in (
        [f"{folder}/{name}_numpy.py"],
        [f"{folder}/made/{name}", "--package", "python"],
    ):
        words = ["convert", str(ROOT / path), "-o", *options]
        with contextlib.redirect_stderr(io.StringIO()):
            command(words, standalone_mode=False)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--target", folder / "site", folder / "made" / name], check=True)
    importlib.invalidate_caches()
    return name


def microseconds(call: Callable[[object], object], x: object, times: int) -> float:
    """The processor's time of a call."""
    spent = timeit.timeit(lambda: call(x), timer=time.process_time, number=times)
    return spent / times * 1e6


def cells(models: Sequence[Any], method: str, x: object, times: int, steps: int) -> list[str]:
    """The times of both for one step, and how much faster the second is."""
    calls = [getattr(model, method) for model in models]
    pairs = [[microseconds(c, x, times) / steps for c in calls] for _ in range(ROUNDS)]
    first, second = (min(side) for side in zip(*pairs, strict=True))
    return [f"{first:.2f}", f"{second:.2f}", f"{first / second:.1f} times"]


def main() -> None:
    """Print the table."""
    pin()
    print("| model | step: NumPy | compiled | | row of predict: NumPy | compiled | |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        sys.path[:0] = [str(folder / "site"), str(folder)]
        for path, what in MODELS.items():
            name = made(path, folder)
            models = [importlib.import_module(name + end).Model() for end in ("_numpy", "")]
            rng = np.random.default_rng(0)
            size = 4 if "seed" in path else 1
            x: Any = rng.normal(size=(STEPS, size)).astype(np.float32)
            if "tokens" in path:
                x = rng.integers(0, 9, STEPS).astype(np.int32)
            step = cells(models, "step", x[0], TIMES, 1)
            print("|", " | ".join([what, *step, *cells(models, "predict", x, 2, STEPS)]), "|")


if __name__ == "__main__":
    main()
