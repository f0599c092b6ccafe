"""TensorFlow functions that stand in functional models of tf.keras (TFOpLambda, SlicingOpLambda).

Each that Keras 3 has too is read as that operation of Keras 3; the others are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from codegen.errors import LayerError
from codegen.readers.keras import ops
from codegen.readers.keras.items import Item
from codegen.readers.settings import MAX_INTEGER, Config, show, whole

CLASSES = ("TFOpLambda", "SlicingOpLambda")
# The arguments after the first that may be tensors, in the order of Keras 3.
MORE = ("x", "y", "b", "bias", "indices")

_FUNCTIONS = {
    "math.add": "Add",
    "__operators__.add": "Add",
    "nn.bias_add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.truediv": "TrueDivide",
    "math.divide": "TrueDivide",
    "math.floordiv": "FloorDivide",
    "compat.v1.floor_div": "FloorDivide",
    "math.floormod": "Mod",
    "math.pow": "Power",
    "math.maximum": "Maximum",
    "math.minimum": "Minimum",
    "math.squared_difference": "SquaredDifference",
    "math.add_n": "AddN",
    "math.negative": "Negative",
    "math.abs": "Absolute",
    "math.square": "Square",
    "math.sqrt": "Sqrt",
    "math.rsqrt": "Rsqrt",
    "math.reciprocal": "Reciprocal",
    "math.exp": "Exp",
    "math.expm1": "Expm1",
    "math.log": "Log",
    "math.log1p": "Log1p",
    "math.sinh": "Sinh",
    "math.cosh": "Cosh",
    "math.erf": "Erf",
    "math.sign": "Sign",
    "math.floor": "Floor",
    "math.ceil": "Ceil",
    "math.round": "Round",
    "math.equal": "Equal",
    "math.not_equal": "NotEqual",
    "__operators__.eq": "Equal",
    "__operators__.ne": "NotEqual",
    "math.greater": "Greater",
    "math.greater_equal": "GreaterEqual",
    "math.less": "Less",
    "math.less_equal": "LessEqual",
    "math.logical_and": "LogicalAnd",
    "math.logical_or": "LogicalOr",
    "math.logical_not": "LogicalNot",
    "nn.relu": "Relu",
    "nn.relu6": "Relu6",
    "nn.leaky_relu": "LeakyRelu",
    "nn.elu": "Elu",
    "nn.selu": "Selu",
    "nn.silu": "Silu",
    "nn.swish": "Silu",
    "nn.gelu": "Gelu",
    "math.sigmoid": "Sigmoid",
    "nn.sigmoid": "Sigmoid",
    "math.log_sigmoid": "LogSigmoid",
    "math.tanh": "Tanh",
    "nn.tanh": "Tanh",
    "math.softplus": "Softplus",
    "nn.softplus": "Softplus",
    "nn.softsign": "Softsign",
    "nn.softmax": "Softmax",
    "compat.v1.nn.softmax": "Softmax",
    "nn.log_softmax": "LogSoftmax",
    "math.reduce_sum": "Sum",
    "math.reduce_mean": "Mean",
    "math.reduce_prod": "Prod",
    "math.reduce_max": "Max",
    "math.reduce_min": "Min",
    "math.reduce_std": "Std",
    "math.reduce_variance": "Var",
    "math.reduce_logsumexp": "Logsumexp",
    "math.reduce_euclidean_norm": "Norm",
    "compat.v1.norm": "Norm",
    "math.l2_normalize": "L2Normalize",
    "math.argmax": "Argmax",
    "math.cumsum": "Cumsum",
    "math.reduce_any": "Any",
    "math.reduce_all": "All",
    "concat": "Concatenate",
    "stack": "Stack",
    "split": "Split",
    "unstack": "Unstack",
    "reshape": "Reshape",
    "transpose": "Transpose",
    "compat.v1.transpose": "Transpose",
    "expand_dims": "ExpandDims",
    "squeeze": "Squeeze",
    "compat.v1.squeeze": "Squeeze",
    "reverse": "Flip",
    "repeat": "Repeat",
    "tile": "Tile",
    "roll": "Roll",
    "one_hot": "OneHot",
    "compat.v1.pad": "Pad",
    "compat.v1.gather": "Take",
    "linalg.matmul": "Matmul",
    "tensordot": "Tensordot",
    "keras.backend.batch_flatten": "Flatten",
    "clip_by_value": "Clip",
    "where": "Where",
    "cast": "Cast",
    "zeros_like": "ZerosLike",
    "ones_like": "OnesLike",
    "identity": "Identity",
    "stop_gradient": "StopGradient",
    "__operators__.getitem": "GetItem",
}
# What may be given beside the tensors, and what Keras 3 calls it.
_AXIS = {"axis": "axis"}
_AXES = {"axis": "axis", "keepdims": "keepdims"}
_SETTINGS = {
    **dict.fromkeys(("Softmax", "LogSoftmax", "Concatenate", "Stack", "Unstack"), _AXIS),
    **dict.fromkeys(("ExpandDims", "Squeeze", "Flip", "Take"), _AXIS),
    **dict.fromkeys(("Sum", "Mean", "Max", "Min", "Prod", "Std", "Var", "Logsumexp"), _AXES),
    **dict.fromkeys(("Any", "All"), _AXES),
    "Norm": {"ord": "ord", **_AXES},
    "L2Normalize": {"axis": "axis", "epsilon": "epsilon"},
    "Argmax": _AXIS,
    "Cumsum": {"axis": "axis", "exclusive": "exclusive", "reverse": "reverse"},
    "Tile": {"multiples": "repeats"},
    "Roll": {"shift": "shift", "axis": "axis"},
    "OneHot": {
        "depth": "num_classes",
        "axis": "axis",
        "on_value": "on_value",
        "off_value": "off_value",
        "dtype": "dtype",
    },
    "Tensordot": {"axes": "axes"},
    "LeakyRelu": {"alpha": "negative_slope"},
    "Gelu": {"approximate": "approximate"},
    "Split": {"axis": "axis", "num_or_size_splits": "indices_or_sections"},
    "Reshape": {"shape": "newshape"},
    "Transpose": {"perm": "axes"},
    "Repeat": {"axis": "axis", "repeats": "repeats"},
    "Pad": {"paddings": "pad_width", "mode": "mode", "constant_values": "constant_values"},
    "Matmul": {"transpose_a": "transpose_a", "transpose_b": "transpose_b"},
    "Clip": {"clip_value_min": "x_min", "clip_value_max": "x_max"},
    "Cast": {"dtype": "dtype"},
    "GetItem": {"slice_spec": "slice_spec"},
}
# What changes nothing as long as it is this.
_WITHOUT_EFFECT = {
    "adjoint_a": False,
    "adjoint_b": False,
    "a_is_sparse": False,
    "b_is_sparse": False,
    "conjugate": False,
    "batch_dims": 0,
    "beta": 1.0,
    "output_type": "int64",
}


def check(config: Config) -> None:
    """Raise a LayerError unless the function is one that is read."""
    function = config.get("function")
    if not isinstance(function, str) or function not in _FUNCTIONS:
        raise LayerError(
            f"the TensorFlow operation {show(function)} is not supported; use Keras layers instead"
        )


def build(item: Item, arguments: Sequence[Any], settings: Config) -> ops.Built:
    """The layer of a function called with `arguments`, where ops.TENSOR marks the tensors."""
    name = _FUNCTIONS[item.config["function"]]
    known = _SETTINGS.get(name, {})
    given: dict[str, Any] = {}
    for key, value in settings.items():
        # None stands for the default, which is the same in both.
        if key == "name" or value is None or _WITHOUT_EFFECT.get(key, ops.TENSOR) == value:
            continue
        if key not in known:
            raise LayerError(f"it is called with {key}={show(value)}, which is not supported")
        given[known[key]] = value
    if name == "GetItem":
        arguments = [*arguments, _slices(given.pop("slice_spec", None))]
    elif name == "Gelu":
        given.setdefault("approximate", False)  # Keras 3 approximates unless told not to
    elif name == "Pad":
        given["mode"] = str(given.get("mode", "constant")).lower()
    return as_operation(item, name, arguments, given)


def as_operation(
    item: Item, name: str, arguments: Sequence[Any], given: dict[str, Any]
) -> ops.Built:
    """The layer of an operation of Keras 3, whose settings are given as TensorFlow has them."""
    if name == "Split" and isinstance(given.get("indices_or_sections"), list):
        sizes = [whole(n, "size", 0, MAX_INTEGER) for n in given["indices_or_sections"]]
        given["indices_or_sections"] = list(accumulate(sizes))[:-1]
    axis = given.get("axis")
    if isinstance(axis, list) and len(axis) == 1:
        given["axis"] = axis[0]
    elif axis == []:
        del given["axis"]
    operation = replace(item, class_name=name, config=Config(given))
    layer, arrays = ops.build(operation, arguments, Config({}))
    return replace(layer, class_name=item.class_name), arrays


def _slices(spec: Any) -> list[Any]:
    items = spec if isinstance(spec, list) else [spec]
    return [
        ops.Slice(item.get("start"), item.get("stop"), item.get("step"))
        if isinstance(item, Mapping) and set(item) == {"start", "stop", "step"}
        else item
        for item in items
    ]
