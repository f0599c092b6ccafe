"""What stands around the network: the scale before it, the decision after it, and how it is judged.

`heartbeat/beat.h` has the same scale and the same decision in C, sample by sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

RATE = 50  # samples a second
THRESHOLD = 0.4  # a beat is where the probability rises above this
QUIET = 13  # samples after a beat without another one
DELAY = 11  # samples between the steepest rise of a beat and the rise of its probability
KEPT = 8  # intervals of which a rate is made
NEAR = 0.1 * RATE  # samples within which a found beat is a beat
SETTLED = 5 * RATE  # samples at the start that are not judged: the scale is still new


def normalised(counts: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The signal without its slow part, in units of its own size, between -4 and 4."""
    numbers = np.asarray(counts, float)
    mean, size = numbers[0], 0.0
    y = np.empty(len(numbers), np.float32)
    for i, count in enumerate(numbers):
        mean += (count - mean) / 32
        off = count - mean
        size += (abs(off) - size) / min(i + 1, 128)
        y[i] = min(max(off / (2 * size + 1), -4.0), 4.0)
    return y


def decided(probability: npt.ArrayLike, threshold: float = THRESHOLD) -> Array:
    """The samples of the beats: where the probability rises above the threshold, less the delay."""
    found, last, above = [], -QUIET, False
    for i, p in enumerate(np.asarray(probability)):
        if p > threshold and not above and i - last >= QUIET:
            found.append(i - DELAY)
            last = i
        above = bool(p > threshold)
    return np.array(found, float)


def rates(beats: Array) -> tuple[Array, Array]:
    """Beats a minute at each beat from the ninth on, and the samples of these beats.

    A rate is the mean of the middle half of the last eight intervals, so that one beat too many or
    too few does not change it.
    """
    if len(beats) <= KEPT:
        return np.zeros(0), np.zeros(0)
    last = np.lib.stride_tricks.sliding_window_view(np.diff(beats), KEPT)
    middle = np.sort(last, axis=1)[:, KEPT // 4 : -KEPT // 4].mean(axis=1)
    return 60 * RATE / middle, beats[KEPT:]


@dataclass(frozen=True)
class Score:
    """How well beats were found: the share of the beats, the share of what was found, the rate."""

    sensitivity: float
    precision: float
    rate_error: float  # mean difference of beats a minute, at each beat found

    @property
    def f1(self) -> float:
        """The harmonic mean of sensitivity and precision."""
        total = self.sensitivity + self.precision
        return 2 * self.sensitivity * self.precision / total if total else 0.0

    def __str__(self) -> str:
        found, right = f"{self.sensitivity:.1%}", f"{self.precision:.1%}"
        rate = f"{self.rate_error:.1f} beats a minute off"
        return f"{found} of the beats found, {right} of what was found right, {rate}"


def judged(found: Iterable[Array], beats: Iterable[Array]) -> Score:
    """The score over persons: what was found, and the beats that there were."""
    hits = right = there = 0
    errors: list[float] = []
    for mine, true in zip(found, beats, strict=True):
        errors.extend(_rate_errors(mine, true))
        late, real = mine[mine >= SETTLED], true[true >= SETTLED]
        hits += matched(late, real)
        right += len(late)
        there += len(real)
    return Score(hits / there, hits / max(right, 1), float(np.mean(errors)) if errors else np.nan)


def score(probabilities: Iterable[npt.ArrayLike], beats: Iterable[Array]) -> Score:
    """The score of probabilities, one a sample."""
    return judged([decided(p) for p in probabilities], beats)


def _rate_errors(mine: Array, true: Array) -> Sequence[float]:
    """How far each rate is from the true one at the same time."""
    (rate, at), (real, when) = rates(mine[mine >= SETTLED]), rates(true)
    if not len(rate) or not len(real):
        return []
    nearest = np.abs(at[:, None] - when).argmin(axis=1)
    return list(np.abs(rate - real[nearest]))


def matched(found: Array, beats: Array) -> int:
    """How many beats were found, each by one that is near."""
    hits = i = j = 0
    while i < len(found) and j < len(beats):
        if abs(found[i] - beats[j]) <= NEAR:
            hits, i, j = hits + 1, i + 1, j + 1
        elif found[i] < beats[j]:
            i += 1
        else:
            j += 1
    return hits
