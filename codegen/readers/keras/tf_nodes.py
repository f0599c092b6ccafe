"""Nodes of TensorFlow graphs in functional models: TensorFlowOpLayer of TensorFlow 1.15 to 2.3.

The configuration holds the node as JSON: `op`, `attr` and the names of its inputs; `constants` has
the inputs that are no tensors of the model, by their number. Each is read as the operation of
Keras 3 that computes the same; the others are refused by name.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from codegen.errors import LayerError
from codegen.readers.keras import ops, tf_ops
from codegen.readers.keras.items import Item
from codegen.readers.settings import MAX_INTEGER, Config, show, whole

CLASS = "TensorFlowOpLayer"


@dataclass(frozen=True)
class Operation:
    """What an operation of TensorFlow is called in Keras 3, and what its inputs and attributes are.

    `inputs` are the settings that stand among the inputs, by number; negative from the end.
    """

    name: str
    inputs: Mapping[int, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)


_AXIS = {1: "axis"}
_PLAIN = {
    "Add": "Add",
    "AddV2": "Add",
    "AddN": "AddN",
    "BiasAdd": "Add",
    "Sub": "Subtract",
    "Mul": "Multiply",
    "RealDiv": "TrueDivide",
    "FloorDiv": "FloorDivide",
    "FloorMod": "Mod",
    "Pow": "Power",
    "Maximum": "Maximum",
    "Minimum": "Minimum",
    "SquaredDifference": "SquaredDifference",
    "Neg": "Negative",
    "Abs": "Absolute",
    "Square": "Square",
    "Sqrt": "Sqrt",
    "Rsqrt": "Rsqrt",
    "Reciprocal": "Reciprocal",
    "Exp": "Exp",
    "Expm1": "Expm1",
    "Log": "Log",
    "Log1p": "Log1p",
    "Sinh": "Sinh",
    "Cosh": "Cosh",
    "Erf": "Erf",
    "Sign": "Sign",
    "Floor": "Floor",
    "Ceil": "Ceil",
    "Round": "Round",
    "Equal": "Equal",
    "NotEqual": "NotEqual",
    "Greater": "Greater",
    "GreaterEqual": "GreaterEqual",
    "Less": "Less",
    "LessEqual": "LessEqual",
    "LogicalAnd": "LogicalAnd",
    "LogicalOr": "LogicalOr",
    "LogicalNot": "LogicalNot",
    "Relu": "Relu",
    "Relu6": "Relu6",
    "Elu": "Elu",
    "Selu": "Selu",
    "Sigmoid": "Sigmoid",
    "Tanh": "Tanh",
    "Softplus": "Softplus",
    "Softsign": "Softsign",
    "Softmax": "Softmax",
    "LogSoftmax": "LogSoftmax",
    "Select": "Where",
    "SelectV2": "Where",
    "ZerosLike": "ZerosLike",
    "OnesLike": "OnesLike",
    "Identity": "Identity",
    "StopGradient": "StopGradient",
}
_OPERATIONS = {
    **{op: Operation(name) for op, name in _PLAIN.items()},
    **{
        op: Operation(name, _AXIS, {"keep_dims": "keepdims"})
        for op, name in (
            ("Sum", "Sum"), ("Mean", "Mean"), ("Max", "Max"), ("Min", "Min"), ("Prod", "Prod"),
            ("Any", "Any"), ("All", "All"),
        )
    },
    "LeakyRelu": Operation("LeakyRelu", {}, {"alpha": "negative_slope"}),
    "ConcatV2": Operation("Concatenate", {-1: "axis"}),
    "Pack": Operation("Stack", {}, {"axis": "axis"}),
    "Unpack": Operation("Unstack", {}, {"axis": "axis"}),
    "Split": Operation("Split", {0: "axis"}, {"num_split": "indices_or_sections"}),
    "SplitV": Operation("Split", {1: "indices_or_sections", 2: "axis"}),
    "ExpandDims": Operation("ExpandDims", _AXIS),
    "Squeeze": Operation("Squeeze", {}, {"squeeze_dims": "axis"}),
    "Reshape": Operation("Reshape", {1: "newshape"}),
    "Transpose": Operation("Transpose", {1: "axes"}),
    "Tile": Operation("Tile", {1: "repeats"}),
    "GatherV2": Operation("Take", {2: "axis"}),
    "Pad": Operation("Pad", {1: "pad_width"}),
    "PadV2": Operation("Pad", {1: "pad_width", 2: "constant_values"}),
    "ReverseV2": Operation("Flip", _AXIS),
    "Roll": Operation("Roll", {1: "shift", 2: "axis"}),
    "Cast": Operation("Cast", {}, {"DstT": "dtype"}),
    "OneHot": Operation(
        "OneHot", {1: "num_classes", 2: "on_value", 3: "off_value"}, {"axis": "axis"}
    ),
    "ArgMax": Operation("Argmax", _AXIS),
    "Cumsum": Operation("Cumsum", _AXIS, {"exclusive": "exclusive", "reverse": "reverse"}),
    "MatMul": Operation(
        "Matmul", {}, {"transpose_a": "transpose_a", "transpose_b": "transpose_b"}
    ),
    **dict.fromkeys(
        ("BatchMatMul", "BatchMatMulV2"),
        Operation("Matmul", {}, {"adj_x": "transpose_a", "adj_y": "transpose_b"}),
    ),
    "Einsum": Operation("Einsum", {}, {"equation": "subscripts"}),
    "StridedSlice": Operation("GetItem"),
}  # fmt: skip
_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
# What an attribute may be without any effect; None: anything.
_WITHOUT_EFFECT = {
    **dict.fromkeys(("T", "N", "Index", "num", "num_split", "output_type", "SrcT", "TI", "Tshift")),
    **dict.fromkeys(("Tidx", "Tdim", "Tshape", "Tperm", "Tmultiples", "Tparams", "Tindices")),
    **dict.fromkeys(("Taxis", "Tpaddings", "Tlen", "Truncate", "incompatible_shape_error")),
    "batch_dims": 0,
    "data_format": "NHWC",
}


def check(config: Config) -> None:
    """Raise a LayerError unless the node is one that is read."""
    node = config.get("node_def")
    op = node.get("op") if isinstance(node, Mapping) else None
    if not isinstance(op, str) or op not in _OPERATIONS:
        raise LayerError(
            f"the TensorFlow operation {show(op)} is not supported; use Keras layers instead"
        )


def build(item: Item, arguments: Sequence[Any], settings: Config) -> ops.Built:
    """The layer of a node that is called on `arguments`, which are ops.TENSOR only."""
    node = item.config.section("node_def")
    operation = _OPERATIONS[node["op"]]
    inputs = _inputs(item.config, node, len(arguments))
    given: dict[str, Any] = {}
    masks: dict[str, int] = {}
    for key, raw in node.section("attr").items() if "attr" in node else ():
        value = _attribute(raw, key)
        if key in operation.attributes:
            given[operation.attributes[key]] = value
        elif key in _MASKS and operation.name == "GetItem":
            masks[key] = whole(value, key, 0, MAX_INTEGER)
        elif key not in _WITHOUT_EFFECT or _WITHOUT_EFFECT[key] not in (None, value):
            raise LayerError(f"its attribute {show(key)} is {show(value)}, which is not supported")
    if operation.name == "GetItem":
        if len(inputs) != 4 or ops.TENSOR in inputs[1:]:
            raise LayerError("a slice whose bounds are computed is not supported")
        inputs = [inputs[0], _items(inputs[1:], masks)]
    named = {number % len(inputs): name for number, name in operation.inputs.items()}
    given |= {name: inputs[number] for number, name in named.items() if number < len(inputs)}
    if any(value is ops.TENSOR for value in given.values()):
        raise LayerError("a setting of it is computed by the model, which is not supported")
    rest = [value for number, value in enumerate(inputs) if number not in named]
    return tf_ops.as_operation(item, operation.name, rest, given)


def _inputs(config: Config, node: Config, tensors: int) -> list[Any]:
    """The inputs of the node: ops.TENSOR for tensors of the model, else the constant."""
    names, constants = node.get("input", []), config.get("constants", {})
    if not isinstance(names, list) or not isinstance(constants, Mapping):
        raise LayerError(f"its inputs are {show(names)} and {show(constants)}")
    total = sum(not str(name).startswith("^") for name in names)
    found = [constants.get(str(number), ops.TENSOR) for number in range(total)]
    missing = sum(value is ops.TENSOR for value in found)
    if missing != tensors or total - missing != len(constants):
        raise LayerError(f"it has {missing} inputs that are no constants, called on {tensors}")
    return found


def _attribute(raw: Any, key: str) -> Any:
    """The value of an attribute; whole numbers stand in the file as text."""
    if isinstance(raw, Mapping) and len(raw) == 1:
        ((kind, value),) = raw.items()
        if kind == "i":
            return _integer(value, key)
        if kind == "b" and isinstance(value, bool):
            return value
        if kind == "f" and isinstance(value, (int, float)):
            return value
        if kind == "type" and isinstance(value, str):
            return value.removeprefix("DT_").lower()
        if kind == "s" and isinstance(value, str):
            try:
                return base64.b64decode(value, validate=True).decode("ascii")
            except (binascii.Error, UnicodeDecodeError):
                pass
        if kind == "list" and isinstance(value, Mapping) and set(value) <= {"i"}:
            numbers = value.get("i", [])
            if isinstance(numbers, list):
                return [_integer(number, key) for number in numbers]
    raise LayerError(f"its attribute {show(key)} is {show(raw)}, which is not supported")


def _integer(value: Any, key: str) -> int:
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and len(value) < 20:
        value = int(value)
    return whole(value, key, -MAX_INTEGER, MAX_INTEGER)


def _items(bounds: Sequence[Any], masks: Mapping[str, int]) -> list[Any]:
    """The items of x[...] from `begin`, `end` and `strides`; bit k of a mask is about item k."""
    if not all(isinstance(one, list) and len(one) == len(bounds[0]) for one in bounds):
        raise LayerError(f"its bounds are {show(list(bounds))}, expected three lists of one length")
    items: list[Any] = []
    for number, (begin, end, step) in enumerate(zip(*bounds, strict=True)):
        begin_open, end_open, ellipsis, new, single = (
            masks.get(name, 0) >> number & 1 for name in _MASKS
        )
        if ellipsis:
            items.append({"class_name": "__ellipsis__"})
        elif new:
            items.append(None)
        elif single:
            items.append(begin)
        else:
            items.append(ops.Slice(None if begin_open else begin, None if end_open else end, step))
    return items
