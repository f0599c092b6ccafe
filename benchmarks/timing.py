"""Timing side by side: every round runs everybody once, so that a slow moment slows all alike."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

ROUND_NS = 2_000_000  # of CPU time that one competitor gets in one round, about
Run = Callable[[int], object]  # run this many times


@dataclass
class Entry:
    """Somebody who runs, with nanoseconds a step of every round."""

    labels: dict[str, str]  # who, built how
    run: Run
    error: float | None = None  # largest difference from Keras
    note: str = ""
    extra: dict[str, float] = field(default_factory=dict)
    per_run: int = 1  # steps that `run(1)` makes
    steps: int = 1  # of one round
    samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Nanoseconds a step."""
        return statistics.median(self.samples)

    @property
    def best(self) -> float:
        """Nanoseconds a step of the fastest round."""
        return min(self.samples)

    def ratio(self, other: Entry) -> float:
        """Median of `this / other` over the rounds."""
        pairs = zip(self.samples, other.samples, strict=True)
        return statistics.median(a / b for a, b in pairs)

    def as_dict(self) -> dict[str, object]:
        """For the results file."""
        return {
            **self.labels,
            "ns_median": round(self.median, 1),
            "ns_best": round(self.best, 1),
            "error": self.error,
            **({"note": self.note} if self.note else {}),
            **self.extra,
        }


def pin() -> int:
    """Keep this process on one core, the last that it may use; its number."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def _cpu_ns(run: Run, steps: int) -> int:
    start = time.process_time_ns()
    run(steps)
    return time.process_time_ns() - start


def _calibrate(entry: Entry) -> None:
    """Choose the steps of one round."""
    steps = 1
    entry.run(1)
    while (spent := _cpu_ns(entry.run, steps)) < ROUND_NS / 8 and steps < 1 << 24:
        steps *= 4
    entry.steps = max(1, round(steps * ROUND_NS / max(spent, 1)))


def interleave(entries: list[Entry], rounds: int) -> None:
    """Fill `samples` of all entries: `rounds` rounds, each in another order."""
    for entry in entries:
        _calibrate(entry)
        entry.samples.clear()
    gc.collect()
    gc.disable()
    try:
        for turn in range(rounds):
            start = turn % len(entries)
            for entry in entries[start:] + entries[:start]:
                entry.run(max(1, entry.steps // 16))  # caches and branch predictors
                spent = _cpu_ns(entry.run, entry.steps)
                entry.samples.append(spent / (entry.steps * entry.per_run))
    finally:
        gc.enable()
