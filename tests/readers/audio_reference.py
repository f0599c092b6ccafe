"""What audio models compute, sample by sample in float64, written from their definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Step = Callable[[Array], Array]


def outputs(value: dict[str, Any], x: Array) -> Array:
    """What comes out of a model that starts with zeros everywhere."""
    run = _guitarml(value) if "state_dict" in value else _rtneural(value)
    return np.array([run(row) for row in x])


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max())
    return np.asarray(powers / powers.sum())


ACTIVATIONS: dict[str, Step] = {
    "": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": sigmoid,
    "softmax": softmax,
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
}


def _arrays(values: Any) -> list[Array]:
    return [np.asarray(one, np.float64) for one in values]


def _rtneural(value: dict[str, Any]) -> Step:
    steps = [LAYERS[one["type"]](one) for one in value["layers"]]
    gains = [10 ** ((value.get(key) or 0) / 20) for key in ("in_gain", "out_gain")]

    def run(x: Array) -> Array:
        x = np.array([x[0] * gains[0], *x[1:]])
        y = x
        for step in steps:
            y = step(y)
        return (y + x[:1] if value.get("in_skip") else y) * gains[1]

    return run


def _dense(one: dict[str, Any]) -> Step:
    kernel, *bias = _arrays(one["weights"])
    return lambda x: ACTIVATIONS[one["activation"]](x @ kernel + sum(bias))


def _conv1d(one: dict[str, Any]) -> Step:
    kernel, bias = _arrays(one["weights"])
    (dilation,), groups = one["dilation"], one.get("groups", 1)
    past: list[Array] = []

    def step(x: Array) -> Array:
        past.append(x)
        y = bias.copy()
        size, per_input, filters = kernel.shape
        for tap in range(size):
            at = len(past) - 1 - (size - 1 - tap) * dilation
            if at < 0:
                continue
            for out in range(filters):
                first = out // (filters // groups) * per_input
                y[out] += past[at][first : first + per_input] @ kernel[tap, :, out]
        return ACTIVATIONS[one["activation"]](y)

    return step


def _gru(one: dict[str, Any]) -> Step:
    kernel, recurrent, bias = _arrays(one["weights"])
    n = len(recurrent)
    h = np.zeros(n)

    def step(x: Array) -> Array:
        a, b = x @ kernel + bias[0], h @ recurrent + bias[1]
        z, r = sigmoid(a[:n] + b[:n]), sigmoid(a[n : 2 * n] + b[n : 2 * n])
        candidate = np.tanh(a[2 * n :] + r * b[2 * n :])
        h[:] = (1 - z) * candidate + z * h
        return h.copy()

    return step


def _lstm(one: dict[str, Any]) -> Step:
    kernel, recurrent, bias = _arrays(one["weights"])
    n = len(recurrent)
    h, c = np.zeros(n), np.zeros(n)

    def step(x: Array) -> Array:
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
        c[:] = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h[:] = sigmoid(o) * np.tanh(c)
        return h.copy()

    return step


def _prelu(one: dict[str, Any]) -> Step:
    (alpha,) = _arrays(one["weights"])
    return lambda x: np.where(x > 0, x, alpha[0] * x)


def _batchnorm(one: dict[str, Any]) -> Step:
    *affine, mean, variance = _arrays(one["weights"])

    def step(x: Array) -> Array:
        y = (x - mean) / np.sqrt(variance + one["epsilon"])
        return y * affine[0] + affine[1] if affine else y

    return step


LAYERS: dict[str, Callable[[dict[str, Any]], Step]] = {
    "dense": _dense,
    "time-distributed-dense": _dense,
    "conv1d": _conv1d,
    "gru": _gru,
    "lstm": _lstm,
    "prelu": _prelu,
    "batchnorm": _batchnorm,
    "activation": lambda one: ACTIVATIONS[one["activation"]],
}


def _guitarml(value: dict[str, Any]) -> Step:
    data = value["model_data"]
    state = {name: np.asarray(one, np.float64) for name, one in value["state_dict"].items()}
    n, depth = data["hidden_size"], data["num_layers"]
    h, c = np.zeros((depth, n)), np.zeros((depth, n))

    def step(x: Array) -> Array:
        y = x
        for k in range(depth):
            a = state[f"rec.weight_ih_l{k}"] @ y + state[f"rec.bias_ih_l{k}"]
            b = state[f"rec.weight_hh_l{k}"] @ h[k] + state[f"rec.bias_hh_l{k}"]
            if data["unit_type"] == "RNN":
                h[k] = np.tanh(a + b)
            elif data["unit_type"] == "GRU":
                r, z = sigmoid(a[:n] + b[:n]), sigmoid(a[n : 2 * n] + b[n : 2 * n])
                h[k] = (1 - z) * np.tanh(a[2 * n :] + r * b[2 * n :]) + z * h[k]
            else:
                i, f, g, o = np.split(a + b, 4)
                c[k] = sigmoid(f) * c[k] + sigmoid(i) * np.tanh(g)
                h[k] = sigmoid(o) * np.tanh(c[k])
            y = h[k].copy()
        y = state["lin.weight"] @ y + state.get("lin.bias", 0)
        return y + x[: data["skip"]] if data["skip"] else y

    return step
