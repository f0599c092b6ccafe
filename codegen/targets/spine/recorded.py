"""The recorded calls of a self-test, one by one, as targets with objects make them."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.lowered import Lowered
from codegen.model import Array
from codegen.recorded import SelfTest, record


@dataclass(frozen=True)
class Recorded:
    """What is called, and what comes back."""

    method: str  # step or predict
    calls: tuple[tuple[Array, ...], ...]  # the arguments of each call
    waiting: int  # so many calls give nothing at first
    results: tuple[tuple[Array, ...], ...]  # of each call after these
    test: SelfTest


def recorded(lowered: Lowered) -> Recorded:
    """The calls of the self-test of a model."""
    test = record(lowered)
    if not test.by_step:
        return Recorded("predict", (test.inputs,), 0, (test.outputs,), test)
    assert lowered.step is not None
    ports = lowered.step.inputs
    calls = tuple(
        tuple(x[t] if p.time else x for x, p in zip(test.inputs, ports, strict=True))
        for t in range(test.steps)
    )
    due = test.steps - lowered.warmup
    results = tuple(tuple(y[t] for y in test.outputs) for t in range(due))
    return Recorded("step", calls, lowered.warmup, results, test)
