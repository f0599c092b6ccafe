"""Operations of Keras 3 that stand in functional models as nodes of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from codegen.activations import Activation
from codegen.errors import LayerError
from codegen.layers.core import (
    ActivationLayer,
    Arithmetic,
    Concatenate,
    Identity,
    NotEqualMask,
    Permute,
    Reshape,
)
from codegen.layers.operations import (
    Clip,
    Comparison,
    Filled,
    Flip,
    GetItem,
    Matmul,
    NewShape,
    Reduction,
    Stack,
)
from codegen.model import Array, Layer
from codegen.readers.config import MAX_INTEGER, Config, show, whole
from codegen.readers.kinds import Item


@dataclass(frozen=True)
class Slice:
    """`start:stop:step` of a GetItem."""

    start: int | None
    stop: int | None
    step: int | None


# What an argument of an operation may be besides a tensor: number, list, text, None, Slice.
TENSOR = object()  # stands where a tensor stood

_BINARY = {
    "Add": "add",
    "Subtract": "subtract",
    "Multiply": "multiply",
    "Divide": "divide",
    "TrueDivide": "divide",
    "Power": "power",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "LogicalOr": "maximum",  # of truth values, which are 1 and 0
    "LogicalAnd": "minimum",
}
_UNARY = {
    "Negative": "negative",
    "Absolute": "absolute",
    "Abs": "absolute",
    "Square": "square",
    "Sqrt": "sqrt",
    "Exp": "exp",
    "Log": "log",
}
_REDUCTIONS = {
    "Any": "any",
    "All": "all",
    "Sum": "sum",
    "Mean": "mean",
    "Max": "max",
    "Amax": "max",
    "Min": "min",
    "Amin": "min",
}
_COMPARISONS = {
    "Equal": "==",
    "NotEqual": "!=",
    "Greater": ">",
    "GreaterEqual": ">=",
    "Less": "<",
    "LessEqual": "<=",
}
_ACTIVATIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Silu": "silu",
    "LogSigmoid": "log_sigmoid",
    "HardSigmoid": "hard_sigmoid_3",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "Mish": "mish",
    "Selu": "selu",
}


def build(item: Item, arguments: Sequence[Any], settings: Config) -> Layer:
    """The layer of an operation called with `arguments`, where TENSOR marks the tensors."""
    name = item.class_name
    if len(arguments) == 1 and isinstance(arguments[0], list):
        arguments = arguments[0]  # a list of tensors
    both: dict[str, Any] = {"name": item.path, "class_name": name}
    tensors = sum(argument is TENSOR for argument in arguments)
    if name == "NotEqual" and tensors == 1 and len(arguments) == 2:
        value = _constant(next(a for a in arguments if a is not TENSOR))
        if value.size != 1 or np.isnan(value).any():
            raise LayerError(f"NotEqual with {show(arguments[1])} is not supported")
        return NotEqualMask(value=float(value.reshape(-1)[0]), **both)
    if name in _BINARY and len(arguments) == 2:
        if tensors == 2:
            return Arithmetic(operator=_BINARY[name], **both)
        position = 1 if arguments[0] is TENSOR else 0
        constant = _constant(arguments[position])
        return Arithmetic(operator=_BINARY[name], constant=constant, position=position, **both)
    if name in _UNARY and len(arguments) == 1:
        return Arithmetic(operator=_UNARY[name], **both)
    if name in _ACTIVATIONS and len(arguments) == 1:
        return ActivationLayer(activation=Activation(_ACTIVATIONS[name]), **both)
    if name in ("Softmax", "LogSoftmax") and tensors == 1:
        axis = item.config.get("axis", settings.get("axis", -1))
        return ActivationLayer(
            activation=Activation("softmax" if name == "Softmax" else "log_softmax"),
            axis=whole(axis, "axis", -16, 16),
            **both,
        )
    if name == "Concatenate" and tensors == len(arguments):
        axis = item.config.get("axis", settings.get("axis", 0))
        return Concatenate(axis=whole(axis, "axis", -16, 16), **both)
    if name == "GetItem" and len(arguments) == 2 and arguments[0] is TENSOR:
        return GetItem(items=_items(arguments[1]), **both)
    if name in ("Copy", "StopGradient", "Identity") and len(arguments) == 1:
        return Identity(**both)
    if tensors == len(arguments):
        found = _of_tensors(name, item.config, settings, both)
        if found is not None:
            return found
    if name in _COMPARISONS and len(arguments) == 2:
        other = None if tensors == 2 else _constant(arguments[1])
        if other is None or (arguments[0] is TENSOR and other.size == 1):
            number = None if other is None else float(other.reshape(-1)[0])
            return Comparison(operator=_COMPARISONS[name], constant=number, **both)
    raise LayerError("this operation is not supported; use a layer in its place")


def _of_tensors(name: str, config: Config, settings: Config, both: dict[str, Any]) -> Layer | None:
    """An operation whose arguments are all tensors; None for one that is not known."""

    def setting(key: str, default: Any = None) -> Any:
        return config.get(key, settings.get(key, default))

    def axis(value: Any) -> int:
        return whole(value, "axis", -16, 16)

    if name in _REDUCTIONS:
        value = setting("axis")
        if value is None or setting("initial") is not None:
            raise LayerError("it reduces the batch axis too, or has an initial value")
        axes = tuple(axis(v) for v in (value if isinstance(value, list) else [value]))
        keep = setting("keepdims", False) is True
        return Reduction(kind=_REDUCTIONS[name], axes=axes, keepdims=keep, **both)
    if name in ("ExpandDims", "Squeeze"):
        return NewShape(axis=axis(setting("axis")), expand=name == "ExpandDims", **both)
    if name in ("ZerosLike", "OnesLike"):
        return Filled(value=float(name == "OnesLike"), **both)
    if name == "LogicalNot":
        return Comparison(operator="==", constant=0.0, **both)
    if name == "Clip":
        low, high = (float(_constant(setting(key))) for key in ("x_min", "x_max"))
        return Clip(low=low, high=high, **both)
    if name == "Stack":
        return Stack(axis=axis(setting("axis", 0)), **both)
    if name == "Flip":
        return Flip(axis=axis(setting("axis")), **both)
    if name == "Matmul":
        return Matmul(**both)
    if name == "Transpose":
        axes = tuple(axis(v) for v in setting("axes") or ())
        if axes[:1] != (0,) or sorted(axes) != list(range(len(axes))):
            raise LayerError("it moves the batch axis")
        return Permute(dims=axes[1:], **both)
    if name == "Reshape":
        shape = [whole(v, "newshape", -1, MAX_INTEGER) for v in setting("newshape") or ()]
        if shape[:1] != [-1] or -1 in shape[1:]:
            raise LayerError("it does not keep the batch axis apart")
        return Reshape(shape=tuple(shape[1:]), **both)
    return None


def _constant(value: Any) -> Array:
    """A number or nested lists of numbers."""
    if isinstance(value, list):
        if not 0 < len(value) <= MAX_INTEGER:
            raise LayerError(f"its operand is {show(value)}, expected numbers")
        parts = [_constant(item) for item in value]
        if any(part.shape != parts[0].shape for part in parts):
            raise LayerError("its operand is a list of uneven lists")
        return np.stack(parts)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise LayerError(f"its operand is {show(value)}, expected a number")
    return np.array(Config({"operand": value}).number("operand"))


def _items(
    value: Any,
) -> tuple[int | tuple[int | None, int | None, int | None] | None, ...]:
    """The items after the batch axis, whose own must take everything; None for an ellipsis."""
    every = value if isinstance(value, list) else [value]
    items: list[int | tuple[int | None, int | None, int | None] | None] = []
    for one in every:
        if isinstance(one, dict) and one.get("class_name") == "__ellipsis__":
            items.append(None)
        elif isinstance(one, Slice):
            for bound in (one.start, one.stop, one.step):
                if bound is not None:
                    whole(bound, "slice", -MAX_INTEGER, MAX_INTEGER)
            if one.step == 0:
                raise LayerError("a slice with step 0")
            items.append((one.start, one.stop, one.step))
        else:
            items.append(whole(one, "index", -MAX_INTEGER, MAX_INTEGER))
    if items[:1] == [None]:
        return tuple(items)
    if not items or items[0] not in ((None, None, None), (None, None, 1), (0, None, None)):
        raise LayerError("an index that takes single rows of the batch is not supported")
    return tuple(items[1:])
