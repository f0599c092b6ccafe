"""The networks as LiteRT (TensorFlow Lite) models of one step, states as inputs and outputs.

Kernels of all gates stay joined, so that a layer costs two products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from benchmarks.networks import INPUT, KERNEL_WIDTH, Case, Layer

if TYPE_CHECKING:
    from pathlib import Path


def _activation(name: str, x: Any) -> Any:
    if name == "linear":
        return x
    if name == "hard_sigmoid":
        return tf.clip_by_value(0.2 * x + 0.5, 0.0, 1.0)
    return getattr(tf.nn, name)(x)


def _gru(case: Case, layer: Layer, x: Any, h: Any) -> Any:
    kernel, recurrent, bias = case.weights[layer.name]
    n = layer.units
    first = bias[0] if layer.reset_after else bias
    a = tf.matmul(x, kernel) + first
    if layer.reset_after:
        b = tf.matmul(h, recurrent) + bias[1]
        gates = _activation(layer.recurrent_activation, a[:, : 2 * n] + b[:, : 2 * n])
        candidate = a[:, 2 * n :] + gates[:, n:] * b[:, 2 * n :]
    else:
        b = tf.matmul(h, recurrent[:, : 2 * n])
        gates = _activation(layer.recurrent_activation, a[:, : 2 * n] + b)
        candidate = a[:, 2 * n :] + tf.matmul(gates[:, n:] * h, recurrent[:, 2 * n :])
    z = gates[:, :n]
    return z * h + (1.0 - z) * _activation(layer.activation, candidate)


def _lstm(case: Case, layer: Layer, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
    kernel, recurrent, bias = case.weights[layer.name]
    sums = tf.matmul(tf.concat([x, h], 1), np.concatenate([kernel, recurrent])) + bias
    gate_in, forget, cell, out = tf.split(sums, 4, axis=1)
    gate, act = layer.recurrent_activation, layer.activation
    c = _activation(gate, forget) * c + _activation(gate, gate_in) * _activation(act, cell)
    return _activation(gate, out) * _activation(act, c), c


def _conv(case: Case, layer: Layer, x: Any, past: Any) -> tuple[Any, Any]:
    kernel, bias = case.weights[layer.name]
    size = kernel.shape[1]
    window = tf.concat([past, x], 1)
    taps = [i * layer.dilation * size for i in range(KERNEL_WIDTH)]
    row = tf.concat([window[:, at : at + size] for at in taps], 1)
    total = tf.matmul(row, kernel.reshape(-1, layer.units)) + bias
    return _activation(layer.activation, total), window[:, size:]


def step(case: Case, x: Any, states: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The outputs of one step and the next states, as TensorFlow operations."""
    values, following = {INPUT: x}, {}
    for layer in case.network.layers:
        inputs = [values[name] for name in layer.inputs]
        joined = inputs[0] if len(inputs) == 1 else tf.concat(inputs, 1)
        name = layer.name
        if layer.kind == "gru":
            values[name] = following[f"{name}_h"] = _gru(case, layer, joined, states[f"{name}_h"])
        elif layer.kind == "lstm":
            h, c = _lstm(case, layer, joined, states[f"{name}_h"], states[f"{name}_c"])
            values[name] = following[f"{name}_h"] = h
            following[f"{name}_c"] = c
        elif layer.kind == "conv":
            values[name], past = _conv(case, layer, joined, states[f"{name}_past"])
            following[f"{name}_past"] = past
        else:
            kernel, bias = case.weights[name]
            values[name] = _activation(layer.activation, tf.matmul(joined, kernel) + bias)
    return [values[name] for name in case.network.outputs], following


def write(case: Case, path: Path) -> None:
    """Convert and write; outputs are named out_0, out_1, ... and next_STATE."""
    network = case.network
    sizes = {INPUT: network.input_size, **dict(network.states())}

    def function(**tensors: Any) -> dict[str, Any]:
        outputs, following = step(case, tensors.pop(INPUT), tensors)
        named = {f"next_{name}": value for name, value in following.items()}
        return {**{f"out_{i}": value for i, value in enumerate(outputs)}, **named}

    specs = {name: tf.TensorSpec([1, size], tf.float32, name) for name, size in sizes.items()}
    module = tf.Module()
    module.step = tf.function(function)
    concrete = module.step.get_concrete_function(**specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    path.write_bytes(converter.convert())
