"""Small random models in the JSON forms of RTNeural, AIDA-X, GuitarML and NAM."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.readers import audio_reference

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


def conv2d(
    draw: Draw, before: tuple[int, int], after: tuple[int, int], sizes: tuple[int, int],
    dilation: int, stride: int, padding: str, activation: str = "",
) -> Object:  # fmt: skip
    """From so many features and filters to others, causal along time."""
    (features, inputs), (_, filters) = before, after
    weights = [draw(*sizes, inputs, filters), draw(filters)]
    return {
        "type": "conv2d", "activation": activation, "shape": [None, None, *after],
        "kernel_size_time": sizes[0], "kernel_size_feature": sizes[1], "dilation": dilation,
        "strides": stride, "num_filters_in": inputs, "num_features_in": features,
        "num_filters_out": filters, "padding": padding, "weights": weights,
    }  # fmt: skip


def batchnorm2d(draw: Draw, features: int, filters: int) -> Object:
    """As batchnorm, of each filter."""
    grid = {"num_features_in": features, "num_filters_in": filters}
    shape = [None, None, features, filters]
    return {**batchnorm(draw, filters), "type": "batchnorm2d", "shape": shape, **grid}


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
        "features and filters": {
            "in_shape": [None, None, 7, 2],
            "layers": [
                conv2d(d, (7, 2), (5, 3), (3, 3), 2, 1, "valid", "tanh"),
                batchnorm2d(d, 5, 3),
                conv2d(d, (5, 3), (3, 4), (2, 4), 1, 2, "same"),
                conv2d(d, (3, 4), (3, 1), (1, 1), 1, 1, "same", "softmax"),
                dense(d, 3, 2),
            ],
        },
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


# ---- Neural Amp Modeler ---------------------------------------------------------------------


def nam(architecture: str, config: Object, weights: list[float], **more: Any) -> Object:
    """A .nam file."""
    return {
        "version": "0.5.4", "architecture": architecture, "config": config, **more,
        "weights": weights,
    }  # fmt: skip


def nam_lstm(inputs: int = 1, hidden: int = 3, layers: int = 2, outputs: int = 1) -> Object:
    """With the first states that were learned."""
    d, weights = Draw(11), list[float]()
    for number in range(layers):
        width = inputs if number == 0 else hidden
        weights += d(4 * hidden * (width + hidden)) + d(4 * hidden) + d(hidden) + d(hidden)
    weights += d(outputs * hidden) + d(outputs)
    config = {"input_size": inputs, "hidden_size": hidden, "num_layers": layers}
    channels = {"in_channels": inputs, "out_channels": outputs}
    return nam("LSTM", {**config, **channels}, weights, sample_rate=48000)


def conv_net(batchnorm: bool) -> Object:
    """Three blocks."""
    d, channels, dilations = Draw(12), 4, [1, 2, 5]
    weights, width = list[float](), 1
    for _ in dilations:
        weights += d(channels * width * 2)
        if batchnorm:
            weights += d(channels) + d.positive(channels) + d(channels) + d(channels) + [0.01]
        else:
            weights += d(channels)
        width = channels
    weights += d(channels) + d(1)
    config = {
        "channels": channels, "dilations": dilations, "batchnorm": batchnorm,
        "activation": "Tanh",
    }  # fmt: skip
    return nam("ConvNet", config, weights)


def array(inputs: int, channels: int, head: int, dilations: list[int], **more: Any) -> Object:
    """An array of layers of the first generation."""
    return {
        "input_size": inputs, "condition_size": 1, "head_size": head, "channels": channels,
        "kernel_size": 3, "dilations": dilations, "activation": "Tanh", "gated": False,
        "head_bias": False, **more,
    }  # fmt: skip


def wave_net(*arrays: Object, **more: Any) -> Object:
    """As many weights as the reference takes; the last of them is the scale of the head."""
    config = {"layers": list(arrays), "head": None, "head_scale": 0.02, **more}
    return nam("WaveNet", config, Draw(13)(audio_reference.count(config) - 1) + [0.5])


FILM = {"active": True, "shift": True, "groups": 1}


def nam_models() -> dict[str, Object]:
    """A model for each thing that a .nam file may say."""
    new: Object = {
        **array(1, 4, 3, [1, 2, 3]),
        "kernel_sizes": [3, 2, 4], "bottleneck": 2, "groups_input": 2, "groups_input_mixin": 1,
        "activation": [
            {"type": "LeakyReLU", "negative_slope": 0.2}, "Hardswish",
            {"type": "PReLU", "negative_slopes": [0.1, 0.3]},
        ],
        "gating_mode": ["gated", "none", "blended"],
        "secondary_activation": ["Sigmoid", "Tanh", "Softsign"],
        "layer1x1": {"active": True, "groups": 2},
        "head1x1": {"active": True, "out_channels": 6, "groups": 2},
        "head": {"out_channels": 2, "kernel_size": 3, "bias": True, "head_dilation": 2},
        "conv_pre_film": False, "conv_post_film": {"active": False, "shift": True},
    }  # fmt: skip
    for key in ("kernel_size", "gated", "head_size", "head_bias"):
        del new[key]
    last = {**array(4, 2, 1, [1]), "layer1x1": {"active": False, "groups": 1}, "activation": "SiLU"}
    inside = wave_net(array(1, 2, 2, [1, 2]))
    return {
        "linear": nam("Linear", {"receptive_field": 6, "bias": True}, Draw(9)(7)),
        "linear without bias": nam("Linear", {"receptive_field": 3, "bias": False}, Draw(9)(3)),
        "lstm": nam_lstm(),
        "lstm of two channels": nam_lstm(2, 3, 1, 2),
        "convnet": conv_net(False),
        "convnet with batchnorm": conv_net(True),
        "wavenet": wave_net(
            array(1, 3, 2, [1, 2]), array(3, 2, 1, [4], head_bias=True)
        ),
        "gated wavenet": wave_net(
            array(1, 3, 2, [1, 2], gated=True), array(3, 2, 1, [4], activation="ReLU")
        ),
        "second generation": wave_net(
            new, last,
            head={"channels": 3, "out_channels": 2, "kernel_sizes": [2, 3], "activation": "ReLU"},
        ),
        "other activations": wave_net(
            array(
                1, 3, 2, [1, 2, 3],
                activation=["Fasttanh", "Hardtanh", {"type": "LeakyHardtanh", "max_slope": 0.3}],
            ),
            array(3, 2, 1, [1], activation={
                "type": "LeakyHardtanh", "min_val": -0.2, "max_val": 0.1, "min_slope": 0.5,
            }),
        ),
        "films": wave_net(
            {
                **array(1, 4, 1, [1, 2], condition_size=2, gating_mode="blended"),
                "head1x1": {"active": True, "out_channels": 2, "groups": 1},
                **dict.fromkeys(audio_reference.FILMS, FILM),
                "conv_post_film": {"active": True, "shift": False, "groups": 2},
            },
            condition_dsp=inside,
        ),
        "condition": wave_net(array(1, 3, 1, [1, 3], condition_size=2), condition_dsp=inside),
    }  # fmt: skip
