"""What rounding to float32 does to the results of a program, measured in float64.

Each number that a target would round is moved up or down by as much as rounding may move it. How
far the results move then tells how well they are conditioned. Signs are from a fixed sequence and
the rest is float64, so this is the same everywhere; sums in float32 differ between machines.
"""

from __future__ import annotations

import numpy as np

from codegen.model import Array
from codegen.program.evaluate import Machine
from codegen.program.ops import Binary, Call, Expr, Softmax

UNIT = 2.0**-24  # what rounding to float32 changes in a number, relative to it
EXACT = ("abs", "floor", "round", "min", "max")
ABSOLUTE = (
    "gate_sigmoid",
    "hard_sigmoid",
    "hard_sigmoid_3",
)  # off by parts of 1, not of themselves
FUNCTION = 4.0  # units by which a function may be off


class Rounding(Machine):
    """A machine whose numbers are off as those of float32 are; `run` chooses the signs."""

    def __init__(self, run: int) -> None:
        super().__init__()
        self.place = run << 40

    def off(self, values: Array, size: Array | float) -> Array:
        """The values, each more or less by a unit of its size."""
        places = np.uint64(self.place) + np.arange(values.size, dtype=np.uint64)
        self.place += values.size
        # Multiplying mixes a number upwards and shifting downwards; the top bit is the sign.
        mixed = places * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xD1342543DE82EF95)
        up = (mixed >> np.uint64(63)).astype(np.float64).reshape(values.shape)
        return np.asarray(values + (2 * up - 1) * UNIT * size)

    def given(self, x: Array) -> Array:
        """As a float32 file takes it."""
        return x.astype(np.float32) if x.dtype.kind == "f" else x

    def value(self, node: Expr, local: dict[str, Array]) -> Array:
        """Every operation rounds."""
        found = super().value(node, local)
        if isinstance(node, Binary):
            return self.off(found, np.abs(found))
        if isinstance(node, Call) and node.function not in EXACT:
            return self.off(found, FUNCTION * (1.0 if node.function in ABSOLUTE else np.abs(found)))
        return found

    def combined(self, kind: str, total: Array, part: Array) -> Array:
        """A sum rounds at each number that is added."""
        found = super().combined(kind, total, part)
        return self.off(found, np.abs(found)) if kind == "sum" else found

    def product(self, matrix: Array, x: Array) -> Array:
        """By as much as adding numbers of mixed signs one after the other rounds their sum."""
        found = super().product(matrix, x)
        rows = np.sqrt(np.einsum("...rc,...rc->...r", matrix, matrix, dtype=np.float64))
        return self.off(found, rows[..., None] * np.sqrt(np.sum(x * x, axis=-2, keepdims=True)))

    def _softmax(self, op: Softmax) -> None:
        super()._softmax(op)
        found = self.read(op.out)
        self.write(op.out, self.off(found, FUNCTION * (1 + np.abs(found) if op.log else found)))
