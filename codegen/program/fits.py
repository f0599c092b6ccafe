"""Which constants of a program the numbers of a generated file cannot hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from codegen.errors import Problem
from codegen.lowered import Lowered
from codegen.model import Array
from codegen.program.ops import Elementwise, Number, Op, Reduce, reads, walk, walk_ops

LARGEST = float(np.finfo(np.float32).max)


def too_large(lowered: Lowered, advice: str) -> tuple[Problem, ...]:
    """A problem for each constant that is finite and would be infinite as float32."""
    classes = {layer.name: layer.class_name for layer in lowered.layers}
    found: dict[tuple[str, str], float] = {}
    for program in (lowered.whole, lowered.step):
        if program is None:
            continue
        for state in program.states:
            if state.initial is not None and (value := _outlier(state.initial)) is not None:
                found.setdefault((state.layer, f"the start of its state {state.role!r}"), value)
        for block in program.blocks:
            for what, value in _of_ops(block.ops):
                found.setdefault((block.name, what), value)
    return tuple(
        Problem(
            layer,
            classes.get(layer, "output"),
            f"{what} is {value:.6g}, more than float32 holds; {advice}",
        )
        for (layer, what), value in found.items()
    )


def _of_ops(ops: tuple[Op, ...]) -> Iterator[tuple[str, float]]:
    for op in walk_ops(ops):
        for source in reads(op):
            data = source.buffer.data
            if source.buffer.kind == "const" and data is not None:
                value = _outlier(data)
                if value is not None:
                    yield f"a number of its array {source.buffer.name!r}", value
        roots = (
            [node for _, node in (*op.locals, *op.stores)]
            if isinstance(op, Elementwise)
            else [op.value]
            if isinstance(op, Reduce)
            else []
        )
        for root in roots:
            for node in walk(root):
                if isinstance(node, Number) and LARGEST < abs(node.value) < np.inf:
                    yield "a constant of its formula", node.value


def _outlier(data: Array) -> float | None:
    """A finite number that float32 has not; only wider types can have one."""
    if data.dtype != np.float64 or not data.size:
        return None
    wrong = np.isfinite(data) & (np.abs(data) > LARGEST)
    return float(data[wrong][0]) if wrong.any() else None
