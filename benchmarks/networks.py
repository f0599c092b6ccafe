"""The networks that are timed, as plain data: every peer is built from the same description.

W1   the shape of the seed model: 3 x GRU(64), Dense(2) softmax; old hard_sigmoid, reset_after False
W1b  the same with sigmoid and reset_after True
W2a  LSTM(20) + Dense(1) on one audio sample; W2b the same with LSTM(40)
W3   the graph of RNNoise as first published
W4a  2 x LSTM(256) + Dense(128); W4b GRU(512); input 128
W5   eight dilated causal Conv1D(16, k=3, relu) + Dense(1); W5b the same with tanh
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUT = "input"
KERNEL_WIDTH = 3  # of every convolution


@dataclass(frozen=True)
class Layer:
    """One layer; `inputs` are concatenated. `kind` is dense, gru, lstm or conv."""

    name: str
    kind: str
    units: int
    inputs: tuple[str, ...]
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    reset_after: bool = False
    dilation: int = 1

    @property
    def delay(self) -> int:
        """Number of past inputs that a causal convolution keeps."""
        return (KERNEL_WIDTH - 1) * self.dilation


@dataclass(frozen=True)
class Network:
    """A graph of layers in the order of computation."""

    key: str
    title: str
    input_size: int
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    keras2: bool = False  # hard_sigmoid as Keras 2 computes it

    @property
    def name(self) -> str:
        """As identifier and stem of files."""
        return self.key.lower()

    @property
    def suffix(self) -> str:
        """Of the model file."""
        return ".h5" if self.keras2 else ".keras"

    def size(self, name: str) -> int:
        """Values per step of a layer, or of the input."""
        if name == INPUT:
            return self.input_size
        return next(layer.units for layer in self.layers if layer.name == name)

    def input_of(self, layer: Layer) -> int:
        """Values per step that go into a layer."""
        return sum(self.size(name) for name in layer.inputs)

    @property
    def output_size(self) -> int:
        """Values per step of all outputs together."""
        return sum(self.size(name) for name in self.outputs)

    def states(self) -> list[tuple[str, int]]:
        """Name and size of every state that a step carries, in order."""
        found: list[tuple[str, int]] = []
        for layer in self.layers:
            if layer.kind in {"gru", "lstm"}:
                found.append((f"{layer.name}_h", layer.units))
            if layer.kind == "lstm":
                found.append((f"{layer.name}_c", layer.units))
            if layer.kind == "conv":
                found.append((f"{layer.name}_past", layer.delay * self.input_of(layer)))
        return found


def _chain(*layers: Layer) -> tuple[Layer, ...]:
    """Each layer fed by the one before it."""
    previous, found = INPUT, []
    for layer in layers:
        found.append(Layer(**{**vars(layer), "inputs": (previous,)}))
        previous = layer.name
    return tuple(found)


def _gru(name: str, units: int, gate: str = "sigmoid", *, after: bool = True) -> Layer:
    return Layer(name, "gru", units, (), recurrent_activation=gate, reset_after=after)


def _seed(key: str, title: str, gate: str, *, after: bool, keras2: bool) -> Network:
    grus = [_gru(f"gru_{i}", 64, gate, after=after) for i in (1, 2, 3)]
    layers = _chain(*grus, Layer("dense", "dense", 2, (), activation="softmax"))
    return Network(key, title, 4, layers, ("dense",), keras2)


def _audio(key: str, units: int) -> Network:
    layers = _chain(
        Layer("lstm", "lstm", units, ()), Layer("dense", "dense", 1, (), activation="linear")
    )
    return Network(key, f"LSTM({units}), Dense(1)", 1, layers, ("dense",))


def _rnnoise() -> Network:
    layers = (
        Layer("input_dense", "dense", 24, (INPUT,)),
        Layer("vad_gru", "gru", 24, ("input_dense",)),
        Layer("noise_gru", "gru", 48, ("input_dense", "vad_gru", INPUT), activation="relu"),
        Layer("denoise_gru", "gru", 96, ("vad_gru", "noise_gru", INPUT)),
        Layer("denoise_output", "dense", 22, ("denoise_gru",), activation="sigmoid"),
        Layer("vad_output", "dense", 1, ("vad_gru",), activation="sigmoid"),
    )
    return Network("W3", "RNNoise graph", 42, layers, ("denoise_output", "vad_output"))


def _convolutions(key: str, activation: str) -> Network:
    convs = [
        Layer(f"conv_{i}", "conv", 16, (), activation=activation, dilation=1 << i) for i in range(8)
    ]
    layers = _chain(*convs, Layer("dense", "dense", 1, (), activation="linear"))
    title = f"8 x dilated Conv1D(16, 3, {activation}), Dense(1)"
    return Network(key, title, 1, layers, ("dense",))


NETWORKS: tuple[Network, ...] = (
    _seed("W1", "3 x GRU(64), reset_after=False", "hard_sigmoid", after=False, keras2=True),
    _seed("W1b", "3 x GRU(64), reset_after=True", "sigmoid", after=True, keras2=False),
    _audio("W2a", 20),
    _audio("W2b", 40),
    _rnnoise(),
    Network(
        "W4a",
        "2 x LSTM(256), Dense(128)",
        128,
        _chain(
            Layer("lstm_1", "lstm", 256, ()),
            Layer("lstm_2", "lstm", 256, ()),
            Layer("dense", "dense", 128, (), activation="linear"),
        ),
        ("dense",),
    ),
    Network("W4b", "GRU(512)", 128, _chain(_gru("gru", 512)), ("gru",)),
    _convolutions("W5", "relu"),
    _convolutions("W5b", "tanh"),
)
BY_KEY = {network.key: network for network in NETWORKS}


@dataclass(frozen=True)
class Case:
    """A network with its weights, an input sequence, and what Keras predicts for it."""

    network: Network
    weights: dict[str, tuple[NDArray[np.float32], ...]]
    x: NDArray[np.float32]  # (steps, input)
    y: NDArray[np.float32]  # (steps, outputs side by side)
    model: Path

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(array.size for arrays in self.weights.values() for array in arrays)

    @property
    def matrix_bytes(self) -> int:
        """Bytes of all kernels: what a step has to read at least once."""
        return sum(a.nbytes for arrays in self.weights.values() for a in arrays if a.ndim > 1)


def paths(network: Network, folder: Path) -> tuple[Path, Path]:
    """The model file and the recorded arrays."""
    return folder / f"{network.name}{network.suffix}", folder / f"{network.name}.npz"


def load(network: Network, folder: Path) -> Case:
    """What `benchmarks.workloads` wrote."""
    model, arrays = paths(network, folder)
    weights: dict[str, tuple[NDArray[np.float32], ...]] = {}
    with np.load(arrays) as data:
        for layer in network.layers:
            count = sum(key.startswith(f"{layer.name}/") for key in data.files)
            weights[layer.name] = tuple(data[f"{layer.name}/{i}"] for i in range(count))
        return Case(network, weights, data["x"], data["y"], model)
