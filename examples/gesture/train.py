"""Train the network that tells from the motion of a wrist what its wearer does.

python train.py [--out DIR]

Writes activity.keras and calibration.npz, and prints how often the network is right: in five folds
over all recordings, then on test.csv. Your own recordings go into train.csv and test.csv.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from motion import ACTIVITIES, LENGTH, SETTLED, prepare, read, worn

HERE = Path(__file__).parent
UNITS, STREAMS, STEPS, EPOCHS, BATCH = 24, 4000, 150, 20, 50
FOLDS = 5
REQUIRED = 0.95  # of the recordings, and of the readings


def streams(rng, x, activity, count):
    """Streams (count, STEPS, 6) as boards would send them, and the activity at each step.

    They are made of pieces of recordings, 2 to 10 s each.
    """
    mixed, wanted = np.empty((count, STEPS, 6)), np.empty((count, STEPS), int)
    for i in range(count):
        t = 0
        while t < STEPS:
            k, size = rng.integers(len(x)), int(min(rng.integers(20, LENGTH + 1), STEPS - t))
            first = rng.integers(0, LENGTH + 1 - size)
            mixed[i, t : t + size] = x[k, first : first + size]
            wanted[i, t : t + size] = activity[k]
            t += size
    return prepare(worn(rng, mixed, heavy=0.5, without=0.3)), wanted


def train(x, activity, seed=1):
    """A network that answers at each reading."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((None, 6), name="motion"),
            keras.layers.GRU(UNITS, return_sequences=True, name="gru"),
            keras.layers.Dense(len(ACTIVITIES), "softmax", name="activity"),
        ]
    )
    rate = keras.optimizers.schedules.CosineDecay(0.01, EPOCHS * STREAMS // BATCH)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), "sparse_categorical_crossentropy")
    shown, wanted = streams(np.random.default_rng(seed), x, activity, STREAMS)
    model.fit(shown, wanted, epochs=EPOCHS, batch_size=BATCH, verbose=0)
    return model


def accuracy(model, x, activity):
    """Which part of the recordings is recognised, and of the answers from 2 s on is right.

    The recordings are one stream; the answer for one is that given most often from 2 s on.
    """
    answers = model.predict(prepare(x.reshape(1, -1, 6)), verbose=0).argmax(-1)
    answers = answers.reshape(-1, LENGTH)[:, SETTLED:]
    most = np.array([np.bincount(row).argmax() for row in answers])
    return (most == activity).mean(), (answers == activity[:, None]).mean()


def main():
    """Test in folds, train, test, and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE)
    out = parser.parse_args().out
    x, activity = read(HERE / "train.csv")
    test, wanted = read(HERE / "test.csv")

    every, kinds = np.concatenate([x, test]), np.concatenate([activity, wanted])
    fold = np.arange(len(every)) // len(ACTIVITIES) % FOLDS  # as many of each activity in each
    for f in range(FOLDS):
        held = fold == f
        found = accuracy(train(every[~held], kinds[~held]), every[held], kinds[held])
        print("fold {}: recordings {:.3f}, readings {:.3f}".format(f + 1, *found), flush=True)

    model = train(x, activity)
    recordings, readings = accuracy(model, test, wanted)
    print(f"test: recordings {recordings:.3f}, readings {readings:.3f}")
    model.save(out / "activity.keras")
    shown, _ = streams(np.random.default_rng(0), x, activity, 10)
    np.savez_compressed(out / "calibration.npz", motion=shown.reshape(-1, 6))
    if min(recordings, readings) < REQUIRED:
        sys.exit(f"too few: {REQUIRED:.0%} of the recordings and of the readings are wanted")


if __name__ == "__main__":
    main()
