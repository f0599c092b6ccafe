"""A live Keras model against the interpreter: predict, and step where the model streams."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codegen import read
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower

Array = npt.NDArray[Any]
TOLERANCE = 2e-5


def close(found: Array, expected: Array) -> bool:
    """Whether all numbers agree to rounding, and the shapes are the same."""
    if found.shape != expected.shape:
        return False
    return bool(np.all(np.abs(found - expected) <= TOLERANCE * (1 + np.abs(expected))))


def randomised(model: Any, seed: int = 0) -> Any:
    """The model with random weights everywhere, biases and moving statistics too."""
    rng = np.random.default_rng(seed)
    weights = []
    for w in model.weights:
        value = rng.normal(0, 0.5, w.shape)
        if "variance" in w.path:
            value = np.abs(value) + 0.5
        weights.append(value.astype(np.float32))
    if weights:
        model.set_weights(weights)
    for layer in model.layers:
        if hasattr(layer, "finalize_state"):  # Normalization computes with copies of its weights
            layer.finalize_state()
    return model


def lowered(model: Any) -> Lowered:
    """The model through a file, as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return lower(read(path))


def shapes_agree(model: Any, low: Lowered) -> None:
    """Assert that every layer's output has the shape that Keras gives it, where it is known."""
    reported = {layer.name: layer.output_shape for layer in low.layers}
    for layer in model.layers:
        found, wanted = reported[layer.name], layer.output.shape[1:]
        assert len(found) == len(wanted), (layer.name, found, wanted)
        known = [a == b for a, b in zip(found, wanted, strict=True) if a and b]
        assert all(known), (layer.name, found, wanted)


def compare(model: Any, lengths: Sequence[int] = (), batch: int = 2) -> Lowered:
    """Assert that predict equals Keras for each length, and steps equal predict; the Lowered."""
    low = lowered(randomised(model))
    rng = np.random.default_rng(1)
    for length in lengths or (None,):
        inputs = [
            rng.normal(size=(batch, *(length if n is None else n for n in x.shape[1:])))
            for x in model.inputs
        ]
        expected = model(inputs if len(inputs) > 1 else inputs[0])
        expected = expected if isinstance(expected, (list, tuple)) else [expected]
        arrays = [np.asarray(y) for y in expected]
        reference = Reference(low, batch)
        found = reference.predict(*inputs)
        for y, wanted in zip(found, arrays, strict=True):
            assert close(y, wanted), (length, y.shape, wanted.shape, np.abs(y - wanted).max())
        if low.step is not None:
            steps_equal_predict(low, inputs, found, reference.get_state())
    return low


def steps_equal_predict(
    low: Lowered, inputs: Sequence[Array], expected: Sequence[Array], states: Sequence[Array]
) -> None:
    """Assert that stepping gives the rows of predict, and leaves the same states."""
    program = low.step
    assert program is not None
    batch = len(inputs[0])
    reference = Reference(low, batch)
    timed = [x.shape[1] for x, port in zip(inputs, program.inputs, strict=True) if port.time]
    steps = timed[0] // low.hop
    rows: list[tuple[Array, ...]] = []
    for t in range(steps):
        part = slice(t * low.hop, (t + 1) * low.hop)
        given = []
        for x, port in zip(inputs, program.inputs, strict=True):
            row = x[:, part] if port.time else x
            given.append(row[:, 0] if port.time and low.hop == 1 else row)
        y = reference.step(*given)
        assert (y is None) == (t < low.warmup), (t, low.warmup)
        if y is not None:
            rows.append(y)
    assert rows, "no step gave anything"
    for number, (port, wanted) in enumerate(zip(program.outputs, expected, strict=True)):
        if port.time:
            hop = len(port.shape) == wanted.ndim - 1
            parts = [row[number] if hop else row[number][:, None] for row in rows]
            found = np.concatenate(parts, axis=1)
        else:
            found = rows[-1][number]
        if timed[0] % low.hop == 0:
            assert close(found, wanted), (found.shape, wanted.shape)
        elif port.time:  # predict takes what is left of the last hop too
            assert close(found, wanted[:, : found.shape[1]])
    if timed[0] % low.hop == 0:
        for own, other in zip(reference.get_state(), states, strict=True):
            assert close(own, other), "the states after steps are not those after predict"
