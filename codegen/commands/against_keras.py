"""What the Keras that is installed computes of a model, asked for in a process of its own.

Nothing here needs Keras unless `verify --against keras` is given: the child process, which runs
`main`, is the only one that loads it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from codegen.errors import CodegenError
from codegen.lowered import Reference
from codegen.lowering import lower
from codegen.model import Array, Graph, Input, Model, Ref

SECONDS = 600
BACKENDS = ("tensorflow", "torch", "jax")


@dataclass(frozen=True)
class Found:
    """Outputs of the model, and those of its layers by name, without a batch axis."""

    version: str
    outputs: tuple[Array, ...]
    layers: dict[str, Array]


def ask(model: str, config: str | None, inputs: Sequence[Array], layers: Sequence[str]) -> Found:
    """Predict in the installed Keras; CodegenError where there is none or it cannot."""
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
        np.savez(given, *inputs)
        order = {"model": str(Path(model).resolve()), "config": None, "layers": list(layers)}
        if config is not None:
            order["config"] = str(Path(config).resolve())
        root = str(Path(__file__).resolve().parents[2])
        start = f"import sys; sys.path.insert(0, {root!r}); "
        start += "import codegen.commands.against_keras as child; "
        start += "child.main(*sys.argv[1:])"
        command = [sys.executable, "-c", start, json.dumps(order), str(given), str(answer)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            raise CodegenError(f"Keras did not answer within {SECONDS} s") from None
        if done.returncode or not answer.exists():
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise CodegenError(lines[-1][:400] if lines else "Keras did not answer")
        with np.load(answer, allow_pickle=False) as arrays:
            outputs = [arrays[key] for key in arrays.files if key.startswith("output ")]
            named = {key[6:]: arrays[key] for key in arrays.files if key.startswith("layer ")}
            return Found(str(arrays["version"]), tuple(outputs), named)


def top_layers(model: Model) -> dict[str, int]:
    """The nodes of the layers that stand in the model itself and are called once, by name."""
    calls: dict[str, list[int]] = {}
    for number, node in enumerate(model.graph.nodes):
        if not isinstance(node.layer, Input) and "/" not in node.layer.name:
            calls.setdefault(node.layer.name, []).append(number)
    return {name: numbers[0] for name, numbers in calls.items() if len(numbers) == 1}


def layer_output(model: Model, node: int, inputs: Sequence[Array]) -> Array:
    """What the float64 interpreter computes up to one node."""
    graph = model.graph
    cut = replace(model, graph=Graph(graph.nodes, graph.inputs, (Ref(node),)))
    found = Reference(lower(cut)).predict(*(np.asarray(x)[None] for x in inputs))
    return np.asarray(found[0][0])


# ---- in the child ---------------------------------------------------------------------------


def main(order: str, given: str, answer: str) -> None:
    """Load the model, predict, write what came out."""
    try:
        _answer(json.loads(order), given, answer)
    except Exception as error:  # noqa: BLE001  # whatever Keras raises becomes one line
        text = " ".join(str(error).split())
        sys.exit(f"{type(error).__name__}: {text}" if not isinstance(error, CodegenError) else text)


def _answer(order: dict[str, Any], given: str, answer: str) -> None:
    there = [name for name in BACKENDS if importlib.util.find_spec(name) is not None]
    if there:  # Keras itself takes TensorFlow unless it is told otherwise, installed or not
        os.environ.setdefault("KERAS_BACKEND", there[0])
    try:
        keras: Any = importlib.import_module("keras")
    except ImportError as error:
        raise CodegenError(
            f"--against keras needs Keras and its backend, which are not installed here ({error}); "
            "`pip install keras jax` installs them"
        ) from None
    path, config = order["model"], order["config"]
    try:
        if config is not None:
            model = keras.models.model_from_json(Path(config).read_text(encoding="utf-8"))
            model.load_weights(path)
        else:
            model = keras.models.load_model(path, compile=False)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise CodegenError(
            f"Keras {keras.__version__} cannot load {Path(path).name} ({text}); use the version "
            "that saved it"
        ) from error
    with np.load(given, allow_pickle=False) as arrays:
        inputs = [arrays[key][None] for key in arrays.files]
    batch = model.inputs[0].shape[0] or 1
    inputs = [np.repeat(x, batch, 0) for x in inputs]
    x = inputs if len(inputs) > 1 else inputs[0]
    found: dict[str, Any] = {"version": np.array(str(keras.__version__))}
    outputs = model(x, training=False)  # as predict calls it, whatever the calls in the file say
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    for number, y in enumerate(outputs):
        found[f"output {number:04}"] = _plain(y)
    by_name = {layer.name: layer for layer in model.layers}
    for name in order["layers"]:
        layer = by_name.get(name)
        if layer is None:
            continue
        for one in model.layers:
            if getattr(one, "stateful", False) and hasattr(one, "reset_states"):
                one.reset_states()
        y = keras.Model(model.inputs, layer.output)(x, training=False)
        found[f"layer {name}"] = _plain(y[0] if isinstance(y, (list, tuple)) else y)
    np.savez(answer, **found)


def _plain(y: Any) -> Array:
    tensor = y.detach().cpu() if hasattr(y, "detach") else y
    rows: Array = np.asarray(tensor)
    return np.asarray(rows[0])
