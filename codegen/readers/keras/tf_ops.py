"""TensorFlow functions that stand in functional models of tf.keras (TFOpLambda, SlicingOpLambda).

Each that Keras 3 has too is read as that operation of Keras 3; the others are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from codegen.errors import LayerError
from codegen.readers.keras import ops
from codegen.readers.keras.items import Item
from codegen.readers.operations import FUNCTIONS, Row
from codegen.readers.settings import MAX_INTEGER, Config, show, whole

CLASSES = ("TFOpLambda", "SlicingOpLambda")
# The arguments after the first that may be tensors, in the order of Keras 3.
MORE = ("x", "y", "b", "bias", "indices")

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
    if not isinstance(function, str) or function not in FUNCTIONS:
        raise LayerError(
            f"the TensorFlow operation {show(function)} is not supported; use Keras layers instead"
        )


def build(item: Item, arguments: Sequence[Any], settings: Config) -> ops.Built:
    """The layer of a function called with `arguments`, where ops.TENSOR marks the tensors."""
    row = FUNCTIONS[item.config["function"]]
    known = {argument.function or argument.name: argument.name for argument in row.arguments}
    given: dict[str, Any] = {}
    for key, value in settings.items():
        # None stands for the default, which is the same in both.
        if key == "name" or value is None or _WITHOUT_EFFECT.get(key, ops.TENSOR) == value:
            continue
        if key not in known:
            raise LayerError(f"it is called with {key}={show(value)}, which is not supported")
        given[known[key]] = value
    if row.rule == "get_item":
        arguments = [*arguments, _slices(given.pop("slice_spec", None))]
    elif row.curve == "gelu":
        given.setdefault("approximate", False)  # Keras 3 approximates unless told not to
    return as_operation(row, item, arguments, given)


def as_operation(
    row: Row, item: Item, arguments: Sequence[Any], given: dict[str, Any]
) -> ops.Built:
    """The layer of a row, whose arguments are given as TensorFlow has them."""
    if isinstance(given.get("indices_or_sections"), list):
        sizes = [whole(n, "size", 0, MAX_INTEGER) for n in given["indices_or_sections"]]
        given["indices_or_sections"] = list(accumulate(sizes))[:-1]
    axis = given.get("axis")
    if isinstance(axis, list) and len(axis) == 1:
        given["axis"] = axis[0]
    elif axis == []:
        del given["axis"]
    return ops.built(row, item, arguments, given)


def _slices(spec: Any) -> list[Any]:
    items = spec if isinstance(spec, list) else [spec]
    return [
        ops.Range(item.get("start"), item.get("stop"), item.get("step"))
        if isinstance(item, Mapping) and set(item) == {"start", "stop", "step"}
        else item
        for item in items
    ]
