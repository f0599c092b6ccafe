"""Branches whose condition is known, and loops that run a known number of times.

A loop is written out: its body once for each run, with the number of the run known in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codegen.errors import LayerError
from codegen.model import Array
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator, Result
from codegen.readers.onnx.values import Operand, Refused, Value, is_symbolic

WAY = "give the input that it comes from a value (--constant IN=NUMBER)"


def _if(c: Call) -> Result:
    """The outputs of the branch that is taken."""
    condition = c.operands[0]
    if isinstance(condition, Value):
        raise LayerError(
            f"its condition is computed while the model runs, and one that is known is supported; "
            f"{WAY}"
        )
    if not isinstance(condition, np.ndarray) or condition.size != 1 or is_symbolic(condition):
        raise LayerError("its condition depends on a length that is free")
    name = "then_branch" if condition.item() else "else_branch"
    return c.assembly.graph(graph_of(c, name), c.inside({}))


def graph_of(c: Call, name: str) -> Any:
    """A graph that is an attribute of the node."""
    if name not in c.graphs:
        raise LayerError(f"it has no {name}")
    return c.graphs[name]


def _known(c: Call, number: int, what: str) -> Array | None:
    """A number that is known, None where it is left out."""
    found = c.operands[number] if c.has(number) else None
    if found is None:
        return None
    if not isinstance(found, np.ndarray) or found.size != 1 or is_symbolic(found):
        raise LayerError(f"its {what} is not known before the model runs; {WAY}")
    return found


def _loop(c: Call) -> Result:
    """The body for each run, one after another."""
    graph = graph_of(c, "body")
    count, condition = _known(c, 0, "number of runs"), _known(c, 1, "condition")
    if count is None:
        raise LayerError("it runs until its body says so; a number of runs is supported")
    names = [str(x.name) for x in graph.input]
    carried = list(c.operands[2:])
    if len(names) != 2 + len(carried) or len(graph.output) < 1 + len(carried):
        raise LayerError("its body has another number of inputs or outputs than it has states")
    rows: list[list[Operand]] = [[] for _ in graph.output[1 + len(carried) :]]
    body, goes_on = c.assembly.body(graph), condition is None or bool(condition.item())
    for number in range(int(count.item()) if goes_on else 0):
        found = [np.array(number, np.int64), np.array(True), *carried]
        results = body.run(c.assembly, c.inside(dict(zip(names, found, strict=True))))
        if any(isinstance(x, Refused) for x in results):
            return refused(c, results)
        more = results[0]
        if not isinstance(more, np.ndarray) or is_symbolic(more):
            raise LayerError("its body decides whether it goes on; a number of runs is supported")
        carried = results[1 : 1 + len(carried)]
        for row, x in zip(rows, results[1 + len(carried) :], strict=True):
            row.append(x)
        if not more.item():
            break
    return [*carried, *(stacked(c, row, 0) for row in rows)]


def refused(c: Call, results: Sequence[Operand]) -> list[Operand]:
    """The outputs of a node in whose body a node is refused."""
    found = next(x for x in results if isinstance(x, Refused))
    return [found] * len(c.wanted)


def stacked(c: Call, row: Sequence[Operand], axis: int) -> Operand:
    """What each run gives, side by side along a new axis."""
    if not row:
        raise LayerError("it never runs, so its outputs have no rows")
    if all(isinstance(x, np.ndarray) for x in row):
        return np.stack([np.asarray(x) for x in row], axis)
    values = [x if isinstance(x, Value) else c.constant(np.asarray(x)) for x in row]
    first = values[0]
    if any(x.shape != first.shape or x.time != first.time for x in values):
        raise LayerError("its runs give outputs of unequal shapes")
    axis = c.axis(axis, first.rank + 1)
    refs = [c.arranged(x, first.needed) for x in values]
    place = 1 if first.time else 0
    where = [a + (a >= axis) for a in first.needed]
    ref = c.operation("stack", *refs, axis=place + 1)
    shape = (*first.shape[:axis], len(row), *first.shape[axis:])
    return Value(ref, shape, (*where[:place], axis, *where[place:]), first.dtype, first.time)


TABLE = (
    Operator("If", _if, note="with a condition that is known at conversion"),
    Operator("Loop", _loop, note="with a number of runs that is known"),
)
