"""Recordings of motion: read, as the network takes them, and as other boards would send them."""

import csv

import numpy as np

ACTIVITIES = ("Standing", "Walking", "Running", "Badminton")
AXES = ("ax", "ay", "az", "gx", "gy", "gz")
ONE = np.array([1000, 1000, 1000, 360, 360, 360])  # g and turn a second as a file counts them
RECORDINGS, LENGTH = 40, 100  # in test.csv, and readings in each, ten a second
SETTLED = 20  # readings after a change of activity, from which on answers are counted


def read(path):
    """Recordings (n, LENGTH, 6) in g and turns a second, and which activity each is."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [row["activity"] for row in rows[::LENGTH]]
    x = np.array([[float(row[axis]) for axis in AXES] for row in rows])
    return (x / ONE).reshape(-1, LENGTH, 6), np.array([ACTIVITIES.index(name) for name in names])


def write(path, x, activity):
    """The opposite of read."""
    numbers = np.rint(x * ONE).astype(int)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["recording", "activity", *AXES])
        for number, (rows, kind) in enumerate(zip(numbers, activity, strict=True)):
            writer.writerows([number, ACTIVITIES[kind], *row] for row in rows)


def prepare(x):
    """Streams (n, steps, 6) as motion.h passes them to the network.

    The slow part of the acceleration, which is mostly gravity, is taken away.
    """
    x = x.copy()
    slow = x[:, 0, :3].copy()
    for t in range(x.shape[1]):
        slow += (x[:, t, :3] - slow) / 16
        x[:, t, :3] -= slow
    return x.astype("float32")


def rotations(rng, count):
    """Random rotations (count, 3, 3), all equally likely: from unit quaternions."""
    q = rng.normal(size=(count, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.moveaxis(np.array(rows), 2, 0)


def gravity(rng, turns):
    """Gravity (n, steps, 3) in g as sensors see it that turn as `turns` (n, steps, 3) say.

    They start in random positions; each step is a rotation by Rodrigues' formula.
    """
    g = rotations(rng, len(turns))[:, 0]
    seen = np.empty_like(turns)
    for t in range(turns.shape[1]):
        seen[:, t] = g
        turn = -turns[:, t] * 2 * np.pi * 0.1  # in 0.1 s, radians
        angle = np.linalg.norm(turn, axis=1, keepdims=True) + 1e-9
        axis = turn / angle
        along = axis * (axis * g).sum(1, keepdims=True)
        g = (g - along) * np.cos(angle) + np.cross(axis, g) * np.sin(angle) + along
    return seen


def worn(rng, x, heavy=1.0, without=0.0):
    """The streams as boards would send them that are strapped on in any direction.

    heavy: the part of them that measures gravity; without: the part that has no gyroscope.
    """
    turned = rotations(rng, len(x))
    x = np.concatenate([x[..., :3] @ turned, x[..., 3:] @ turned], axis=-1)
    chosen = rng.random(len(x)) < heavy
    x[chosen, :, :3] += gravity(rng, x[chosen, :, 3:])
    x[rng.random(len(x)) < without, :, 3:] = 0
    return x
