"""A lowered model with rounded weights, or in integers, and what that does to its outputs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from codegen.errors import CodegenError, Problem, UnsupportedError, UsageError
from codegen.integers import Found, Scheme, to_integers
from codegen.lowered import Lowered, Quantised, Reference, machine_of
from codegen.lowered.differences import Difference, difference
from codegen.lowered.prewarm import prewarmed
from codegen.lowered.recorded import calls, noise
from codegen.lowered.samples import read_samples
from codegen.lowering import lower
from codegen.passes.quantise_weights import quantise_weights
from codegen.program.ops import Array, Port, reads, walk_ops
from codegen.program.portable import Portable

MEASURED = 32  # steps of a model that has them
MOST_MEASURED = 256  # rows of calibration data
INTEGERS = ("int8", "int16")


def quantised(lowered: Lowered, options: Mapping[str, Any]) -> Lowered:
    """The model as the options of a target want it: rounded, in integers, or as it is.

    Raises UnsupportedError where a layer cannot be, or where a range is missing.
    """
    scheme = options.get("quantize")
    if scheme is None:
        return lowered
    steps = lowered.model.prewarm
    cold = lower(replace(lowered.model, prewarm=0)) if steps else lowered
    if scheme in INTEGERS:
        return _in_integers(lowered, cold, str(scheme), options)
    result = _rounded(cold)
    problems = tuple(_problems(result))
    if problems:
        raise UnsupportedError(lowered.model.source, problems)
    result = prewarmed(result, steps) if steps else result  # silence runs on rounded weights, too
    return replace(result, quantised=_measured(lowered, result))


# ---- rounded weights ---------------------------------------------------------------------------


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
    steps = exact.steps or max(exact.lengths, default=0)
    return Quantised(original, "weights", steps, _errors(original, exact.outputs, found.outputs))


def _errors(
    lowered: Lowered, exact: Sequence[Array], found: Sequence[Array]
) -> tuple[Difference, ...]:
    return tuple(
        difference(port.name, wanted, y)
        for port, wanted, y in zip(lowered.whole.outputs, exact, found, strict=True)
    )


# ---- integers ----------------------------------------------------------------------------------


def _in_integers(
    lowered: Lowered, cold: Lowered, weights: str, options: Mapping[str, Any]
) -> Lowered:
    """The model in integers, with the ranges that the options give or data show."""
    given = options.get("calibration")
    data = None if given is None else read_samples(str(given), lowered)
    io = str(options.get("io") or "float")
    made = to_integers(cold, Scheme(weights, io, _input_ranges(lowered, options), data))
    steps = lowered.model.prewarm
    result = prewarmed(made.lowered, steps) if steps else made.lowered
    if data is None:
        test = calls(lowered, None, 1.0, 0, Portable(), MEASURED)
        data = [
            noise(_rows(lowered, x, port, test.by_step), made.inputs.get(port.name))
            for x, port in zip(test.inputs, lowered.whole.inputs, strict=True)
        ]
    else:
        data = [
            x[: MOST_MEASURED * lowered.hop] if _is_free(port) else x
            for x, port in zip(data, lowered.whole.inputs, strict=True)
        ]
    with np.errstate(all="ignore"):
        errors = _errors(lowered, outputs_of(lowered, data), outputs_of(result, data))
    timed = [len(x) for x, port in zip(data, lowered.whole.inputs, strict=True) if port.time]
    return replace(
        result,
        quantised=Quantised(
            lowered,
            weights,
            min(timed, default=0),
            errors,
            "noise" if given is None else Path(given).name,
            made.inputs,
            tuple(_told(made, None if given is None else str(given), options)),
        ),
    )


def _rows(lowered: Lowered, x: Array, port: Port, by_step: bool) -> Array:
    """What steps have taken, as predict takes it."""
    hops = by_step and port.time and lowered.hop > 1
    return x.reshape(-1, *x.shape[2:]) if hops else x


def _is_free(port: Port) -> bool:
    return bool(port.shape) and not isinstance(port.shape[0], int)


def _input_ranges(lowered: Lowered, options: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """The ranges of `--input-range`; UsageError where one is none, or is of no input."""
    names = [port.name for port in lowered.whole.inputs]
    found = {}
    for text in options.get("input_range") or ():
        name, _, ends = str(text).rpartition("=")
        low, _, high = ends.partition(":")
        try:
            one = float(low), float(high)
        except ValueError:
            one = math.nan, math.nan
        if not (math.isfinite(one[0]) and math.isfinite(one[1]) and one[0] < one[1]):
            raise UsageError(f"--input-range {text}: expected NAME=LOW:HIGH with LOW below HIGH")
        if name not in names:
            raise UsageError(f"--input-range {text}: the inputs are {', '.join(names)}")
        found[name] = one
    return found


def outputs_of(lowered: Lowered, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """What predict gives from reset on, in real numbers whatever the file takes and gives."""
    reference = Reference(lowered, machine=machine_of(lowered))
    reference.reset()
    ports = lowered.whole.inputs
    given = (taken(x, port)[None] for x, port in zip(inputs, ports, strict=True))
    found = reference.predict(*given)
    return tuple(
        y[0] / 2.0**port.buffer.fraction
        for y, port in zip(found, lowered.whole.outputs, strict=True)
    )


def taken(x: Array, port: Port) -> Array:
    """Real numbers as an input takes them: as they are, or as int16 with a fraction."""
    if port.buffer.dtype != "int16":
        return np.asarray(x)
    whole = np.floor(np.asarray(x, np.float64) * 2.0**port.buffer.fraction + 0.5)
    return np.clip(whole, -32768, 32767).astype(np.int64)


def _told(made: Found, calibration: str | None, options: Mapping[str, Any]) -> Iterator[str]:
    """Where the ranges are from and what saturates, for the banner."""
    by_hand = {str(text).rpartition("=")[0] for text in options.get("input_range") or ()}
    for name, (low, high) in made.inputs.items():
        source = "given" if name in by_hand else "measured"
        yield f"Input {name} lies between {low:.6g} and {high:.6g} ({source}); beyond it saturates."
    for name, (low, high) in made.limited.items():
        yield f"{name} is kept between {low:.6g} and {high:.6g} (measured)."
    if calibration is not None:
        yield f"Measured on {Path(calibration).name} (SHA-256 {_digest(calibration)})."
    if made.wider_rows:
        rows = "row of weights has" if made.wider_rows == 1 else "rows of weights have"
        yield f"{made.wider_rows} {rows} larger steps, so that their sums fit int32."


def _digest(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise CodegenError(f"{path}: cannot be read: {error}") from error
