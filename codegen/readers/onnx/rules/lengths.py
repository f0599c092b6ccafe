"""Constants, and what is known of a value before it is computed: its shape."""

from __future__ import annotations

import numpy as np

from codegen.errors import LayerError
from codegen.model import Array
from codegen.program import dims
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator
from codegen.readers.onnx.values import plain


def _constant(c: Call) -> Array:
    """The one array that the node says."""
    given = c.attributes
    if "value" in given or "sparse_value" in given:
        return np.asarray(given["value" if "value" in given else "sparse_value"])
    for key, dtype in (("value_float", np.float32), ("value_int", np.int64)):
        for name in (key, f"{key}s"):
            if name in given:
                return np.asarray(given[name], dtype)
    raise LayerError("it has no value that is a number")


def _shape(c: Call) -> Array:
    """The lengths of all axes, or of those from `start` to `end`."""
    shape = c.value(0).shape
    start, end = (c.attributes.get(key, None) for key in ("start", "end"))
    return plain(shape[start:end])


def _size(c: Call) -> Array:
    return plain([dims.product(c.value(0).shape)]).reshape(())


TABLE = (
    Operator("Constant", _constant, always=True),
    Operator("Shape", _shape),
    Operator("Size", _size),
)
