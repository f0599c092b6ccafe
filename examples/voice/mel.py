"""The features of mel.h with NumPy, for whole recordings at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RATE, HOP, BANDS, FFT = 16000, 160, 24, 512
WINDOW = 0.5 - 0.5 * np.cos(np.pi * (np.arange(2 * HOP) + 0.5) / HOP)


def frames(pcm: npt.ArrayLike) -> np.ndarray:
    """Windows (hops, 320) that end with each whole hop of int16 samples (n,), from -1 to 1."""
    sound = np.asarray(pcm, np.float64) / 32768
    hops = np.concatenate([np.zeros(HOP), sound[: len(sound) // HOP * HOP]]).reshape(-1, HOP)
    return np.hstack([hops[:-1], hops[1:]])


def triangles() -> np.ndarray:
    """Weights (257, 24) of the bins of the transform in each band."""
    hertz = np.arange(FFT // 2 + 1) * RATE / FFT
    mel = (BANDS + 1) * np.log10(1 + hertz / 700) / np.log10(1 + RATE / 2 / 700)
    return np.maximum(0, 1 - np.abs(mel[:, None] - np.arange(1, BANDS + 1)))


def bands(pcm: npt.ArrayLike) -> np.ndarray:
    """log10 of the power in each band, (hops, 24) float32, of int16 samples at 16 kHz."""
    power = np.abs(np.fft.rfft(frames(pcm) * WINDOW, FFT)) ** 2
    return np.log10(power @ triangles() + 1e-6).astype(np.float32)
