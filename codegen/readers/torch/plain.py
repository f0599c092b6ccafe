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
from codegen.readers.sniff import state_dict
from codegen.readers.torch.tensors import Stored, Weights, checked

MAX_RANK = 16


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
