"""State dicts in JSON: {"fc.weight": [[...], ...], "fc.bias": [...]}, alone or in a checkpoint.

The numbers are those of `tensor.tolist()`, and count as float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codegen.errors import ReadError
from codegen.model import Array
from codegen.readers.files.limits import Budget
from codegen.readers.settings import show
from codegen.readers.torch.tensors import WRAPPERS, Stored, Weights, checked

MAX_RANK = 16


def state_dict(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The part of a JSON object that is a state dict, if there is one."""
    inside = (value.get(name) for name in WRAPPERS)
    return next((part for part in (value, *inside) if _is_state_dict(part)), None)


def _is_state_dict(value: Any) -> bool:
    """Whether it holds nothing but numbers and lists of them, by names of tensors."""
    if not isinstance(value, dict) or not any(isinstance(part, list) for part in value.values()):
        return False
    return all(_begins_with_number(part) for part in value.values()) and any(
        name.rpartition(".")[2].startswith(("weight", "bias")) for name in value
    )


def _begins_with_number(value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def read(value: Mapping[str, Any], label: str, budget: Budget) -> Weights:
    """The tensors of a JSON object that holds a state dict."""
    found = state_dict(value)
    assert found is not None
    tensors: dict[str, Stored] = {}
    for name, part in found.items():
        array = _array(part, f"{label}: tensor {name!r}")
        budget.take(array.nbytes, f"{label}: tensor {name!r}")
        tensors[name] = Stored(array.shape, "float32", lambda array=array: array)  # type: ignore[misc]
    return Weights(checked(tensors, label), "json", "")


def _array(value: Any, where: str) -> Array:
    """Lists of lists of numbers, all of the same length."""
    shape: list[int] = []
    level = [value]
    while level and isinstance(level[0], list):
        length = len(level[0])
        if not all(isinstance(part, list) and len(part) == length for part in level):
            raise ReadError(f"{where}: its lists are not of the same length")
        shape.append(length)
        level = [item for part in level for item in part]
        if len(shape) > MAX_RANK:
            raise ReadError(f"{where} has more than {MAX_RANK} axes")
    wrong = [x for x in level if isinstance(x, bool) or not isinstance(x, (int, float))]
    if wrong:
        raise ReadError(f"{where} holds {show(wrong[0])}, expected numbers")
    with np.errstate(over="ignore"):
        return np.array(level, np.float32).reshape(shape)
