"""A lowered model with rounded weights, and what rounding does to its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from codegen.differences import difference
from codegen.errors import Problem, UnsupportedError
from codegen.lowered import Lowered, Quantised
from codegen.lowering import lower
from codegen.passes.quantise_weights import quantise_weights
from codegen.prewarm import prewarmed
from codegen.program.ops import reads, walk_ops
from codegen.program.portable import Portable
from codegen.recorded import calls

MEASURED = 32  # steps of a model that has them


def quantised(lowered: Lowered, options: Mapping[str, Any]) -> Lowered:
    """The model as the options of a target want it: with rounded weights, or as it is.

    Raises UnsupportedError where a layer holds what cannot be rounded.
    """
    if options.get("quantize") is None:
        return lowered
    steps = lowered.model.prewarm
    cold = lower(replace(lowered.model, prewarm=0)) if steps else lowered
    result = _rounded(cold)
    problems = tuple(_problems(result))
    if problems:
        raise UnsupportedError(lowered.model.source, problems)
    result = prewarmed(result, steps) if steps else result  # silence runs on rounded weights, too
    return replace(result, quantised=_measured(lowered, result))


def _rounded(lowered: Lowered) -> Lowered:
    programs = [lowered.whole] if lowered.step is None else [lowered.whole, lowered.step]
    whole, *steps = quantise_weights(programs)
    return replace(lowered, whole=whole, step=steps[0] if steps else None)


def _problems(lowered: Lowered) -> Iterator[Problem]:
    """A problem for each layer with a weight that no scale stands for."""
    classes = {layer.name: layer.class_name for layer in lowered.layers}
    for block in (lowered.step or lowered.whole).blocks:
        for buffer in {s.buffer for op in walk_ops(block.ops) for s in reads(op)}:
            if not np.isfinite(buffer.unit):
                yield Problem(
                    block.name,
                    classes.get(block.name, "output"),
                    f"its array {buffer.name!r} holds NaN, infinity or more than int8 with a "
                    "float32 scale stands for; without --quantize it is kept",
                )
                break


def _measured(original: Lowered, rounded: Lowered) -> Quantised:
    """What rounding does to the outputs of a few steps of noise, the same on every machine."""
    with np.errstate(all="ignore"):
        exact = calls(original, None, 1.0, 0, Portable(), MEASURED)
        found = calls(rounded, None, 1.0, 0, Portable(), MEASURED)
    ports = original.whole.outputs
    errors = tuple(
        difference(port.name, wanted, y)
        for port, wanted, y in zip(ports, exact.outputs, found.outputs, strict=True)
    )
    steps = exact.steps or max(exact.lengths, default=0)
    return Quantised(original, "weights", steps, errors)
