"""Arrays that stand in a call in place of a tensor, as every era writes them.

Keras 3 writes an object with values and dtype (`__tensor__`, `__numpy__`), tf.keras nested lists.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from codegen.errors import LayerError
from codegen.model import Array, Constant
from codegen.readers.settings import show

MAX_AXES = 8
_CLASSES = ("__numpy__", "__tensor__")
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Fixed:
    """An array in place of a tensor, as the file has it."""

    value: Any


def is_array(value: Any) -> bool:
    """Whether a value of a configuration stands for an array of at least one axis, if for any."""
    if isinstance(value, dict):
        return value.get("class_name") in _CLASSES
    return isinstance(value, list) and isinstance(_first(value), (int, float))


def depth(value: Any) -> int:
    """How many lists are around the first number."""
    if isinstance(value, dict) and isinstance(value.get("config"), dict):
        value = value["config"].get("value")
    count = 0
    while isinstance(value, list) and value:
        value, count = value[0], count + 1
    return count


def _first(value: Any) -> Any:
    while isinstance(value, list) and value:
        value = value[0]
    return value


def constant(name: str, value: Any) -> Constant:
    """The array as a layer."""
    return Constant(name=name, class_name="Constant", stored=0, value=load(value))


def load(value: Any) -> Array:
    """The array as float64, its truth values 1 and 0; LayerError if it is none."""
    dtype = ""
    if isinstance(value, dict):
        config = value.get("config")
        if value.get("class_name") not in _CLASSES or not isinstance(config, dict):
            raise LayerError(f"its constant is {show(value)}, expected an array")
        value, dtype = config.get("value"), config.get("dtype", "")
        if not isinstance(dtype, str):
            raise LayerError(f"the dtype of its constant is {show(dtype)}")
    kind = dtype.rstrip("0123456789")
    if kind not in ("", "bool", "int", "uint", "float", "bfloat"):
        raise LayerError(f"its constant has dtype {show(dtype)}, expected numbers")
    array = np.asarray(_numbers(value, 0), np.float64)
    if not array.size:
        raise LayerError("its constant is an array without numbers")
    whole = kind in ("bool", "int", "uint")
    if whole and not (array == np.floor(array)).all():
        raise LayerError(f"its constant holds fractions, though its dtype is {show(dtype)}")
    if kind == "bool" and not np.isin(array, (0.0, 1.0)).all():
        raise LayerError(
            f"its constant holds values other than true and false, though its dtype is {dtype}"
        )
    return array


def _numbers(value: Any, level: int) -> Any:
    """Nested lists of finite numbers that float32 holds, all of one shape."""
    if not isinstance(value, list):
        _check_number(value)
        return np.float64(value)
    if level == MAX_AXES:
        raise LayerError(f"its constant has more than {MAX_AXES} axes")
    if not any(isinstance(item, list) for item in value):
        for item in value:
            _check_number(item)
        return np.array(value, np.float64)
    parts = [_numbers(item, level + 1) for item in value]
    if any(np.shape(part) != np.shape(parts[0]) for part in parts[1:]):
        raise LayerError("its constant is a nested list with rows of different lengths")
    return np.stack(parts)


def _check_number(value: Any) -> None:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise LayerError(f"its constant holds {show(value)}, expected a finite number")
    if abs(value) > LARGEST:
        raise LayerError(f"its constant holds {show(value)}, which float32 cannot hold")
    if isinstance(value, int) and float(np.float32(value)) != value:
        raise LayerError(f"its constant holds {show(value)}, which float32 cannot hold exactly")
