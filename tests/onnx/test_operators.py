"""Operators against onnxruntime: in the opsets that changed them, and in random graphs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from codegen.errors import UnsupportedError
from codegen.lowered import Reference
from codegen.lowering import lower
from codegen.model import Array
from codegen.readers import onnx as onnx_reader
from codegen.readers.options import Options
from tests.support.onnx_models import Session, make, saved, worst
from tests.support.targets import TOLERANCE

RNG = np.random.default_rng(3)


def numbers(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def whole(*values: int) -> Array:
    return np.array(values, np.int64)


def agree(nodes: Any, x: Array, arrays: dict[str, Array], opset: int) -> None:
    """Assert that the model gives what onnxruntime gives for its last value."""
    with tempfile.TemporaryDirectory() as name:
        path = saved(Path(name), nodes, {"x": x.shape}, [nodes[-1].output[0]], arrays, opset=opset)
        model = onnx_reader.read(path, Options(axes={"x": "_" * x.ndim}))
        expected = Session(path).run({"x": x})
    found = Reference(lower(model)).predict(x[None])
    assert worst(found, expected) <= TOLERANCE


Node = Callable[[], Any]
# What changed from one opset to the next: nodes on x of shape (2, 3, 4), arrays, opsets.
CHANGED: dict[str, tuple[Node, dict[str, Array], tuple[int, ...]]] = {
    "axes of Squeeze as attribute": (
        lambda: [make("Unsqueeze", ["x"], ["u"], axes=[0]),
                 make("Squeeze", ["u"], ["y"], axes=[0])],
        {},
        (7, 11, 12),
    ),
    "axes of Squeeze as input": (
        lambda: [make("Unsqueeze", ["x", "a"], ["u"]), make("Squeeze", ["u", "a"], ["y"])],
        {"a": whole(0)},
        (13, 21),
    ),
    "Clip by attributes": (lambda: [make("Clip", ["x"], ["y"], min=-0.5, max=0.25)], {}, (7, 10)),
    "Clip by inputs": (
        lambda: [make("Clip", ["x", "", "b"], ["y"])],
        {"b": np.array(0.25, np.float32)},
        (11, 12, 17),
    ),
    "Softmax of all axes behind": (
        lambda: [make("Softmax", ["x"], ["s"]), make("LogSoftmax", ["x"], ["l"], axis=0),
                 make("Add", ["s", "l"], ["y"])],
        {},
        (7, 11, 12),
    ),
    "Softmax of one axis": (
        lambda: [make("Softmax", ["x"], ["s"]), make("LogSoftmax", ["x"], ["l"], axis=0),
                 make("Add", ["s", "l"], ["y"])],
        {},
        (13, 17),
    ),
    "Hardmax": (lambda: [make("Hardmax", ["x"], ["y"])], {}, (11, 13)),
    "axes of reductions as attribute": (
        lambda: [make("ReduceSum", ["x"], ["s"], axes=[1]),
                 make("ReduceMax", ["s"], ["y"], axes=[-1], keepdims=0)],
        {},
        (7, 11, 12),
    ),
    "axes of ReduceSum as input": (
        lambda: [make("ReduceSum", ["x", "a"], ["s"]),
                 make("ReduceL2", ["s"], ["y"], axes=[-1], keepdims=0)],
        {"a": whole(1)},
        (13, 17),
    ),
    "axes of reductions as input": (
        lambda: [make("ReduceMean", ["x", "a"], ["s"]),
                 make("ReduceLogSumExp", ["s", "b"], ["y"], keepdims=0)],
        {"a": whole(1), "b": whole(-1)},
        (18, 20),
    ),
    "Slice by attributes": (
        lambda: [make("Slice", ["x"], ["y"], axes=[1, 2], starts=[-2, 0], ends=[9, -1])],
        {},
        (7, 9),
    ),
    "Slice by inputs": (
        lambda: [make("Slice", ["x", "f", "t", "a", "s"], ["y"])],
        {"f": whole(-1, 0), "t": whole(-9, 4), "a": whole(1, 2), "s": whole(-1, 3)},
        (10, 11, 13),
    ),
    "Pad by attributes": (
        lambda: [make("Pad", ["x"], ["y"], pads=[0, 1, -1, 0, 0, 2], value=0.5)],
        {},
        (7, 10),
    ),
    "Pad by inputs": (
        lambda: [make("Pad", ["x", "p", "v"], ["q"]),
                 make("Pad", ["q", "r"], ["y"], mode="reflect")],
        {"p": whole(0, 1, -1, 0, 0, 2), "v": np.array(0.5, np.float32),
         "r": whole(0, 2, 0, 0, 0, 3)},
        (11, 13, 18),
    ),
    "Pad of edges": (
        lambda: [make("Pad", ["x", "p", "", "a"], ["y"], mode="edge")],
        {"p": whole(2, 1), "a": whole(-1)},
        (18, 21),
    ),
    "Split by attribute": (
        lambda: [make("Split", ["x"], ["a", "b"], axis=2, split=[1, 3]),
                 make("Concat", ["b", "a"], ["y"], axis=2)],
        {},
        (7, 11, 12),
    ),
    "Split by input": (
        lambda: [make("Split", ["x", "s"], ["a", "b"], axis=2),
                 make("Concat", ["b", "a"], ["y"], axis=2)],
        {"s": whole(1, 3)},
        (13, 17),
    ),
    "Split by count": (
        lambda: [make("Split", ["x"], ["a", "b"], axis=1, num_outputs=2),
                 make("Concat", ["b", "a"], ["y"], axis=1)],
        {},
        (18, 20),
    ),
    "Dropout": (lambda: [make("Dropout", ["x"], ["y"])], {}, (7, 10, 12, 13)),
    "Flatten": (lambda: [make("Flatten", ["x"], ["y"], axis=2)], {}, (9, 11, 13)),
    "BatchNormalization": (
        lambda: [make("BatchNormalization", ["x", "w", "b", "m", "v"], ["y"], epsilon=1e-3)],
        {"w": numbers(3), "b": numbers(3), "m": numbers(3), "v": np.abs(numbers(3))},
        (7, 9, 14, 15),
    ),
    "Upsample by attribute": (
        lambda: [make("Upsample", ["x"], ["y"], scales=[1.0, 2.0, 3.0], mode="nearest")],
        {},
        (7, 8),
    ),
    "Upsample by input": (
        lambda: [make("Upsample", ["x", "s"], ["y"], mode="nearest")],
        {"s": np.array([1, 2, 1.5], np.float32)},
        (9,),
    ),
    "Resize by scales": (
        lambda: [make("Resize", ["x", "s"], ["y"], mode="nearest")],
        {"s": np.array([1, 2, 1.5], np.float32)},
        (10,),
    ),
    "Gelu": (lambda: [make("Gelu", ["x"], ["y"], approximate="tanh")], {}, (20, 21)),
    "GroupNormalization": (
        lambda: [make("GroupNormalization", ["x", "w", "b"], ["y"], num_groups=3)],
        {"w": numbers(3), "b": numbers(3)},
        (18, 21),
    ),
    "LayerNormalization": (
        lambda: [make("LayerNormalization", ["x", "w", "b"], ["y"], axis=1)],
        {"w": numbers(3, 4), "b": numbers(4)},
        (17, 20),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_what_changed_between_opsets(name: str) -> None:
    nodes, arrays, opsets = CHANGED[name]
    for opset in opsets:
        agree(nodes(), numbers(2, 3, 4), arrays, opset)


COORDINATES = ("asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners")


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize(mode: str, coordinates: str) -> None:
    how = {"mode": mode, "coordinate_transformation_mode": coordinates}
    for size in (3, 5, 8, 12):
        node = make("Resize", ["x", "", "", "n"], ["y"], **how)
        agree([node], numbers(1, 2, 6), {"n": whole(1, 2, size)}, 13)


@pytest.mark.parametrize("opset", [11, 19])
def test_convolutions_of_every_kind(opset: int) -> None:
    for groups, stride, dilation, pads, auto in (
        (1, 1, 1, [2, 0], "NOTSET"),
        (2, 2, 1, [1, 1], "NOTSET"),
        (4, 1, 2, [3, 1], "NOTSET"),
        (1, 3, 1, None, "SAME_UPPER"),
        (2, 2, 1, None, "SAME_LOWER"),
        (1, 20, 1, [1, 1], "VALID"),
    ):
        how: dict[str, Any] = {"group": groups, "strides": [stride], "dilations": [dilation]}
        how |= {"auto_pad": auto} if auto != "NOTSET" else {"pads": pads}
        kernel = {"w": numbers(8, 4 // groups, 3), "b": numbers(8)}
        agree([make("Conv", ["x", "w", "b"], ["y"], **how)], numbers(1, 4, 9), kernel, opset)
        if auto == "NOTSET":
            kernel = {"w": numbers(4, 3, 3), "b": numbers(3 * groups)}
            how["output_padding"] = [stride - 1]
            turned = make("ConvTranspose", ["x", "w", "b"], ["y"], **how)
            agree([turned], numbers(1, 4, 9), kernel, opset)


@pytest.mark.parametrize("shape", [(), (1,), (2,), (1, 1), (1, 2), (2, 1), (2, 2)])
def test_what_gemm_adds_is_broadcast_as_its_shape_says(shape: tuple[int, ...]) -> None:
    arrays = {"w": numbers(3, 2), "c": np.asarray(numbers(*shape))}
    agree([make("Gemm", ["x", "w", "c"], ["y"], beta=0.3)], numbers(2, 3), arrays, 17)


def test_the_last_window_may_be_cut_off() -> None:
    for kind in ("MaxPool", "AveragePool"):
        for length in (7, 8, 9):
            how: dict[str, Any] = {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}
            agree([make(kind, ["x"], ["y"], ceil_mode=1, **how)], numbers(1, 2, length), {}, 19)
    counts = {"count_include_pad": 1, "kernel_shape": [3], "strides": [2], "pads": [1, 1]}
    agree([make("AveragePool", ["x"], ["y"], **counts)], numbers(2, 2, 8), {}, 11)


def test_what_is_no_constant_is_refused(tmp_path: Path) -> None:
    node = make("Slice", ["x", "from", "to"], ["y"])
    types = {"from": TensorProto.INT64, "to": TensorProto.INT64}
    inputs = {"x": (4,), "from": (1,), "to": (1,)}
    path = saved(tmp_path, [node], inputs, ["y"], types=types)
    model = onnx_reader.read(path, Options(axes=dict.fromkeys(inputs, "_")))
    with pytest.raises(UnsupportedError, match="its starts is not a constant"):
        lower(model)


# ---- random graphs --------------------------------------------------------------------------

UNARY = ("Relu", "Sigmoid", "Tanh", "Softplus", "Sin", "Atan", "Erf", "Neg", "Abs", "Floor")
BINARY = ("Add", "Sub", "Mul", "Max", "Min")


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Any], dict[str, Array]]:
    """Nodes on x of shape (2, 3, 4), each of which takes earlier values."""
    shapes: dict[str, tuple[int, ...]] = {"x": (2, 3, 4)}
    nodes, arrays = [], {}
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    for k in range(draw(st.integers(1, 6))):
        name = f"v{k}"
        of = draw(st.sampled_from(sorted(shapes)))
        shape = shapes[of]
        rank = len(shape)
        kind = draw(st.sampled_from(_KINDS))
        axis = draw(st.integers(0, rank - 1))
        if kind == "unary":
            nodes.append(make(draw(st.sampled_from(UNARY)), [of], [name]))
        elif kind == "binary":
            other = draw(st.sampled_from([n for n, s in sorted(shapes.items()) if s == shape]))
            nodes.append(make(draw(st.sampled_from(BINARY)), [of, other], [name]))
        elif kind == "broadcast":
            own = tuple(n if draw(st.booleans()) else 1 for n in shape)
            arrays[f"c{k}"] = rng.normal(size=own).astype(np.float32)
            nodes.append(make(draw(st.sampled_from(BINARY)), [f"c{k}", of], [name]))
        elif kind == "transpose":
            order = draw(st.permutations(range(rank)))
            nodes.append(make("Transpose", [of], [name], perm=order))
            shape = tuple(shape[a] for a in order)
        elif kind == "reduce":
            op = draw(st.sampled_from(["ReduceMean", "ReduceMax", "ReduceL1", "ReduceSumSquare"]))
            nodes.append(make(op, [of], [name], axes=[axis], keepdims=1))
            shape = (*shape[:axis], 1, *shape[axis + 1 :])
        elif kind == "slice":
            start = draw(st.integers(0, shape[axis] - 1))
            for key, value in (("f", start), ("t", shape[axis]), ("a", axis)):
                arrays[f"{key}{k}"] = whole(value)
            nodes.append(make("Slice", [of, f"f{k}", f"t{k}", f"a{k}"], [name]))
            shape = (*shape[:axis], shape[axis] - start, *shape[axis + 1 :])
        elif kind == "concat":
            nodes.append(make("Concat", [of, of], [name], axis=axis))
            shape = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
        elif kind == "reshape":
            arrays[f"s{k}"] = whole(*shape[:axis], -1)
            nodes.append(make("Reshape", [of, f"s{k}"], [name]))
            shape = (*shape[:axis], int(np.prod(shape[axis:])))
        elif kind == "softmax":
            nodes.append(make("Softmax", [of], [name], axis=axis))
        else:
            arrays[f"m{k}"] = (rng.normal(size=(shape[-1], 3)) / 2).astype(np.float32)
            nodes.append(make("MatMul", [of, f"m{k}"], [name]))
            shape = (*shape[:-1], 3)
        shapes[name] = shape
    return nodes, arrays


_KINDS = (
    *("unary", "binary", "broadcast", "transpose", "reduce", "slice", "concat", "reshape"),
    *("softmax", "matmul"),
)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(graphs())
def test_random_graphs(graph: tuple[list[Any], dict[str, Array]]) -> None:
    nodes, arrays = graph
    agree(nodes, np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32), arrays, 13)
