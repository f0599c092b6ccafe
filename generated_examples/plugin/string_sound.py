"""A plucked string, simulated, and files of sound."""

import struct

import numpy as np

RATE = 48000


def pluck(hertz, seconds, seed):
    """Noise in a delay line of one period, softened at each turn (Karplus and Strong)."""
    period = round(RATE / hertz)
    line = np.random.default_rng(seed).uniform(-1, 1, period)
    for _ in range(2):  # a soft pick
        line = np.mean([np.roll(line, k) for k in range(period // 16)], axis=0)
    line -= line.mean()
    rows = []
    for _ in range(int(seconds * RATE) // period + 1):
        rows.append(line)
        line = 0.96 * (0.5 * line + 0.5 * np.roll(line, 1))
    sound = np.concatenate(rows)[: int(seconds * RATE)]
    return 0.5 * sound / np.abs(sound).max()


def write(path, sound):
    """A WAV file of one channel of 32-bit floats."""
    data = np.asarray(sound, "<f4").tobytes()
    about = struct.pack("<HHIIHH", 3, 1, RATE, 4 * RATE, 4, 32)
    chunks = b"".join(
        name + struct.pack("<I", len(part)) + part
        for name, part in ((b"fmt ", about), (b"data", data))
    )
    with open(path, "wb") as file:
        file.write(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)


def read(path):
    """What `write` or a host wrote."""
    with open(path, "rb") as file:
        data = file.read()
    at = 12
    while data[at : at + 4] != b"data":
        at += 8 + struct.unpack_from("<I", data, at + 4)[0]
    size = struct.unpack_from("<I", data, at + 4)[0]
    return np.frombuffer(data, "<f4", size // 4, at + 8)
