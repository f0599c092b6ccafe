"""What is behind every layer, in floats and in integers, over the same steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from codegen.integers.split import split_in_place
from codegen.lowered import Lowered
from codegen.model import Array
from codegen.program.evaluate import Machine, Reference
from codegen.program.integers import Integers
from codegen.program.ops import Program, Shift, Vec, walk_ops, writes
from codegen.quantisation import taken


@dataclass(frozen=True)
class LayerError:
    """The largest error behind a layer, and the largest number there."""

    layer: str
    error: float
    largest: float


class _Seen:
    """What was written into buffers, by their names, in order."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.values: dict[str, list[Array]] = {name: [] for name in names}

    def note(self, vec: Vec, values: Array) -> None:
        """Keep the numbers of a buffer that is looked at."""
        name = vec.buffer.name
        name = name if name in self.names else name.removesuffix("_q")
        if name in self.names and vec.buffer.kind != "output":
            self.values[name].append(np.array(values, np.float64) / 2.0**vec.buffer.fraction)


class _Floats(Machine):
    def __init__(self, seen: _Seen) -> None:
        super().__init__()
        self.watched = seen

    def write(self, vec: Vec, values: Array) -> None:
        super().write(vec, values)
        name = vec.buffer.name
        if name in self.watched.names:
            self.watched.values[name].append(np.array(values, np.float64))


class _Integers(Integers):
    def __init__(self, seen: _Seen) -> None:
        super().__init__()
        self.watched = seen

    def write(self, vec: Vec, values: Array) -> None:
        super().write(vec, values)
        self.watched.note(vec, values)


def behind_layers(lowered: Lowered, rows: Sequence[Sequence[Array]]) -> tuple[LayerError, ...]:
    """The error behind each layer of a model with a step, in steps from reset on."""
    made = lowered.quantised
    assert made is not None
    assert made.original.step is not None
    assert lowered.step is not None
    step = split_in_place(made.original.step)
    names = _last_written(step)
    floats, integers = _Seen(set(names.values())), _Seen(set(names.values()))
    original = Reference(replace(made.original, step=step), machine=_Floats(floats))
    exact = Reference(lowered, machine=_Integers(integers))
    ports = lowered.step.inputs
    for row in rows:
        original.step(*(np.asarray(x)[None] for x in row))
        exact.step(*(taken(x, port)[None] for x, port in zip(row, ports, strict=True)))
    found = []
    for layer, name in names.items():
        right, left = floats.values[name], integers.values[name]
        if right and len(right) == len(left):
            error = max(float(np.max(np.abs(a - b))) for a, b in zip(right, left, strict=True))
            found.append(LayerError(layer, error, max(float(np.max(np.abs(a))) for a in right)))
    return tuple(found)


def _last_written(step: Program) -> dict[str, str]:
    """For each block the name of the buffer that it writes last."""
    found = {}
    for block in step.blocks:
        written = [
            vec.buffer.name
            for op in walk_ops(block.ops)
            if not isinstance(op, Shift)
            for vec in writes(op)
        ]
        if written:
            found[block.name] = written[-1]
    return found
