"""Normalisation, attention and other layers around the recurrent core against live Keras."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl

from codegen import read
from codegen.errors import UnsupportedError
from codegen.lowered import Reference
from codegen.lowering import lower
from tests.layers.oracle import close, compare, lowered, randomised

Make = Callable[[], Any]

# name: (layer, shape of one step, streams?)
PLAIN: dict[str, tuple[Make, tuple[int, ...], bool]] = {
    "layer normalisation": (kl.LayerNormalization, (4,), True),
    "without scale": (lambda: kl.LayerNormalization(scale=False, epsilon=0.1), (4,), True),
    "without center": (lambda: kl.LayerNormalization(center=False), (4,), True),
    "two axes": (lambda: kl.LayerNormalization(axis=[2, 3]), (4, 3), True),
    "inner axis": (lambda: kl.LayerNormalization(axis=2), (4, 3), True),
    "rms": (kl.RMSNormalization, (4,), True),
    "rms two axes": (lambda: kl.RMSNormalization(axis=[-2, -1]), (4, 3), True),
    "unit": (kl.UnitNormalization, (4,), True),
    "unit inner axis": (lambda: kl.UnitNormalization(axis=2), (4, 3), True),
    "groups": (lambda: kl.GroupNormalization(2), (4,), False),
    "groups of one": (lambda: kl.GroupNormalization(-1), (4, 3), False),
    "one group": (lambda: kl.GroupNormalization(1), (3, 4), False),
    "groups of rows": (lambda: kl.GroupNormalization(2, axis=2), (4, 3), False),
    "given statistics": (
        lambda: kl.Normalization(mean=[1, 2, 3], variance=[2, 1, 0.5]),
        (3,),
        True,
    ),
    "inverted": (lambda: kl.Normalization(mean=1.0, variance=2.0, invert=True), (3,), True),
    "einsum": (lambda: kl.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d"), (3,), True),
    "einsum ellipsis": (
        lambda: kl.EinsumDense("...x,xy->...y", 5, bias_axes="y", activation="relu"),
        (2, 3),
        True,
    ),
    "einsum heads": (
        lambda: kl.EinsumDense("abc,cde->abde", (None, 2, 5), bias_axes="de"),
        (3,),
        True,
    ),
    "einsum joined": (lambda: kl.EinsumDense("abcd,cde->abe", (None, 5)), (2, 3), True),
    "einsum by channel": (lambda: kl.EinsumDense("abc,cd->abdc", (None, 2, 3)), (3,), True),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain(name: str) -> None:
    make, shape, streams = PLAIN[name]
    low = compare(keras.Sequential([kl.Input((None, *shape)), make()]), (1, 5))
    assert (low.step is not None) == streams, low.reason


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), (-1, -2), None])
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_adapted_normalization(axis: Any, suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    layer = kl.Normalization(axis=axis)
    layer.adapt(rng.normal(2, 3, (50, 5, 3)).astype(np.float32))
    model = keras.Sequential([kl.Input((5, 3)), layer, kl.Dense(2)])
    model.save(tmp_path / f"model.{suffix}")
    x = rng.normal(size=(2, 5, 3))
    found = Reference(lower(read(tmp_path / f"model.{suffix}")), 2).predict(x)[0]
    assert close(found, np.asarray(model(x)))


ATTENTION: dict[str, Make] = {
    "dot": kl.Attention,
    "scaled": lambda: kl.Attention(use_scale=True),
    "concat": lambda: kl.Attention(score_mode="concat"),
    "concat scaled": lambda: kl.Attention(score_mode="concat", use_scale=True),
    "additive": kl.AdditiveAttention,
    "additive plain": lambda: kl.AdditiveAttention(use_scale=False),
}


@pytest.mark.parametrize("inputs", [2, 3])
@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name: str, inputs: int) -> None:
    x, y = kl.Input((5, 3)), kl.Input((5, 3))
    parts = [x, kl.Dense(3)(y), kl.Dense(3)(y)][:inputs]
    compare(keras.Model([x, y], ATTENTION[name]()(parts)))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_to_itself(causal: bool) -> None:
    x = kl.Input((None, 3))
    y = kl.Attention()([x, x], use_causal_mask=causal)
    assert compare(keras.Model(x, y), (1, 6)).step is None


def test_masked_attention() -> None:
    x = kl.Input((6, 3))
    m = kl.Masking(0.0)(x)
    compare(keras.Model(x, kl.Attention()([m, m])))


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention", "MultiHeadAttention"])
def test_a_step_that_may_look_at_none_weighs_all_alike(name: str) -> None:
    """The first two values are masked, and a causal mask hides the others from those steps."""
    query, value = kl.Input((4, 3)), kl.Input((4, 3))
    masked = kl.Masking(0.0)(value)
    if name == "MultiHeadAttention":
        y = kl.MultiHeadAttention(2, 3)(query, masked, use_causal_mask=True)
    else:
        y = getattr(kl, name)()([query, masked], use_causal_mask=True)
    model = randomised(keras.Model([query, value], y))
    inputs = np.random.default_rng(0).normal(size=(2, 1, 4, 3)).astype(np.float32)
    inputs[1, :, :2] = 0
    (found,) = Reference(lowered(model)).predict(*inputs)
    assert close(found, np.asarray(model(list(inputs))))


HEADS: dict[str, tuple[Make, dict[str, Any]]] = {
    "plain": (lambda: kl.MultiHeadAttention(2, 3), {}),
    "no bias": (lambda: kl.MultiHeadAttention(2, 3, value_dim=4, use_bias=False), {}),
    "causal": (lambda: kl.MultiHeadAttention(2, 3), {"use_causal_mask": True}),
    "output shape": (lambda: kl.MultiHeadAttention(3, 2, output_shape=7), {}),
    "shared keys": (lambda: kl.GroupQueryAttention(2, 4, 2), {}),
    "gated": (lambda: kl.MultiHeadAttention(2, 3, use_gate=True), {}),
    "scores": (lambda: kl.MultiHeadAttention(2, 3), {"return_attention_scores": True}),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads(name: str) -> None:
    make, call = HEADS[name]
    x = kl.Input((6, 4))
    compare(keras.Model(x, make()(x, x, **call)))


def test_a_masked_query_looks_at_none() -> None:
    query, value = kl.Input((5, 3)), kl.Input((4, 3))
    y = kl.MultiHeadAttention(2, 3)(kl.Masking()(query), value)
    model = randomised(keras.Model([query, value], y))
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, 5, 3)), rng.normal(size=(1, 4, 3))
    x[:, 1:3] = 0
    (found,) = Reference(lowered(model)).predict(x, w)
    assert close(found, np.asarray(model([x, w])))


def test_heads_over_another_sequence() -> None:
    x, y = kl.Input((4, 3)), kl.Input((6, 5))
    compare(keras.Model([x, y], kl.MultiHeadAttention(2, 3)(x, y)))


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_window_may_leave_a_query_without_keys(dropout: float) -> None:
    x, z = kl.Input((8, 4)), kl.Input((3, 4))
    heads = kl.MultiHeadAttention(2, 3, sliding_window=2, dropout=dropout)
    compare(keras.Model([x, z], heads(x, z)))


def test_causal_heads_over_a_bounded_window_stream() -> None:
    x = kl.Input((None, 4))
    y = kl.MultiHeadAttention(2, 3, sliding_window=3)(x, x, use_causal_mask=True)
    low = compare(keras.Model(x, kl.Add()([x, y])), (1, 2, 7))
    assert low.step is not None, low.reason
    assert low.warmup == 0


@pytest.mark.parametrize("mode", ["int", "one_hot"])
def test_discretization(mode: str) -> None:
    layer = kl.Discretization([-0.5, 0.0, 0.7], output_mode=mode)
    compare(keras.Sequential([kl.Input((4, 1)), layer]))


def test_boundaries_that_do_not_ascend_are_refused() -> None:
    layer = kl.Discretization([0.7, 0.0, -0.5])
    with pytest.raises(UnsupportedError, match="not in ascending order"):
        compare(keras.Sequential([kl.Input((4, 1)), layer]))


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
def test_category_encoding(mode: str) -> None:
    shape = (4, 1) if mode == "one_hot" else (4, 3)
    layers = [kl.Discretization([-0.5, 0.0, 0.7]), kl.CategoryEncoding(4, output_mode=mode)]
    compare(keras.Sequential([kl.Input(shape), *layers]))


def test_transformer_and_recurrence() -> None:
    x = kl.Input((None, 4))
    y = kl.LayerNormalization()(x)
    y = kl.Add()([x, kl.MultiHeadAttention(2, 2)(y, y)])
    y = kl.Conv1D(4, 3, padding="same", activation="gelu")(y)
    y = kl.Bidirectional(kl.GRU(3, return_sequences=True))(y)
    compare(keras.Model(x, kl.Dense(2)(kl.GlobalAveragePooling1D()(y))), (1, 5))


def test_audio_net_streams() -> None:
    model = keras.Sequential(
        [
            kl.Input((None, 6)),
            kl.Normalization(mean=[0.0] * 6, variance=[2.0] * 6),
            kl.Conv1D(5, 3, padding="causal", activation="tanh"),
            kl.BatchNormalization(),
            kl.DepthwiseConv1D(3),
            kl.LayerNormalization(),
            kl.GRU(4, return_sequences=True),
            kl.Dense(3, activation="sigmoid"),
        ]
    )
    low = compare(model, (3, 10))
    assert low.step is not None
    assert low.warmup == 2


FOLDED: dict[str, tuple[Callable[[], list[Any]], int]] = {
    "after Dense": (lambda: [kl.Dense(3), kl.BatchNormalization()], 1),
    "after Conv1D": (lambda: [kl.Conv1D(3, 3, padding="same"), kl.BatchNormalization()], 1),
    "before Dense": (lambda: [kl.BatchNormalization(), kl.Dense(3, activation="tanh")], 1),
    "before Conv1D": (lambda: [kl.BatchNormalization(), kl.Conv1D(3, 3)], 1),
    "on both sides": (
        lambda: [kl.BatchNormalization(), kl.Dense(3, use_bias=False), kl.BatchNormalization()],
        1,
    ),
    "twice": (lambda: [kl.Dense(3), kl.BatchNormalization(), kl.BatchNormalization()], 2),
    "padding between": (lambda: [kl.BatchNormalization(), kl.Conv1D(3, 3, padding="causal")], 2),
    "activation between": (lambda: [kl.Dense(3, "relu"), kl.BatchNormalization()], 2),
    "another axis": (lambda: [kl.Dense(3), kl.BatchNormalization(axis=1)], 2),
}


@pytest.mark.parametrize("name", FOLDED)
def test_batch_normalization_is_folded(name: str) -> None:
    make, blocks = FOLDED[name]
    low = compare(keras.Sequential([kl.Input((6, 4)), *make()]))
    assert len(low.whole.blocks) == blocks
    assert [layer.output_shape for layer in low.layers if not layer.output_shape] == []


def test_nested_model_is_called_again() -> None:
    given = kl.Input((None, 3))
    inner = keras.Model(given, kl.Dense(3)(given))
    x, y = kl.Input((None, 3)), kl.Input((None, 3))
    first, second = inner(x), inner(y)
    compare(keras.Model([x, y], [first, kl.Dense(2)(second)]), (4,))
    compare(keras.Model(x, inner(inner(inner(x)))), (4,))


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [kl.LSTM(3, return_state=True)],
        lambda: [kl.RNN(kl.LSTMCell(2), return_sequences=True, return_state=True)],
        lambda: [kl.Bidirectional(kl.GRU(3), merge_mode=None)],
        lambda: [kl.Bidirectional(kl.LSTM(3, return_state=True), merge_mode="sum")],
        lambda: [kl.Bidirectional(kl.GRU(3), merge_mode=None), kl.Concatenate()],
    ],
)
def test_a_sequential_hands_on_all_that_a_layer_gives(layers: Callable[[], Any]) -> None:
    model = keras.Sequential([kl.Input((5, 4)), *layers()])
    assert len(compare(model).whole.outputs) == len(model.outputs)
    x = kl.Input((5, 4))
    compare(keras.Model(x, model(x)))


def test_a_layer_that_needs_a_fixed_length_says_so() -> None:
    x = kl.Input((None, 3))
    model = keras.Model(x, keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1))))
    with pytest.raises(UnsupportedError, match="save the model with a fixed number of time steps"):
        lowered(model)


def test_spectral_normalization() -> None:
    layers = [kl.Conv1D(4, 2, padding="causal", name="conv"), kl.Dense(3, use_bias=False)]
    model = keras.Sequential([kl.Input((None, 3)), *map(kl.SpectralNormalization, layers)])
    low = compare(model, (1, 5))
    assert low.step is not None
    assert [layer.parameters for layer in low.layers[1:]] == [32, 15]
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.h5")
        x = np.ones((1, 4, 3))
        found = Reference(lower(read(Path(folder) / "model.h5"))).predict(x)
        assert close(found[0], np.asarray(model(x)))
    x = kl.Input((None, 3))
    masked = kl.SpectralNormalization(kl.Dense(2))(kl.Masking()(x))
    with pytest.raises(UnsupportedError, match="a mask reaches it"):
        compare(keras.Model(x, masked))


def test_spectral_normalization_of_truth_values_gives_truth_values() -> None:
    """What the layer inside gives is cast to the type of its input."""
    x = kl.Input((3,))
    model = keras.Model(x, kl.SpectralNormalization(kl.Dense(2))(x > 0.0))
    assert model.predict(np.ones((1, 3)), verbose=0).dtype == bool
    with pytest.raises(UnsupportedError, match="which Keras treats unlike floats"):
        lowered(model)


def test_the_unit_normalisation_of_small_numbers() -> None:
    """From Keras 3.6 on the norm is at least 1e-12, before that its square."""
    x = keras.Input((4,))
    model = keras.Model(x, kl.UnitNormalization()(kl.Rescaling(1e-8)(x)))
    compare(model)
