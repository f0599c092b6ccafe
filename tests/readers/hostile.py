"""Model files made by hand: small good ones, and from them every kind of hostile one.

`CASES` has for each a function that writes it into a folder, and what the refusal must say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Entry = dict[str, Any]


def gru(name: str, inputs: int, units: int, **more: Any) -> Entry:
    """The entry of a GRU as Keras 2.1.5 writes it; `_arrays` are its weights."""
    rng = np.random.default_rng(units)
    shapes = ((inputs, 3 * units), (units, 3 * units), (3 * units,))
    config = {
        "name": name,
        "batch_input_shape": [None, None, inputs],
        "units": units,
        "activation": "tanh",
        "recurrent_activation": "hard_sigmoid",
        "use_bias": True,
        "return_sequences": True,
        "return_state": False,
        "go_backwards": False,
        "stateful": True,
        "unroll": False,
        "reset_after": False,
        **more,
    }
    arrays = [rng.normal(0, 0.4, shape).astype(np.float32) for shape in shapes]
    return {"class_name": "GRU", "config": config, "_arrays": arrays}


def dense(name: str, inputs: int, units: int, **more: Any) -> Entry:
    """The entry of a Dense, with its weights under `_arrays`."""
    rng = np.random.default_rng(units)
    config = {
        "name": name,
        "batch_input_shape": [None, None, inputs],
        "units": units,
        "activation": "linear",
        "use_bias": True,
        **more,
    }
    arrays = [rng.normal(0, 0.4, shape).astype(np.float32) for shape in ((inputs, units), (units,))]
    return {"class_name": "Dense", "config": config, "_arrays": arrays}


class Sequential:
    """A Sequential model as Keras 2.1.5 writes it, of any entries whatever."""

    def __init__(self, layers: Sequence[Entry], version: str = "2.1.5") -> None:
        self.layers = layers
        self.version = version

    def config(self) -> Any:
        """The configuration without the weights."""
        plain = [{k: v for k, v in e.items() if k != "_arrays"} for e in self.layers]
        return {"class_name": "Sequential", "config": plain}

    def save(self, path: Path, config: str | bytes | None = None) -> Path:
        """Write a whole-model HDF5 file, its configuration replaced where one is given."""
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps(self.config()) if config is None else config
            if self.version:
                file.attrs["keras_version"] = self.version
            file.attrs["backend"] = "tensorflow"
            self.write_weights(file.create_group("model_weights"))
        return path

    def write_weights(self, group: h5py.Group) -> None:
        """The weights as a flat file has them. Groups have names of their own: order decides."""
        names = []
        for number, entry in enumerate(self.layers):
            names.append(f"layer_{number}")
            inner = group.create_group(names[-1])
            arrays = entry.get("_arrays", [])
            for k, array in enumerate(arrays):
                inner.create_dataset(f"w{k}", data=array)
            inner.attrs["weight_names"] = np.array([f"w{k}".encode() for k in range(len(arrays))])
        group.attrs["layer_names"] = np.array([name.encode() for name in names])


def small() -> Sequential:
    """A GRU and a Dense."""
    return Sequential([gru("g", 2, 3), dense("d", 3, 2)])


Make = Callable[[Path], Path]
