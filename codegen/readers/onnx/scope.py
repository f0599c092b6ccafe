"""Names of a graph and what they stand for; an inner graph sees the names around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from codegen.readers.onnx.values import Operand

MISSING = object()


@dataclass
class Scope:
    """The names of one graph, or of the body of one call of a function."""

    opsets: Mapping[str, int]  # by domain
    outer: Scope | None = None
    prefix: str = ""  # of the names of its layers
    depth: int = 0
    given: Mapping[str, Any] = field(default_factory=dict)  # attributes of the call of a function
    uses: Mapping[str, int] = field(default_factory=dict)  # how often each name is read in it
    names: dict[str, Operand] = field(default_factory=dict)

    def find(self, name: str) -> Any:
        """What the name stands for, MISSING where it stands for nothing."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return MISSING

    def opset(self, domain: str) -> int:
        """The version of a domain's operators that is meant here, 0 where none is named."""
        return self.opsets.get("" if domain == "ai.onnx" else domain, 0)
