"""What the public interface promises, held to every target with models of live Keras."""

from __future__ import annotations

from pathlib import Path

import keras
import keras.layers as kl
import numpy as np
import pytest

from tests.layers.oracle import lowered, randomised
from tests.support.targets import TARGETS, selftest, started


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # Keras' own 0 / 0
@pytest.mark.parametrize("target", TARGETS)
def test_the_mean_of_no_step_is_nan_as_in_keras(target: str, tmp_path: Path) -> None:
    model = randomised(
        keras.Sequential(
            [
                keras.Input((None,)),
                kl.Embedding(5, 3, mask_zero=True),
                kl.GlobalAveragePooling1D(),
                kl.Dense(2, activation="relu"),
            ]
        )
    )
    file = started(target, lowered(model), tmp_path)
    for x in (np.zeros((1, 3)), np.array([[0, 4, 2]])):
        file.reset()
        (y,) = file.predict(x[0].astype(np.int32))
        np.testing.assert_allclose(y, np.asarray(model(x))[0], rtol=1e-5, atol=1e-6)
    assert selftest(file)
