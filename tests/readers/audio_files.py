"""Small random models in the JSON forms of RTNeural, AIDA-X and GuitarML."""

from __future__ import annotations

from typing import Any

import numpy as np

Object = dict[str, Any]


class Draw:
    """Random weights, rounded as float32 so that a reference in float64 has the same."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def __call__(self, *shape: int) -> Any:
        return self._random.normal(0.0, 0.5, shape).astype(np.float32).tolist()

    def positive(self, *shape: int) -> Any:
        """Numbers from 0.2 to 2, for variances."""
        return self._random.uniform(0.2, 2.0, shape).astype(np.float32).tolist()


def layer(kind: str, units: int, weights: Any, activation: str = "", **more: Any) -> Object:
    """A layer of RTNeural."""
    shape = [None, None, units]
    return {
        "type": kind, "activation": activation, "shape": shape, **more, "weights": weights,
    }  # fmt: skip


def dense(draw: Draw, inputs: int, units: int, activation: str = "", bias: bool = True) -> Object:
    """Without a bias there is one array of weights."""
    weights = [draw(inputs, units), draw(units)][: 1 + bias]
    return layer("dense", units, weights, activation)


def conv1d(
    draw: Draw, inputs: int, units: int, size: int, dilation: int, groups: int = 1,
    activation: str = "",
) -> Object:  # fmt: skip
    """A causal convolution."""
    weights = [draw(size, inputs // groups, units), draw(units)]
    more = {"groups": groups} if groups > 1 else {}
    window = {"kernel_size": [size], "dilation": [dilation], **more}
    return layer("conv1d", units, weights, activation, **window)


def gru(draw: Draw, inputs: int, units: int) -> Object:
    """Biases of both kinds."""
    weights = [draw(inputs, 3 * units), draw(units, 3 * units), draw(2, 3 * units)]
    return layer("gru", units, weights, "tanh")


def lstm(draw: Draw, inputs: int, units: int) -> Object:
    """One bias."""
    weights = [draw(inputs, 4 * units), draw(units, 4 * units), draw(4 * units)]
    return layer("lstm", units, weights)


def batchnorm(draw: Draw, units: int, affine: bool = True) -> Object:
    """Four arrays, or two."""
    weights = [draw(units), draw(units), draw(units), draw.positive(units)]
    return layer("batchnorm", units, weights if affine else weights[2:], epsilon=0.01)


def rtneural(inputs: int, *layers: Object, **more: Any) -> Object:
    """A file of RTNeural, or with `in_skip` and gains one of AIDA-X."""
    return {"in_shape": [None, None, inputs], **more, "layers": list(layers)}


def guitarml(
    unit: str = "LSTM", inputs: int = 1, hidden: int = 4, layers: int = 1, skip: int = 1,
    bias: bool = True,
) -> Object:  # fmt: skip
    """A file of GuitarML."""
    draw, gates = Draw(7), {"LSTM": 4, "GRU": 3, "RNN": 1}[unit]
    state: Object = {}
    for number in range(layers):
        rows, width = gates * hidden, inputs if number == 0 else hidden
        state[f"rec.weight_ih_l{number}"] = draw(rows, width)
        state[f"rec.weight_hh_l{number}"] = draw(rows, hidden)
        state[f"rec.bias_ih_l{number}"] = draw(rows)
        state[f"rec.bias_hh_l{number}"] = draw(rows)
    state["lin.weight"] = draw(1, hidden)
    if bias:
        state["lin.bias"] = draw(1)
    data = {
        "model": "SimpleRNN", "input_size": inputs, "skip": skip, "output_size": 1,
        "unit_type": unit, "num_layers": layers, "hidden_size": hidden, "bias_fl": bias,
    }  # fmt: skip
    return {"model_data": data, "state_dict": state}


def small() -> dict[str, Object]:
    """A model for each thing that a file may say."""
    d = Draw(3)
    return {
        "every activation": rtneural(
            1,
            dense(d, 1, 4, "tanh"),
            dense(d, 4, 4, "relu", bias=False),
            dense(d, 4, 4, "sigmoid"),
            layer("time-distributed-dense", 5, [d(4, 5), d(5)], "elu"),
            layer("activation", 5, [], "softmax"),
            layer("prelu", 5, [d(1, 5)]),
            dense(d, 5, 2),
        ),
        "convolutions": rtneural(
            2,
            conv1d(d, 2, 4, 3, 2, activation="tanh"),
            batchnorm(d, 4),
            layer("prelu", 4, [d(1, 1)]),
            conv1d(d, 4, 6, 2, 3, groups=2),
            batchnorm(d, 6, affine=False),
            conv1d(d, 6, 6, 4, 1, groups=6),
            conv1d(d, 6, 3, 1, 1),
        ),
        "gru": rtneural(1, dense(d, 1, 3, "tanh"), gru(d, 3, 5), dense(d, 5, 1)),
        "two lstms": rtneural(2, lstm(d, 2, 4), lstm(d, 4, 3), dense(d, 3, 1)),
        "aida-x": rtneural(
            1, lstm(d, 1, 4), dense(d, 4, 1), in_skip=1, in_gain=-6.0, out_gain=4.5,
            samplerate="48000", metadata={"author": "nobody"},
        ),
        "aida-x with a knob": rtneural(
            3, gru(d, 3, 4), dense(d, 4, 1), in_skip=1, in_gain=3, out_gain=None
        ),
        "guitarml": guitarml(),
        "guitarml with a knob": guitarml(inputs=2),
        "guitarml gru": guitarml("GRU", layers=2, skip=0),
        "guitarml rnn": guitarml("RNN", bias=False),
    }  # fmt: skip
