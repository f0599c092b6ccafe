"""Play real recordings through the network: three of an analog pulse sensor that HeartPy ships.

    pip install heartpy==1.2.7 "setuptools<81"
    python recordings.py

HeartPy (by Paul van Gent) looks at a whole recording at once, tells where the beats are,
and which of them it does not believe. The others are what the network is compared with, which hears
one sample after the other. Nobody has marked the beats by hand.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import heartpy
import numpy as np
from detect import RATE, SETTLED, Array, matched
from measure import FILES, built, found

RISE = 3.5  # samples from the steepest rise of a beat to its top, where HeartPy marks it


def recordings() -> dict[str, tuple[Array, float]]:
    """The signals and how many samples they have a second."""
    finger, clock = heartpy.load_exampledata(0)[0], heartpy.load_exampledata(1)
    drive, times = heartpy.load_exampledata(2)
    return {
        "finger, 25 s": (finger, 100.0),
        "with noise, 2 min": (clock[0], heartpy.get_samplerate_mstimer(clock[1])),
        "driving, 11 min": (
            drive,
            heartpy.get_samplerate_datetime(times, timeformat="%Y-%m-%d %H:%M:%S.%f"),
        ),
    }


def resampled(signal: Array, rate: float) -> Array:
    """The signal at 50 samples a second."""
    n = int(len(signal) / rate * RATE)
    return np.rint(np.interp(np.arange(n) / RATE, np.arange(len(signal)) / rate, signal))


def main() -> None:
    """Print the table of README.md: beats of both, and how many of them are the same."""
    with tempfile.TemporaryDirectory() as folder:
        program = built(FILES["int8"], Path(folder))
        for name, (signal, rate) in recordings().items():
            work, _ = heartpy.process(signal, rate)
            believed = np.setdiff1d(work["peaklist"], work["removed_beats"])
            theirs = believed * RATE / rate - RISE
            ours = found(program, resampled(signal, rate))
            theirs, ours = theirs[theirs >= SETTLED], ours[ours >= SETTLED]
            hits = matched(ours, theirs)
            shares = f"{hits / len(theirs):.1%} | {hits / len(ours):.1%}".replace("%", " %")
            print(f"| {name} | {len(theirs)} | {len(ours)} | {shares} |")


if __name__ == "__main__":
    main()
