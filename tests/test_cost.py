"""The work of a conversion grows with the layers of the model, not with their square.

What is counted is calls of functions, which is the same on every machine.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import codegen
from codegen.commands.inspect import inspect_json, table
from codegen.lowering import lower
from codegen.model import Model
from codegen.readers.keras.reader import Reader
from codegen.readers.options import Options
from codegen.targets import TARGETS
from tests.readers.hostile import Entry, Sequential, dense, gru

FEW = 30
# One product of many parts is compared part by part; a layer that joins takes 256 tensors at most.
PAIRWISE = {("wide", "numpy"), ("many_inputs", "numpy")}


def functional(path: Path, inputs: int, calls: list[tuple[Entry, list[str]]]) -> Path:
    """A functional model: each layer is called on the layers named beside it; the last is given."""
    given = [
        {
            "class_name": "InputLayer",
            "config": {"name": f"i{k}", "batch_input_shape": [None, None, 4]},
            "name": f"i{k}",
            "inbound_nodes": [],
        }
        for k in range(inputs)
    ]
    layers = given + [
        {
            **entry,
            "name": entry["config"]["name"],
            "inbound_nodes": [[[source, 0, 0, {}] for source in sources]],
        }
        for entry, sources in calls
    ]
    plain = [{k: v for k, v in entry.items() if k != "_arrays"} for entry in layers]
    config = {
        "name": "f",
        "layers": plain,
        "input_layers": [[one["name"], 0, 0] for one in given],
        "output_layers": [[layers[-1]["name"], 0, 0]],
    }
    return Sequential(layers).save(path, json.dumps({"class_name": "Model", "config": config}))


def plain(class_name: str, name: str) -> Entry:
    return {"class_name": class_name, "config": {"name": name}}


def dense_chain(path: Path, n: int) -> Path:
    return Sequential([dense(f"d{k}", 4, 4) for k in range(n)]).save(path)


def gru_chain(path: Path, n: int) -> Path:
    return Sequential([gru(f"g{k}", 4, 4) for k in range(n)]).save(path)


def functional_chain(path: Path, n: int) -> Path:
    names = ["i0", *(f"d{k}" for k in range(n))]
    return functional(path, 1, [(dense(f"d{k}", 4, 4), [names[k]]) for k in range(n)])


def residual_chain(path: Path, n: int) -> Path:
    names = ["i0", *(f"a{k}" for k in range(n))]
    return functional(path, 1, [(plain("Add", f"a{k}"), [names[k], "i0"]) for k in range(n)])


def one_name(path: Path, n: int) -> Path:
    """Layers whose names are the same once they are cut."""
    return Sequential([dense("x" * 200 + str(k), 4, 4) for k in range(n)]).save(path)


def wide(path: Path, n: int) -> Path:
    branches: list[tuple[Entry, list[str]]] = [(gru(f"g{k}", 4, 2), ["i0"]) for k in range(n)]
    joined = (plain("Concatenate", "c"), [f"g{k}" for k in range(n)])
    return functional(path, 1, [*branches, joined, (dense("o", 2 * n, 2), ["c"])])


def many_inputs(path: Path, n: int) -> Path:
    joined = (plain("Concatenate", "c"), [f"i{k}" for k in range(n)])
    return functional(path, n, [joined, (dense("o", 4 * n, 2), ["c"])])


MODELS: dict[str, Callable[[Path, int], Path]] = {
    one.__name__: one
    for one in (
        dense_chain,
        gru_chain,
        functional_chain,
        residual_chain,
        one_name,
        wide,
        many_inputs,
    )
}


def read(path: Path) -> Model:
    return Reader(path, None, Options()).model()


def calls(work: Callable[[], Any]) -> Counter[CodeType]:
    """How often each function is called."""
    found: Counter[CodeType] = Counter()

    def seen(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            found[frame.f_code] += 1

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
    return found


STAGES: dict[str, Callable[[Path], Callable[[], Any]]] = {
    "read": lambda path: lambda: read(path),
    "inspect": lambda path: (model := read(path)) and (lambda: report(model)),
    **{
        name: lambda path, name=name: (
            (model := read(path))  # type: ignore[misc]
            and (lambda: codegen.generate(model, name))
        )
        for name in TARGETS
    },
}


def report(model: Model) -> None:
    lowered = lower(model)
    table(lowered)
    inspect_json(model, lowered, ())


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", MODELS)
def test_twice_the_layers_cost_twice_the_work(kind: str, stage: str, tmp_path: Path) -> None:
    paths = [MODELS[kind](tmp_path / f"{n}.h5", n) for n in (FEW, 2 * FEW)]
    for path in paths:  # what is made once in a process
        STAGES[stage](path)()
    few, many = (calls(STAGES[stage](path)) for path in paths)
    if (kind, stage) in PAIRWISE:
        assert many.total() < 4 * few.total()
        return
    slow = {
        f"{code.co_filename.rpartition('/')[2]}:{code.co_name}": (few[code], count)
        for code, count in many.items()
        if count > 2.6 * few[code] + 200
    }
    assert not slow
    assert many.total() < 2.3 * few.total()
