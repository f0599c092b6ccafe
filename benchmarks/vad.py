"""A voice activity detector with the layer sizes of Silero VAD, as an ONNX graph, and its runners.

One run takes 576 samples (32 ms at 16 kHz and what came before) and a state of two rows. Its layers
are reflected padding, a short-time Fourier transform as a convolution, magnitudes, four
convolutions, an LSTM and one probability. The weights are random.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SAMPLES, UNITS, BINS, WINDOW = 576, 128, 129, 256
# Inputs, outputs and stride of each convolution of three taps.
LAYERS = ((BINS, 128, 1), (128, 64, 2), (64, 64, 2), (64, 128, 1))
STATE = [2, 1, UNITS]


def write(path: Path) -> None:
    """The graph of one run: `input` and `state` in, `output` and `stateN` out."""
    rng = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {}

    def weights(name: str, *shape: int) -> str:
        fan = int(np.prod(shape[1:])) if len(shape) > 1 else 8
        arrays[name] = rng.normal(0, 0.5 / np.sqrt(fan), shape).astype(np.float32)
        return name

    def whole(*numbers: int) -> str:
        name = "_".join(["n", *map(str, numbers)])
        arrays[name] = np.array(numbers, np.int64)
        return name

    make, nodes = helper.make_node, []
    nodes += [
        make("Pad", ["input", whole(0, 0, 0, 64)], ["padded"], mode="reflect"),
        make("Unsqueeze", ["padded", whole(1)], ["wave"]),
        make("Conv", ["wave", weights("basis", 2 * BINS, 1, WINDOW)], ["stft"], strides=[128]),
    ]
    for part, start in (("real", 0), ("imaginary", BINS)):
        edges = [whole(start), whole(start + BINS), whole(1)]
        nodes.append(make("Slice", ["stft", *edges], [part]))
        nodes.append(make("Mul", [part, part], [f"{part}_square"]))
    nodes += [
        make("Add", ["real_square", "imaginary_square"], ["power"]),
        make("Sqrt", ["power"], ["x0"]),
    ]
    for k, (inputs, outputs, stride) in enumerate(LAYERS):
        kernel = [weights(f"kernel{k}", outputs, inputs, 3), weights(f"bias{k}", outputs)]
        pads = {"pads": [1, 1], "strides": [stride]}
        nodes.append(make("Conv", [f"x{k}", *kernel], [f"c{k}"], **pads))
        nodes.append(make("Relu", [f"c{k}"], [f"x{k + 1}"]))
    gates = 4 * UNITS
    recurrent = [
        weights("W", 1, gates, UNITS),
        weights("R", 1, gates, UNITS),
        weights("B", 1, 2 * gates),
    ]
    nodes += [
        make("Transpose", ["x4"], ["steps"], perm=[2, 0, 1]),
        make("Split", ["state"], ["h", "c"], axis=0, num_outputs=2),
        make("LSTM", ["steps", *recurrent, "", "h", "c"], ["", "hn", "cn"], hidden_size=UNITS),
        make("Concat", ["hn", "cn"], ["stateN"], axis=0),
        make("Relu", ["hn"], ["features"]),
        make("Transpose", ["features"], ["column"], perm=[1, 2, 0]),
        make("Conv", ["column", weights("last", 1, UNITS, 1), weights("offset", 1)], ["logit"]),
        make("Sigmoid", ["logit"], ["chance"]),
        make("Squeeze", ["chance", whole(2)], ["output"]),
    ]

    def value(name: str, shape: list[int]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "vad",
        [value("input", [1, SAMPLES]), value("state", STATE)],
        [value("output", [1, 1]), value("stateN", STATE)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path.write_bytes(model.SerializeToString())


class OnnxRuntime:
    """ONNX Runtime, one thread, inputs, states and outputs bound to fixed memory."""

    def __init__(self, path: Path, x: NDArray[np.float32]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        make = onnxruntime.OrtValue.ortvalue_from_numpy
        self.x, self.at = x, 0
        self.values = [make(np.zeros(STATE, np.float32)) for _ in (0, 1)]
        self.given = make(x[0])
        self.found = make(np.zeros((1, 1), np.float32))
        self.views = [_view(value) for value in (self.given, self.found)]
        self.bindings = [self._binding(*pair) for pair in (self.values, self.values[::-1])]

    def _binding(self, before: Any, after: Any) -> Any:
        binding = self.session.io_binding()
        binding.bind_ortvalue_input("input", self.given)
        binding.bind_ortvalue_input("state", before)
        binding.bind_ortvalue_output("output", self.found)
        binding.bind_ortvalue_output("stateN", after)
        return binding

    def run(self, steps: int) -> None:
        """That many chunks."""
        given, _ = self.views
        for _ in range(steps):
            given[...] = self.x[self.at % len(self.x)]
            self.session.run_with_iobinding(self.bindings[self.at % 2])
            self.at += 1

    def outputs(self) -> NDArray[np.float32]:
        """What comes out for all chunks, from zero state."""
        self.at = 0
        for value in self.values:
            _view(value)[...] = 0
        found = []
        for _ in self.x:
            self.run(1)
            found.append(float(self.views[1].ravel()[0]))
        return np.array(found, np.float32)


def _view(value: Any) -> NDArray[np.float32]:
    """An array on the memory of an OrtValue."""
    pointer = ctypes.cast(value.data_ptr(), ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(pointer, tuple(value.shape()))
