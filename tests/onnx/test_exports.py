"""Graphs as exporters write them around recurrent nodes, along an axis of time that is free."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codegen.errors import UnsupportedError
from codegen.model import Array
from tests.onnx.test_structures import Net, numbers
from tests.support.onnx_models import agrees, lowered, saved

UNITS, INPUTS = 4, 3


def gru(net: Net, x: str, inputs: int, turns: int, start: str) -> tuple[str, str]:
    """Both outputs of a GRU as PyTorch has it."""
    weights = (net.weights(turns, 3 * UNITS, inputs), net.weights(turns, 3 * UNITS, UNITS),
               net.weights(turns, 6 * UNITS))  # fmt: skip
    direction = "bidirectional" if turns == 2 else "forward"
    y, h = net.add("GRU", x, *weights, "", start, count=2, hidden_size=UNITS,
                   linear_before_reset=1, direction=direction)  # fmt: skip
    return y, h


def zeros(net: Net, x: str, rows: int) -> str:
    """The zeros of all layers, of a shape that is computed from that of x."""
    batch = net.add("Gather", net.add("Shape", x), net.known(0), axis=0)
    batch = net.add("Unsqueeze", batch, net.known([0]))
    shape = net.add("Concat", net.known([rows]), batch, net.known([UNITS]), axis=0)
    return str(net.add("ConstantOfShape", shape))


@pytest.mark.parametrize(
    ("turns", "target"), [(1, "c"), (1, "numpy"), (1, "interpreter"), (2, "numpy"), (2, "python")]
)
def test_two_layers_as_the_first_exporter_writes_them(
    turns: int, target: str, tmp_path: Path
) -> None:
    net = Net()
    start = zeros(net, "x", 2 * turns)
    x, width = net.add("Transpose", "x", perm=[1, 0, 2]), INPUTS
    for layer in range(2):
        own = net.sliced(start, layer * turns, (layer + 1) * turns, 0)
        y, _ = gru(net, x, width, turns, own)
        if turns == 1:
            x = net.add("Squeeze", y, net.known([1]))
        else:
            x = net.add("Transpose", y, perm=[0, 2, 1, 3])
            x = net.add("Reshape", x, net.known([0, 0, -1]))
        width = turns * UNITS
    y = net.add("MatMul", net.add("Transpose", x, perm=[1, 0, 2]), net.weights(width, 2))
    net.end(net.add("Add", net.weights(2), y), "y")
    path = saved(tmp_path, net.nodes, {"x": ("batch", "time", INPUTS)}, ["y"], net.arrays)
    made = lowered(path)
    assert (made.step is None) == (turns == 2)
    agrees(target, path, {"x": numbers(1, 1, 9, INPUTS)}, tmp_path)


def test_directions_side_by_side_as_the_new_exporter_writes_them(tmp_path: Path) -> None:
    """Shapes are cut, multiplied and joined again, with the free length among them."""
    net = Net()
    y, _ = gru(net, "x", INPUTS, 2, net.known(np.zeros((2, 1, UNITS), np.float32)))
    y = net.add("Transpose", y, perm=[0, 2, 1, 3])
    shape = net.add("Shape", y)
    first, last = net.sliced(shape, 0, 2, 0), net.sliced(shape, 3, 4, 0)
    both = net.add("Mul", net.sliced(shape, 2, 3, 0), last)
    y = net.add("Reshape", y, net.add("Concat", first, both, axis=0), allowzero=0)
    net.end(y, "y")
    path = saved(tmp_path, net.nodes, {"x": ("T", 1, INPUTS)}, ["y"], net.arrays)
    agrees("numpy", path, {"x": numbers(1, 9, 1, INPUTS)}, tmp_path, lambda x: x[:, 0])


def test_the_last_state_is_an_output(tmp_path: Path) -> None:
    net = Net()
    x = net.add("Transpose", "x", perm=[1, 0, 2])
    y, h = gru(net, x, INPUTS, 1, "")
    net.nodes[-1].output[0] = ""
    del y
    last = net.add("Squeeze", h, net.known([0]))
    net.end(net.add("Gemm", last, net.weights(2, UNITS), net.weights(2), transB=1), "y")
    path = saved(tmp_path, net.nodes, {"x": (1, "time", INPUTS)}, ["y"], net.arrays)
    made = lowered(path)
    assert made.step is not None
    agrees("python", path, {"x": numbers(1, 1, 7, INPUTS)}, tmp_path)


def test_an_axis_that_is_a_lie_is_refused(tmp_path: Path) -> None:
    """The length is free at the input, and a constant inside."""
    net = Net()
    y, _ = gru(net, "x", INPUTS, 1, "")
    net.end(net.add("Reshape", y, net.known([7, 1, UNITS])), "y")
    path = saved(tmp_path, net.nodes, {"x": ("T", 1, INPUTS)}, ["y"], net.arrays)
    with pytest.raises(UnsupportedError, match="it cuts the time axis"):
        lowered(path)


def test_a_length_that_the_file_fixes_is_time_too(tmp_path: Path) -> None:
    net = Net()
    y, _ = gru(net, "x", INPUTS, 1, "")
    net.end(net.add("Reshape", y, net.known([7, 1, UNITS])), "y")
    path = saved(tmp_path, net.nodes, {"x": (7, 1, INPUTS)}, ["y"], net.arrays)
    assert lowered(path).step is not None
    x: Array = numbers(1, 7, 1, INPUTS)
    agrees("interpreter", path, {"x": x}, tmp_path, lambda x: x[:, 0])


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("target", ["interpreter", "c"])
def test_a_layer_over_frequencies_at_every_step(
    direction: str, target: str, tmp_path: Path
) -> None:
    """The batch of the first GRU is time, as in GTCRN exported whole; the second runs along it."""
    turns = 2 if direction == "bidirectional" else 1
    net = Net()
    x = net.add("Transpose", "x", perm=[2, 1, 0, 3])  # (F, T, B, C)
    x = net.add("Reshape", x, net.known([0, 0, -1]))
    weights = (net.weights(turns, 3 * UNITS, INPUTS), net.weights(turns, 3 * UNITS, UNITS))
    y = net.add("GRU", x, *weights, hidden_size=UNITS, direction=direction)
    y = net.add("Transpose", y, perm=[2, 0, 1, 3])  # (T, F, directions, C)
    y = net.add("Reshape", y, net.known([0, 1, -1]))
    y, _ = gru(net, y, 5 * turns * UNITS, 1, "")
    net.end(net.add("Squeeze", y, net.known([1, 2])), "y")
    path = saved(tmp_path, net.nodes, {"x": (1, "T", 5, INPUTS)}, ["y"], net.arrays)
    axes = {"x": "BT__"}
    assert lowered(path, axes=axes).step is not None
    agrees(target, path, {"x": numbers(1, 1, 6, 5, INPUTS)}, tmp_path, axes=axes)
