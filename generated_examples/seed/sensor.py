"""Listen to a sensor, one sample of four channels at a time, on a MicroPython board or any Python.

Put seed_plain.py beside this file; on a board, compile it first with mpy-cross (seed_plain.mpy).
The sensor is simulated: each channel hums in noise, and a chirp rises on the second one from sample
60 to 100 and from 170 to 210.
"""

import math

from seed_plain import Model


class Sensor:
    """Stands for a converter with four channels; `read` gives the next sample."""

    def __init__(self):
        self.time = 0
        self.hum = 0.0
        self.chirp = 0.0
        self.random = 1

    def noise(self):
        """About normal, deviation 0.2: the sum of four even ones; no library needed."""
        total = 0.0
        for _ in range(4):
            self.random = (self.random * 16807) % 2147483647
            total = total + self.random / 2147483647 - 0.5
        return 0.35 * total

    def read(self):
        """The next sample: four numbers."""
        t = self.time % 110
        self.time = self.time + 1
        self.hum = self.hum + 2 * math.pi * 0.02
        sample = [0.5 * math.sin(self.hum * (0.7 + 0.2 * c) + c) + self.noise() for c in range(4)]
        if 60 <= t < 100:
            self.chirp = self.chirp + 2 * math.pi * (0.05 + 0.25 * (t - 60) / 40)
            sample[1] = sample[1] + 0.6 * math.sin(self.chirp)
        return sample


def listen(steps):
    """Print when the model begins and ceases to hear a chirp; gives back all these samples."""
    sensor = Sensor()
    model = Model()
    heard = False
    changes = []
    for t in range(steps):
        quiet, chirp = model.step(sensor.read())
        if (chirp > quiet) != heard:
            heard = not heard
            changes.append(t)
            print("sample %d: %s (%.2f)" % (t, "chirp" if heard else "quiet", chirp))
    return changes


if __name__ == "__main__":
    listen(220)
