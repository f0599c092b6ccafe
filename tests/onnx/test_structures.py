"""Small models of the structure of those that people export, each made here.

Silero VAD (an If on the rate), the two parts of DTLN (all states in one tensor, a recurrent layer
as products), GTCRN (caches that are joined and cut, recurrent layers over frequencies), a part of
DeepFilterNet (causal convolutions and a GRU along time).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from codegen.model import Array
from tests.support.onnx_models import agrees, lowered, make, saved, steps_agree
from tests.support.targets import TARGETS, TOLERANCE

STEPS = 50


@dataclass
class Net:
    """Nodes one after another, with their constants."""

    nodes: list[Any] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)
    seed: int = 0
    prefix: str = "v"

    def weights(self, *shape: int, scale: float = 0.4) -> str:
        """The name of a new constant of random numbers."""
        self.seed += 1
        found = np.random.default_rng(self.seed).standard_normal(shape) * scale
        return self.known(found.astype(np.float32))

    def known(self, array: Any) -> str:
        name = f"k{len(self.arrays)}"
        self.arrays[name] = np.asarray(array)
        return name

    def add(self, op: str, *inputs: str, count: int = 1, **attributes: Any) -> Any:
        """The name of the output of a new node, or the names of several."""
        names = [f"{self.prefix}{len(self.nodes)}_{k}" for k in range(count)]
        self.nodes.append(
            make(op, list(inputs), names, name=f"/{op}_{len(self.nodes)}", **attributes)
        )
        return names[0] if count == 1 else names

    def end(self, name: str, output: str) -> None:
        self.nodes.append(make("Identity", [name], [output]))

    def sliced(self, x: str, start: int, end: int, axis: int) -> str:
        parts = (self.known([n]) for n in (start, end, axis))
        return str(self.add("Slice", x, *parts))


def numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 0.5


def silero(folder: Path) -> Path:
    """Frames of 24 samples, a spectrum of 5 frequencies, an LSTM of 6."""
    units, net = 6, Net()
    inner = Net(arrays=net.arrays, seed=100, prefix="inner")
    x = inner.add("Pad", "input", inner.known([0, 0, 0, 4]), mode="reflect")
    x = inner.add("Unsqueeze", x, inner.known([1]))
    x = inner.add("Conv", x, inner.weights(10, 1, 8), strides=[4], kernel_shape=[8])
    real, imaginary = inner.sliced(x, 0, 5, 1), inner.sliced(x, 5, 1 << 60, 1)
    two = inner.known(np.array(2, np.float32))
    x = inner.add("Add", inner.add("Pow", real, two), inner.add("Pow", imaginary, two))
    x = inner.add("Sqrt", x)
    for channels, stride in ((7, 2), (units, 3)):
        width = 5 if channels == 7 else 7
        kernel, bias = inner.weights(channels, width, 3), inner.weights(channels)
        x = inner.add("Conv", x, kernel, bias, strides=[stride], pads=[1, 1])
        x = inner.add("Relu", x)
    shape = inner.add("Shape", x)
    last = inner.add("Gather", shape, inner.known([2]), axis=0)
    one = inner.known([1])
    is_one = inner.add("Equal", last, one)
    squeeze = helper.make_graph(
        [make("Squeeze", [x, inner.known([2])], ["flat"])], "then", [],
        [helper.make_tensor_value_info("flat", TensorProto.FLOAT, None)],
    )  # fmt: skip
    same = helper.make_graph(
        [make("Identity", [x], ["as_is"])], "else", [],
        [helper.make_tensor_value_info("as_is", TensorProto.FLOAT, None)],
    )  # fmt: skip
    x = inner.add("If", is_one, then_branch=squeeze, else_branch=same)
    zero = inner.known([0])
    starts = [
        inner.add("Unsqueeze", inner.add("Gather", "state", inner.known(k), axis=0), zero)
        for k in range(2)
    ]
    x = inner.add("Unsqueeze", x, zero)
    weights = (inner.weights(1, 4 * units, units), inner.weights(1, 4 * units, units),
               inner.weights(1, 8 * units))  # fmt: skip
    y, h, c = inner.add("LSTM", x, *weights, "", *starts, count=3, hidden_size=units)
    del y
    inner.nodes[-1].output[0] = ""
    following = inner.add("Concat", h, c, axis=0)
    flat = inner.add("Squeeze", h, zero)
    flat = inner.add("Relu", inner.add("Unsqueeze", flat, inner.known([-1])))
    flat = inner.add("Sigmoid", inner.add("Conv", flat, inner.weights(1, units, 1)))
    result = inner.add("ReduceMean", inner.add("Squeeze", flat, one), axes=[1], keepdims=1)
    outputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in (result, following)
    ]
    good = helper.make_graph(inner.nodes, "then", [], outputs)
    other = helper.make_graph(
        [make("Identity", ["input"], ["o"]), make("Identity", ["state"], ["s"])], "else", [],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "os"],
    )  # fmt: skip
    chosen = net.add("Equal", "sr", net.known(16000))
    net.nodes.append(
        make("If", [chosen], ["output", "stateN"], then_branch=good, else_branch=other, name="If_0")
    )
    inputs = {"input": ("batch", "samples"), "state": (2, "batch", units), "sr": ()}
    return saved(folder, net.nodes, inputs, ["output", "stateN"], net.arrays, opset=16,
                 types={"sr": TensorProto.INT64})  # fmt: skip


def dtln_1(folder: Path) -> Path:
    """A mask for 9 frequencies by two LSTM, whose h and c are one tensor."""
    units, net = 4, Net()
    starts = []
    for layer in range(2):
        row = net.sliced("states", layer, layer + 1, 1)
        for role in range(2):
            start = net.add("Squeeze", net.sliced(row, role, role + 1, 3), net.known([3]))
            starts.append(start)
    x, ends = net.add("Transpose", "magnitude", perm=[1, 0, 2]), []
    for layer in range(2):
        weights = (net.weights(1, 4 * units, 9 if layer == 0 else units),
                   net.weights(1, 4 * units, units), net.weights(1, 8 * units))  # fmt: skip
        own = starts[2 * layer : 2 * layer + 2]
        y, h, c = net.add("LSTM", x, *weights, "", *own, count=3, hidden_size=units)
        x = net.add("Squeeze", y, net.known([1]))
        ends += [h, c]
    x = net.add("Add", net.add("MatMul", x, net.weights(units, 9)), net.weights(9))
    net.end(net.add("Sigmoid", x), "mask")
    rows = []
    for layer in range(2):
        both = [
            net.add("Unsqueeze", end, net.known([3])) for end in ends[2 * layer : 2 * layer + 2]
        ]
        rows.append(net.add("Concat", *both, axis=3))
    net.end(net.add("Concat", *rows, axis=1), "states_out")
    inputs = {"magnitude": (1, 1, 9), "states": (1, 2, units, 2)}
    return saved(folder, net.nodes, inputs, ["mask", "states_out"], net.arrays, opset=14)


def dtln_2(folder: Path) -> Path:
    """Frames of 12 samples: a normalisation, and an LSTM as products."""
    units, net = 4, Net()
    turned = net.add("Transpose", "frame", perm=[0, 2, 1])
    x = net.add("Conv", turned, net.weights(8, 12, 1), kernel_shape=[1])
    code = net.add("Transpose", x, perm=[0, 2, 1])
    middle = net.add("ReduceMean", code, axes=[-1], keepdims=1)
    away = net.add("Sub", code, middle)
    spread = net.add("ReduceMean", net.add("Mul", away, away), axes=[-1], keepdims=1)
    root = net.add("Sqrt", net.add("Add", spread, net.known(np.float32(1e-7))))
    x = net.add("Add", net.add("Mul", net.add("Div", away, root), net.weights(8)), net.weights(8))
    h, c = (
        net.add("Squeeze", net.add("Squeeze", net.sliced("states", k, k + 1, 3), net.known([3])),
                net.known([1])) for k in range(2)
    )  # fmt: skip
    x = net.add("Squeeze", x, net.known([1]))
    both = net.add("Add", net.add("MatMul", x, net.weights(8, 4 * units)),
                   net.add("MatMul", h, net.weights(units, 4 * units)))  # fmt: skip
    sums = net.add("Add", both, net.weights(4 * units))
    i, f, g, o = net.add("Split", sums, count=4, axis=1)
    kept = net.add("Mul", net.add("Sigmoid", f), c)
    c = net.add("Add", kept, net.add("Mul", net.add("Sigmoid", i), net.add("Tanh", g)))
    h = net.add("Mul", net.add("Sigmoid", o), net.add("Tanh", c))
    mask = net.add("Sigmoid", net.add("Gemm", h, net.weights(units, 8), net.weights(8)))
    y = net.add("Mul", net.add("Unsqueeze", mask, net.known([1])), code)
    y = net.add("Conv", net.add("Transpose", y, perm=[0, 2, 1]), net.weights(12, 8, 1))
    net.end(net.add("Transpose", y, perm=[0, 2, 1]), "out")
    ends = [net.add("Unsqueeze", net.add("Unsqueeze", end, net.known([1])), net.known([3]))
            for end in (h, c)]  # fmt: skip
    net.end(net.add("Concat", *ends, axis=3), "states_out")
    inputs = {"frame": (1, 1, 12), "states": (1, 1, units, 2)}
    return saved(folder, net.nodes, inputs, ["out", "states_out"], net.arrays, opset=14)


def gtcrn(folder: Path) -> Path:
    """7 frequencies of 2 channels: a cache, a GRU over frequencies and one for each of them."""
    units, net = 3, Net()
    x = net.add("Transpose", "mix", perm=[0, 3, 2, 1])  # (1, 2, T, F)
    joined = net.add("Concat", "cache", x, axis=2)
    net.end(net.sliced(joined, 1, 1 << 60, 2), "cache_out")
    deep = net.add("Conv", joined, net.weights(2, 1, 3, 3), net.weights(2), group=2,
                   pads=[0, 1, 0, 1])  # fmt: skip
    x = net.add("PRelu", deep, net.weights(2, 1, 1))
    x = net.add("Conv", x, net.weights(units, 2, 1, 1))
    for direction, perm in (("bidirectional", [3, 0, 2, 1]), ("forward", [2, 0, 3, 1])):
        turns = 2 if direction == "bidirectional" else 1
        rows = net.add("Transpose", x, perm=perm)  # (F, 1, T, C), or (T, 1, F, C)
        length, others = (7, 1) if turns == 2 else (1, 7)
        rows = net.add("Reshape", rows, net.known([length, others, units]))
        weights = (net.weights(turns, 3 * units, units), net.weights(turns, 3 * units, units),
                   net.weights(turns, 6 * units))  # fmt: skip
        start = () if turns == 2 else ("", "inter")
        y, h = net.add("GRU", rows, *weights, *start, count=2, hidden_size=units,
                       direction=direction, linear_before_reset=1)  # fmt: skip
        if turns == 1:
            net.end(h, "inter_out")
        else:
            net.nodes[-1].output[1] = ""
        y = net.add("Transpose", y, perm=[0, 2, 1, 3])
        y = net.add("Reshape", y, net.known([0, 0, -1]))
        y = net.add(
            "Add", net.add("MatMul", y, net.weights(turns * units, units)), net.weights(units)
        )
        y = net.add("LayerNormalization", y, net.weights(units), net.weights(units))
        order = [2, 1, 0] if turns == 2 else [2, 0, 1]
        y = net.add("Unsqueeze", net.add("Transpose", y, perm=order), net.known([0]))
        x = net.add("Add", x, y)
    y = net.add("Tanh", net.add("Conv", x, net.weights(2, units, 1, 1)))
    net.end(net.add("Transpose", y, perm=[0, 3, 2, 1]), "enh")
    inputs = {"mix": (1, 7, 1, 2), "cache": (1, 2, 2, 7), "inter": (1, 7, units)}
    return saved(folder, net.nodes, inputs, ["enh", "cache_out", "inter_out"], net.arrays)


@dataclass(frozen=True)
class Case:
    """A model with states."""

    make: Callable[[Path], Path]
    states: Mapping[str, str]
    feeds: Mapping[str, tuple[int, ...]]
    reading: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Array] = field(default_factory=dict)


CASES = {
    "silero": Case(
        silero, {"state": "stateN"}, {"input": (1, 24)},
        {"axes": {"input": "B,24"}, "constants": {"sr": 16000}}, {"sr": np.array(16000)},
    ),
    "dtln_1": Case(dtln_1, {"states": "states_out"}, {"magnitude": (1, 1, 9)}),
    "dtln_2": Case(dtln_2, {"states": "states_out"}, {"frame": (1, 1, 12)}),
    "gtcrn": Case(
        gtcrn, {"cache": "cache_out", "inter": "inter_out"}, {"mix": (1, 7, 1, 2)}
    ),
}  # fmt: skip


@pytest.mark.parametrize("target", ["interpreter", *TARGETS])
@pytest.mark.parametrize("name", CASES)
def test_steps_agree_with_onnxruntime(name: str, target: str, tmp_path: Path) -> None:
    case = CASES[name]
    feeds = {key: numbers(k, STEPS, *shape) for k, (key, shape) in enumerate(case.feeds.items())}
    error = steps_agree(
        target, case.make(tmp_path), feeds, tmp_path, states=case.states, fixed=case.fixed,
        **case.reading,
    )  # fmt: skip
    assert error <= TOLERANCE


def test_states_start_as_a_file_says(tmp_path: Path) -> None:
    case = CASES["dtln_1"]
    start = {"states": numbers(9, 1, 2, 4, 2)}
    np.savez(tmp_path / "start.npz", **start)
    feeds = {"magnitude": numbers(1, 5, 1, 1, 9)}
    error = steps_agree(
        "interpreter", case.make(tmp_path), feeds, tmp_path, states=case.states, start=start,
        initial_state=tmp_path / "start.npz",
    )  # fmt: skip
    assert error <= TOLERANCE


def deep_filter(folder: Path) -> Path:
    """Bands of 6: a causal convolution over time and bands, and a GRU along time."""
    units, net = 5, Net()
    x = net.add("Pad", "erb", net.known([0, 0, 2, 0, 0, 0, 0, 0]))
    x = net.add("Conv", x, net.weights(3, 1, 3, 3), net.weights(3), pads=[0, 1, 0, 1],
                strides=[1, 2])  # fmt: skip
    x = net.add("Relu", net.add("Conv", x, net.weights(3, 1, 1, 3), group=3, pads=[0, 1, 0, 1]))
    x = net.add("Transpose", x, perm=[0, 2, 1, 3])  # (B, T, C, F)
    x = net.add("Reshape", x, net.known([0, 0, -1]))
    x = net.add("Transpose", x, perm=[1, 0, 2])
    weights = (net.weights(1, 3 * units, 9), net.weights(1, 3 * units, units),
               net.weights(1, 6 * units))  # fmt: skip
    y = net.add("GRU", x, *weights, hidden_size=units, linear_before_reset=1)
    y = net.add("Transpose", net.add("Squeeze", y, net.known([1])), perm=[1, 0, 2])
    y = net.add("Add", net.add("MatMul", y, net.weights(units, 6)), net.weights(6))
    net.end(net.add("Sigmoid", y), "gains")
    return saved(folder, net.nodes, {"erb": (1, 1, "S", 6)}, ["gains"], net.arrays, opset=14)


@pytest.mark.parametrize("target", ["interpreter", *TARGETS])
def test_caches_of_a_part_of_deep_filter_net_are_delay_lines(target: str, tmp_path: Path) -> None:
    """Nothing in the file says state: the time axis is there, and steps follow from it."""
    path = deep_filter(tmp_path)
    axes = {"erb": "B_T_"}
    made = lowered(path, axes=axes)
    assert made.step is not None
    assert sorted(state.role for state in made.step.states) == ["h", "line"]
    x = numbers(1, 1, 1, 9, 6)
    agrees(target, path, {"erb": x}, tmp_path, lambda x: x[0, 0][:, None], axes=axes)


def cached(folder: Path, *, rows: int, dilation: int, new: int = 1, bands: int = 0) -> Path:
    """A convolution whose last rows are kept in a cache, over bands too where there are some."""
    net, wide = Net(), bool(bands)
    x = net.add("Conv", "x", net.weights(3, 2, *(1, 1)[: 1 + wide]))
    joined = net.add("Concat", "cache", x, axis=2)
    net.end(net.sliced(joined, new, 1 << 60, 2), "cache_out")
    more: dict[str, Any] = {"pads": [0, 1, 0, 1]} if wide else {}
    y = net.add("Conv", joined, net.weights(4, 3, *(3, 3)[: 1 + wide]), net.weights(4),
                dilations=[dilation, 1][: 1 + wide], **more)  # fmt: skip
    net.end(net.add("Relu", y), "y")
    tail = (bands,) if wide else ()
    inputs = {"x": (1, 2, new, *tail), "cache": (1, 3, rows, *tail)}
    return saved(folder, net.nodes, inputs, ["y", "cache_out"], net.arrays)


CACHES = {
    "a dilated kernel": ({"rows": 8, "dilation": 4}, "Conv_4_line"),
    "bands": ({"rows": 2, "dilation": 1, "bands": 5}, "Conv_4_line"),
    "two rows at once": ({"rows": 6, "dilation": 3, "new": 2}, "Conv_4_line"),
    "more than the kernel meets": ({"rows": 10, "dilation": 4}, "cache_state"),
}


@pytest.mark.parametrize("target", ["interpreter", "c", "python"])
@pytest.mark.parametrize("name", CACHES)
def test_a_cache_is_a_delay_line_where_it_is_one(name: str, target: str, tmp_path: Path) -> None:
    settings, state = CACHES[name]
    path, states = cached(tmp_path, **settings), {"cache": "cache_out"}
    made = lowered(path, states=states)
    assert made.step is not None
    assert [one.buffer.name for one in made.step.states] == [state]
    bands, new = settings.get("bands", 0), settings.get("new", 1)
    tail = (bands,) if bands else ()
    start = {"cache": numbers(3, 1, 3, settings["rows"], *tail)}
    np.savez(tmp_path / "start.npz", **start)
    feeds = {"x": numbers(1, 30, 1, 2, new, *tail)}
    error = steps_agree(
        target, path, feeds, tmp_path, states=states, start=start,
        initial_state=tmp_path / "start.npz",
    )  # fmt: skip
    assert error <= TOLERANCE
