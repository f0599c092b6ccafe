"""What is behind every layer, in floats and in integers, over the same steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from codegen.integers.quantisation import taken
from codegen.integers.split import split_in_place
from codegen.lowered import Lowered, Reference
from codegen.model import Array
from codegen.program.evaluate import Machine
from codegen.program.integers import Integers
from codegen.program.ops import Buffer, Program, Shift, Vec, walk_ops, writes


@dataclass(frozen=True)
class LayerError:
    """The largest error behind a layer, and the largest number there."""

    layer: str
    error: float
    largest: float


class _Floats(Machine):
    """A machine that keeps what is written into some buffers, by their names."""

    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self.kept: dict[str, list[Array]] = {name: [] for name in names}

    def write(self, vec: Vec, values: Array) -> None:
        super().write(vec, values)
        if vec.buffer.name in self.kept:
            self.kept[vec.buffer.name].append(np.array(values, np.float64))


class _Integers(Integers):
    """The same of integers, as the real numbers that they stand for."""

    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self.kept: dict[str, list[Array]] = {name: [] for name in names}

    def write(self, vec: Vec, values: Array) -> None:
        super().write(vec, values)
        if vec.buffer.name in self.kept:
            real = np.asarray(values, np.float64) / 2.0**vec.buffer.fraction
            self.kept[vec.buffer.name].append(real)


def behind_layers(lowered: Lowered, rows: Sequence[Sequence[Array]]) -> tuple[LayerError, ...]:
    """The error behind each layer of a model with a step, in steps from reset on."""
    made = lowered.quantised
    assert made is not None
    assert made.original.step is not None
    assert lowered.step is not None
    step = split_in_place(made.original.step)
    last = _last_written(step)
    names = {layer: buffer.name for layer, buffer in last.items()}
    whole = {layer: f"{b.name}_q" if b.kind == "output" else b.name for layer, b in last.items()}
    floats, integers = _Floats(set(names.values())), _Integers(set(whole.values()))
    original = Reference(replace(made.original, step=step), machine=floats)
    exact = Reference(lowered, machine=integers)
    ports = lowered.step.inputs
    for row in rows:
        original.step(*(np.asarray(x)[None] for x in row))
        exact.step(*(taken(x, port)[None] for x, port in zip(row, ports, strict=True)))
    found = []
    for layer, name in names.items():
        right, left = floats.kept[name], integers.kept[whole[layer]]
        if right and len(right) == len(left):
            error = max(float(np.max(np.abs(a - b))) for a, b in zip(right, left, strict=True))
            found.append(LayerError(layer, error, max(float(np.max(np.abs(a))) for a in right)))
    return tuple(found)


def _last_written(step: Program) -> dict[str, Buffer]:
    """For each block the buffer that it writes last."""
    found = {}
    for block in step.blocks:
        written = [
            vec.buffer
            for op in walk_ops(block.ops)
            if not isinstance(op, Shift)
            for vec in writes(op)
        ]
        if written:
            found[block.name] = written[-1]
    return found
