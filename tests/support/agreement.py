"""A generated file against the interpreter of the Program, which defines what every op means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from codegen.lowered import Lowered, Reference
from codegen.model import Array
from codegen.program.ops import Port


def inputs(
    ports: Sequence[Port],
    steps: int,
    seed: int | np.random.Generator = 0,
    batch: int | None = None,
) -> list[Array]:
    """Random inputs of these ports; ids are small."""
    random = np.random.default_rng(seed)
    found: list[Array] = []
    for port in ports:
        shape = tuple(n if isinstance(n, int) else steps for n in port.shape)
        shape = shape if batch is None else (batch, *shape)
        if port.buffer.dtype == "int32":
            found.append(random.integers(0, 3, shape))
        else:
            found.append(random.normal(size=shape).astype(np.float32))
    return found


def parts(found: Any) -> tuple[Array, ...]:
    """Copies of the outputs of a call, one or several."""
    return tuple(map(np.array, found if isinstance(found, tuple) else (found,)))


def agree(
    lowered: Lowered,
    model: Any,
    tolerance: float,
    lengths: Sequence[int] = (7, 5),
    batch: int | None = None,
) -> None:
    """Assert that predict, step, states and reset give what the interpreter gives.

    `model` has these methods, for arrays with an axis of `batch` samples in front where that is a
    number. What it gives may be flat. Where predict is to refuse a length, so must the model.
    """
    reference = Reference(lowered, batch or 1)
    random = np.random.default_rng(0)

    def check(found: Sequence[Array], expected: Sequence[Array], limit: float = tolerance) -> None:
        for y, wanted in zip(found, expected, strict=True):
            right = wanted if batch else wanted[0]
            assert y.shape == right.shape or np.size(y) == right.size
            error = np.abs(np.ravel(y) - np.ravel(right)) / (1 + np.abs(np.ravel(right)))
            assert np.all(error <= limit), np.max(error)

    def states() -> list[Array]:
        """Those of the model without the number of steps seen, which comes last."""
        own = np.concatenate([np.zeros(0), *map(np.ravel, model.get_state())])
        ends = np.cumsum([state.size for state in reference.get_state()])
        assert own.size == sum(ends[-1:]) + (lowered.warmup > 0)
        return np.split(own, ends)[: len(ends)]

    def stepped() -> None:
        """Take a step, twice from the same state."""
        assert lowered.step is not None
        x = inputs(lowered.step.inputs, 1, random, batch)
        wanted = reference.step(*(x if batch else (part[None] for part in x)))
        before = model.get_state()
        for _ in range(2):
            model.set_state(before)
            found = model.step(*x)
            assert (found is None) == (wanted is None)
            if wanted is not None:
                check(parts(found), wanted)
        check(states(), reference.get_state())

    for steps in lengths if lowered.whole.lengths else lengths[:2]:
        x = inputs(lowered.whole.inputs, steps, random, batch)
        try:
            expected = reference.predict(*(x if batch else (part[None] for part in x)))
        except ValueError:
            with pytest.raises(ValueError, match=r"expected|refused"):
                model.predict(*x)
            continue
        check(parts(model.predict(*x)), expected)
        check(states(), reference.get_state())
        for _ in range(lowered.warmup + 2 if lowered.step else 0):
            stepped()
    model.reset()
    reference.reset()
    check(states(), reference.get_state(), 0.0)
    for _ in range(lowered.warmup + 5 if lowered.step else 0):
        stepped()
