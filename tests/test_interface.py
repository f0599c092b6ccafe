"""What the public interface promises, held to every target with models of live Keras."""

from __future__ import annotations

from pathlib import Path

import keras
import keras.layers as kl
import numpy as np
import pytest

from codegen.lowered import Reference
from tests.layers.oracle import lowered, randomised
from tests.support.targets import TARGETS, flat, module, rendered, selftest, started


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


def hops() -> dict[str, keras.Model]:
    """Models whose step takes two rows, by what comes of a row that is left over."""
    x = keras.Input((None, 3))
    strided = kl.Conv1D(4, 3, strides=2, padding="causal")
    return {
        "recurrent": keras.Sequential([x, strided, kl.GRU(3, return_sequences=True)]),
        "running mean": keras.Sequential([x, strided, kl.GlobalAveragePooling1D()]),
        "last row": keras.Model(x, kl.Dense(2)(strided(x)[:, -1])),
        "stateful behind the stride": keras.Sequential(
            [keras.Input(batch_shape=(1, None, 3)), strided, kl.GRU(3, stateful=True)]
        ),
        "stateful before the stride": keras.Sequential(
            [
                keras.Input(batch_shape=(1, None, 3)),
                kl.GRU(3, stateful=True, return_sequences=True),
                kl.Conv1D(2, 2, strides=2),
            ]
        ),
        "short mean": keras.Sequential([x, kl.AveragePooling1D(2, padding="same"), kl.GRU(2)]),
        "short maximum": keras.Sequential([x, kl.MaxPooling1D(2, padding="same"), kl.Dense(2)]),
    }


# In C the zeros that fill up the hop would show.
REFUSED_IN_C = ("stateful before the stride", "short mean", "short maximum")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", hops())
def test_predict_may_end_inside_a_hop(name: str, target: str, tmp_path: Path) -> None:
    model = randomised(hops()[name])
    low = lowered(model)
    assert low.hop == 2
    file, reference = started(target, low, tmp_path), Reference(low)
    x = -np.abs(np.random.default_rng(2).normal(size=(9, 3)))  # zeros would be its maxima
    if target == "c" and name in REFUSED_IN_C:
        file.predict(x[:4])
        before = file.get_state()
        with pytest.raises(ValueError, match="not accepted"):
            file.predict(x[:5])
        np.testing.assert_array_equal(flat(file.get_state()), flat(before))
        return
    for steps in (4, 5, 3):
        (y,) = file.predict(x[:steps])
        np.testing.assert_allclose(y, np.asarray(model(x[None, :steps]))[0], rtol=1e-4, atol=1e-5)
        reference.predict(x[None, :steps])
        if target != "c":
            (y,), (wanted,) = file.step(x[7:9]), reference.step(x[None, 7:9])
            np.testing.assert_allclose(y, wanted[0], rtol=1e-4, atol=1e-5)
            states = file.get_state()[:-1] if low.warmup else file.get_state()
            for state, right in zip(states, reference.get_state(), strict=True):
                np.testing.assert_allclose(np.ravel(state), np.ravel(right), rtol=1e-4, atol=1e-5)
            for layer in model.layers:
                if getattr(layer, "stateful", False):
                    layer.reset_state()
            file.reset()
            reference.reset()


@pytest.mark.parametrize("target", ["numpy", "python", "javascript"])
@pytest.mark.parametrize("index", [5, -1, 1.5, 2**40, float("nan"), float("inf")])
def test_what_no_table_holds_is_refused_before_anything(
    index: float, target: str, tmp_path: Path
) -> None:
    layers = [keras.Input((None,)), kl.Embedding(5, 3), kl.GRU(3, return_sequences=True)]
    model = randomised(keras.Sequential(layers))
    file = started(target, lowered(model), tmp_path)
    file.step(np.array(4))
    before = file.get_state()
    for call, given in ((file.step, index), (file.predict, [1, index])):
        with pytest.raises(ValueError, match="whole numbers from 0 to 4, found"):
            call(np.array(given))
        np.testing.assert_array_equal(flat(file.get_state()), flat(before))


@pytest.mark.parametrize("target", ["numpy", "python"])
def test_a_plain_int_is_an_index(target: str) -> None:
    model = randomised(keras.Sequential([keras.Input(()), kl.Embedding(5, 3), kl.Dense(2)]))
    file = module(rendered(lowered(model), target)).Model()
    expected = model.predict(np.array([3]), verbose=0)[0]
    np.testing.assert_allclose(file.predict(3), expected, 1e-6, 1e-6)


def test_numbers_that_stand_16_bytes_apart_are_negated(tmp_path: Path) -> None:
    """softplus(x) takes -|x|; np.negative of NumPy 2.4 is wrong at every fourth float32."""
    cell = kl.ConvLSTM1D(1, 2, activation="softplus", return_sequences=True)
    model = randomised(keras.Sequential([keras.Input((4, 6, 2)), cell]))
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 2)).astype(np.float32)
    (y,) = started("numpy", lowered(model), tmp_path).predict(x[0])
    np.testing.assert_allclose(y, model.predict(x, verbose=0)[0], 1e-5, 1e-5)
