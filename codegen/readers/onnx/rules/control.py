"""Branches whose condition is known, and loops that are a recurrence."""

from __future__ import annotations

import numpy as np

from codegen.errors import LayerError
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator, Result
from codegen.readers.onnx.values import Value, is_symbolic


def _if(c: Call) -> Result:
    """The outputs of the branch that is taken."""
    condition = c.operands[0]
    if isinstance(condition, Value):
        raise LayerError(
            "its condition is computed while the model runs, and one that is known is supported; "
            "give the input that it comes from a value (--constant IN=NUMBER)"
        )
    if not isinstance(condition, np.ndarray) or condition.size != 1 or is_symbolic(condition):
        raise LayerError("its condition depends on a length that is free")
    name = "then_branch" if condition.item() else "else_branch"
    if name not in c.graphs:
        raise LayerError(f"it has no {name}")
    return c.assembly.inner(c.graphs[name], c.scope, {})


TABLE = (Operator("If", _if, note="with a condition that is known at conversion"),)
