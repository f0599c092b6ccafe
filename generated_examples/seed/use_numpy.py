"""Feed the model one sample of four signals at a time, then a whole recording at once."""

import numpy as np
from seed_numpy import Model

t = np.arange(120)
x = 0.5 * np.sin(0.15 * t[:, None] + np.arange(4))
late = t[40:80] - 40
x[40:80, 1] += 0.6 * np.sin(0.3 * late + 0.02 * late**2)  # a chirp on the second channel

model = Model()
for n, sample in enumerate(x, 1):
    y = model.step(sample)
    if n % 10 == 0:
        print("%3d  chirp %.4f" % (n, y[1]))

model.reset()
assert np.allclose(model.predict(x)[-1], y, atol=1e-5)
