"""A row of the table of operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from codegen.readers.onnx.call import Call

Result: TypeAlias = "Any | Sequence[Any]"  # a Value, an array, or several of them
Rule = Callable[["Call"], Result]


@dataclass(frozen=True)
class Operator:
    """An operator of ONNX.

    `rule` makes layers of a node and returns its outputs. It need not think of nodes whose inputs
    are all constants, unless the rule is for them too (`always`). `ignored` names attributes that
    change nothing at inference. `note` says for the documentation what is supported, where that is
    not all.
    """

    name: str
    rule: Rule
    since: int = 1  # the opset from which on this row is meant
    always: bool = False
    ignored: tuple[str, ...] = ()
    note: str = ""
