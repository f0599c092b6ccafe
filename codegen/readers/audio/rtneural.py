"""RTNeural JSON: a chain of Keras layers, with the gains and the skip that AIDA-X adds.

Every layer runs sample by sample: a conv1d is causal, with zeros before the first sample,
whatever padding the model was trained with. Weights have Keras' orders. Source: the loader of
RTNeural (`model_loader.h`), and AIDA-X for `in_skip`, `in_gain` and `out_gain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codegen.errors import LayerError, Problem, ReadError
from codegen.layers.convolution import Convolution
from codegen.layers.core import ActivationLayer, BatchNormalization, Dense, PReLU, Rescaling
from codegen.layers.normalization import scale_and_offset
from codegen.layers.padding import ZeroPadding
from codegen.layers.recurrent import GRUCell, LSTMCell, Recurrent
from codegen.layers.reshaping import Reshape
from codegen.layers.shared.windows import padding_of, reach
from codegen.model import Array, Layer, Model, Ref
from codegen.program import dims
from codegen.program.activations import LINEAR, Activation
from codegen.readers.audio.chain import MAX_LAYERS, AudioFile, Chain, opened
from codegen.readers.options import Options
from codegen.readers.settings import MAX_INTEGER, Config, show, whole
from codegen.readers.torch.description import unknown

ACTIVATIONS = ("", "tanh", "relu", "sigmoid", "softmax", "elu")
UNKNOWN = (
    ": RTNeural's exporter did not know the layer, and its players leave it out; delete it from "
    "the file if it does nothing at inference (Dropout)"
)
_OWN = ("type", "shape", "weights", "activation", "name")  # of every layer


def read(path: Path, options: Options) -> Model:
    """The model of a file."""
    file = opened(path, options)
    layers = file.value["layers"]
    if not isinstance(layers, list) or not layers or len(layers) > MAX_LAYERS:
        raise ReadError(f"{file.label}: layers is {show(layers)}, expected a list of layers")
    try:
        width = _width(file.value["in_shape"], "in_shape")
    except LayerError as error:
        raise ReadError(f"{file.label}: {error}") from None
    chain = Chain(width)
    problems: list[Problem] = []
    given = _Adaptation.of(file, problems)
    start = chain.input
    if given.in_gain:
        start = chain.add(_gain(chain, "in_gain", given.in_gain, width), start)
    end = start
    rows = _rows(file.value["in_shape"])
    for number, layer in enumerate(layers):
        end, width = _layer(file, chain, layer, number, end, width, rows)
        rows = _rows(layer.get("shape")) if isinstance(layer, dict) else None
    if given.skips:
        if width != 1:
            problems.append(_problem(f"in_skip adds one signal to an output of {width}"))
        else:
            x = start if chain.width == 1 else chain.columns(start, 0, 1, "signal")
            end = chain.merged("add", end, x, "skip")
    if given.out_gain:
        end = chain.add(_gain(chain, "out_gain", given.out_gain, 1), end)
    return chain.model(file, "rtneural", end, problems)


def _problem(message: str) -> Problem:
    return Problem("model", "RTNeural", message)


@dataclass(frozen=True)
class _Adaptation:
    """What AIDA-X does around the layers: y = (f(x g) + x g) h."""

    skips: bool
    in_gain: float  # dB
    out_gain: float

    @staticmethod
    def of(file: AudioFile, problems: list[Problem]) -> _Adaptation:
        """What the file says; everything wrong goes to `problems`."""
        config = Config({key: v for key, v in file.value.items() if v is not None})
        around = [key for key in file.value if key.startswith(("in_", "out_"))]
        others = [key for key in around if key not in _ADAPTATION]
        problems += [_problem(f"it has {unknown(key, _ADAPTATION)}") for key in others]
        found: dict[str, float] = {}
        for key in ("in_skip", "in_gain", "out_gain"):
            try:
                found[key] = (
                    config.integer(key, 0, 0, 1) if key == "in_skip" else config.number(key, 0.0)
                )
                if abs(found[key]) > MAX_GAIN:
                    raise LayerError(f"{key} is {found[key]:g} dB, expected {MAX_GAIN} at most")
            except LayerError as error:
                problems.append(_problem(str(error)))
                found[key] = 0
        return _Adaptation(bool(found["in_skip"]), found["in_gain"], found["out_gain"])


_ADAPTATION = ("in_shape", "in_skip", "in_gain", "out_gain")
MAX_GAIN = 200  # dB


def _gain(chain: Chain, name: str, decibels: float, width: int) -> Layer:
    """The first channel times a gain; the others, which are knobs, as they are."""
    scale = np.ones(width)
    scale[0] = 10.0 ** (decibels / 20.0)
    return Rescaling(
        name=chain.name(name), class_name="Gain", stored=0, scale=scale, offset=np.zeros(())
    )


def _width(value: object, key: str) -> int:
    """The last of a list of lengths; of four the product of the last two."""
    if not isinstance(value, list) or not 1 <= len(value) <= 4:
        raise LayerError(f"{key} is {show(value)}, expected a list of lengths")
    width = 1
    for length in value[-2:] if len(value) == 4 else value[-1:]:
        width *= whole(length, key, 1, MAX_INTEGER)
    return width


def _rows(shape: object) -> int | None:
    """The number of time steps in the training, where a shape says it."""
    if not isinstance(shape, list) or len(shape) != 3 or type(shape[1]) is not int:
        return None
    return shape[1]


def _layer(
    file: AudioFile, chain: Chain, value: object, number: int, x: Ref, width: int, rows: int | None
) -> tuple[Ref, int]:
    """A layer after `x` of so many channels (and rows), and how many channels come out."""
    if not isinstance(value, dict):
        name = chain.name(f"layer_{number + 1}")
        return chain.refuse(name, "layer", f"it is {show(value)}, expected an object", x), width
    kind = value.get("type")
    class_name = kind if isinstance(kind, str) else "layer"
    name = chain.name(
        class_name.replace("-", "_") if class_name in KINDS else f"layer_{number + 1}"
    )
    try:
        units = _width(value.get("shape"), "shape")
    except LayerError as error:
        return chain.refuse(name, class_name, error, x), width
    try:
        if class_name not in KINDS:
            hint = UNKNOWN if kind == "unknown" else ""
            raise LayerError(f"type is {show(kind)}, expected one of {', '.join(KINDS)}{hint}")
        build, own = KINDS[class_name]
        for key in value:
            if key not in (*_OWN, *own):
                raise LayerError(f"it has {unknown(key, (*_OWN, *own))}")
        both = (rows, _rows(value.get("shape")))
        layer = _Layer(file, name, class_name, Config(value), width, units, both)
        built = build(layer)
    except LayerError as error:
        return chain.refuse(name, class_name, error, x), units
    for one in built if isinstance(built, tuple) else (built,):
        x = chain.add(one, x)
    return x, units


@dataclass(frozen=True)
class _Layer:
    """A layer of the file, as the builders below take it."""

    file: AudioFile
    name: str
    class_name: str
    config: Config
    inputs: int
    units: int
    rows: tuple[int | None, int | None]  # time steps before and after it in the training

    def arrays(self, *counts: int) -> list[Any]:
        """Its weights, of which there must be so many."""
        found = self.config.get("weights")
        if not isinstance(found, list) or len(found) not in counts:
            expected = " or ".join(map(str, counts))
            count = f"{len(found)}" if isinstance(found, list) else show(found)
            raise LayerError(f"weights: {count} arrays found, expected {expected}")
        return found

    def array(self, value: object, what: str, *shape: int) -> Array:
        """One of them."""
        return self.file.array(value, what, *shape)

    def activation(self) -> Activation:
        """Its activation."""
        name = self.config.text("activation", "", ACTIVATIONS)
        return Activation(name) if name else LINEAR

    def same_width(self) -> None:
        """Refuse a shape that is not that of its input."""
        if self.units != self.inputs:
            raise LayerError(f"shape ends with {self.units}, its input has {self.inputs} channels")

    def holds(self, features: int, filters: int) -> None:
        """Refuse a number of features and filters that are not those of its input."""
        if features * filters != self.inputs:
            raise LayerError(
                f"num_features_in {features} times num_filters_in {filters} is not {self.inputs}, "
                "which its input has"
            )

    @property
    def naming(self) -> dict[str, Any]:
        """Of the canonical layer."""
        return {"name": self.name, "class_name": self.class_name}


def _dense(layer: _Layer) -> Layer:
    found = layer.arrays(1, 2)
    kernel = layer.array(found[0], "kernel", layer.inputs, layer.units)
    bias = layer.array(found[1], "bias", layer.units) if len(found) == 2 else None
    return Dense(**layer.naming, kernel=kernel, bias=bias, activation=layer.activation())


def _single(layer: _Layer, key: str) -> int:
    return layer.config.integers(key, 1, 1)[0]


def _conv1d(layer: _Layer) -> Layer:
    size, dilation = _single(layer, "kernel_size"), _single(layer, "dilation")
    groups = layer.config.integer("groups", 1)
    if _single(layer, "strides") != 1:
        raise LayerError("strides other than 1 are not supported: RTNeural has none")
    before, after = layer.rows
    if before is not None and after not in (None, before, before - reach(size, dilation) + 1):
        raise LayerError(
            f"its {before} time steps become {after}, as with strides or pooling; the file has "
            "none, and RTNeural would compute every step"
        )
    if layer.inputs % groups or layer.units % groups:
        raise LayerError(
            f"groups is {groups}, which does not divide {layer.inputs} and {layer.units} channels"
        )
    kernel, bias = layer.arrays(2)
    return Convolution(
        **layer.naming,
        kernel=layer.array(kernel, "kernel", size, layer.inputs // groups, layer.units),
        bias=layer.array(bias, "bias", layer.units),
        strides=(1,),
        dilations=(dilation,),
        padding="causal",
        groups=groups,
        activation=layer.activation(),
    )


def _conv2d(layer: _Layer) -> tuple[Layer, ...]:
    """Rows of features, each of some filters: causal along time, padded along the features.

    RTNeural keeps the rows flat. Its activations run on what is flat, so they come last.
    """
    sizes = _single(layer, "kernel_size_time"), _single(layer, "kernel_size_feature")
    dilation, stride = _single(layer, "dilation"), _single(layer, "strides")
    features, inputs = _single(layer, "num_features_in"), _single(layer, "num_filters_in")
    filters = _single(layer, "num_filters_out")
    padding = layer.config.text("padding", choices=("valid", "same"))
    layer.holds(features, inputs)
    before, after = padding_of(padding, features, sizes[1], stride, 1)
    padded = features + dims.fixed(before) + dims.fixed(after)
    if padded < sizes[1]:
        raise LayerError(f"kernel_size_feature is {sizes[1]}, of {padded} features")
    count = (padded - sizes[1]) // stride + 1
    if layer.units != count * filters:
        raise LayerError(
            f"shape gives {layer.units} values, its window {count} features of {filters} filters"
        )
    kernel, bias = layer.arrays(2)
    past = (reach(sizes[0], dilation) - 1, 0)

    def named(part: str) -> dict[str, Any]:
        return {"name": f"{layer.name}/{part}", "class_name": part.title()}

    found: list[Layer] = [
        Reshape(**named("rows"), shape=(-1, features, inputs)),
        ZeroPadding(**named("padding"), padding=(past, (dims.fixed(before), dims.fixed(after)))),
        Convolution(
            **layer.naming,
            kernel=layer.array(kernel, "kernel", *sizes, inputs, filters),
            bias=layer.array(bias, "bias", filters),
            strides=(1, stride),
            dilations=(dilation, 1),
        ),
        Reshape(**named("flat"), shape=(-1, layer.units)),
    ]
    activation = layer.activation()
    if activation != LINEAR:
        found.append(ActivationLayer(**named("activation"), activation=activation))
    return tuple(found)


def _gru(layer: _Layer) -> Layer:
    weights = _recurrent(layer, 3, (2, 3 * layer.units))
    cell = GRUCell(**layer.naming, **weights, reset_after=True)
    return Recurrent(**layer.naming, cell=cell, return_sequences=True)


def _lstm(layer: _Layer) -> Layer:
    weights = _recurrent(layer, 4, (4 * layer.units,))
    cell = LSTMCell(**layer.naming, **weights)
    return Recurrent(**layer.naming, cell=cell, return_sequences=True)


def _recurrent(layer: _Layer, gates: int, bias: tuple[int, ...]) -> dict[str, Any]:
    """The weights of a cell. RTNeural takes tanh and sigmoid: what else is written is refused."""
    layer.config.text("activation", "", ("", "tanh"))
    names, columns = ("kernel", "recurrent_kernel", "bias"), gates * layer.units
    shapes = ((layer.inputs, columns), (layer.units, columns), bias)
    parts = zip(names, layer.arrays(3), shapes, strict=True)
    return {name: layer.array(part, name, *shape) for name, part, shape in parts}


def _no_activation(layer: _Layer) -> None:
    layer.config.text("activation", "", ("",))


def _prelu(layer: _Layer) -> Layer:
    layer.same_width()
    _no_activation(layer)
    (found,) = layer.arrays(1)
    alpha = layer.file.numbers(found, "alpha")
    if alpha.shape not in ((1, 1), (1, layer.units)):
        raise LayerError(
            f"alpha is of shape {list(alpha.shape)}, expected [1, 1] or [1, {layer.units}]"
        )
    return PReLU(**layer.naming, alpha=layer.file.finite(alpha, "alpha"))


def _batchnorm(layer: _Layer) -> Layer:
    """Of each channel; batchnorm2d of each filter, which every feature has."""
    layer.same_width()
    _no_activation(layer)
    features = 1
    if layer.class_name == "batchnorm2d":
        features, filters = _single(layer, "num_features_in"), _single(layer, "num_filters_in")
        layer.holds(features, filters)
    width = layer.units // features
    found = layer.arrays(2, 4)
    names = ("gamma", "beta", "mean", "variance")[-len(found) :]
    parts = {name: layer.array(part, name, width) for name, part in zip(names, found, strict=True)}
    scale, offset = scale_and_offset(
        parts["mean"],
        parts["variance"],
        layer.config.number("epsilon", low=0.0),
        parts.get("gamma"),
        parts.get("beta"),
        layer.file.allow_nonfinite,
    )
    scale, offset = np.tile(scale, features), np.tile(offset, features)
    stored = len(found) * width
    return BatchNormalization(**layer.naming, stored=stored, scale=scale, offset=offset)


def _activation(layer: _Layer) -> Layer:
    layer.same_width()
    layer.arrays(0)
    return ActivationLayer(**layer.naming, activation=layer.activation())


# For each type its builder, and what it may say beside what every layer does. `padding` counts
# for nothing: see above.
_WINDOW = ("kernel_size", "dilation", "groups", "strides", "padding")
_GRID = ("num_filters_in", "num_features_in")
_WINDOW_2D = ("kernel_size_time", "kernel_size_feature", "dilation", "strides", "num_filters_out")
KINDS: Mapping[str, tuple[Callable[[_Layer], Layer | tuple[Layer, ...]], tuple[str, ...]]] = {
    "dense": (_dense, ()),
    "time-distributed-dense": (_dense, ()),
    "conv1d": (_conv1d, _WINDOW),
    "conv2d": (_conv2d, (*_WINDOW_2D, *_GRID, "padding")),
    "gru": (_gru, ()),
    "lstm": (_lstm, ()),
    "prelu": (_prelu, ()),
    "batchnorm": (_batchnorm, ("epsilon",)),
    "batchnorm2d": (_batchnorm, ("epsilon", *_GRID)),
    "activation": (_activation, ()),
}
