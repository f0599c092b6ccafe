"""Ranges that data show: the model in floats runs over them, and every buffer is watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from codegen.integers.ranges import MARGIN, Range
from codegen.lowered import Lowered, Reference
from codegen.program.ops import Array, Vec
from codegen.program.portable import Portable
from codegen.text import terminal


class _Watching(Portable):
    """A machine that remembers the lowest and the highest number of every buffer, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Range] = {}

    def write(self, vec: Vec, values: Array) -> None:
        """Store the numbers, and remember how large they are."""
        super().write(vec, values)
        known = values[np.isfinite(values)]
        if known.size:
            low, high = self.found.get(vec.buffer.name, (np.inf, -np.inf))
            self.found[vec.buffer.name] = (
                min(low, float(known.min())),
                max(high, float(known.max())),
            )


def input_ranges(lowered: Lowered, data: Sequence[Array]) -> dict[str, Range]:
    """The range of each input on the data, by the name of its port."""
    ports = lowered.whole.inputs
    return {
        port.name: (float(np.min(x)), float(np.max(x)))
        for port, x in zip(ports, data, strict=True)
        if port.buffer.dtype != "int32" and x.size
    }


def measured(lowered: Lowered, data: Sequence[Array]) -> Mapping[str, Range]:
    """The range of each buffer while the model runs over one sequence, with some room beyond."""
    machine = _Watching()
    reference = Reference(lowered, machine=machine)
    if lowered.step is not None:
        hop, rows = lowered.hop, _rows(lowered, data)
        for start in terminal.watched(range(0, rows - hop + 1, hop), "calibration"):
            reference.step(*(_part(lowered, n, x, start) for n, x in enumerate(data)))
    if not lowered.loops:
        reference = Reference(replace(lowered), machine=machine)
        reference.predict(*(np.asarray(x)[None] for x in data))
    return {name: _with_room(low, high) for name, (low, high) in machine.found.items()}


def _with_room(low: float, high: float) -> Range:
    return (min(0.0, low) * MARGIN, max(0.0, high) * MARGIN)


def _rows(lowered: Lowered, data: Sequence[Array]) -> int:
    """Time steps in the data; one where no input has a time axis."""
    assert lowered.step is not None
    counts = [len(x) for x, port in zip(data, lowered.step.inputs, strict=True) if port.time]
    return min(counts, default=lowered.hop)


def _part(lowered: Lowered, number: int, x: Array, start: int) -> Array:
    """What one step takes of an input, with a batch of one."""
    assert lowered.step is not None
    port = lowered.step.inputs[number]
    if not port.time:
        return np.asarray(x)[None]
    rows = np.asarray(x)[start : start + lowered.hop]
    return rows.reshape(1, *(int(n) for n in port.shape if isinstance(n, int)))
