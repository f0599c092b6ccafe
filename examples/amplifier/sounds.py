"""Sounds of a guitar, synthesised as sums of decaying modes, and programs that change sounds.

python sounds.py RATE OUT.wav writes the test phrase.
"""

import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HIGHEST = 16_000.0  # Hz: below half of either sample rate, so that both have the same sound


def pluck(hertz, seconds, rate, start=0.0, *, pick=0.13, pickup=0.21, bright=1.0, ring=1.0):
    """A string plucked `start` seconds after the beginning; it peaks at about 1.

    `pick` and `pickup` are places on the string, from 0 to 1. Mode k of a stiff string has the
    frequency k f sqrt(1 + B k^2); high modes are weaker and die sooner.
    """
    sound = np.zeros(round(seconds * rate))
    first = int(np.ceil(start * rate))
    t = np.arange(first, len(sound)) / rate - start
    for k in range(1, int(HIGHEST / hertz) + 1):
        frequency = k * hertz * np.sqrt(1 + 8e-5 * k * k)
        if frequency > HIGHEST:
            break
        level = np.sin(np.pi * k * pick) * np.sin(np.pi * k * pickup) / k
        decay = (1.2 + 2e-3 * frequency) / ring
        heard = t[: int(12 * rate / decay)]  # until it is 100 dB down
        wave = np.exp(-decay * heard) * np.sin(2 * np.pi * frequency * heard)
        sound[first : first + len(heard)] += level * np.exp(-frequency / (2500 * bright)) * wave
    return sound / 0.9


def chord(notes, seconds, rate, start=0.0, *, strum=0.012, **string):
    """Strings plucked one after the other, `strum` seconds apart.

    Notes are semitones above the low E of a guitar.
    """
    sound = np.zeros(round(seconds * rate))
    for number, note in enumerate(notes):
        hertz = 82.4069 * 2 ** (note / 12)
        sound += pluck(hertz, seconds, rate, start + number * strum, **string)
    return sound / np.sqrt(len(notes))


def phrase(rate):
    """The test, four seconds: damped power chords, a run upwards, a high note, a chord of five."""
    draw = np.random.default_rng(2024)
    played = [(0.02, (0, 7, 12), 0.9, 0.25), (0.27, (0, 7, 12), 0.7, 0.2)]
    played += [(0.52, (3, 10, 15), 0.9, 0.25), (0.77, (5, 12, 17), 1.0, 0.9)]
    for number, note in enumerate((17, 19, 22, 24, 27, 29)):
        played.append((1.25 + 0.16 * number, (note,), 0.4 + 0.08 * number, 0.5))
    played += [(2.3, (31,), 0.9, 1.2), (2.9, (5, 12, 17, 21, 24), 1.0, 1.2)]
    sound = np.zeros(4 * rate)
    for at, notes, loud, ring in played:
        string = {"pick": draw.uniform(0.08, 0.2), "bright": draw.uniform(0.7, 1.5), "ring": ring}
        sound += 0.6 * loud * chord(notes, 4, rate, at, **string)
    return sound


def esr(sound, wanted):
    """The energy of the error over that of the signal."""
    return float(np.sum((sound - wanted) ** 2) / np.sum(wanted**2))


def through(program, sound, rate):
    """What a program PROGRAM IN.wav OUT.wav makes of a sound."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.wav", Path(folder) / "made.wav"
        write(given, sound, rate)
        subprocess.run([program, given, made], check=True, stdout=subprocess.DEVNULL)
        return read(made)


def write(path, sound, rate):
    """A WAV file of floats, with one channel."""
    data = np.asarray(sound, "<f4").tobytes()
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, rate, 4 * rate, 4, 32)
    body = head + struct.pack("<4sI", b"data", len(data)) + data
    path.write_bytes(struct.pack("<4sI4s", b"RIFF", 4 + len(body), b"WAVE") + body)


def read(path):
    """The samples of such a file."""
    data = path.read_bytes()
    at = data.index(b"data")
    size = struct.unpack_from("<I", data, at + 4)[0]
    return np.frombuffer(data, "<f4", size // 4, at + 8).astype(float)


if __name__ == "__main__":
    write(Path(sys.argv[2]), phrase(int(sys.argv[1])), int(sys.argv[1]))
