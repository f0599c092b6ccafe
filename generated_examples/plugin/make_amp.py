"""Make amp.json, a small LSTM that overdrives a guitar; needs NumPy alone.

The amplifier is simulated: two stages that clip asymmetrically, each with a one-pole low pass after
it. The gates of the LSTM are random. Its linear layer is fitted, by least squares, to the output of
the amplifier for plucked strings. The file has the format of AIDA-X.
"""

import json

import numpy as np
from string_sound import RATE, pluck

UNITS = 16
draw = np.random.default_rng(17)


def low_pass(x, hertz):
    """One pole: y += (x - y) part."""
    part, y, last = 1 - np.exp(-2 * np.pi * hertz / RATE), np.empty_like(x), 0.0
    for n, value in enumerate(x):
        last += (value - last) * part
        y[n] = last
    return y


def amplifier(x):
    """Two stages, the second of which bends the other half."""
    first = low_pass(np.tanh(4 * x + 0.4) - np.tanh(0.4), 7000)
    return 0.8 * low_pass(np.tanh(1.5 * first - 0.2) + np.tanh(0.2), 5000)


def lstm(x, kernel, recurrent, bias):
    """The outputs h of every step, from zeros on."""
    h, c, rows = np.zeros(UNITS), np.zeros(UNITS), np.empty((len(x), UNITS))
    for n, value in enumerate(x):
        i, f, g, o = np.split(value * kernel + h @ recurrent + bias, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        rows[n] = h = np.tanh(c) / (1 + np.exp(-o))
    return rows


kernel = draw.normal(0, 1.5, 4 * UNITS)
recurrent = draw.normal(0, 0.25, (UNITS, 4 * UNITS))
bias = draw.normal(0, 0.5, 4 * UNITS)
bias[UNITS : 2 * UNITS] -= 1.5  # forgets within a few samples
kernel, recurrent, bias = (np.round(part, 4) for part in (kernel, recurrent, bias))

sounds = [
    loud * pluck(hertz, 0.4, 1 + n)
    for n, (hertz, loud) in enumerate(
        (hertz, loud) for hertz in (82, 147, 247, 392) for loud in (0.3, 1.0)
    )
]
wanted = np.concatenate([amplifier(x) for x in sounds])
states = np.concatenate([lstm(x, kernel, recurrent, bias) for x in sounds])
rows = np.column_stack([states, np.ones(len(states))])
# A small penalty keeps the weights small: they are rounded, and a float32 program sums them.
penalty = 1e-3 * len(rows) * np.diag(np.var(rows, axis=0))
head = np.round(np.linalg.solve(rows.T @ rows + 1e-3 * penalty, rows.T @ wanted), 4)
error = rows @ head - wanted
print(f"error {np.sum(error**2) / np.sum(wanted**2):.4f} of the signal's energy")

model = {
    "in_shape": [None, None, 1],
    "in_skip": 0,
    "samplerate": RATE,
    "layers": [
        {
            "type": "lstm",
            "activation": "tanh",
            "shape": [None, None, UNITS],
            "weights": [[kernel.tolist()], recurrent.tolist(), bias.tolist()],
        },
        {
            "type": "dense",
            "activation": "",
            "shape": [None, None, 1],
            "weights": [[[v] for v in head[:-1].tolist()], [head[-1]]],
        },
    ],
}
with open("amp.json", "w") as file:
    json.dump(model, file)
    file.write("\n")
