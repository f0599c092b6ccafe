"""The networks as ONNX graphs, for emx-onnx-cgen and ONNX Runtime.

For one step, every state is an input `NAME` and an output `NAME_next`: what a user does who exports
a recurrent model for streaming. For whole sequences the states start from zero inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from benchmarks.networks import INPUT, KERNEL_WIDTH, Case, Layer

if TYPE_CHECKING:
    from pathlib import Path

OPSET = 17
IR_VERSION = 8
ONNX_NAME = {
    "sigmoid": "Sigmoid",
    "hard_sigmoid": "HardSigmoid",  # alpha 0.2, beta 0.5 by default: the formula of Keras 2
    "tanh": "Tanh",
    "relu": "Relu",
    "softmax": "Softmax",
}


class _Graph:
    """Nodes, constants, inputs and outputs while they are collected."""

    def __init__(self, case: Case, steps: int, *, states: bool) -> None:
        self.case, self.steps, self.states = case, steps, states
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.count = 0

    def constant(self, name: str, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, inputs: list[str], outputs: int = 1, **attributes: Any) -> list[str]:
        self.count += 1
        names = [f"v{self.count}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names

    def rename(self, old: str, new: str, shape: list[int]) -> None:
        """Make a value an output of the graph, without a node that copies it."""
        for node in self.nodes:
            for values in (node.input, node.output):
                values[:] = [new if value == old else value for value in values]
        self.outputs.append(helper.make_tensor_value_info(new, TensorProto.FLOAT, shape))

    def input(self, name: str, shape: list[int]) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def activation(self, name: str, value: str) -> str:
        if name == "linear":
            return value
        return self.node(ONNX_NAME[name], [value])[0]


def _gates(layer: Layer, array: np.ndarray) -> np.ndarray:
    """Columns in ONNX' order of gates, as rows: (1, gates * units, inputs)."""
    parts = np.split(array, 4 if layer.kind == "lstm" else 3, axis=-1)
    if (
        layer.kind == "lstm"
    ):  # Keras: input, forget, cell, output; ONNX: input, output, forget, cell
        parts = [parts[0], parts[3], parts[1], parts[2]]
    return np.concatenate(parts, axis=-1).T[None]


def _recurrent(g: _Graph, layer: Layer, x: str) -> str:
    kernel, recurrent, bias = g.case.weights[layer.name]
    first = bias[0] if bias.ndim == 2 else bias
    second = bias[1] if bias.ndim == 2 else np.zeros_like(bias)
    both = np.concatenate([_gates(layer, b[None])[..., 0] for b in (first, second)], axis=-1)
    shape = [1, 1, layer.units]
    kinds = ["h", "c"] if layer.kind == "lstm" else ["h"]
    starts = [g.input(f"{layer.name}_{kind}", shape) for kind in kinds] if g.states else []
    gate, act = ONNX_NAME[layer.recurrent_activation], ONNX_NAME[layer.activation]
    attributes: dict[str, Any] = {"hidden_size": layer.units}
    if layer.kind == "lstm":
        attributes["activations"] = [gate, act, act]
    else:
        attributes["activations"] = [gate, act]
        attributes["linear_before_reset"] = int(layer.reset_after)
    weights = [
        g.constant(f"{layer.name}_W", _gates(layer, kernel)),
        g.constant(f"{layer.name}_R", _gates(layer, recurrent)),
        g.constant(f"{layer.name}_B", both),
    ]
    operator = "LSTM" if layer.kind == "lstm" else "GRU"
    found = g.node(operator, [x, *weights, "", *starts], 1 + len(kinds), **attributes)
    if g.states:
        for kind, value in zip(kinds, found[1:], strict=True):
            g.rename(value, f"{layer.name}_{kind}_next", shape)
    axis = g.constant(f"{layer.name}_axis", np.array([1], np.int64))
    return g.node("Squeeze", [found[0], axis])[0]


def _dense(g: _Graph, layer: Layer, x: str) -> str:
    kernel, bias = g.case.weights[layer.name]
    product = g.node("MatMul", [x, g.constant(f"{layer.name}_W", kernel)])[0]
    total = g.node("Add", [product, g.constant(f"{layer.name}_B", bias)])[0]
    return g.activation(layer.activation, total)


def _conv_step(g: _Graph, layer: Layer, x: str) -> str:
    """One output of a causal convolution: pick the taps out of the window, one product."""
    kernel, bias = g.case.weights[layer.name]
    size = kernel.shape[1]
    name = layer.name
    past = g.input(f"{name}_past", [layer.delay, 1, size])
    window = g.node("Concat", [past, x], axis=0)[0]
    taps = np.arange(KERNEL_WIDTH, dtype=np.int64) * layer.dilation
    picked = g.node("Gather", [window, g.constant(f"{name}_taps", taps)], axis=0)[0]
    flat = g.constant(f"{name}_flat", np.array([1, 1, KERNEL_WIDTH * size], np.int64))
    row = g.node("Reshape", [picked, flat])[0]
    matrix = g.constant(f"{name}_W", kernel.reshape(-1, layer.units))
    total = g.node("Add", [g.node("MatMul", [row, matrix])[0], g.constant(f"{name}_B", bias)])[0]
    edges = [("from", 1), ("to", layer.delay + 1), ("along", 0)]
    slices = [g.constant(f"{name}_{key}", np.array([v], np.int64)) for key, v in edges]
    shifted = g.node("Slice", [window, *slices])[0]
    g.rename(shifted, f"{name}_past_next", [layer.delay, 1, size])
    return g.activation(layer.activation, total)


def _conv_sequence(g: _Graph, layer: Layer, x: str) -> str:
    kernel, bias = g.case.weights[layer.name]
    rows = g.node("Transpose", [x], perm=[1, 2, 0])[0]
    weights = [
        g.constant(f"{layer.name}_W", kernel.transpose(2, 1, 0)),
        g.constant(f"{layer.name}_B", bias),
    ]
    found = g.node("Conv", [rows, *weights], pads=[layer.delay, 0], dilations=[layer.dilation])[0]
    back = g.node("Transpose", [found], perm=[2, 0, 1])[0]
    return g.activation(layer.activation, back)


def write(case: Case, path: Path, steps: int = 1, *, states: bool = True) -> None:
    """Write the graph that takes `steps` steps, with states as inputs and outputs or without."""
    g = _Graph(case, steps, states=states)
    network = case.network
    values = {INPUT: g.input(INPUT, [steps, 1, network.input_size])}
    for layer in network.layers:
        inputs = [values[name] for name in layer.inputs]
        x = inputs[0] if len(inputs) == 1 else g.node("Concat", inputs, axis=2)[0]
        if layer.kind == "dense":
            values[layer.name] = _dense(g, layer, x)
        elif layer.kind == "conv":
            values[layer.name] = (_conv_step if states else _conv_sequence)(g, layer, x)
        else:
            values[layer.name] = _recurrent(g, layer, x)
    own, g.outputs = g.outputs, []
    for name in network.outputs:
        g.rename(values[name], f"{name}_out", [steps, 1, network.size(name)])
    graph = helper.make_graph(g.nodes, network.name, g.inputs, g.outputs + own, g.constants)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    checker.check_model(model)
    path.write_bytes(model.SerializeToString())
