"""Train the seed model: a streaming detector that hears a chirp in four noisy signals.

Run it with Keras 2.1.5 (Python 3.6, TensorFlow 1.7), from the root of the repository:

    FIXTURE_SCRIPT=generated_examples/seed/train.py tests/fixtures/make/build.sh keras215

It takes a few minutes on one core and writes, beside this file,

    seed.h5        the model as that Keras saves it, without an optimizer
    recorded.npz   x (1000, 4): a stream the model has never seen; y (1000, 2): what `predict` gave,
                   one step at a time from reset states, each step starting from the state before

The task. Four sensors hum: each channel is a sine of its own, slowly drifting frequency in noise.
Now and then a chirp, a burst whose pitch rises from slow to fast, appears on one channel, no louder
than the hum. At every step the model says whether a chirp is going on: class 0 no, class 1 yes. One
sample tells nothing, so it has to remember.

The model keeps its state between calls, one step of one stream a call. Training so would take days;
a twin with the same layers sees whole sequences in batches instead, and hands over its weights.
"""

import os

import keras
import numpy as np
import tensorflow as tf
from keras import backend as K
from keras.layers import GRU, Dense
from keras.models import Sequential
from keras.optimizers import Adam

HERE = os.path.dirname(os.path.abspath(__file__))
CHANNELS, UNITS = 4, 64


def stream(rng, steps):
    """Return signals (steps, 4) and labels (steps,), 1 while a chirp is on."""
    time = np.arange(steps)
    signals = np.empty((steps, CHANNELS))
    for channel in range(CHANNELS):
        drift = 1 + 0.1 * np.sin(2 * np.pi * time / rng.uniform(200, 400) + rng.uniform(0, 6))
        phase = np.cumsum(2 * np.pi * rng.uniform(0.01, 0.04) * drift)
        signals[:, channel] = 0.5 * np.sin(phase + rng.uniform(0, 6))
    signals += rng.normal(0, 0.2, signals.shape)
    labels = np.zeros(steps, dtype=int)
    start = rng.randint(0, 60)
    while start < steps:
        length = min(rng.randint(25, 50), steps - start)
        pitch = np.linspace(0.05, 0.3, length)
        burst = 0.6 * np.sin(2 * np.pi * np.cumsum(pitch) + rng.uniform(0, 6))
        signals[start : start + length, rng.randint(CHANNELS)] += burst
        labels[start : start + length] = 1
        start += length + rng.randint(20, 100)
    return signals.astype("float32"), labels


def batch(rng, count, steps):
    """Return `count` streams as arrays (count, steps, 4) and one-hot (count, steps, 2)."""
    pairs = [stream(rng, steps) for _ in range(count)]
    return np.stack([x for x, _ in pairs]), np.eye(2)[np.stack([y for _, y in pairs])]


def build(shape, stateful):
    """Return the detector for `batch_input_shape=shape`."""
    return Sequential(
        [
            GRU(
                UNITS,
                batch_input_shape=shape,
                stateful=stateful,
                return_sequences=True,
                name="input_node_name",
            ),
            GRU(UNITS, stateful=stateful, return_sequences=True, name="gru_layer_1"),
            GRU(UNITS, stateful=stateful, return_sequences=True, name="gru_layer_2"),
            Dense(2, activation="softmax"),
        ]
    )


def main():
    """Train the twin, hand its weights to the model, test and record."""
    np.random.seed(1)
    tf.set_random_seed(1)
    rng = np.random.RandomState(2)
    twin = build((None, None, CHANNELS), stateful=False)
    twin.compile(Adam(lr=2e-3, clipnorm=1.0), "categorical_crossentropy", metrics=["accuracy"])
    for epoch in range(48):
        if epoch == 36:
            K.set_value(twin.optimizer.lr, 5e-4)
        x, y = batch(rng, 384, 150)
        history = twin.fit(x, y, batch_size=32, verbose=0).history
        progress = epoch + 1, history["loss"][0], history["acc"][0]
        print("epoch %2d: loss %.3f, accuracy %.3f" % progress)
    weights = twin.get_weights()

    K.clear_session()
    model = build((1, 1, CHANNELS), stateful=True)
    model.set_weights(weights)
    x, labels = stream(np.random.RandomState(3), 1000)
    model.reset_states()
    y = np.stack([model.predict(step[None, None], batch_size=1)[0, 0] for step in x])
    correct = np.mean(y.argmax(axis=1) == labels)
    chance = max(np.mean(labels), 1 - np.mean(labels))
    print("Keras %s" % keras.__version__)
    print(
        "new stream, step by step: accuracy %.3f (always the same class: %.3f)" % (correct, chance)
    )
    heard, false = [y[labels == label, 1].round().mean() for label in (1, 0)]
    print("steps of chirps heard %.3f, false alarms %.3f" % (heard, false))

    model.save(os.path.join(HERE, "seed.h5"), include_optimizer=False)
    np.savez_compressed(os.path.join(HERE, "recorded.npz"), x=x, y=y)


if __name__ == "__main__":
    main()
