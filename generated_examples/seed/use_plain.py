"""Feed the model one sample of four signals at a time; runs on CPython, PyPy and MicroPython."""

from math import sin

from seed_plain import Model

model = Model()
for t in range(120):
    x = [0.5 * sin(0.15 * t + channel) for channel in range(4)]
    if 40 <= t < 80:  # a chirp on the second channel
        x[1] = x[1] + 0.6 * sin(0.3 * (t - 40) + 0.02 * (t - 40) * (t - 40))
    y = model.step(x)
    if t % 10 == 9:
        print("%3d  chirp %.4f" % (t + 1, y[1]))
