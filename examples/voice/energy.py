"""The simple detector to beat: how far the level lies above a noise floor that adapts."""

from __future__ import annotations

import numpy as np
from mel import frames

# Chosen by train.py, the best of its grid on the sounds of training.
RISE, FALL, HANG = 4, 0.01, 15


def energy(pcm: np.ndarray, rise: float = RISE, fall: float = FALL, hang: int = HANG) -> np.ndarray:
    """How far each hop is above the floor, in dB: the largest of the last `hang` hops.

    The floor rises by `rise` dB a second at most, and goes `fall` of the way down to a lower level.
    """
    level = 10 * np.log10(np.mean(frames(pcm) ** 2, axis=1) + 1e-10)
    above = np.empty(len(level))
    floor = level[0]
    for t, now in enumerate(level):
        floor += (now - floor) * fall if now < floor else min(now - floor, rise / 100)
        above[t] = now - floor
    before = np.concatenate([np.full(hang - 1, above.min()), above])
    return np.lib.stride_tricks.sliding_window_view(before, hang).max(axis=1)
