"""Count a step of small models on emulated cores, and fit a price of each kind of work.

    python -m benchmarks.run_cores

`codegen/commands/report/cores.py` has the prices, with which `report` estimates the instructions of
a model that nobody has run. Counts do not depend on the machine. They are instructions, not cycles.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import numpy as np

from codegen.commands.report.work import KINDS, Work, work
from codegen.commands.verify import samples
from codegen.errors import UnsupportedError
from codegen.integers.quantisation import quantised
from codegen.lowered import Lowered
from codegen.lowering import lower
from codegen.readers import read
from codegen.targets import TARGETS
from codegen.targets.spine.outline import Origin
from tests.support import emulators

RESULTS = Path(__file__).parent / "results" / "cores.json"
BOARDS = ("microbit", "m4f", "m7", "rv32", "rv32f")
SCHEMES = ("float", "weights", "int8", "int16")
STEPS = 4


def models() -> Iterator[tuple[str, Any]]:
    """Models of the installed Keras, with weights from a fixed seed."""
    os.environ.setdefault("KERAS_BACKEND", "numpy")
    import keras
    import keras.layers as kl

    def stack(size: int, *layers: Any) -> Any:
        model = keras.Sequential([keras.Input((None, size)), *layers])
        random = np.random.default_rng(7)
        values = (random.normal(0, 0.2, w.shape) for w in model.weights)
        pairs = zip(model.weights, values, strict=True)
        model.set_weights([np.abs(v) + 0.5 if "variance" in w.path else v for w, v in pairs])
        return model

    seq = {"return_sequences": True}
    yield "GRU(8)", stack(4, kl.GRU(8, **seq), kl.Dense(2))
    yield "GRU(24), reset_after=False", stack(6, kl.GRU(24, reset_after=False, **seq), kl.Dense(3))
    yield "2 x GRU(32)", stack(4, kl.GRU(32, **seq), kl.GRU(32, **seq), kl.Dense(2, "softmax"))
    yield "GRU(64)", stack(8, kl.GRU(64, **seq), kl.Dense(4))
    yield (
        "GRU(48), hard_sigmoid",
        stack(4, kl.GRU(48, recurrent_activation="hard_sigmoid", **seq), kl.Dense(2, "softmax")),
    )
    yield "LSTM(12)", stack(1, kl.LSTM(12, **seq), kl.Dense(1))
    yield "LSTM(20)", stack(1, kl.LSTM(20, **seq), kl.Dense(1))
    yield "LSTM(40)", stack(1, kl.LSTM(40, **seq), kl.Dense(1))
    yield "SimpleRNN(30)", stack(10, kl.SimpleRNN(30, **seq), kl.Dense(5, "relu"))
    yield "4 x Dense(32)", stack(16, *(kl.Dense(32, "relu") for _ in range(4)), kl.Dense(1))
    yield "3 x Dense(24), tanh", stack(16, *(kl.Dense(24, "tanh") for _ in range(3)))
    scaled = [kl.Rescaling(1 + 0.1 * k, 0.1) for k in range(4)]
    yield "4 x Rescaling, relu", stack(24, *scaled, kl.ReLU(), kl.Dense(1))
    more = [kl.Rescaling(0.5 + k, -0.2) for k in range(3)]
    yield "Dense(16), 3 x Rescaling", stack(3, kl.Dense(16), *more, kl.LeakyReLU(), kl.Dense(1))
    norm = [kl.BatchNormalization(), kl.ReLU(), kl.LayerNormalization()]
    yield "Dense(20), norms", stack(12, kl.Dense(20), *norm, kl.Dense(2))
    yield "LayerNorm, GRU(16)", stack(8, kl.LayerNormalization(), kl.GRU(16, **seq), kl.Dense(2))
    conv = {"padding": "causal", "activation": "relu"}
    yield (
        "4 x Conv1D(16)",
        stack(1, *(kl.Conv1D(16, 3, dilation_rate=2**k, **conv) for k in range(4)), kl.Dense(1)),
    )
    yield "Conv1D(12), GRU(16)", stack(3, kl.Conv1D(12, 5, **conv), kl.GRU(16, **seq), kl.Dense(2))


def count(board: str, lowered: Lowered, options: dict[str, Any], folder: Path) -> int:
    """Instructions of the last of a few steps."""
    options = {"profile": "mcu", **options}
    header = "".join(TARGETS["c"].render(lowered, "model", options, Origin("model.h")))
    given = samples(lowered, STEPS)
    found = emulators.run_model(board, header, "model", *given, folder=folder, strict=False)
    return found.instructions


def measure() -> list[dict[str, Any]]:
    """A row for each model, scheme and board."""
    rows = []
    for title, model in models():
        exact = lower(read(model))
        for scheme in SCHEMES:
            with tempfile.TemporaryDirectory() as folder:
                options = options_of(scheme, exact, Path(folder))
                try:
                    lowered = quantised(exact, options)
                except UnsupportedError:  # a layer that integers do not have
                    continue
                for board in BOARDS:
                    taken = count(board, lowered, options, Path(folder))
                    key = {"model": title, "scheme": scheme, "board": board}
                    done = {"instructions": taken, "work": asdict(work(exact))}
                    rows.append({**key, **done})
                    print(title, scheme, board, taken, flush=True)
    return rows


def options_of(scheme: str, exact: Lowered, folder: Path) -> dict[str, Any]:
    """The options of `convert`; integers take their ranges from noise."""
    if scheme == "float":
        return {}
    if scheme == "weights":
        return {"quantize": scheme}
    data = folder / "noise.npz"
    np.savez(data, *samples(exact, 64))
    return {"quantize": scheme, "calibration": str(data)}


def fit(rows: list[dict[str, Any]]) -> Work:
    """The prices, none below zero, that come nearest to the counts, relative to each."""
    counts = np.array([row["instructions"] for row in rows], float)
    table = np.array([[row["work"][kind] for kind in KINDS] for row in rows]) / counts[:, None]
    used = list(range(len(KINDS)))
    while True:
        prices = np.linalg.lstsq(table[:, used], np.ones(len(rows)), rcond=None)[0]
        if (prices >= 0).all():
            break
        used.pop(int(np.argmin(prices)))
    found = np.zeros(len(KINDS))
    found[used] = prices
    return Work(*(float(f"{price:.3g}") for price in found))


def off(rows: list[dict[str, Any]]) -> float:
    """The largest relative error for a model that its prices have not seen."""
    return max(error(row, rows) for row in rows)


def error(row: dict[str, Any], rows: list[dict[str, Any]]) -> float:
    """The relative error for the model of a row, estimated from all others."""
    prices = fit([other for other in rows if other["model"] != row["model"]])
    return abs(Work(**row["work"]).cost(prices) / row["instructions"] - 1)


def chosen(rows: list[dict[str, Any]], board: str, scheme: str) -> list[dict[str, Any]]:
    """The rows of one board and scheme."""
    return [row for row in rows if (row["board"], row["scheme"]) == (board, scheme)]


def main() -> None:
    """Count, keep the counts, print the prices."""
    rows = measure()
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for board in BOARDS:
        for scheme in SCHEMES:
            part = chosen(rows, board, scheme)
            print(board, scheme, astuple(fit(part)), f"{off(part):.2f}")


if __name__ == "__main__":
    main()
