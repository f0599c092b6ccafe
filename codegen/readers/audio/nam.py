"""Neural Amp Modeler (.nam): Linear, ConvNet, LSTM and WaveNet, whose weights are one flat list.

Delay lines start with zeros, an LSTM with the state that the file holds. Source for what is
computed and for the order of the weights: NeuralAmpModelerCore.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from codegen.errors import LayerError, Problem
from codegen.layers.convolution import Convolution
from codegen.layers.core import ActivationLayer, BatchNormalization, Dense, PReLU, Rescaling
from codegen.layers.merging import Merge
from codegen.layers.normalization import scale_and_offset
from codegen.layers.recurrent import LSTMCell, Recurrent
from codegen.model import Array, Constant, Layer, Model, Ref
from codegen.program.activations import Activation
from codegen.program.ops import Compare, Expr, Number, Select, call
from codegen.readers.audio.chain import AudioFile, Chain, opened
from codegen.readers.options import Options
from codegen.readers.settings import Config, show
from codegen.readers.torch.description import unknown

VERSIONS = ((0, 5, 0), (0, 8, 0))  # from, and up to but not including
MAX_CHANNELS = 4096
MAX_ARRAYS = 64
MAX_INSIDE = 4  # models inside each other as condition_dsp


def read(path: Path, options: Options) -> Model:
    """The model of a file."""
    file = opened(path, options)
    found = Config(file.value)
    chain = Chain(1)
    end, problems = chain.input, list[Problem]()
    version = file.value.get("version")
    try:
        _check_version(version)
        chain = Chain(_channels(found.section("config"), "in_channels", 1))
        end = _Network(file, chain, problems).run(found, chain.input, "")
    except LayerError as error:
        problems.append(_problem("model", str(error)))
    return chain.model(file, "nam", end, problems, f"NAM {version}")


def _problem(name: str, message: str) -> Problem:
    return Problem(name, "NAM", message)


def _check_version(version: object) -> None:
    found = (
        re.fullmatch(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})", version)
        if isinstance(version, str)
        else None
    )
    if found is None or not VERSIONS[0] <= tuple(map(int, found.groups())) < VERSIONS[1]:
        low, high = (".".join(map(str, one)) for one in VERSIONS)
        raise LayerError(f"version is {show(version)}, expected {low} or later, before {high}")


def _channels(config: Config, key: str, default: int | None = None) -> int:
    if default is not None and key not in config:
        return default
    return config.integer(key, high=MAX_CHANNELS)


def _known(config: Config, keys: Sequence[str]) -> None:
    """Refuse a key that may change the numbers."""
    wrong = [unknown(key, tuple(keys)) for key in config if key not in keys]
    if wrong:
        raise LayerError(f"config has {', '.join(wrong)}")


@dataclass
class _Weights:
    """The flat list, taken from its start."""

    values: Array
    position: int = 0

    def take(self, *shape: int) -> Array:
        """The next ones, row by row."""
        size = math.prod(shape)
        left = len(self.values) - self.position
        if size > left:
            raise LayerError(
                f"weights are too few: {len(self.values)} in the file, {size} needed after "
                f"{self.position}"
            )
        self.position += size
        return self.values[self.position - size : self.position].reshape(shape)


@dataclass(frozen=True)
class _Conv:
    """A causal convolution."""

    kernel: Array  # (size, inputs / groups, outputs)
    bias: Array | None
    dilation: int
    groups: int


@dataclass
class _Network:
    """Puts the layers of one architecture into the graph."""

    file: AudioFile
    chain: Chain
    problems: list[Problem]
    depth: int = 0
    prefix: str = ""
    weights: _Weights = field(default_factory=lambda: _Weights(np.zeros(0, np.float32)))

    def run(self, value: Config, x: Ref, prefix: str) -> Ref:
        """The output of the architecture that `value` names, on `x`."""
        kind = value.get("architecture")
        if not isinstance(kind, str) or kind not in ARCHITECTURES:
            hint = "; give one of its submodels as a file" if kind == "SlimmableContainer" else ""
            known = ", ".join(ARCHITECTURES)
            raise LayerError(f"architecture {show(kind)} is not supported; {known} are{hint}")
        self.prefix = prefix
        numbers = self.file.numbers(value.get("weights"), "weights")
        if numbers.ndim != 1:
            raise LayerError("weights is not a flat list")
        self.weights = _Weights(self.file.finite(numbers, "weights"))
        before = len(self.problems)
        end = ARCHITECTURES[kind](self, value.section("config"), x)
        left = len(numbers) - self.weights.position
        if left and len(self.problems) == before:
            raise LayerError(f"weights: {len(numbers)} found, expected {len(numbers) - left}")
        return end

    def name(self, base: str) -> str:
        """The name of a layer."""
        return self.chain.name(self.prefix + base)

    def read_conv(
        self, inputs: int, outputs: int, size: int = 1, dilation: int = 1, groups: int = 1,
        bias: bool = True,
    ) -> _Conv:  # fmt: skip
        """The next weights as those of a causal convolution; the last tap is the newest sample."""
        if inputs % groups or outputs % groups:
            raise LayerError(f"{groups} groups do not divide {inputs} and {outputs} channels")
        kernel = self.weights.take(outputs, inputs // groups, size).transpose(2, 1, 0)
        offset = self.weights.take(outputs) if bias else None
        return _Conv(np.ascontiguousarray(kernel), offset, dilation, groups)

    def convolved(self, x: Ref, conv: _Conv, name: str) -> Ref:
        """What the convolution makes of a tensor."""
        name = self.name(name)
        if len(conv.kernel) == conv.groups == 1:
            layer: Layer = Dense(
                name=name, class_name="Conv1x1", kernel=conv.kernel[0], bias=conv.bias
            )
            return self.chain.add(layer, x)
        layer = Convolution(
            name=name,
            class_name="Conv1D",
            kernel=conv.kernel,
            bias=conv.bias,
            strides=(1,),
            dilations=(conv.dilation,),
            padding="causal",
            groups=conv.groups,
        )
        return self.chain.add(layer, x)

    def conv(
        self, x: Ref, name: str, inputs: int, outputs: int, size: int = 1, dilation: int = 1,
        groups: int = 1, bias: bool = True,
    ) -> Ref:  # fmt: skip
        """Both."""
        conv = self.read_conv(inputs, outputs, size, dilation, groups, bias)
        return self.convolved(x, conv, name)

    def merged(self, mode: str, x: Ref, y: Ref, name: str) -> Ref:
        """Two tensors added or multiplied."""
        layer = Merge(name=self.name(name), class_name=mode.title(), mode=mode)
        return self.chain.add(layer, x, y)

    def columns(self, x: Ref, start: int, stop: int, name: str) -> Ref:
        """Some channels of a tensor."""
        return self.chain.columns(x, start, stop, self.prefix + name)

    def activated(self, x: Ref, act: _Activation, channels: int, name: str) -> Ref:
        """An activation of so many channels."""
        name, class_name = self.name(name), act.kind
        if isinstance(act.meaning, Activation):
            layer: Layer = ActivationLayer(name=name, class_name=class_name, activation=act.meaning)
        else:
            if len(act.meaning) != channels:
                count = len(act.meaning)
                raise LayerError(f"{name}: {count} negative_slopes for {channels} channels")
            layer = PReLU(name=name, class_name=class_name, alpha=act.meaning, stored=0)
        return self.chain.add(layer, x)

    def scaled(self, x: Ref, scale: Array, name: str) -> Ref:
        """A tensor times one number."""
        layer = Rescaling(
            name=self.name(name), class_name="Gain", scale=scale[0], offset=np.zeros(()), stored=1
        )
        return self.chain.add(layer, x)


# ---- activations ----------------------------------------------------------------------------


def _fast_tanh(x: Expr) -> Expr:
    """A quotient that is near tanh."""
    size, square = call("abs", x), x * x
    top = 2.45550750702956 + 2.45550750702956 * size
    top = top + (0.893229853513558 + 0.821226666969744 * size) * square
    bottom = 2.44506634652299 + square
    bottom = bottom * call("abs", x + 0.814642734961073 * x * size)
    return x * top / (2.44506634652299 + bottom)


def _leaky_hard_tanh(low: float, high: float, below: float, above: float, x: Expr) -> Expr:
    """The identity between the bounds, beyond them lines of the slopes `below` and `above`."""
    inside = Select(Compare(">", x, Number(high)), (x - high) * above + high, x)
    return Select(Compare("<", x, Number(low)), (x - low) * below + low, inside)


PLAIN = {
    "Tanh": Activation("tanh"),
    "Hardtanh": Activation("hard_tanh"),
    "ReLU": Activation("relu"),
    "Sigmoid": Activation("sigmoid"),
    "SiLU": Activation("silu"),
    "Hardswish": Activation("hard_silu"),
    "Softsign": Activation("softsign"),
    "Fasttanh": Activation("Fasttanh", function=_fast_tanh),
}
SLOPED = ("LeakyReLU", "PReLU")
LEAKY = "LeakyHardtanh"
LEAKY_BOUNDS = {"min_val": -1.0, "max_val": 1.0, "min_slope": 0.01, "max_slope": 0.01}
SLOPE = 0.01  # where the file does not say


@dataclass(frozen=True)
class _Activation:
    """An activation by NAM's name: what it means, or the slopes of each channel."""

    kind: str
    meaning: Activation | Array


def _activation(value: object, file: AudioFile) -> _Activation:
    given = Config({"type": value} if isinstance(value, str) else _object(value, "activation"))
    kind = given.text("type", choices=(*PLAIN, *SLOPED, LEAKY))
    own = ("negative_slope", "negative_slopes")[: 1 + (kind == "PReLU")] if kind in SLOPED else ()
    _known(given, ("type", *(LEAKY_BOUNDS if kind == LEAKY else own)))
    if kind in PLAIN:
        return _Activation(kind, PLAIN[kind])
    if kind == LEAKY:
        low, high, below, above = (given.number(key, usual) for key, usual in LEAKY_BOUNDS.items())
        if low > high:
            raise LayerError("min_val is above max_val")
        function = partial(_leaky_hard_tanh, low, high, below, above)
        return _Activation(kind, Activation(kind, function=function))
    if "negative_slopes" in given and "negative_slope" not in given:
        found = file.numbers(given["negative_slopes"], "negative_slopes")
        if found.ndim != 1:
            raise LayerError("negative_slopes is not a flat list")
        return _Activation(kind, file.finite(found, "negative_slopes"))
    return _Activation(kind, Activation("leaky_relu", (given.number("negative_slope", SLOPE),)))


def _object(value: object, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise LayerError(f"{key} is {show(value)}, expected an object")
    return value


# ---- architectures --------------------------------------------------------------------------


def _linear(net: _Network, config: Config, x: Ref) -> Ref:
    """A filter of finite length: tap 0 is the newest sample."""
    _known(config, ("receptive_field", "bias", "in_channels", "out_channels", "implementation"))
    for key in ("in_channels", "out_channels"):
        config.integer(key, 1, high=1)
    taps = net.weights.take(config.integer("receptive_field"))
    bias = net.weights.take(1) if config.flag("bias") else None
    layer = Convolution(
        name=net.name("linear"),
        class_name="Linear",
        kernel=np.ascontiguousarray(taps[::-1].reshape(-1, 1, 1)),
        bias=bias,
        strides=(1,),
        dilations=(1,),
        padding="causal",
    )
    return net.chain.add(layer, x)


def _conv_net(net: _Network, config: Config, x: Ref) -> Ref:
    """Convolutions of two taps, each with a normalisation and an activation."""
    _known(
        config,
        (
            "channels", "dilations", "batchnorm", "activation", "groups", "in_channels",
            "out_channels",
        ),
    )  # fmt: skip
    channels, groups = _channels(config, "channels"), config.integer("groups", 1)
    normalises = config.flag("batchnorm")
    act = _activation(config.get("activation"), net.file)
    width = _channels(config, "in_channels", 1)
    for number, dilation in enumerate(config.wholes("dilations"), 1):
        block = f"block_{number}/"
        x = net.conv(x, f"{block}conv", width, channels, 2, dilation, groups, bias=not normalises)
        if normalises:
            x = net.chain.add(_batch_norm(net, f"{block}batchnorm", channels), x)
        x = net.activated(x, act, channels, f"{block}activation")
        width = channels
    return net.conv(x, "head", channels, _channels(config, "out_channels", 1))


def _batch_norm(net: _Network, name: str, channels: int) -> Layer:
    mean, variance, gamma, beta = (net.weights.take(channels) for _ in range(4))
    epsilon = float(net.weights.take(1)[0])
    scale, offset = scale_and_offset(mean, variance, epsilon, gamma, beta, net.file.allow_nonfinite)
    stored = 4 * channels + 1
    return BatchNormalization(
        name=net.name(name), class_name="BatchNorm", stored=stored, scale=scale, offset=offset
    )


def _lstm(net: _Network, config: Config, x: Ref) -> Ref:
    """Gates i, f, g, o; each layer has one matrix for input and state, and its first state."""
    _known(config, ("input_size", "hidden_size", "num_layers", "in_channels", "out_channels"))
    width, hidden = _channels(config, "input_size"), _channels(config, "hidden_size")
    given = _channels(config, "in_channels", 1)
    if width != given:
        raise LayerError(f"input_size is {width}, in_channels {given}")
    for number in range(config.integer("num_layers", high=MAX_ARRAYS)):
        both = net.weights.take(4 * hidden, width + hidden)
        name = net.name(f"lstm_{number + 1}")
        kernel, recurrent = both[:, :width].T, both[:, width:].T
        cell = LSTMCell(
            name=name,
            class_name="LSTM",
            kernel=kernel,
            recurrent_kernel=recurrent,
            bias=net.weights.take(4 * hidden),
        )
        starts = [net.weights.take(hidden), net.weights.take(hidden)]
        keywords: dict[str, tuple[Ref, ...]] = {}
        if any(start.any() for start in starts):
            keywords["initial_state"] = tuple(
                net.chain.add(
                    Constant(
                        name=net.name(f"{name}/{role}"), class_name="Constant", value=start[None]
                    )
                )
                for role, start in zip("hc", starts, strict=True)
            )
        layer = Recurrent(
            name=name, class_name="LSTM", stored=2 * hidden, cell=cell, return_sequences=True
        )
        x = net.chain.add(layer, x, **keywords)
        width = hidden
    return net.conv(x, "head", hidden, _channels(config, "out_channels", 1))


# ---- WaveNet --------------------------------------------------------------------------------

_FILMS = (
    "conv_pre_film", "conv_post_film", "input_mixin_pre_film", "input_mixin_post_film",
    "activation_pre_film", "activation_post_film", "layer1x1_post_film", "head1x1_post_film",
)  # fmt: skip
_ARRAY = (
    "input_size", "condition_size", "channels", "bottleneck", "kernel_size", "kernel_sizes",
    "dilations", "activation", "gated", "gating_mode", "secondary_activation", "head", "head_size",
    "head_bias", "groups_input", "groups_input_mixin", "layer1x1", "head1x1", "slimmable",
    *_FILMS,
)  # fmt: skip
GATINGS = ("none", "gated", "blended")


@dataclass(frozen=True)
class _Step:
    """One layer of an array."""

    size: int
    dilation: int
    activation: _Activation
    gating: str
    secondary: _Activation | None


@dataclass(frozen=True)
class _Film:
    """Channels times a scale, plus a shift, that a convolution makes of the condition."""

    shifts: bool
    groups: int


@dataclass(frozen=True)
class _Array:
    """The sizes of an array of layers."""

    inputs: int
    condition: int
    channels: int
    bottleneck: int
    groups: int
    mixin_groups: int
    residual: int | None  # groups of the 1x1 convolution whose output is added; None: there is none
    skip: tuple[int, int] | None  # channels and groups of the one before the head
    head: tuple[int, int, int, bool]  # channels, kernel size, dilation, whether it has a bias
    steps: tuple[_Step, ...]
    films: Mapping[str, _Film]  # by the key of the place where they are

    @property
    def summed(self) -> int:
        """Channels of what its layers give to the head."""
        return self.skip[0] if self.skip else self.bottleneck


def _array(config: Config, file: AudioFile) -> _Array:
    """The settings of an array of layers."""
    _known(config, _ARRAY)
    if config.get("slimmable"):
        raise LayerError("slimmable is not supported: the network has several widths")
    channels = _channels(config, "channels")
    found = _Array(
        inputs=_channels(config, "input_size"),
        condition=_channels(config, "condition_size"),
        channels=channels,
        bottleneck=_channels(config, "bottleneck", channels),
        groups=config.integer("groups_input", 1),
        mixin_groups=config.integer("groups_input_mixin", 1),
        residual=_residual(config),
        skip=_skip(config),
        head=_head(config),
        steps=_steps(config, file),
        films={key: film for key in _FILMS if (film := _film(config, key)) is not None},
    )
    if "head1x1_post_film" in found.films and found.skip is None:
        raise LayerError("head1x1_post_film without head1x1")
    if "layer1x1_post_film" in found.films and (
        found.residual is None or any(step.gating != "blended" for step in found.steps)
    ):
        # NAM's players leave it out in other layers.
        raise LayerError("layer1x1_post_film is supported in blended layers with layer1x1 alone")
    return found


def _film(config: Config, key: str) -> _Film | None:
    if config.get(key) in (None, False):
        return None
    given = config.section(key)
    _known(given, ("active", "shift", "groups"))
    film = _Film(given.flag("shift", True), given.integer("groups", 1))
    return film if given.flag("active", True) else None


def _residual(config: Config) -> int | None:
    if config.get("layer1x1") is None:
        return 1
    given = config.section("layer1x1")
    _known(given, ("active", "groups"))
    return given.integer("groups", 1) if given.flag("active") else None


def _skip(config: Config) -> tuple[int, int] | None:
    if config.get("head1x1") is None:
        return None
    given = config.section("head1x1")
    _known(given, ("active", "out_channels", "groups"))
    if not given.flag("active"):
        return None
    return _channels(given, "out_channels"), given.integer("groups", 1)


def _head(config: Config) -> tuple[int, int, int, bool]:
    if config.get("head") is None:
        return _channels(config, "head_size"), 1, 1, config.flag("head_bias")
    given = config.section("head")
    _known(given, ("out_channels", "kernel_size", "bias", "head_dilation"))
    return (
        _channels(given, "out_channels"),
        given.integer("kernel_size"),
        given.integer("head_dilation", 1),
        given.flag("bias"),
    )


def _steps(config: Config, file: AudioFile) -> tuple[_Step, ...]:
    dilations = config.wholes("dilations")
    count = len(dilations)

    def each(key: str, value: object) -> Sequence[Any]:
        """A value for each layer."""
        if not isinstance(value, list):
            return [value] * count
        if len(value) != count:
            raise LayerError(f"{key} has {len(value)} entries for {count} dilations")
        return value

    if ("kernel_size" in config) == ("kernel_sizes" in config):
        raise LayerError("expected one of kernel_size and kernel_sizes")
    key = "kernel_size" if "kernel_size" in config else "kernel_sizes"
    if key == "kernel_size":
        sizes: Sequence[int] = (config.integer(key),) * count
    else:
        sizes = each(key, list(config.wholes(key)))
    gated = "gated" if config.flag("gated", False) else "none"
    gatings = each("gating_mode", config.get("gating_mode", gated))
    wrong = [one for one in gatings if one not in GATINGS]
    if wrong:
        raise LayerError(f"gating_mode is {show(wrong[0])}, expected {' or '.join(GATINGS)}")
    seconds = each("secondary_activation", config.get("secondary_activation", "Sigmoid"))
    activations = each("activation", config.get("activation"))
    return tuple(
        _Step(
            size,
            dilation,
            _activation(first, file),
            gating,
            None if gating == "none" else _activation(second, file),
        )
        for size, dilation, first, gating, second in zip(
            sizes, dilations, activations, gatings, seconds, strict=True
        )
    )


def _wave_net(net: _Network, config: Config, x: Ref) -> Ref:
    """Arrays of dilated convolutions, the sum of whose layers goes through the heads."""
    _known(config, ("layers", "head", "head_scale", "in_channels", "condition_dsp"))
    given = config.get("layers")
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_ARRAYS:
        raise LayerError(f"layers is {show(given)}, expected a list of arrays of layers")
    arrays: list[_Array] = []
    before = len(net.problems)
    for number, one in enumerate(given, 1):
        try:
            arrays.append(_array(Config(_object(one, "it")), net.file))
        except LayerError as error:
            net.problems.append(_problem(f"{net.prefix}array_{number}", str(error)))
    if len(net.problems) > before:
        return x
    width = _channels(config, "in_channels", 1)
    condition, known = _condition(net, config, x, width)
    if len(net.problems) > before:
        return x
    _check_sizes(arrays, width, known)
    head: Ref | None = None
    for number, array in enumerate(arrays, 1):
        x, head = _run_array(net, array, f"array_{number}/", (x, condition, head))
    assert head is not None
    config.number("head_scale", 1.0)  # the last weight counts
    if config.get("head") is None:
        return net.scaled(head, net.weights.take(1), "head_scale")
    return _post_head(net, config.section("head"), head, arrays[-1].head[0])


def _condition(net: _Network, config: Config, x: Ref, width: int) -> tuple[Ref, int]:
    """What is mixed into every layer: the input, or what another model makes of it."""
    if config.get("condition_dsp") is None:
        return x, width
    if net.depth >= MAX_INSIDE:
        raise LayerError("condition_dsp is nested too deeply")
    inside = config.section("condition_dsp")
    own = inside.section("config")
    if _channels(own, "in_channels", 1) != width:
        raise LayerError("condition_dsp has another number of in_channels")
    _check_version(inside.get("version"))
    network = _Network(net.file, net.chain, net.problems, net.depth + 1)
    before = len(net.problems)
    end = network.run(inside, x, f"{net.prefix}condition/")
    if len(net.problems) > before:
        return end, width
    return end, _outputs(inside.text("architecture"), own)


def _outputs(kind: str, config: Config) -> int:
    """How many channels come out of a model that has been read."""
    if kind != "WaveNet":
        return _channels(config, "out_channels", 1)
    if config.get("head") is not None:
        return _channels(config.section("head"), "out_channels")
    return _head(Config(config["layers"][-1]))[0]


def _check_sizes(arrays: Sequence[_Array], width: int, condition: int) -> None:
    """Refuse arrays that do not fit each other."""
    inputs, head = width, None
    for number, array in enumerate(arrays, 1):
        for key, found, expected in (
            ("input_size", array.inputs, inputs),
            ("condition_size", array.condition, condition),
            ("the sum for its head", array.summed, head or array.summed),
        ):
            if found != expected:
                raise LayerError(f"array_{number}: {key} is {found}, expected {expected}")
        inputs, head = array.channels, array.head[0]


def _run_array(
    net: _Network, array: _Array, prefix: str, given: tuple[Ref, Ref, Ref | None]
) -> tuple[Ref, Ref]:
    """What an array hands on, and what comes out of its head."""
    x, condition, total = given
    x = net.conv(x, f"{prefix}rechannel", array.inputs, array.channels, bias=False)
    for number, step in enumerate(array.steps, 1):
        layer = _WaveLayer(net, array, step, condition, f"{prefix}layer_{number}/")
        x, z = layer.run(x)
        total = z if total is None else net.merged("add", total, z, f"{layer.prefix}skip")
    assert total is not None
    outputs, size, dilation, bias = array.head
    return x, net.conv(total, f"{prefix}head", array.summed, outputs, size, dilation, bias=bias)


@dataclass
class _WaveLayer:
    """One layer of an array; its weights come before the films' own, in the order of _FILMS."""

    net: _Network
    array: _Array
    step: _Step
    condition: Ref
    prefix: str
    films: dict[str, _Conv] = field(default_factory=dict)

    def run(self, x: Ref) -> tuple[Ref, Ref]:
        """What it hands on, and what it gives to the head."""
        net, array, step, inside = self.net, self.array, self.step, self.prefix
        n, m = array.bottleneck, array.channels
        wide = n if step.gating == "none" else 2 * n
        conv = net.read_conv(m, wide, step.size, step.dilation, array.groups)
        mixin = net.read_conv(array.condition, wide, groups=array.mixin_groups, bias=False)
        residual = skip = None
        if array.residual is not None:
            residual = net.read_conv(n, m, groups=array.residual)
        if array.skip is not None:
            skip = net.read_conv(n, array.skip[0], groups=array.skip[1])
        widths = (m, wide, array.condition, wide, wide, n, m, array.summed)
        for key, width in zip(_FILMS, widths, strict=True):
            if key in array.films:
                film = array.films[key]
                outputs = 2 * width if film.shifts else width
                self.films[key] = net.read_conv(array.condition, outputs, groups=film.groups)

        y = net.convolved(self.film("conv_pre_film", x, m), conv, f"{inside}conv")
        y = self.film("conv_post_film", y, wide)
        mixed = self.film("input_mixin_pre_film", self.condition, array.condition)
        mixed = net.convolved(mixed, mixin, f"{inside}mixin")
        mixed = self.film("input_mixin_post_film", mixed, wide)
        z = net.merged("add", y, mixed, f"{inside}sum")
        z = self.gated(self.film("activation_pre_film", z, wide))
        z = self.film("activation_post_film", z, n)
        if residual is not None:
            y = net.convolved(z, residual, f"{inside}layer1x1")
            y = self.film("layer1x1_post_film", y, m)
            x = net.merged("add", x, y, f"{inside}residual")
        if skip is not None:
            z = net.convolved(z, skip, f"{inside}head1x1")
        return x, self.film("head1x1_post_film", z, array.summed)

    def film(self, key: str, x: Ref, width: int) -> Ref:
        """The film at a place, on so many channels; none where there is none."""
        conv = self.films.get(key)
        if conv is None:
            return x
        net, name = self.net, f"{self.prefix}{key}"
        both = net.convolved(self.condition, conv, name)
        if not self.array.films[key].shifts:
            return net.merged("multiply", x, both, f"{name}/scaled")
        scale = net.columns(both, 0, width, f"{name}/scale")
        shift = net.columns(both, width, 2 * width, f"{name}/shift")
        scaled = net.merged("multiply", x, scale, f"{name}/scaled")
        return net.merged("add", scaled, shift, f"{name}/shifted")

    def gated(self, z: Ref) -> Ref:
        """The activation, with its gate."""
        net, step, n, inside = self.net, self.step, self.array.bottleneck, self.prefix
        if step.secondary is None:
            return net.activated(z, step.activation, n, f"{inside}activation")
        first = net.columns(z, 0, n, f"{inside}first")
        second = net.columns(z, n, 2 * n, f"{inside}second")
        active = net.activated(first, step.activation, n, f"{inside}activation")
        gate = net.activated(second, step.secondary, n, f"{inside}gate")
        if step.gating == "gated":
            return net.merged("multiply", active, gate, f"{inside}gated")
        # Blended: gate * active + (1 - gate) * first = first + gate * (active - first).
        apart = net.merged("subtract", active, first, f"{inside}apart")
        part = net.merged("multiply", gate, apart, f"{inside}part")
        return net.merged("add", first, part, f"{inside}blended")


def _post_head(net: _Network, config: Config, x: Ref, width: int) -> Ref:
    """Activations and convolutions after the arrays; the scale comes before them."""
    _known(config, ("in_channels", "channels", "out_channels", "kernel_sizes", "activation"))
    if config.get("in_channels") is not None and _channels(config, "in_channels") != width:
        raise LayerError(f"head.in_channels is not {width}")
    sizes, act = config.wholes("kernel_sizes"), _activation(config.get("activation"), net.file)
    # The scale is the last weight of all.
    x = net.scaled(x, net.weights.values[-1:], "head_scale")
    for number, size in enumerate(sizes, 1):
        outputs = _channels(config, "out_channels" if number == len(sizes) else "channels")
        x = net.activated(x, act, width, f"head_{number}/activation")
        x = net.conv(x, f"head_{number}/conv", width, outputs, size)
        width = outputs
    net.weights.take(1)
    return x


ARCHITECTURES: Mapping[str, Callable[[_Network, Config, Ref], Ref]] = {
    "Linear": _linear,
    "ConvNet": _conv_net,
    "LSTM": _lstm,
    "WaveNet": _wave_net,
}
