"""Simulated persons: what an optical pulse sensor on a finger gives, and when their heart beats.

The signal is that of an analog sensor at an ADC of 10 bits, at 50 Hz. In the order of the code:

- The heart: a mean rate between 45 and 180 beats a minute that wanders by some percent, breathes
  along (respiratory sinus arrhythmia, strong at rest) and jitters. Some persons have early beats,
  each with a longer pause after it.
- A beat: the systolic wave, steeper before its top than after it, and the reflected wave that makes
  the dicrotic notch. Both are shorter when the heart is fast. Shapes differ from person to person.
- Breathing moves the baseline and the height of the beats; the baseline wanders by itself, too.
- Motion comes in bursts of 1 to 6 seconds: noise between 0.7 and 8 Hz or the rhythm of steps, up to
  six times as high as the pulse, often with a jump where the finger slips.
- Amplifiers of analog sensors take the slow part away, some more than others: the pulse behind them
  is narrow, sinks below its foot, and its second wave stands out.
- White noise, and the steps and limits of the ADC. The pulse is 8 to 400 of 1024 counts high.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from detect import RATE, Array
from scipy.signal import lfilter


def person(
    rng: np.random.Generator, seconds: int, *, motion: bool
) -> tuple[npt.NDArray[np.int16], Array]:
    """The counts of the sensor, and the times of the beats in samples: their steepest rise."""
    n = seconds * RATE
    t = np.arange(n) / RATE
    breath = 2 * np.pi * rng.uniform(0.15, 0.45) * (1 + 0.1 * _wander(rng, n, 10.0)) * t
    breath += rng.uniform(0, 2 * np.pi)
    onsets = _onsets(rng, n, breath)
    pulse, rises = _waves(rng, n, onsets)
    pulse *= 1 + rng.uniform(0.0, 0.25) * np.sin(breath + 1) + 0.1 * _wander(rng, n, 5.0)
    signal = pulse + rng.uniform(0.05, 0.5) * np.sin(breath)
    signal += rng.uniform(0.0, 0.8) * _wander(rng, n, 3.0)
    if motion:
        signal += _motion(rng, n)
    signal = _amplified(rng, pulse, signal)
    signal += np.exp(rng.uniform(np.log(0.005), np.log(0.08))) * rng.standard_normal(n)
    height = np.exp(rng.uniform(np.log(8), np.log(400)))
    counts = np.rint(rng.uniform(400, 600) + height * signal)
    inside = rises[rises < n - 1]
    return np.clip(counts, 0, 1023).astype(np.int16), inside


def _wander(rng: np.random.Generator, n: int, seconds: float) -> Array:
    """Smooth noise of about unit variance that forgets within some seconds."""
    length = seconds * RATE / 2
    keep = np.exp(-1 / length)
    noise = rng.standard_normal(n + round(12 * length))
    smooth = lfilter([(1 - keep) ** 2], [1, -2 * keep, keep**2], noise)
    return smooth[-n:] * 2 * np.sqrt(length)


def _amplified(rng: np.random.Generator, pulse: Array, signal: Array) -> Array:
    """The signal behind the sensor's amplifier, with a pulse as high as before."""
    for _ in range(rng.integers(0, 3)):
        cutoff = np.exp(rng.uniform(np.log(0.3), np.log(2.5)))
        keep = 1 / (1 + 2 * np.pi * cutoff / RATE)
        after = lfilter([keep, -keep], [1, -keep], pulse)
        factor = pulse.std() / after.std()
        pulse = factor * after
        signal = factor * lfilter([keep, -keep], [1, -keep], signal - signal[0])
    return signal


def _onsets(rng: np.random.Generator, n: int, breath: Array) -> Array:
    """The seconds at which beats begin, from before the first sample on."""
    rate = rng.uniform(45, 180) * (1 + 0.08 * _wander(rng, n, 15.0))
    sinus = rng.uniform(0.01, 0.1) * np.clip(1.6 - rate.mean() / 100, 0.1, 1.0)
    jitter, early = rng.uniform(0.002, 0.02), rng.choice([0.0, 0.0, 0.03])
    at, onsets, pause = -rng.uniform(0.5, 2.0), [], 1.0
    while at < n / RATE:
        onsets.append(at)
        i = min(max(int(at * RATE), 0), n - 1)
        now = np.clip(rate[i] * (1 + sinus * np.sin(breath[i])), 40, 190)
        factor = pause * (1 + jitter * rng.standard_normal())
        pause = 1.0
        if rng.random() < early:
            factor, pause = 0.65 * factor, 1.3
        at += 60 / now * max(factor, 0.5)
    return np.array(onsets)


def _waves(rng: np.random.Generator, n: int, onsets: Array) -> tuple[Array, Array]:
    """The beats as a signal of about height 1, and the samples at which they rise steepest."""
    top, rise, fall = rng.uniform(0.16, 0.22), rng.uniform(0.04, 0.08), rng.uniform(0.06, 0.14)
    reflected, later, wide = rng.uniform(0.1, 0.6), rng.uniform(0.2, 0.36), rng.uniform(0.06, 0.12)
    signal, rises = np.zeros(n), []
    gaps = np.append(np.diff(onsets), onsets[-1] - onsets[-2])
    for onset, gap, before in zip(onsets, gaps, np.insert(gaps[:-1], 0, gaps[0]), strict=True):
        quick = np.clip(np.sqrt(before / 0.85), 0.6, 1.15)
        height = np.clip(before / np.median(gaps), 0.6, 1.2) * (1 + 0.04 * rng.standard_normal())
        first = max(int(onset * RATE), 0)
        local = np.arange(first, min(int((onset + gap + 1.2) * RATE), n)) / RATE - onset
        at = local - top * quick
        width = np.where(at < 0, rise, fall) * quick
        wave = np.exp(-0.5 * (at / width) ** 2)
        wave += reflected * np.exp(-0.5 * ((at - later * quick) / (wide * quick)) ** 2)
        signal[first : first + local.size] += height * wave
        rises.append((onset + (top - rise) * quick) * RATE)
    times = np.array(rises)
    return signal - signal.mean(), times[times >= 0]


def _motion(rng: np.random.Generator, n: int) -> Array:
    """Bursts of motion, as high as the pulse is high or higher."""
    signal, at = np.zeros(n), rng.uniform(1, 8)
    while at < n / RATE - 1:
        length = rng.uniform(1, 6)
        first, last = int(at * RATE), min(int((at + length) * RATE), n)
        local = np.arange(last - first) / RATE
        height = np.exp(rng.uniform(np.log(0.3), np.log(6.0)))
        if rng.random() < 0.4:
            step = 2 * np.pi * rng.uniform(1.0, 2.6) * local
            wave = np.sin(step) + 0.5 * np.sin(2 * step + rng.uniform(0, 6))
        else:
            parts = rng.uniform(0.7, 8.0, 12)
            phases = rng.uniform(0, 2 * np.pi, 12)
            wave = np.sin(2 * np.pi * parts * local[:, None] + phases).sum(axis=1) / np.sqrt(6)
        signal[first:last] += height * wave * np.sin(np.pi * local / length) ** 0.5
        if rng.random() < 0.5:
            slip, forget = rng.normal(0, height), rng.uniform(0.5, 2)
            signal[first:] += slip * np.exp(-np.arange(n - first) / RATE / forget)
        at += length + rng.exponential(8.0)
    return signal
