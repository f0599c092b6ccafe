"""Train an LSTM to do what the circuit in tube.c does to the sound of a guitar.

    python train.py [--out DIR] [--recorded INTO.wav OUT_OF.wav]

writes amp.json, the model in the format of AIDA-X, and curve.json, to compare it with: a filter, a
static curve and a filter, fitted to the same sounds. It takes three minutes. With --recorded it
learns from two recordings at 44.1 kHz, of what went into an amplifier and of what came out.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import sounds
import torch
from scipy.io import wavfile
from torch import nn

HERE = Path(__file__).parent
RATE = 44_100
UNITS = 20
ROWS, SECONDS = 48, 1.5  # of sound to learn from
BATCH, CHUNK, EPOCHS = 16, 1024, 60
SILENCE = 1024  # samples before each row, for the states to settle; not learned from
WANTED = 0.003  # ESR of the test phrase


def lesson(draw):
    """One row: some notes and chords of random pitch, loudness, place and brightness."""
    row, at = np.zeros(round(SECONDS * RATE)), 0.0
    loud = draw.uniform(0.4, 0.9)
    while at < SECONDS - 0.1:
        strings = draw.choice([1, 1, 2, 3, 5])
        lowest = draw.uniform(0, 36 if strings == 1 else 20)
        steps = draw.choice([3, 4, 5, 7, 12], strings - 1)
        string = {
            "pick": draw.uniform(0.06, 0.3),
            "pickup": draw.uniform(0.1, 0.3),
            "bright": draw.uniform(0.5, 2),
            "ring": draw.uniform(0.15, 1.2),
            "strum": draw.uniform(0, 0.03),
        }
        notes = [lowest, *(lowest + np.cumsum(steps))]
        level = loud * 10 ** draw.uniform(-1.3, 0.05)
        row += level * sounds.chord(notes, SECONDS, RATE, at, **string)
        at += draw.uniform(0.1, 0.9)
    return row


def sweep(loud):
    """A row that glides from 20 Hz to 14 kHz."""
    t = np.arange(round(SECONDS * RATE)) / RATE
    rise = np.log(14_000 / 20) / SECONDS
    return loud * np.sin(2 * np.pi * 20 * (np.exp(rise * t) - 1) / rise)


def simulated(tube):
    """Inputs and outputs to learn from, (rows, samples) each, and those of the test."""
    draw = np.random.default_rng(1)
    given = np.array([sweep(0.1), sweep(0.6), *(lesson(draw) for _ in range(ROWS - 2))])
    given = np.pad(given, ((0, 0), (SILENCE, 0)))
    made = np.array([sounds.through(tube, row, RATE) for row in given])
    test = np.pad(sounds.phrase(RATE), (SILENCE, 0))
    return given, made, test, sounds.through(tube, test, RATE)


def recorded(paths):
    """The same of two recordings; the last four seconds are the test."""
    given, made = (wavfile.read(path) for path in paths)
    if given[0] != RATE or made[0] != RATE or given[1].shape != made[1].shape or given[1].ndim > 1:
        sys.exit(f"the recordings must have one channel, {RATE} Hz and the same length")
    x, y = (
        sound / (1 if sound.dtype.kind == "f" else -float(np.iinfo(sound.dtype).min))
        for _, sound in (given, made)
    )
    cut, row = len(x) - SILENCE - 4 * RATE, round(SECONDS * RATE)
    rows = [slice(at, at + SILENCE + row) for at in range(0, cut - row + 1, row)]
    if len(rows) < BATCH:
        sys.exit(f"the recordings must be longer than {BATCH * SECONDS + 4} s")
    x_rows, y_rows = (np.array([sound[part] for part in rows]) for sound in (x, y))
    return x_rows, y_rows, x[cut:], y[cut:]


class Amplifier(nn.Module):
    """An LSTM and a linear layer."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, UNITS, batch_first=True)
        self.dense = nn.Linear(UNITS, 1)

    def forward(self, x, state=None):
        """The outputs for samples (rows, steps), and the state behind them."""
        h, state = self.lstm(x[..., None], state)
        return self.dense(h)[..., 0], state


class Curve(nn.Module):
    """A filter of 64 taps, a static curve of 65 knots from -2 to 2, and another such filter."""

    def __init__(self):
        super().__init__()
        pulse = torch.zeros(64)
        pulse[-1] = 1  # the newest sample comes last
        self.before, self.after = nn.Parameter(pulse), nn.Parameter(pulse.clone())
        self.curve = nn.Parameter(torch.tanh(torch.linspace(-2, 2, 65)))

    def forward(self, x, state=None):
        """The same as Amplifier's; the state is what the filters still need of the past."""
        x = torch.cat([x.new_zeros(len(x), 126) if state is None else state[0], x], dim=1)
        place = (self._filter(x, self.before).clamp(-1.999, 1.999) + 2) * 16
        left = place.detach().long()
        part = place - left
        bent = self.curve[left] * (1 - part) + self.curve[left + 1] * part
        return self._filter(bent, self.after), (x[:, -126:],)

    @staticmethod
    def _filter(x, taps):
        return nn.functional.conv1d(x[:, None], taps[None, None])[:, 0]


def loss_of(given, wanted):
    """ESR and that of the emphasised signal, over the mean energy of all lessons."""

    def emphasised(x):
        return x[:, 1:] - 0.95 * x[:, :-1]

    energy, bright = wanted.square().mean(), emphasised(wanted).square().mean()

    def loss(y, target):
        error = y - target
        return error.square().mean() / energy + emphasised(error).square().mean() / bright

    return loss


def fit(model, given, made, epochs, rate):
    """Truncated backpropagation through time: a step for each chunk, the state goes on."""
    torch.manual_seed(0)
    loss_between = loss_of(given, made)
    chunks = range(0, given.shape[1] - CHUNK + 1, CHUNK)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    total = epochs * len(chunks) * -(-len(given) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total, pct_start=0.1)
    for epoch in range(epochs):
        losses = []
        for rows in torch.randperm(len(given)).split(BATCH):
            state = None
            for at in chunks:
                x, target = given[rows, at : at + CHUNK], made[rows, at : at + CHUNK]
                y, state = model(x, state)
                state = tuple(part.detach() for part in state)
                if at < SILENCE:
                    continue
                loss = loss_between(y, target)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}", flush=True)


def numbers(tensor):
    """A tensor as lists of numbers, with the digits that a float32 has."""
    if tensor.dim() > 1:
        return [numbers(row) for row in tensor]
    return [float(f"{value:.9g}") for value in tensor.tolist()]


def aida_x(model):
    """The model as AIDA-X and RTNeural read it."""
    lstm, dense = model.lstm, model.dense
    weights = [lstm.weight_ih_l0.T, lstm.weight_hh_l0.T, lstm.bias_ih_l0 + lstm.bias_hh_l0]
    return {
        "in_shape": [None, None, 1],
        "in_skip": 0,
        "samplerate": RATE,
        "layers": [
            {
                "type": "lstm",
                "activation": "tanh",
                "shape": [None, None, UNITS],
                "weights": [numbers(part) for part in weights],
            },
            {
                "type": "dense",
                "activation": "",
                "shape": [None, None, 1],
                "weights": [numbers(dense.weight.T), numbers(dense.bias)],
            },
        ],
    }


def tested(model, given, made):
    """ESR of the test."""
    with torch.no_grad():
        found = model(torch.tensor(given, dtype=torch.float32)[None])[0][0].numpy()
    return sounds.esr(found[SILENCE:], made[SILENCE:])


def main():
    """Train, test and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--recorded", nargs=2, metavar=("INTO.wav", "OUT_OF.wav"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.recorded:
        *lessons, test, wanted = recorded(options.recorded)
    else:
        subprocess.run(["make", "-s", "-C", HERE, "build/tube"], check=True)
        *lessons, test, wanted = simulated(HERE / "build" / "tube")
    given, made = (torch.tensor(part, dtype=torch.float32) for part in lessons)

    torch.manual_seed(0)
    curve, amplifier = Curve(), Amplifier()
    fit(curve, given, made, 20, 1e-2)
    fit(amplifier, given, made, EPOCHS, 1e-2)
    error = tested(amplifier, test, wanted)
    print(f"ESR of the test: {error:.5f}; of the curve: {tested(curve, test, wanted):.4f}")

    parameters = {name: numbers(part.detach()) for name, part in curve.named_parameters()}
    for name, content in (("amp.json", aida_x(amplifier)), ("curve.json", parameters)):
        (options.out / name).write_text(json.dumps(content) + "\n", encoding="utf-8")
    if error > WANTED and not options.recorded:
        sys.exit(f"more than {WANTED}, which README.md says")


if __name__ == "__main__":
    main()
