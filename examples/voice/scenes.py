"""Speech in noise, with labels: what the detector is trained on, and what it is measured on.

A scene is talkers with pauses, and one noise. The noises are made here from random numbers; those
of training and those of the test are of different kinds.

`python scenes.py FILE.wav` writes a sound to try, and prints where somebody speaks in it.
"""

from __future__ import annotations

import sys
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from mel import HOP, RATE, frames

Rng = np.random.Generator
LOOK_AHEAD = 2  # hops that the detector hears before it decides
TRAIN_SNR = (-5, 0, 5, 10, 15, 20)
TEST_SNR = (-2.5, 2.5, 7.5, 12.5, 17.5)


@dataclass(frozen=True)
class Scene:
    """A sound as int16 samples, whether each hop is speech, and what it was made of."""

    pcm: np.ndarray
    speech: np.ndarray
    noise: str
    snr: float


# ---- noises: n samples of any level ----


def shaped(rng: Rng, n: int, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """White noise with an amplitude for each frequency in Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    return np.fft.irfft(spectrum * gain(np.fft.rfftfreq(n, 1 / RATE) + 1), n)


def slow(rng: Rng, n: int, hertz: float) -> np.ndarray:
    """A curve that wanders around 0 with deviation 1, not faster than `hertz`."""
    curve = shaped(rng, n, lambda f: np.exp(-f / hertz))
    return (curve - curve.mean()) / curve.std()


def resonance(hertz: float) -> Callable[[np.ndarray], np.ndarray]:
    """An amplitude for each frequency, for `shaped`, that is largest at one."""
    return lambda f: 1 / (1 + (f / hertz - 1) ** 2)


def tone(hertz: np.ndarray | float, n: int) -> np.ndarray:
    """A sine of a frequency that may change from sample to sample."""
    return np.sin(2 * np.pi * np.cumsum(np.broadcast_to(hertz, n)) / RATE)


def white(rng: Rng, n: int) -> np.ndarray:
    """Equal power at all frequencies."""
    return rng.standard_normal(n)


def pink(rng: Rng, n: int) -> np.ndarray:
    """Equal power in each octave, more or less."""
    slope = rng.uniform(0.3, 1.2)
    return shaped(rng, n, lambda f: f**-slope)


def hum(rng: Rng, n: int) -> np.ndarray:
    """Mains: 50 or 60 Hz with overtones, and some hiss."""
    base = rng.choice([50.0, 60.0])
    parts = [tone(base * k, n) * rng.uniform(0, 1) / k for k in range(1, 16)]
    return sum(parts) + 0.05 * pink(rng, n)


def clicks(rng: Rng, n: int) -> np.ndarray:
    """Short bursts at random times: keys, cups, steps."""
    sound = 0.01 * white(rng, n)
    for start in rng.integers(0, n - RATE // 4, int(n / RATE * rng.uniform(1, 12))):
        length = int(rng.uniform(0.002, 0.2) * RATE)
        burst = shaped(rng, length, resonance(rng.uniform(200, 6000)))
        burst *= np.exp(-6 * np.arange(length) / length)
        sound[start : start + length] += burst * rng.uniform(0.2, 1) / burst.std()
    return sound


def machine(rng: Rng, n: int) -> np.ndarray:
    """Steady and switched tones with overtones, sidebands and noise."""
    sound = shaped(rng, n, lambda f: 0.3 / (1 + (f / 1500) ** 2))
    for _ in range(rng.integers(1, 5)):
        base = rng.uniform(80, 3000)
        part = sum(
            tone(base * k, n) / k for k in range(1, 1 + rng.integers(1, 6)) if base * k < 7e3
        )
        depth, rate = rng.uniform(0, 1), rng.uniform(0.5, 25)
        wave = tone(rate, n)
        sound += part * (1 + depth * (np.sign(wave) if rng.random() < 0.4 else wave))
    return sound


def wind(rng: Rng, n: int) -> np.ndarray:
    """Rumble in gusts."""
    return shaped(rng, n, lambda f: 1 / (20 + f**1.3)) * np.exp(0.8 * slow(rng, n, 1.0))


def engine(rng: Rng, n: int) -> np.ndarray:
    """A motor whose speed drifts: many overtones of firing, and its exhaust."""
    base = rng.uniform(25, 90) * np.exp(0.15 * slow(rng, n, 0.5))
    overtones = sum(tone(base * k, n) * rng.uniform(0.2, 1) / k**0.7 for k in range(1, 24))
    return overtones + shaped(rng, n, lambda f: 30 / (50 + f))


def rain(rng: Rng, n: int) -> np.ndarray:
    """Thousands of drops, each with a ring of its own."""
    drops = np.zeros(n)
    drops[rng.integers(0, n, int(n / RATE * 300))] = rng.standard_normal(int(n / RATE * 300)) ** 3
    ring = shaped(rng, n, lambda f: 1 / (1 + (f / 3000) ** 2))
    return np.fft.irfft(np.fft.rfft(drops) / (1 + np.fft.rfftfreq(n, 1 / 2500)), n) + 0.3 * ring


def fan(rng: Rng, n: int) -> np.ndarray:
    """Air in a band of noise, beating with the blades."""
    middle = rng.uniform(300, 1500)
    air = shaped(rng, n, lambda f: 1 / (1 + (np.log2(f / middle) / 1.2) ** 4))
    return air * (1 + 0.4 * tone(rng.uniform(8, 20), n)) + 0.2 * tone(rng.uniform(90, 240), n)


def beeps(rng: Rng, n: int) -> np.ndarray:
    """An alarm: tones of two pitches that take turns, and silence between."""
    time = np.arange(n) / RATE
    pitch = np.where(time * 1.7 % 1 < 0.5, *rng.uniform(500, 2500, 2))
    return tone(pitch, n) * (time * 3.4 % 1 < rng.uniform(0.5, 0.9)) + 0.02 * white(rng, n)


TRAIN_NOISES = {noise.__name__: noise for noise in (white, pink, hum, clicks, machine)}
TEST_NOISES = {noise.__name__: noise for noise in (wind, engine, rain, fan, beeps)}


def babble(rng: Rng, n: int, talkers: Sequence[np.ndarray], voices: int) -> np.ndarray:
    """Many talkers at once, none of them in front."""
    sound = np.zeros(n)
    for _ in range(voices):
        line = np.concatenate([talkers[i] for i in rng.permutation(len(talkers))[:6]])
        line = np.roll(np.resize(line, n), rng.integers(n))
        sound += line / np.sqrt(np.mean(line**2)) * rng.uniform(0.7, 1)
    return sound


# ---- scenes ----


def spoken(clean: np.ndarray) -> np.ndarray:
    """Whether each hop of clean speech is speech: within 35 dB of its loudest; stops are speech.

    A gap of up to 100 ms between two sounds belongs to the word it is in.
    """
    power = np.mean(frames(clean) ** 2, axis=1)
    loud = power > power.max() * 10**-3.5
    found = np.flatnonzero(loud)
    for before, after in pairwise(found):
        if after - before <= 100 * RATE // 1000 // HOP:
            loud[before:after] = True
    return loud


def scene(
    rng: Rng, utterances: Sequence[np.ndarray], noise: np.ndarray | None, name: str, snr: float
) -> Scene:
    """The utterances with pauses of 0.3 to 1.5 s, as loud as it comes, in a noise (None: silence).

    The ratio is that of the power while somebody speaks to the mean power of the noise.
    Without utterances it is the noise alone, as long as it is.
    """
    parts: list[np.ndarray] = []
    for utterance in utterances:
        parts += [np.zeros(int(rng.uniform(0.3, 1.5) * RATE)), utterance]
    clean = np.concatenate([*parts, np.zeros(RATE)]) if parts else np.zeros(len(noise))
    clean = clean[: len(clean) // HOP * HOP]
    level = 10 ** (rng.uniform(-38, -16) / 20)
    speech = spoken(clean * 32767) if parts else np.zeros(len(clean) // HOP, bool)
    if parts:
        clean = clean * level / np.sqrt(np.mean(clean.reshape(-1, HOP)[speech] ** 2))
    sound = clean
    if noise is not None:
        noise = np.resize(noise, len(clean))
        sound = clean + noise * level / np.sqrt(np.mean(noise**2)) * 10 ** (-snr / 20)
    pcm = np.clip(np.round(sound * 32768), -32768, 32767).astype(np.int16)
    return Scene(pcm, speech, name, snr)


def delayed(speech: np.ndarray) -> np.ndarray:
    """What to say at each hop: whether the sound LOOK_AHEAD hops before was speech."""
    return np.concatenate([np.zeros(LOOK_AHEAD, bool), speech])[: len(speech)]


# ---- the test: other voices, other noises, other ratios ----


def compress(sound: np.ndarray) -> np.ndarray:
    """Samples from -1 to 1 as 8 bits of the mu law of telephones."""
    curve = np.sign(sound) * np.log1p(255 * np.abs(sound)) / np.log(256)
    return np.round(curve * 127).astype(np.int8)


def expand(codes: np.ndarray) -> np.ndarray:
    """The samples of compress."""
    curve = codes / 127
    return np.sign(curve) * (256 ** np.abs(curve) - 1) / 255


def scenes_of_test(path: Path, seed: int = 2024) -> list[Scene]:
    """The scenes of the test, from the utterances in speech.npz; other seeds give other tests."""
    with np.load(path) as file:
        talkers = [expand(file[name]) for name in file.files]
    rng = np.random.default_rng(seed)
    made = []
    for snr in TEST_SNR:
        for name in (*TEST_NOISES, "babble"):
            chosen = rng.permutation(len(talkers))
            talking, others = chosen[:3], [talkers[i] for i in chosen[3:]]
            n = 16 * RATE
            noise = babble(rng, n, others, 8) if name == "babble" else TEST_NOISES[name](rng, n)
            made.append(scene(rng, [talkers[i] for i in talking], noise, name, snr))
    made.append(scene(rng, talkers[:3], None, "silence", np.inf))
    return made


def stretches(speech: np.ndarray) -> list[tuple[float, float]]:
    """Start and end of each stretch of hops that are speech, in seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], speech, [False]]).astype(int)))
    return [tuple(pair * HOP / RATE) for pair in edges.reshape(-1, 2)]


def main() -> None:
    """Write three talkers beside an engine."""
    made = scenes_of_test(Path(__file__).with_name("speech.npz"))
    one = next(s for s in made if s.noise == "engine" and s.snr == 7.5)
    with wave.open(sys.argv[1], "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(one.pcm.astype("<i2").tobytes())
    for start, end in stretches(one.speech):
        print(f"{start:.2f} {end:.2f}")


if __name__ == "__main__":
    main()
