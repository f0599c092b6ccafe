"""Generated files of every target, started, with the same methods for each.

    model = started("c", lowered, tmp_path)
    (y,) = model.predict(x)

Arrays go in and come out shaped as in Keras, without a batch axis; see `codegen.running`.
"""

from __future__ import annotations

import ctypes
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codegen.lowered import Lowered
from codegen.running import Made, Outputs, Runner
from codegen.running.c import CRunner
from codegen.running.javascript import JavaScriptRunner
from codegen.running.python import PythonRunner
from codegen.targets import TARGETS as FOUND
from codegen.targets.spine.outline import Origin, dtype_of
from tests.support.compilers import WARNINGS

Array = npt.NDArray[Any]

TARGETS = tuple(FOUND)
TOLERANCE = 2e-5  # what float32 may differ, over 1 + |expected|: a wrong convention shows as 1e-2
NAME = "model"


def rendered(lowered: Lowered, target: str, **options: Any) -> str:
    """The text of the file named `model`."""
    chosen = FOUND[target]
    origin = Origin(NAME + chosen.suffixes[0], ())
    return "".join(chosen.render(lowered, NAME, chosen.complete(options), origin))


def started(target: str, lowered: Lowered, folder: Path, **options: Any) -> Runner:
    """The generated file of a target, imported, or compiled without a warning."""
    return loaded(target, rendered(lowered, target, **options), lowered, folder, **options)


def loaded(target: str, text: str, lowered: Lowered, folder: Path, **options: Any) -> Runner:
    """The text of a generated file, which a test may have changed, imported or compiled."""
    path = folder / (NAME + FOUND[target].suffixes[0])
    path.write_text(text, encoding="utf-8")
    made = Made(path, NAME, lowered, dtype_of(lowered, options), folder)
    if target == "c":
        return CRunner(made, ("-O1", *WARNINGS, "-DMODEL_SELFTEST"))
    return FOUND[target].start(made)


def options(target: str, lowered: Lowered, calls: Sequence[Sequence[Array]]) -> dict[str, int]:
    """--max-steps, where C needs it for the inputs of these calls, batch first."""
    if target != "c" or lowered.step is not None or not lowered.whole.lengths:
        return {}
    return {"max_steps": max(x.shape[1] for call in calls for x in call if x.ndim > 1)}


def selftest(model: Runner) -> bool:
    """Whether the self-test in the file passes."""
    if isinstance(model, CRunner):
        function: Any = ctypes.CDLL(str(model.library._name)).model_selftest
        return bool(function() == 0)
    if isinstance(model, JavaScriptRunner):
        return model.selftest()
    assert isinstance(model, PythonRunner)
    found = type(model.model).reset.__globals__["selftest"]()
    return found if isinstance(found, bool) else bool(found <= 1)


def module(text: str) -> types.ModuleType:
    """The text of a Python file as a module, nothing of which is on disk."""
    found = types.ModuleType(NAME)
    exec(compile(text, f"{NAME}.py", "exec", dont_inherit=True), found.__dict__)  # noqa: S102
    return found


def flat(states: Sequence[Array]) -> Array:
    """States in one array."""
    return np.concatenate([np.zeros(0), *(np.ravel(part) for part in states)])


def worst(found: Sequence[Array], expected: Sequence[Array]) -> float:
    """The largest |found - expected| / (1 + |expected|); shapes must agree, NaN is infinite."""
    largest = 0.0
    for y, wanted in zip(found, expected, strict=True):
        right = np.asarray(wanted, np.float64)
        left = np.asarray(y, np.float64)
        assert left.shape == right.shape, f"shape {left.shape}, expected {right.shape}"
        error = np.abs(left - right) / (1 + np.abs(right))
        if error.size:
            largest = max(largest, float(np.max(error)) if np.isfinite(error).all() else np.inf)
    return largest


def inputs_of_step(lowered: Lowered, inputs: Sequence[Array], number: int) -> list[Array]:
    """What step `number`, counted from 0, takes of whole inputs."""
    program, hop = lowered.step, lowered.hop
    assert program is not None
    rows = number if hop == 1 else slice(number * hop, (number + 1) * hop)
    return [x[rows] if port.time else x for x, port in zip(inputs, program.inputs, strict=True)]


def stepped(model: Runner, lowered: Lowered, inputs: Sequence[Array]) -> Outputs:
    """What predict gives, computed by `step` from where the model is.

    The number of steps has to be a multiple of the hop.
    """
    program = lowered.step
    assert program is not None
    total = min(len(x) for x, port in zip(inputs, program.inputs, strict=True) if port.time)
    rows: list[Outputs] = []
    for number in range(total // lowered.hop):
        found = model.step(*inputs_of_step(lowered, inputs, number))
        assert (found is None) == (number < lowered.warmup), f"step {number + 1} of {model}"
        if found is not None:
            rows.append(found)
    outputs = []
    for number, port in enumerate(program.outputs):
        parts = [row[number] for row in rows]
        if not port.time:
            outputs.append(parts[-1])
        elif len(port.shape) < len(lowered.whole.outputs[number].shape):
            outputs.append(np.stack(parts))
        else:
            outputs.append(np.concatenate(parts))
    return tuple(outputs)
