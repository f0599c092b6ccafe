"""The operators: which there are, and the rule of each."""

from __future__ import annotations

from codegen.readers.onnx.operator import Operator, Result, Rule
from codegen.readers.onnx.rules import (
    activations,
    control,
    convolution,
    elementwise,
    lengths,
    normalization,
    pieces,
    pooling,
    products,
    recurrent,
    reductions,
    resizing,
    scan,
    shapes,
)

__all__ = ["TABLE", "Operator", "Result", "Rule", "operator"]

TABLE: tuple[Operator, ...] = (
    *elementwise.TABLE,
    *activations.TABLE,
    *reductions.TABLE,
    *normalization.TABLE,
    *products.TABLE,
    *convolution.TABLE,
    *pooling.TABLE,
    *recurrent.TABLE,
    *shapes.TABLE,
    *pieces.TABLE,
    *resizing.TABLE,
    *control.TABLE,
    *scan.TABLE,
    *lengths.TABLE,
)


def operator(name: str, opset: int) -> Operator | None:
    """The row of an operator as this opset means it."""
    rows = [row for row in TABLE if row.name == name and row.since <= opset]
    return max(rows, key=lambda row: row.since, default=None)
