"""Which axis of an input is time: traced back from the recurrent nodes, or said by the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnx import helper, numpy_helper

from codegen.errors import ReadError
from codegen.readers import operations
from codegen.readers.settings import MAX_INTEGER

RECURRENT = {"GRU", "LSTM", "RNN"}
_EXAMPLE = "expected a letter for each axis (B batch, T time, _ other), or B,T,512 with lengths"


@dataclass(frozen=True)
class Axis:
    """What is said of one axis: B, T or _, and its length where the file leaves it free."""

    letter: str
    length: int | None = None


def letters(text: str, name: str) -> tuple[Axis, ...]:
    """The axes that `BT_` says, or `B,T,512`."""
    parts = text.split(",") if "," in text or text.isdecimal() else list(text)
    found: list[Axis] = []
    for part in parts:
        if part.isdecimal() and 0 < int(part) <= MAX_INTEGER:
            found.append(Axis("_", int(part)))
        elif part in ("B", "T", "_"):
            found.append(Axis(part))
        else:
            raise ReadError(f"--axes {name}={text}: {_EXAMPLE}")
    for letter in "BT":
        if sum(axis.letter == letter for axis in found) > 1:
            raise ReadError(f"--axes {name}={text}: two axes {letter}; {_EXAMPLE}")
    return tuple(found)


def traced(graph: Any) -> Mapping[str, int]:
    """The time axis of each input that a recurrent node reads along, by the name of the input."""
    trace = _Trace(graph)
    found: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in RECURRENT and node.domain in ("", "ai.onnx") and node.input:
            layout = trace.attribute(node, "layout", 0)
            for name, axis in trace.back(str(node.input[0]), 1 if layout else 0).items():
                found.setdefault(name, axis)
    return found


class _Trace:
    """Goes from a value back to the inputs, as long as it is plain which axis is which."""

    def __init__(self, graph: Any) -> None:
        self._arrays = {str(t.name): t for t in graph.initializer}
        self._inputs = {
            str(x.name): len(x.type.tensor_type.shape.dim)
            for x in graph.input
            if x.name not in self._arrays
        }
        self._makers = {str(name): node for node in graph.node for name in node.output if name}

    def back(self, name: str, axis: int) -> dict[str, int]:
        """The inputs of the graph from which this axis comes, with the axis that it is there."""
        found: dict[str, int] = {}
        waiting, seen = [(name, axis)], set[tuple[str, int]]()
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            if one[0] in self._inputs:
                found.setdefault(*one)
            elif one[0] in self._makers:
                waiting += self._before(self._makers[one[0]], *one)
        return found

    def _before(self, node: Any, name: str, axis: int) -> list[tuple[str, int]]:
        rule = _BACK.get(node.op_type)
        if node.op_type in RECURRENT:
            layout = self.attribute(node, "layout", 0)
            own = 1 if layout else 0
            return [(str(node.input[0]), own)] if name == node.output[0] and axis == own else []
        if node.op_type in _ALL:
            return [(str(n), axis) for n in node.input]
        if rule is None:
            return [(str(n), axis) for n in node.input[:1]] if node.op_type in _SAME else []
        before = rule(self, node, axis)
        return [] if before is None else [(str(node.input[0]), before)]

    def attribute(self, node: Any, name: str, default: Any) -> Any:
        """An attribute of a node."""
        found = next((a for a in node.attribute if a.name == name), None)
        return default if found is None else helper.get_attribute_value(found)

    def axes(self, node: Any) -> list[int] | None:
        """The axes of a Squeeze or Unsqueeze."""
        given = self.attribute(node, "axes", None)
        if given is not None or len(node.input) < 2:
            return None if given is None else list(given)
        array = self._arrays.get(node.input[1])
        maker = self._makers.get(node.input[1])
        if array is None and maker is not None and maker.op_type == "Constant":
            array = self.attribute(maker, "value", None)
        if array is None or len(array.dims) > 1:
            return None
        return [int(n) for n in numpy_helper.to_array(array).ravel()]


def _transpose(trace: _Trace, node: Any, axis: int) -> int | None:
    order = trace.attribute(node, "perm", None)
    return order[axis] if order is not None and axis < len(order) else None


def _unsqueeze(trace: _Trace, node: Any, axis: int) -> int | None:
    axes = trace.axes(node)
    if axes is None or any(a < 0 for a in axes) or axis in axes:
        return None
    return axis - sum(a < axis for a in axes)


def _squeeze(trace: _Trace, node: Any, axis: int) -> int | None:
    axes = trace.axes(node)
    if axes is None or any(a < 0 for a in axes):
        return None
    for a in sorted(axes):
        axis += a <= axis
    return axis


_Back = Callable[[_Trace, Any, int], "int | None"]
_BACK: dict[str, _Back] = {
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
}
# Whose inputs all have the axis: what is element by element, and what puts them side by side.
_ALL = {"Concat", *(name for row in operations.TABLE for name in row.onnx.split())}
# Of their first input each axis is where it was, if it is not one along which they work.
_SAME = {
    *("Identity", "Cast", "Dropout", "LeakyRelu", "PRelu", "Elu", "Selu", "Clip", "Gelu"),
    *("MatMul", "Conv", "BatchNormalization", "LayerNormalization", "InstanceNormalization"),
    *("GroupNormalization", "MaxPool", "AveragePool", "Pad", "Slice", "Softmax", "HardSigmoid"),
}
