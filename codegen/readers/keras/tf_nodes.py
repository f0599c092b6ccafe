"""Nodes of TensorFlow graphs in functional models: TensorFlowOpLayer of TensorFlow 1.15 to 2.3.

The configuration holds the node as JSON: `op`, `attr` and the names of its inputs; `constants` has
the inputs that are not tensors of the model, by their number. Each is read as the operation of
Keras 3 that computes the same; the others are refused by name.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from codegen.errors import LayerError
from codegen.readers.keras import ops, tf_ops
from codegen.readers.keras.items import Item
from codegen.readers.operations import NODES
from codegen.readers.settings import MAX_INTEGER, Config, show, whole

CLASS = "TensorFlowOpLayer"
_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
# What an attribute may be without any effect; None: anything.
_WITHOUT_EFFECT = {
    **dict.fromkeys(("T", "N", "Index", "num", "num_split", "output_type", "SrcT", "TI", "Tshift")),
    **dict.fromkeys(("Tidx", "Tdim", "Tshape", "Tperm", "Tmultiples", "Tparams", "Tindices")),
    **dict.fromkeys(("Taxis", "Tpaddings", "Tlen", "Truncate", "incompatible_shape_error")),
    "batch_dims": 0,
    "data_format": "NHWC",
}


CONSTANT = "Const"
_FORMATS = {
    "DT_FLOAT": "<f4", "DT_DOUBLE": "<f8", "DT_INT32": "<i4", "DT_INT64": "<i8", "DT_BOOL": "?"
}  # fmt: skip
_MOST = 2**20
_VALUES = ("floatVal", "doubleVal", "intVal", "int64Val", "boolVal")


def _operation(config: Config) -> Any:
    """The name of the node's operation; None where it has none."""
    node = config.get("node_def")
    return node.get("op") if isinstance(node, Mapping) else None


def is_constant(item: Item) -> bool:
    """Whether this is an array that stands in a graph as a node without inputs."""
    return item.class_name == CLASS and _operation(item.config) == CONSTANT


def numbers(config: Config) -> Any:
    """The array of a constant node as nested lists."""
    try:
        tensor = config["node_def"]["attr"]["value"]["tensor"]
        dtype = np.dtype(_FORMATS[tensor["dtype"]])
        shape = [_integer(one["size"], "size") for one in tensor["tensorShape"].get("dim", ())]
        if "tensorContent" in tensor:
            values = np.frombuffer(base64.b64decode(tensor["tensorContent"], validate=True), dtype)
        else:
            (given,) = (tensor[key] for key in _VALUES if key in tensor)
            values = np.array([int(one) if isinstance(one, str) else one for one in given], dtype)
            missing = math.prod(shape) - values.size
            if values.size and 0 < missing <= _MOST:  # the last one stands for those left out
                values = np.concatenate([values, np.full(missing, values[-1], dtype)])
        return values.reshape(shape).tolist()
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise LayerError(f"its constant is {show(config['node_def'])}, expected an array") from None


def check(config: Config) -> None:
    """Raise a LayerError unless the node is one that is read."""
    op = _operation(config)
    if not isinstance(op, str) or op not in (*NODES, CONSTANT):
        raise LayerError(
            f"the TensorFlow operation {show(op)} is not supported; use Keras layers instead"
        )


def build(item: Item, arguments: Sequence[Any], settings: Config) -> ops.Built:
    """The layer of a node that is called on `arguments`, which are ops.TENSOR only."""
    node = item.config.section("node_def")
    row = NODES[node["op"]]
    inputs = _inputs(item.config, node, len(arguments))
    attributes = {word: one.name for one in row.arguments for word in one.attribute.split()}
    given: dict[str, Any] = {}
    masks: dict[str, int] = {}
    for key, raw in node.section("attr").items() if "attr" in node else ():
        value = _attribute(raw, key)
        if key in attributes:
            given[attributes[key]] = value
        elif key in _MASKS and row.rule == "get_item":
            masks[key] = whole(value, key, 0, MAX_INTEGER)
        elif key not in _WITHOUT_EFFECT or _WITHOUT_EFFECT[key] not in (None, value):
            raise LayerError(f"its attribute {show(key)} is {show(value)}, which is not supported")
    if row.rule == "get_item":
        if len(inputs) != 4 or ops.TENSOR in inputs[1:]:
            raise LayerError("a slice whose bounds are computed is not supported")
        inputs = [inputs[0], _items(inputs[1:], masks)]
    named = {one.place % len(inputs): one.name for one in row.arguments if one.place is not None}
    given |= {name: inputs[number] for number, name in named.items() if number < len(inputs)}
    if any(value is ops.TENSOR for value in given.values()):
        raise LayerError("a setting of it is computed by the model, which is not supported")
    rest = [value for number, value in enumerate(inputs) if number not in named]
    return tf_ops.as_operation(row, item, rest, given)


def _inputs(config: Config, node: Config, tensors: int) -> list[Any]:
    """The inputs of the node: ops.TENSOR for tensors of the model, else the constant."""
    names, constants = node.get("input", []), config.get("constants", {})
    if not isinstance(names, list) or not isinstance(constants, Mapping):
        raise LayerError(f"its inputs are {show(names)} and {show(constants)}")
    total = sum(not str(name).startswith("^") for name in names)
    found = [constants.get(str(number), ops.TENSOR) for number in range(total)]
    missing = sum(value is ops.TENSOR for value in found)
    if missing != tensors or total - missing != len(constants):
        raise LayerError(f"it has {missing} inputs that are not constants, called on {tensors}")
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
            items.append(ops.Range(None if begin_open else begin, None if end_open else end, step))
    return items
