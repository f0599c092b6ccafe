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
    kind = "state_dict" if "state_dict" in value else value.get("architecture")
    run = {"state_dict": _guitarml, None: _rtneural}.get(kind, _nam)(value)
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


def _conv2d(one: dict[str, Any]) -> Step:
    """A row is (features, filters); rows before the first, and features beside them, are zero."""
    kernel, bias = _arrays(one["weights"])
    size, wide, inputs, filters = kernel.shape
    features, stride, dilation = one["num_features_in"], one["strides"], one["dilation"]
    count = -(-features // stride) if one["padding"] == "same" else (features - wide) // stride + 1
    missing = max((count - 1) * stride + wide - features, 0) if one["padding"] == "same" else 0
    past: list[Array] = []

    def step(x: Array) -> Array:
        row = np.zeros((features + missing, inputs))
        row[missing // 2 : missing // 2 + features] = x.reshape(features, inputs)
        past.append(row)
        y = np.zeros((count, filters)) + bias
        for tap in range(size):
            at = len(past) - 1 - (size - 1 - tap) * dilation
            for place in range(count if at >= 0 else 0):
                part = past[at][place * stride : place * stride + wide]
                y[place] += np.tensordot(part, kernel[tap], 2)
        return ACTIVATIONS[one["activation"]](y.ravel())

    return step


def _batchnorm2d(one: dict[str, Any]) -> Step:
    step, filters = _batchnorm(one), one["num_filters_in"]
    return lambda x: step(x.reshape(-1, filters)).ravel()


LAYERS: dict[str, Callable[[dict[str, Any]], Step]] = {
    "dense": _dense,
    "time-distributed-dense": _dense,
    "conv1d": _conv1d,
    "gru": _gru,
    "lstm": _lstm,
    "prelu": _prelu,
    "batchnorm": _batchnorm,
    "conv2d": _conv2d,
    "batchnorm2d": _batchnorm2d,
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


# ---- Neural Amp Modeler ---------------------------------------------------------------------


class Weights:
    """The flat list; without one, zeros, of which it knows how many were taken."""

    def __init__(self, values: list[float] | None = None) -> None:
        self.values, self.taken = values, 0

    def take(self, *shape: int) -> Array:
        size = int(np.prod(shape))
        self.taken += size
        found = self.values[self.taken - size : self.taken] if self.values else [0.0] * size
        return np.array(found, np.float64).reshape(shape)


def count(config: dict[str, Any]) -> int:
    """How many weights a WaveNet has."""
    weights = Weights()
    _wave_net(config, weights)
    return weights.taken


def _nam(value: dict[str, Any]) -> Step:
    weights = Weights(value["weights"])
    build = {"Linear": _linear, "LSTM": _nam_lstm, "ConvNet": _conv_net, "WaveNet": _wave_net}
    run = build[value["architecture"]](value["config"], weights)
    assert weights.taken == len(value["weights"])
    return run


NAM_ACTIVATIONS: dict[str, Callable[[Array], Any]] = {
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": sigmoid,
    "SiLU": lambda x: x * sigmoid(x),
    "Hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "Hardtanh": lambda x: np.clip(x, -1, 1),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Fasttanh": lambda x: _fast_tanh(x, np.abs(x)),
}


def _fast_tanh(x: Array, size: Array) -> Array:
    top = 2.45550750702956 * (1 + size) + (0.893229853513558 + 0.821226666969744 * size) * x**2
    bottom = (2.44506634652299 + x**2) * np.abs(x + 0.814642734961073 * x * size)
    return x * top / (2.44506634652299 + bottom)


def _activation(given: Any) -> Callable[[Array], Any]:
    given = {"type": given} if isinstance(given, str) else given
    if given["type"] in NAM_ACTIVATIONS:
        return NAM_ACTIVATIONS[given["type"]]
    if given["type"] == "LeakyHardtanh":
        low, high = given.get("min_val", -1.0), given.get("max_val", 1.0)
        down, up = given.get("min_slope", 0.01), given.get("max_slope", 0.01)
        return lambda x: (
            np.clip(x, low, high) + down * np.minimum(x - low, 0) + up * np.maximum(x - high, 0)
        )
    slope = np.array(given.get("negative_slopes", given.get("negative_slope", 0.01)))
    return lambda x: np.where(x > 0, x, slope * x)


def _conv(
    weights: Weights, inputs: int, outputs: int, size: int = 1, dilation: int = 1,
    groups: int = 1, bias: bool = True,
) -> Step:  # fmt: skip
    """Kernel (outputs, inputs / groups, size), whose last tap is the newest sample."""
    kernel = weights.take(outputs, inputs // groups, size)
    offset = weights.take(outputs) if bias else np.zeros(outputs)
    past: list[Array] = []

    def step(x: Array) -> Array:
        past.append(x)
        y = offset.copy()
        for out in range(outputs):
            first = out // (outputs // groups) * (inputs // groups)
            for tap in range(size):
                at = len(past) - 1 - (size - 1 - tap) * dilation
                if at >= 0:
                    y[out] += kernel[out, :, tap] @ past[at][first : first + inputs // groups]
        return y

    return step


def _linear(config: dict[str, Any], weights: Weights) -> Step:
    taps = weights.take(config["receptive_field"])
    bias = weights.take(1) if config["bias"] else np.zeros(1)
    past: list[float] = []

    def step(x: Array) -> Array:
        past.insert(0, x[0])
        return bias + sum(tap * sample for tap, sample in zip(taps, past, strict=False))

    return step


def _nam_lstm(config: dict[str, Any], weights: Weights) -> Step:
    n, cells = config["hidden_size"], []
    for number in range(config["num_layers"]):
        width = n if number else config["input_size"]
        cells.append(
            (weights.take(4 * n, width + n), weights.take(4 * n), weights.take(n), weights.take(n))
        )
    outputs = config.get("out_channels", 1)
    head, bias = weights.take(outputs, n), weights.take(outputs)

    def step(x: Array) -> Array:
        for matrix, offset, h, c in cells:
            i, f, g, o = np.split(matrix @ np.concatenate([x, h]) + offset, 4)
            c[:] = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h[:] = sigmoid(o) * np.tanh(c)
            x = h
        return head @ x + bias

    return step


def _conv_net(config: dict[str, Any], weights: Weights) -> Step:
    n, width, steps = config["channels"], 1, list[Step]()
    for dilation in config["dilations"]:
        steps.append(_conv(weights, width, n, 2, dilation, bias=not config["batchnorm"]))
        if config["batchnorm"]:
            mean, variance, gamma, beta = (weights.take(n) for _ in range(4))
            steps.append(_normalised(mean, np.sqrt(variance + weights.take(1)), gamma, beta))
        steps.append(_activation(config["activation"]))
        width = n
    return _chained([*steps, _conv(weights, width, 1)])


def _normalised(mean: Array, deviation: Array, gamma: Array, beta: Array) -> Step:
    return lambda x: (x - mean) / deviation * gamma + beta


def _chained(steps: list[Step]) -> Step:
    def run(x: Array) -> Array:
        for step in steps:
            x = step(x)
        return x

    return run


def _wave_net(config: dict[str, Any], weights: Weights) -> Step:
    arrays = [_array(one, weights) for one in config["layers"]]
    after, width = list[Step](), 0
    head = config["head"]
    if head:
        last = config["layers"][-1]
        width = last["head"]["out_channels"] if last.get("head") else last["head_size"]
        for number, size in enumerate(head["kernel_sizes"], 1):
            outputs = head["out_channels" if number == len(head["kernel_sizes"]) else "channels"]
            after += [_activation(head["activation"]), _conv(weights, width, outputs, size)]
            width = outputs
    scale = weights.take(1)
    inside = _nam(config["condition_dsp"]) if config.get("condition_dsp") else lambda x: x

    def run(x: Array) -> Array:
        condition, total = inside(x), None
        for array in arrays:
            x, total = array(x, condition, total)
        return _chained(after)(scale * total)

    return run


FILMS = (
    "conv_pre_film", "conv_post_film", "input_mixin_pre_film", "input_mixin_post_film",
    "activation_pre_film", "activation_post_film", "layer1x1_post_film", "head1x1_post_film",
)  # fmt: skip


def _film(
    given: Any, weights: Weights, condition: int, width: int
) -> Callable[[Array], tuple[Any, Any]]:
    """Scale and shift of a place; 1 and 0 where nothing is there."""
    if not given or not given["active"]:
        return lambda x: (1.0, 0.0)
    outputs = 2 * width if given["shift"] else width
    conv = _conv(weights, condition, outputs, groups=given["groups"])

    def at(x: Array) -> tuple[Any, Any]:
        y = conv(x)
        return y[:width], y[width:] if given["shift"] else 0.0

    return at


def _array(config: dict[str, Any], weights: Weights) -> Callable[..., tuple[Array, Array]]:
    channels = config["channels"]
    n, count = config.get("bottleneck", channels), len(config["dilations"])

    def each(key: str, otherwise: Any) -> list[Any]:
        found = config.get(key, otherwise)
        return found if isinstance(found, list) else [found] * count

    rechannel = _conv(weights, config["input_size"], channels, bias=False)
    one, two = config.get("layer1x1", {}), config.get("head1x1", {})
    layers, summed = [], two["out_channels"] if two.get("active") else n
    for size, dilation, first, mode, second in zip(
        each("kernel_sizes", config.get("kernel_size")),
        config["dilations"],
        each("activation", None),
        each("gating_mode", "gated" if config.get("gated") else "none"),
        each("secondary_activation", "Sigmoid"),
        strict=True,
    ):
        wide = n if mode == "none" else 2 * n
        conv = _conv(weights, channels, wide, size, dilation, config.get("groups_input", 1))
        mixin = _conv(weights, config["condition_size"], wide, bias=False)
        out = skip = None
        if one.get("active", True):
            out = _conv(weights, n, channels, groups=one.get("groups", 1))
        if two.get("active"):
            skip = _conv(weights, n, summed, groups=two["groups"])
        m, condition = channels, config["condition_size"]
        widths = (m, wide, condition, wide, wide, n, m, summed)
        films = {
            key: _film(config.get(key), weights, condition, width)
            for key, width in zip(FILMS, widths, strict=True)
        }
        layers.append(
            (conv, mixin, _activation(first), mode, _activation(second), out, skip, films)
        )
    head = config.get("head") or {
        "out_channels": config["head_size"], "kernel_size": 1, "bias": config["head_bias"],
    }  # fmt: skip
    last = _conv(
        weights, summed, head["out_channels"], head["kernel_size"], head.get("head_dilation", 1),
        bias=head["bias"],
    )  # fmt: skip

    def run(x: Array, condition: Array, total: Array | None) -> tuple[Array, Array]:
        x = rechannel(x)
        total = np.zeros(summed) if total is None else total
        for conv, mixin, first, mode, second, out, skip, films in layers:

            def film(y: Array, key: str, films: Any = films) -> Array:
                scale, shift = films[key](condition)
                return scale * y + shift

            y = film(conv(film(x, "conv_pre_film")), "conv_post_film")
            mixed = mixin(film(condition, "input_mixin_pre_film"))
            z = film(y + film(mixed, "input_mixin_post_film"), "activation_pre_film")
            if mode == "gated":
                z = first(z[:n]) * second(z[n:])
            elif mode == "blended":
                gate = second(z[n:])
                z = gate * first(z[:n]) + (1 - gate) * z[:n]
            else:
                z = first(z)
            z = film(z, "activation_post_film")
            x = x if out is None else x + film(out(z), "layer1x1_post_film")
            total = total + film(z if skip is None else skip(z), "head1x1_post_film")
        return x, last(total)

    return run
