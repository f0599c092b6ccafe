"""The description of a model -> a live Keras model with random weights, and inputs for it.

A description is plain data, so that it can be printed, kept, and made smaller:

    {"seed": 7, "container": "keras", "batch": 2, "calls": [[6], [5]], "steps": [
        {"id": 0, "class": "Input", "options": {"shape": [None, 4]}},
        {"id": 1, "class": "GRU", "options": {"units": 3}, "args": [{"ref": [0, 0]}], "kwargs": {}},
     ], "outputs": [{"ref": [1, 0]}]}

Arguments are references to outputs of steps, constants, slices, plain values or lists of these;
`share` names the step whose layer is called once more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tests.random_models.table import KINDS

Array = npt.NDArray[Any]
Step = dict[str, Any]
Spec = dict[str, Any]


class Builder:
    """A Keras model that grows by one step after the other."""

    def __init__(self, batch: int | None = None) -> None:
        keras.utils.clear_session(free_memory=False)
        self.batch = batch
        self.values: dict[tuple[int, int], Any] = {}
        self.layers: dict[int, Any] = {}
        self.inputs: list[Any] = []

    def apply(self, step: Step) -> list[Any]:
        """The outputs of the step; whatever Keras raises where it cannot be."""
        name, number = step["class"], step["id"]
        if name == "Input":
            options = step["options"]
            given = {"batch_size": self.batch} if self.batch else {}
            found: Any = keras.Input(
                options["shape"], dtype=options.get("dtype"), name=f"input_{number}", **given
            )
            self.inputs.append(found)
        else:
            args = [self.argument(a) for a in step["args"]]
            kwargs = {k: self.argument(v) for k, v in step.get("kwargs", {}).items()}
            if isinstance(kwargs.get("axis"), list):
                kwargs["axis"] = tuple(kwargs["axis"])
            found = self._callable(step)(*args, **kwargs)
        outputs = list(found) if isinstance(found, (list, tuple)) else [found]
        for index, y in enumerate(outputs):
            self.values[number, index] = y
        return outputs

    def _callable(self, step: Step) -> Any:
        name, number = step["class"], step["id"]
        if name.startswith("ops."):
            return getattr(keras.ops, name[4:]) if name != "ops.get_item" else keras.ops.get_item
        if step.get("share") is not None:
            return self.layers[step["share"]]
        self.layers[number] = layer = made(name, step["options"], f"s{number}")
        return layer

    def argument(self, value: Any) -> Any:
        """An argument of a call."""
        if isinstance(value, dict):
            if "ref" in value:
                return self.values[tuple(value["ref"])]
            if "constant" in value:
                return keras.ops.convert_to_tensor(
                    np.array(value["constant"], value.get("dtype", "float32"))
                )
            if "slice" in value:
                return slice(*value["slice"])
            return Ellipsis
        if isinstance(value, list):
            found = [self.argument(v) for v in value]
            indexes = any(isinstance(v, slice) or v is Ellipsis for v in found)
            return tuple(found) if indexes else found
        return value


def made(name: str, options: dict[str, Any], own: str | None = None) -> Any:
    """The layer; `Chain` is a nested model, made where its input shape is known."""
    known = {"name": own} if own else {}
    if name == "Chain":
        return _nested(options, known)
    values = {key: _option(value) for key, value in options.items()}
    if name == "RNN" and isinstance(values["cell"], tuple):
        values["cell"] = list(values["cell"])
    return getattr(keras.layers, name)(**values, **known)


def _nested(options: dict[str, Any], known: dict[str, str]) -> Any:
    """Layers one after the other, after a sum of two inputs and with two outputs, if so wanted."""
    layers = [made(layer["class"], layer["options"]) for layer in options["layers"]]
    inputs = [keras.Input(options["shape"]) for _ in range(options.get("inputs", 1))]
    several = len(inputs) > 1 or options.get("outputs", 1) > 1
    if not (options.get("functional") or several):
        return keras.Sequential([*inputs, *layers], **known)
    y = inputs[0] if len(inputs) == 1 else keras.layers.Subtract()(inputs)
    passed = []
    for layer in layers:
        y = layer(y)
        passed.append(y)
    outputs = [y, passed[0]] if options.get("outputs", 1) > 1 else [y]
    if len(inputs) == 1 and len(outputs) == 1:
        return keras.Model(inputs[0], y, **known)
    return keras.Model(inputs, outputs if len(outputs) > 1 else y, **known)


def _option(value: Any) -> Any:
    if isinstance(value, dict):
        if "layer" in value:
            return made(value["layer"]["class"], value["layer"]["options"])
        if "layers" in value:
            return tuple(made(layer["class"], layer["options"]) for layer in value["layers"])
        return list(value["list"])
    return tuple(_option(v) for v in value) if isinstance(value, list) else value


def built(spec: Spec) -> Any:
    """The Keras model with random weights."""
    batch = spec["batch"] if spec.get("fixed_batch") else None
    builder = Builder(batch)
    if spec.get("sequential"):
        first, *rest = spec["steps"]
        builder.apply(first)
        layers = [made(step["class"], step["options"], f"s{step['id']}") for step in rest]
        model = keras.Sequential([*builder.inputs, *layers], name="model")
        return randomised(model, spec["seed"])
    for step in spec["steps"]:
        builder.apply(step)
    outputs = [builder.argument(ref) for ref in spec["outputs"]]
    inputs = builder.inputs
    model = keras.Model(
        inputs if len(inputs) > 1 else inputs[0],
        outputs if len(outputs) > 1 else outputs[0],
        name="model",
    )
    return randomised(model, spec["seed"])


def randomised(model: Any, seed: int) -> Any:
    """The model with random weights everywhere, in biases and moving statistics too."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "float" not in str(weight.dtype):
            continue
        value = rng.normal(0, 0.6, weight.shape)
        if "variance" in weight.path:
            value = np.abs(value) + 0.3
        weight.assign(value.astype(np.float32))
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):  # what follows from adapted weights
            layer.finalize_state()
    return model


def inputs_of(spec: Spec, lengths: Sequence[int], number: int) -> list[Array]:
    """The inputs of call `number`; free lengths are `lengths`, in turn."""
    rng = np.random.default_rng([spec["seed"], number])
    found = []
    for step in spec["steps"]:
        if step["class"] != "Input":
            continue
        options = step["options"]
        shape = (spec["batch"], *(lengths[0] if n is None else n for n in options["shape"]))
        if options.get("high"):
            x = rng.integers(0, options["high"], shape).astype(np.int32)
            if spec.get("fixed_batch"):  # a mask leaves the ends alone, see Drawing._mask
                x[:, [0, -1]] = 1
            found.append(x)
            continue
        x = rng.normal(0, 1, shape).astype(np.float32)
        if options.get("filled") is not None:  # rows for a Masking layer
            hidden = rng.random(shape[:2]) < 0.35
            if spec.get("fixed_batch"):
                hidden[:, [0, -1]] = False
            x[hidden] = options["filled"]
        found.append(x)
    return found


def kinds_in(spec: Spec) -> list[str]:
    """The kinds of a description, those inside wrappers too."""
    found = []
    for step in spec["steps"]:
        found.append(step["class"])
        found += _inside(step["options"])
    return [name for name in found if name in KINDS]


def options_in(spec: Spec) -> list[tuple[str, str, Any]]:
    """Kind, option and value of all that was chosen; "" for the value where it is not listed."""
    chosen = [(step["class"], step.get("chosen", {})) for step in spec["steps"]]
    alone = [(key, "", "") for key in kinds_in(spec)]
    return alone + [
        (key, name, value) for key, options in chosen for name, value in options.items()
    ]


def _inside(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["class"]] if isinstance(value.get("class"), str) else []
        return own + [name for part in value.values() for name in _inside(part)]
    if isinstance(value, list):
        return [name for part in value for name in _inside(part)]
    return []


def text(spec: Spec) -> str:
    """The description, one step a line."""
    head = {k: v for k, v in spec.items() if k != "steps"}
    steps = [{k: v for k, v in step.items() if k != "chosen"} for step in spec["steps"]]
    return "\n".join(json.dumps(part) for part in (head, *steps))
