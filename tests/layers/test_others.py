"""Normalisation, attention and other layers around the recurrent core against live Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from tests.layers.oracle import close, compare

Make = Callable[[], Any]

# name: (layer, shape of one step, streams?)
PLAIN: dict[str, tuple[Make, tuple[int, ...], bool]] = {
    "layer normalisation": (lambda: L.LayerNormalization(), (4,), True),
    "without scale": (lambda: L.LayerNormalization(scale=False, epsilon=0.1), (4,), True),
    "without center": (lambda: L.LayerNormalization(center=False), (4,), True),
    "two axes": (lambda: L.LayerNormalization(axis=[2, 3]), (4, 3), True),
    "inner axis": (lambda: L.LayerNormalization(axis=2), (4, 3), True),
    "rms": (lambda: L.RMSNormalization(), (4,), True),
    "rms two axes": (lambda: L.RMSNormalization(axis=[-2, -1]), (4, 3), True),
    "unit": (lambda: L.UnitNormalization(), (4,), True),
    "unit inner axis": (lambda: L.UnitNormalization(axis=2), (4, 3), True),
    "groups": (lambda: L.GroupNormalization(2), (4,), False),
    "groups of one": (lambda: L.GroupNormalization(-1), (4, 3), False),
    "one group": (lambda: L.GroupNormalization(1), (3, 4), False),
    "groups of rows": (lambda: L.GroupNormalization(2, axis=2), (4, 3), False),
    "given statistics": (lambda: L.Normalization(mean=[1, 2, 3], variance=[2, 1, 0.5]), (3,), True),
    "inverted": (lambda: L.Normalization(mean=1.0, variance=2.0, invert=True), (3,), True),
    "einsum": (lambda: L.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d"), (3,), True),
    "einsum ellipsis": (
        lambda: L.EinsumDense("...x,xy->...y", 5, bias_axes="y", activation="relu"),
        (2, 3),
        True,
    ),
    "einsum heads": (
        lambda: L.EinsumDense("abc,cde->abde", (None, 2, 5), bias_axes="de"),
        (3,),
        True,
    ),
    "einsum joined": (lambda: L.EinsumDense("abcd,cde->abe", (None, 5)), (2, 3), True),
    "einsum by channel": (lambda: L.EinsumDense("abc,cd->abdc", (None, 2, 3)), (3,), True),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain(name: str) -> None:
    make, shape, streams = PLAIN[name]
    low = compare(keras.Sequential([L.Input((None, *shape)), make()]), (1, 5))
    assert (low.step is not None) == streams, low.reason


def test_adapted_normalization() -> None:
    layer = L.Normalization(axis=-1)
    layer.adapt(np.random.default_rng(0).normal(2, 3, (50, 7, 3)).astype(np.float32))
    model = keras.Sequential([L.Input((None, 3)), layer, L.Dense(2)])
    from codegen.evaluate import Reference
    from tests.layers.oracle import lowered

    x = np.random.default_rng(1).normal(size=(2, 5, 3))
    assert close(Reference(lowered(model), 2).predict(x)[0], np.asarray(model(x)))


ATTENTION: dict[str, Make] = {
    "dot": lambda: L.Attention(),
    "scaled": lambda: L.Attention(use_scale=True),
    "concat": lambda: L.Attention(score_mode="concat"),
    "concat scaled": lambda: L.Attention(score_mode="concat", use_scale=True),
    "additive": lambda: L.AdditiveAttention(),
    "additive plain": lambda: L.AdditiveAttention(use_scale=False),
}


@pytest.mark.parametrize("inputs", [2, 3])
@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name: str, inputs: int) -> None:
    x, y = L.Input((5, 3)), L.Input((5, 3))
    parts = [x, L.Dense(3)(y), L.Dense(3)(y)][:inputs]
    compare(keras.Model([x, y], ATTENTION[name]()(parts)))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_to_itself(causal: bool) -> None:
    x = L.Input((None, 3))
    y = L.Attention()([x, x], use_causal_mask=causal)
    assert compare(keras.Model(x, y), (1, 6)).step is None


def test_masked_attention() -> None:
    x = L.Input((6, 3))
    m = L.Masking(0.0)(x)
    compare(keras.Model(x, L.Attention()([m, m])))


HEADS: dict[str, tuple[Make, dict[str, Any]]] = {
    "plain": (lambda: L.MultiHeadAttention(2, 3), {}),
    "no bias": (lambda: L.MultiHeadAttention(2, 3, value_dim=4, use_bias=False), {}),
    "causal": (lambda: L.MultiHeadAttention(2, 3), {"use_causal_mask": True}),
    "output shape": (lambda: L.MultiHeadAttention(3, 2, output_shape=7), {}),
    "shared keys": (lambda: L.GroupQueryAttention(2, 4, 2), {}),
    "gated": (lambda: L.MultiHeadAttention(2, 3, use_gate=True), {}),
    "scores": (lambda: L.MultiHeadAttention(2, 3), {"return_attention_scores": True}),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads(name: str) -> None:
    make, call = HEADS[name]
    x = L.Input((6, 4))
    compare(keras.Model(x, make()(x, x, **call)))


def test_heads_over_another_sequence() -> None:
    x, y = L.Input((4, 3)), L.Input((6, 5))
    compare(keras.Model([x, y], L.MultiHeadAttention(2, 3)(x, y)))


def test_causal_heads_over_a_bounded_window_stream() -> None:
    x = L.Input((None, 4))
    y = L.MultiHeadAttention(2, 3, sliding_window=3)(x, x, use_causal_mask=True)
    low = compare(keras.Model(x, L.Add()([x, y])), (1, 2, 7))
    assert low.step is not None, low.reason
    assert low.warmup == 0


@pytest.mark.parametrize("mode", ["int", "one_hot"])
def test_discretization(mode: str) -> None:
    layer = L.Discretization([-0.5, 0.0, 0.7], output_mode=mode)
    compare(keras.Sequential([L.Input((4, 1)), layer]))


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
def test_category_encoding(mode: str) -> None:
    shape = (4, 1) if mode == "one_hot" else (4, 3)
    layers = [L.Discretization([-0.5, 0.0, 0.7]), L.CategoryEncoding(4, output_mode=mode)]
    compare(keras.Sequential([L.Input(shape), *layers]))


def test_transformer_and_recurrence() -> None:
    x = L.Input((None, 4))
    y = L.LayerNormalization()(x)
    y = L.Add()([x, L.MultiHeadAttention(2, 2)(y, y)])
    y = L.Conv1D(4, 3, padding="same", activation="gelu")(y)
    y = L.Bidirectional(L.GRU(3, return_sequences=True))(y)
    compare(keras.Model(x, L.Dense(2)(L.GlobalAveragePooling1D()(y))), (1, 5))


def test_audio_net_streams() -> None:
    model = keras.Sequential(
        [
            L.Input((None, 6)),
            L.Normalization(mean=[0.0] * 6, variance=[2.0] * 6),
            L.Conv1D(5, 3, padding="causal", activation="tanh"),
            L.BatchNormalization(),
            L.DepthwiseConv1D(3),
            L.LayerNormalization(),
            L.GRU(4, return_sequences=True),
            L.Dense(3, activation="sigmoid"),
        ]
    )
    low = compare(model, (3, 10))
    assert low.step is not None
    assert low.warmup == 2
