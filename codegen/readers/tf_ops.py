"""TensorFlow functions that stand in functional models of tf.keras (TFOpLambda, SlicingOpLambda).

Each that Keras 3 has too is read as that operation of Keras 3; the others are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from codegen.errors import LayerError
from codegen.model import Layer
from codegen.readers import ops
from codegen.readers.config import Config, show
from codegen.readers.kinds import Item

CLASSES = ("TFOpLambda", "SlicingOpLambda")
SECOND = "y"  # the second argument of TensorFlow's functions of two tensors

_FUNCTIONS = {
    "math.add": "Add",
    "__operators__.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.truediv": "TrueDivide",
    "math.divide": "TrueDivide",
    "math.pow": "Power",
    "math.maximum": "Maximum",
    "math.minimum": "Minimum",
    "math.negative": "Negative",
    "math.abs": "Absolute",
    "math.square": "Square",
    "math.sqrt": "Sqrt",
    "math.exp": "Exp",
    "math.log": "Log",
    "nn.relu": "Relu",
    "nn.relu6": "Relu6",
    "nn.selu": "Selu",
    "math.sigmoid": "Sigmoid",
    "nn.sigmoid": "Sigmoid",
    "math.tanh": "Tanh",
    "nn.tanh": "Tanh",
    "math.softplus": "Softplus",
    "nn.softplus": "Softplus",
    "nn.softsign": "Softsign",
    "nn.softmax": "Softmax",
    "math.reduce_sum": "Sum",
    "math.reduce_mean": "Mean",
    "math.reduce_max": "Max",
    "math.reduce_min": "Min",
    "expand_dims": "ExpandDims",
    "identity": "Identity",
    "stop_gradient": "StopGradient",
    "__operators__.getitem": "GetItem",
}
# What may be given beside the tensors; anything else may change the result.
_SETTINGS = {"name", "axis", "keepdims", "slice_spec"}


def check(config: Config) -> None:
    """Raise a LayerError unless the function is one that is read."""
    function = config.get("function")
    if not isinstance(function, str) or function not in _FUNCTIONS:
        raise LayerError(
            f"the TensorFlow operation {show(function)} is not supported; use Keras layers instead"
        )


def build(item: Item, arguments: Sequence[Any], settings: Config) -> Layer:
    """The layer of a function called with `arguments`, where ops.TENSOR marks the tensors."""
    for key, value in settings.items():
        if key not in _SETTINGS and value is not None:
            raise LayerError(f"it is called with {key}={show(value)}, which is not supported")
    name = _FUNCTIONS[item.config["function"]]
    if name == "GetItem":
        arguments = [*arguments, _slices(settings.get("slice_spec"))]
    elif "slice_spec" in settings:
        raise LayerError("it is called with slice_spec, which is not supported")
    # None stands for the default, which is the same in both.
    given = {key: value for key, value in settings.items() if value is not None}
    operation = replace(item, class_name=name, config=Config({}))
    return replace(ops.build(operation, arguments, Config(given)), class_name=item.class_name)


def _slices(spec: Any) -> list[Any]:
    items = spec if isinstance(spec, list) else [spec]
    return [
        ops.Slice(item.get("start"), item.get("stop"), item.get("step"))
        if isinstance(item, Mapping) and set(item) == {"start", "stop", "step"}
        else item
        for item in items
    ]
