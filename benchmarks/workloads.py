"""Build the networks in Keras with random weights, save them, and record what they predict.

    python -m benchmarks.workloads FOLDER [KEY...]

W1 needs the hard_sigmoid of Keras 2, clip(0.2 x + 0.5, 0, 1); Keras 3 means another function by
that name. So tf_keras, which is Keras 2 as it lives on, writes that file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.networks import BY_KEY, INPUT, KERNEL_WIDTH, NETWORKS, Layer, Network, paths

STEPS = 256
SEED = 20


def keras_module(network: Network) -> Any:
    """The Keras that a network is built with."""
    if network.keras2:
        import tf_keras

        return tf_keras
    import keras

    return keras


def keras_layer(keras: Any, layer: Layer, **options: Any) -> Any:
    """A Keras layer that is not built yet."""
    common = {"name": layer.name, "activation": layer.activation}
    recurrent = {"recurrent_activation": layer.recurrent_activation, "return_sequences": True}
    if layer.kind == "dense":
        return keras.layers.Dense(layer.units, **common)
    if layer.kind == "conv":
        return keras.layers.Conv1D(
            layer.units, KERNEL_WIDTH, padding="causal", dilation_rate=layer.dilation, **common
        )
    if layer.kind == "lstm":
        return keras.layers.LSTM(layer.units, **common, **recurrent, **options)
    return keras.layers.GRU(
        layer.units, reset_after=layer.reset_after, **common, **recurrent, **options
    )


def build(network: Network, batch: int | None = None, *, stateful: bool = False) -> Any:
    """The Keras model, any number of time steps, with weights of a plausible size."""
    keras = keras_module(network)
    keras.utils.set_random_seed(SEED)
    shape = {"batch_shape": (batch, None, network.input_size), "name": INPUT}
    tensors = {INPUT: keras.Input(**shape)}
    for layer in network.layers:
        inputs = [tensors[name] for name in layer.inputs]
        joined = inputs[0] if len(inputs) == 1 else keras.layers.Concatenate()(inputs)
        options = {"stateful": stateful} if layer.kind in {"gru", "lstm"} else {}
        tensors[layer.name] = keras_layer(keras, layer, **options)(joined)
    model = keras.Model(tensors[INPUT], [tensors[name] for name in network.outputs])
    generator = np.random.default_rng(SEED)
    for layer in network.layers:
        built = model.get_layer(layer.name)
        built.set_weights(
            [
                w if w.ndim > 1 and "bias" not in v.name else generator.normal(0, 0.1, w.shape)
                for w, v in zip(built.get_weights(), built.weights, strict=True)
            ]
        )
    return model


def predict(model: Any, x: np.ndarray) -> np.ndarray:
    """The outputs for one sequence (steps, input), side by side: (steps, outputs)."""
    found = model.predict(x[None], verbose=0)
    outputs = found if isinstance(found, list) else [found]
    return np.concatenate([np.asarray(y)[0] for y in outputs], axis=-1)


def make(network: Network, folder: Path) -> None:
    """Write the model file and the arrays beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    model_path, arrays_path = paths(network, folder)
    model = build(network)
    model.save(str(model_path))
    x = np.random.default_rng(SEED + 1).normal(0, 1, (STEPS, network.input_size))
    x = x.astype(np.float32)
    arrays = {"x": x, "y": predict(model, x)}
    for layer in network.layers:
        for i, weights in enumerate(model.get_layer(layer.name).get_weights()):
            arrays[f"{layer.name}/{i}"] = weights
    np.savez(arrays_path, **arrays)
    print(f"{network.key}: {model.count_params()} parameters, {model_path.name}", flush=True)


def main() -> None:
    """Make all networks, or those that are named."""
    folder = Path(sys.argv[1])
    for network in [BY_KEY[key] for key in sys.argv[2:]] or NETWORKS:
        make(network, folder)


if __name__ == "__main__":
    main()
