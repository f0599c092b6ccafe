"""Make drive.keras, a causal network with one sample in and one out; needs Keras 3."""

import keras
import numpy as np

layers = [keras.Input((None, 1), name="sample")]
for dilation in (1, 2, 4, 8):
    layers.append(
        keras.layers.Conv1D(8, 3, dilation_rate=dilation, padding="causal", activation="tanh")
    )
model = keras.Sequential([*layers, keras.layers.GRU(8, return_sequences=True), keras.layers.Dense(1)])
draw = np.random.default_rng(7)
model.set_weights([draw.normal(0, 0.4, w.shape).astype(np.float32) for w in model.get_weights()])
model.save("drive.keras")
