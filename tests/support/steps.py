"""Steps of a model against its predict, the states that both leave, and going on from those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codegen.lowered import Lowered, Reference
from codegen.model import Array
from tests.support.targets import TOLERANCE, flat, inputs_of_step, stepped, worst


def row(arrays: Sequence[Array], number: int) -> list[Array]:
    return [x[number] for x in arrays]


def in_step(lowered: Lowered, inputs: Sequence[Array], axis: int = 0) -> list[Array]:
    """The inputs cut to one number of steps, and to whole hops."""
    assert lowered.step is not None
    ports = lowered.step.inputs
    shortest = min(x.shape[axis] for x, port in zip(inputs, ports, strict=True) if port.time)
    steps = shortest // lowered.hop * lowered.hop
    return [
        x.take(range(steps), axis) if port.time else x
        for x, port in zip(inputs, ports, strict=True)
    ]


def is_even(lowered: Lowered, inputs: Sequence[Array], axis: int = 0) -> bool:
    """Whether all sequences have one length, as a stream needs it."""
    if lowered.step is None:
        return True
    ports = lowered.step.inputs
    return len({x.shape[axis] for x, port in zip(inputs, ports, strict=True) if port.time}) == 1


def gives_steps(lowered: Lowered, inputs: Sequence[Array]) -> bool:
    """Whether the model steps, and gives something before these inputs of a sample end."""
    if lowered.step is None:
        return False
    timed = zip(in_step(lowered, inputs), lowered.step.inputs, strict=True)
    return min(len(x) for x, port in timed if port.time) // lowered.hop > lowered.warmup


def interpreter_steps_as_it_predicts(lowered: Lowered, inputs: Sequence[Array]) -> None:
    """Assert that a sample gives the same in steps of the interpreter as in its predict."""
    inputs = in_step(lowered, inputs)
    reference = Reference(lowered)
    expected = row(reference.predict(*(x[None] for x in inputs)), 0)
    states = flat(reference.get_state())
    reference.reset()
    single: Any = _Single(reference)
    assert worst(stepped(single, lowered, inputs), expected) <= 1e-9
    np.testing.assert_allclose(flat(reference.get_state()), states, rtol=1e-9, atol=1e-9)


class _Single:
    """The interpreter without a batch axis, as far as steps go."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference

    def step(self, *inputs: Array) -> tuple[Array, ...] | None:
        found = self._reference.step(*(np.asarray(x)[None] for x in inputs))
        return None if found is None else tuple(y[0] for y in found)


def steps_as_it_predicts(
    model: Any, lowered: Lowered, inputs: Sequence[Array], tolerance: float = TOLERANCE
) -> None:
    """Assert the same of a generated model, and that it goes on from a state that it saved."""
    inputs = in_step(lowered, inputs)
    model.reset()
    expected = model.predict(*inputs)
    states = model.get_state()
    model.reset()
    assert worst(stepped(model, lowered, inputs), expected) <= tolerance
    assert worst(model.get_state(), states) <= tolerance

    # Going on from the saved state is going on.
    given = inputs_of_step(lowered, inputs, 0)
    model.set_state(states)
    np.testing.assert_array_equal(flat(model.get_state()), flat(states))
    following = model.step(*given)
    after = flat(model.get_state())
    model.reset()
    model.set_state(states)
    again = model.step(*given)
    assert following is not None
    for y, other in zip(again, following, strict=True):
        np.testing.assert_array_equal(y, other)
    np.testing.assert_array_equal(flat(model.get_state()), after)
