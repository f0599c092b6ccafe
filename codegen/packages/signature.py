"""The functions of a generated file as the templates of packages call them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codegen.lowered import Lowered
from codegen.program import dims
from codegen.program.ops import Port
from codegen.targets.base import dtype_of


@dataclass(frozen=True)
class Tensor:
    """An input or output of `step`: its C type, and how many values one call takes or gives."""

    name: str  # x0, x1, ... and y0, y1, ...
    kind: str
    size: str  # in macros of the header

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.kind == "int32_t"


class Signature:
    """What `step` takes and gives, in C."""

    def __init__(self, lowered: Lowered, name: str, options: Mapping[str, Any]) -> None:
        self.lowered, self.upper = lowered, name.upper()
        self.real = "double" if dtype_of(lowered, options) == "float64" else "float"
        self.warmup, self.hop = lowered.warmup, lowered.hop

    @property
    def inputs(self) -> list[Tensor]:
        """The inputs of a step."""
        return self._tensors("INPUT", "x")

    @property
    def outputs(self) -> list[Tensor]:
        """The outputs of a step."""
        return self._tensors("OUTPUT", "y")

    @property
    def arguments(self) -> str:
        """What follows the state in a call of step."""
        return ", ".join(tensor.name for tensor in (*self.inputs, *self.outputs))

    def _tensors(self, kind: str, letter: str) -> list[Tensor]:
        assert self.lowered.step is not None
        found = []
        programs = (self.lowered.step, self.lowered.whole)
        pairs = [p.inputs if kind == "INPUT" else p.outputs for p in programs]
        for k, (port, whole) in enumerate(zip(*pairs, strict=True)):
            macro = f"{self.upper}_{kind}_{k}_SIZE"
            rows = dims.fixed(port.buffer.size) // max(1, _row(whole))
            size = macro if rows == 1 else f"{macro} * {rows}"
            found.append(Tensor(f"{letter}{k}", self._kind(port), size))
        return found

    def _kind(self, port: Port) -> str:
        return "int32_t" if port.buffer.dtype == "int32" else self.real


def _row(port: Port) -> int:
    """The values of one time step, or of the tensor where its length is fixed."""
    varies = bool(port.shape) and not isinstance(port.shape[0], int)
    return dims.fixed(dims.product(port.shape[1:] if varies else port.shape))
