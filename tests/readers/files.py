"""Model files made by hand, as small as can be: any layout, any era, right or wrong."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from codegen.model import Array, Model, Unsupported

Json = dict[str, Any]
Layers = Sequence[tuple[str, Sequence[tuple[str, Array]]]]


def array(*shape: int, seed: int = 0, dtype: str = "float32") -> Array:
    """Random numbers, others for each seed."""
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


# ---- configurations -----------------------------------------------------------------------


def layer(class_name: str, name: str, **config: Any) -> Json:
    """An entry of Keras 2's `layers`."""
    settings = {"name": name, "trainable": True, **config}
    return {"class_name": class_name, "config": settings, "name": name}


def dense(name: str, units: int, **config: Any) -> Json:
    """A Dense."""
    return layer("Dense", name, **{"units": units, "activation": "linear", **config})


def gru(name: str, units: int, **config: Any) -> Json:
    """A GRU, reset_after=False, that returns sequences."""
    usual = {
        "units": units,
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "reset_after": False,
        "return_sequences": True,
    }
    return layer("GRU", name, **{**usual, **config})


def sequential(*layers: Json, name: str = "model", shape: Sequence[int | None] = (None, 3)) -> Json:
    """A Sequential in Keras 2's dict form; the first layer gets the input shape."""
    first, *rest = layers
    config = {**first["config"], "batch_input_shape": [None, *shape]}
    entries = [{**first, "config": config}, *rest]
    return {"class_name": "Sequential", "config": {"name": name, "layers": entries}, "name": name}


def functional(layers: Sequence[Json], inputs: Sequence[Any], outputs: Sequence[Any]) -> Json:
    """A functional model; inputs and outputs are names or [name, node, tensor]."""

    def ends(values: Sequence[Any]) -> list[Any]:
        return [[value, 0, 0] if isinstance(value, str) else value for value in values]

    config = {
        "name": "model",
        "layers": list(layers),
        "input_layers": ends(inputs),
        "output_layers": ends(outputs),
    }
    return {"class_name": "Functional", "config": config, "name": "model"}


def given(name: str, *shape: int | None) -> Json:
    """An InputLayer."""
    entry = layer("InputLayer", name, batch_input_shape=[None, *shape], dtype="float32")
    return {**entry, "inbound_nodes": []}


def called(entry: Json, *nodes: Any) -> Json:
    """The entry called once for each node: a list of names or [name, node, tensor, kwargs]."""

    def source(value: Any) -> Any:
        return [value, 0, 0, {}] if isinstance(value, str) else value

    return {**entry, "inbound_nodes": [[source(value) for value in node] for node in nodes]}


def tensor(name: str, node: int = 0, index: int = 0) -> Json:
    """A tensor as Keras 3 spells it."""
    config = {"shape": [None], "dtype": "float32", "keras_history": [name, node, index]}
    return {"class_name": "__keras_tensor__", "config": config}


def own(entry: Json) -> Json:
    """The entry with the keys of Keras 3's own layers."""
    return {**entry, "module": "keras.layers", "registered_name": None}


# ---- weights ------------------------------------------------------------------------------


def dense_weights(inputs: int, units: int, seed: int = 0) -> list[tuple[str, Array]]:
    """Kernel and bias."""
    return [
        ("kernel:0", array(inputs, units, seed=seed)),
        ("bias:0", array(units, seed=seed + 100)),
    ]


def gru_weights(inputs: int, units: int, seed: int = 0) -> list[tuple[str, Array]]:
    """Kernel, recurrent kernel and one row of biases."""
    return [
        ("kernel:0", array(inputs, 3 * units, seed=seed)),
        ("recurrent_kernel:0", array(units, 3 * units, seed=seed + 1)),
        ("bias:0", array(3 * units, seed=seed + 2)),
    ]


# ---- containers ---------------------------------------------------------------------------


def write_layers(root: h5py.Group, layers: Layers) -> None:
    """The flat layout of weights below `root`."""
    root.attrs["layer_names"] = np.array([name.encode() for name, _ in layers], dtype="S")
    for name, weights in layers:
        group = root.create_group(name)
        # Keras stores the names of no weights as an empty list of float64.
        names: Any = np.array([weight.encode() for weight, _ in weights], dtype="S")
        group.attrs["weight_names"] = names if weights else np.zeros(0)
        for weight, values in weights:
            group.create_dataset(weight, data=values)


def write_h5(
    path: Path, config: Json, layers: Layers, version: str | None = "2.2.4", **attributes: Any
) -> Path:
    """A whole-model HDF5 file."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config).encode()
        if version is not None:
            file.attrs["keras_version"] = version.encode()
        file.attrs["backend"] = b"tensorflow"
        for key, value in attributes.items():
            file.attrs[key] = value
        write_layers(file.create_group("model_weights"), layers)
    return path


def write_weights(path: Path, layers: Layers, version: str | None = "2.2.4") -> Path:
    """A file of weights alone, in the flat layout."""
    with h5py.File(path, "w") as file:
        if version is not None:
            file.attrs["keras_version"] = version.encode()
        write_layers(file, layers)
    return path


def write_json(path: Path, config: Json, **more: Any) -> Path:
    """What `to_json` gives."""
    path.write_text(json.dumps({**config, **more}))
    return path


def variables(path: str, *values: Array) -> dict[str, Array]:
    """The variables of one object of a .keras file."""
    return {f"{path}/vars/{number}": value for number, value in enumerate(values)}


def weights_file(arrays: Mapping[str, Array]) -> bytes:
    """The bytes of a .weights.h5 file."""
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        for path, values in arrays.items():
            file.create_dataset(path, data=values)
    return data.getvalue()


def write_keras(
    path: Path, config: Json, arrays: Mapping[str, Array], version: str = "3.5.0"
) -> Path:
    """A .keras zip."""
    return write_zip(
        path,
        [
            ("metadata.json", json.dumps({"keras_version": version}).encode()),
            ("config.json", json.dumps(config).encode()),
            ("model.weights.h5", weights_file(arrays)),
        ],
    )


def write_zip(path: Path, members: Iterable[tuple[str, bytes]], packed: bool = False) -> Path:
    """Any zip."""
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


# ---- what was read ------------------------------------------------------------------------


def named(model: Model, name: str) -> Any:
    """The layer of that path."""
    return next(found for found in model.layers if found.name == name)


def problems(model: Model) -> list[str]:
    """What stands in the way of converting the model."""
    inside = [found.problem for found in model.layers if isinstance(found, Unsupported)]
    return [str(problem) for problem in (*inside, *model.problems)]
