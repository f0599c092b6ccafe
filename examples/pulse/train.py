"""Train the network that hears heart beats: pulse.pt, and the data that the example is tested with.

    python train.py [--out DIR]

Every pass sees 64 new simulated persons (simulate.py) for a minute each. A minute is cut into
pieces of two seconds: the state goes on from piece to piece, the gradient ends with its piece
(truncated backpropagation through time). Test persons come from a seed of their own.

Takes two minutes on one core of a desktop processor. Ends with status 1 where fewer beats of the
test persons are found than README.md says.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from detect import DELAY, RATE, normalised, score
from simulate import person

EPOCHS, PERSONS, SECONDS, PIECE = 100, 64, 60, 2 * RATE
TESTED = 24  # persons; every second one moves
KEPT = [2, 3]  # of these test.npz keeps what PyTorch computes
LEAST = {"still": 0.98, "moving": 0.84}  # F1 of the beats found


class PulseNet(torch.nn.Module):
    """A sample and the state go in, and the logit of a beat and the next state come out."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = torch.nn.GRU(1, 16, batch_first=True)
        self.out = torch.nn.Linear(16, 1)

    def forward(
        self, x: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits, and the state after the last sample."""
        y, state = self.gru(x, state)
        return self.out(y), state


def persons(rng: np.random.Generator, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Simulated persons, every second one with motion."""
    return [person(rng, SECONDS, motion=k % 2 == 1) for k in range(count)]


def target(beats: np.ndarray) -> np.ndarray:
    """1 at three samples after each beat, late enough that the network has seen its top."""
    y = np.zeros(SECONDS * RATE, np.float32)
    at = np.rint(beats).astype(int)[:, None] + DELAY + np.arange(3)
    y[at[(at >= 0) & (at < len(y))]] = 1
    return y


def train(net: PulseNet, rng: np.random.Generator) -> None:
    """Train in place."""
    steps = EPOCHS * (SECONDS * RATE // PIECE)
    optimizer = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.012, total_steps=steps)
    cross_entropy = torch.nn.BCEWithLogitsLoss()
    for epoch in range(EPOCHS):
        group = persons(rng, PERSONS)
        x = torch.tensor(np.stack([normalised(counts) for counts, _ in group]))[..., None]
        y = torch.tensor(np.stack([target(beats) for _, beats in group]))[..., None]
        state, total = None, 0.0
        for piece, wanted in zip(x.split(PIECE, 1), y.split(PIECE, 1), strict=True):
            logits, state = net(piece, state)
            state = state.detach()  # the numbers stay, the gradient ends here
            loss = cross_entropy(logits, wanted)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {total / (SECONDS * RATE // PIECE):.4f}", flush=True)


def stepped(net: PulseNet, x: np.ndarray) -> np.ndarray:
    """The probability of a beat at each sample, one call a sample, as the board computes it."""
    state, found = None, []
    with torch.no_grad():
        for value in torch.tensor(x):
            logit, state = net(value.reshape(1, 1, 1), state)
            found.append(torch.sigmoid(logit).item())
    return np.array(found, np.float32)


def main() -> None:
    """Train, write, and judge what the network finds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out = parser.parse_args().out
    torch.manual_seed(1)
    torch.set_num_threads(1)
    net = PulseNet()
    rng = np.random.default_rng(1)
    train(net, rng)
    net.eval()
    torch.save(net.state_dict(), out / "pulse.pt")

    # an input of training, for the ranges of integers
    calibration = normalised(person(rng, SECONDS, motion=True)[0])
    np.savez_compressed(out / "calibration.npz", x=calibration[:, None])

    tested = persons(np.random.default_rng(2), TESTED)
    probabilities = [stepped(net, normalised(counts)) for counts, _ in tested]
    np.savez_compressed(
        out / "test.npz",
        counts=np.stack([counts for counts, _ in tested]),
        beats=np.concatenate([beats for _, beats in tested]).astype(np.float32),
        beats_of=np.array([len(beats) for _, beats in tested]),
        kept=np.array(KEPT),
        probability=np.stack([probabilities[k] for k in KEPT]),
    )
    weak = []
    for k, (group, least) in enumerate(LEAST.items()):
        result = score(probabilities[k::2], [beats for _, beats in tested[k::2]])
        print(f"{group}: {result}")
        weak += [group] if result.f1 < least else []
    if weak:
        sys.exit(f"worse than README.md says: {', '.join(weak)}")


if __name__ == "__main__":
    main()
