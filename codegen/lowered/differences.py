"""How far a tensor is from what it should be, in the measures that users choose models by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.program.ops import Array

# A sum of probabilities may be off by this.
WHOLE = 1e-3


@dataclass(frozen=True)
class Difference:
    """One output against what is exact.

    `snr_db`: the power of the output over that of the error, in dB; None where one of them is 0.
    `decisions` are what is decided by probabilities (see `decided`), `changed` how many of them
    differ; both are None where an output is none.
    """

    output: str
    largest: float
    rms: float
    snr_db: float | None
    changed: int | None
    decisions: int | None


def difference(output: str, exact: Array, found: Array) -> Difference:
    """The measures over all numbers that are finite in both."""
    right, left = np.asarray(exact, np.float64), np.asarray(found, np.float64)
    known = np.isfinite(right) & np.isfinite(left)
    error, size = (left - right)[known], right[known]
    power, noise = float(np.sum(size * size)), float(np.sum(error * error))
    wanted, decided_now = decided(right), decided(left, right)
    return Difference(
        output,
        float(np.max(np.abs(error), initial=0.0)),
        math.sqrt(noise / max(1, error.size)),
        10 * math.log10(power / noise) if power > 0 and noise > 0 else None,
        None if wanted is None else int(np.sum(wanted != decided_now)),
        None if wanted is None else int(wanted.size),
    )


def decided(y: Array, like: Array | None = None) -> Array | None:
    """What probabilities say: the largest of those that sum to 1, else which are above one half.

    None where the numbers (of `like`, if given) are not probabilities: not all between 0 and 1.
    """
    known = y if like is None else like
    if known.ndim == 0 or not np.all((known >= 0) & (known <= 1)):
        return None
    if known.shape[-1] > 1 and np.all(np.abs(known.sum(axis=-1) - 1) < WHOLE):
        return np.asarray(y.argmax(axis=-1))
    return np.asarray(y > 0.5)


def text(found: Difference) -> str:
    """The measures in words."""
    words = [f"largest error {found.largest:.2g}, rms {found.rms:.2g}"]
    if found.decisions is not None:
        words.append(f"{found.changed} of {found.decisions} decisions changed")
    elif found.snr_db is not None:
        words.append(f"SNR {found.snr_db:.0f} dB")
    return ", ".join(words)


def worst_of(found: Sequence[Difference]) -> dict[str, float | int | None]:
    """The worst of all outputs, by the names that JSON has them by."""
    known = [one.snr_db for one in found if one.snr_db is not None]
    changed = [one.changed for one in found if one.changed is not None]
    return {
        "largest": max(one.largest for one in found),
        "rms": max(one.rms for one in found),
        "snr_db": min(known, default=None),
        "decisions_changed": sum(changed) if changed else None,
    }
