"""Masks through graphs, against live Keras: which layers use them, and how far they go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl

import codegen
from codegen.errors import UnsupportedError
from codegen.lowered import Reference
from codegen.lowering import lower
from tests.layers.oracle import Array, close, lowered, randomised

STEPS, FEATURES = 5, 3


def holes(seed: int, steps: int = STEPS) -> Array:
    """Sequences with masked steps at the start and within, and one that is all masked."""
    x = np.random.default_rng(seed).normal(size=(4, steps, FEATURES)).astype(np.float32)
    x[0, :2] = x[1, 1::2] = x[2] = 0
    return x


def agree(model: Any, *inputs: Array) -> None:
    """Assert that the saved model gives what Keras predicts."""
    randomised(model)
    expected = model.predict(inputs[0] if len(inputs) == 1 else list(inputs), verbose=0)
    expected = expected if isinstance(expected, list) else [expected]
    found = Reference(lowered(model), len(inputs[0])).predict(*inputs)
    for y, wanted in zip(found, expected, strict=True):
        assert close(y, wanted), np.abs(y - wanted).max()


def sequence() -> Any:
    return keras.Input((STEPS, FEATURES))


@pytest.mark.parametrize("merge", [kl.Maximum, kl.Minimum, kl.Multiply, kl.Add])
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("masked", [3, 2, 1])
def test_merges(merge: Any, count: int, masked: int) -> None:
    inputs = [sequence() for _ in range(count)]
    parts = [kl.Masking()(x) if n < masked else x for n, x in enumerate(inputs)]
    y = merge()(parts)
    model = keras.Model(inputs, [y, kl.GRU(2)(y)])
    agree(model, *(np.roll(holes(n), n, axis=0) for n in range(count)))


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("both", [True, False])
def test_concatenate(axis: int, both: bool) -> None:
    a, b = sequence(), sequence()
    y = kl.Concatenate(axis=axis)([kl.Masking()(a), kl.Masking()(b) if both else b])
    inner = keras.Sequential([keras.Input((None, y.shape[-1])), kl.GRU(2)])
    agree(keras.Model([a, b], [kl.GRU(2)(y), inner(y)]), holes(0), np.roll(holes(1), 1, axis=0))


@pytest.mark.parametrize("merge", [kl.Multiply, kl.Maximum, kl.Minimum])
def test_a_merge_meets_a_mask_given_by_name(tmp_path: Path, merge: Any) -> None:
    """Before Keras 3.11 it goes on no further; weights with the text of to_json() do not tell."""
    x, mask = sequence(), keras.Input((STEPS,), dtype="bool")
    y = kl.LSTM(2, return_sequences=True)(x, mask=mask)
    model = keras.Model([x, mask], merge()([kl.Activation("tanh")(y), y]))
    agree(model, holes(0), holes(3)[:, :, 0] != 0)

    weights, config = tmp_path / "m.weights.h5", tmp_path / "m.json"
    model.save_weights(weights)
    config.write_text(model.to_json(), encoding="utf-8")
    with pytest.raises(UnsupportedError, match="whether a mask given by name goes on"):
        lower(codegen.read(weights, config))
    low = lower(codegen.read(weights, config, keras_version=keras.__version__))
    inputs = holes(0), holes(3)[:, :, 0] != 0
    assert close(Reference(low, 4).predict(*inputs)[0], model.predict(inputs, verbose=0))


def test_a_given_state_keeps_the_mask_from_being_used() -> None:
    x, h = sequence(), keras.Input((2,))
    y = kl.GRU(2, return_sequences=True)(kl.Masking()(x), initial_state=h)
    state = np.random.default_rng(2).normal(size=(4, 2)).astype(np.float32)
    agree(keras.Model([x, h], [y, kl.GRU(2)(y)]), holes(0), state)


STOPS: dict[str, Callable[[], Any]] = {
    "relu": lambda: keras.ops.relu,
    "plus": lambda: lambda x: x + 1.0,
    "EinsumDense": lambda: kl.EinsumDense("abc,cd->abd", (None, 3)),
    "RMSNormalization": kl.RMSNormalization,
    "Conv1D": lambda: kl.Conv1D(3, 2, padding="causal"),
    "Dense": lambda: kl.Dense(3),  # this one passes it on
}


@pytest.mark.parametrize("name", STOPS)
def test_where_masks_stop(name: str) -> None:
    x = sequence()
    agree(keras.Model(x, kl.GRU(2)(STOPS[name]()(kl.Masking()(x)))), holes(0))


ATTENTION: dict[str, Callable[[], Any]] = {
    "dot": kl.Attention,
    "additive": kl.AdditiveAttention,
    "heads": lambda: kl.MultiHeadAttention(2, 3),
    "heads with dropout": lambda: kl.MultiHeadAttention(2, 3, dropout=0.1),
    "grouped": lambda: kl.GroupQueryAttention(2, 2, 1),
}


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("masked", ["query", "value", "both"])
@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name: str, masked: str, scores: bool) -> None:
    x, v = sequence(), keras.Input((4, FEATURES))
    query = x if masked == "value" else kl.Masking()(x)
    value = v if masked == "query" else kl.Masking()(v)
    layer = ATTENTION[name]()
    listed = isinstance(layer, kl.Attention)
    given = [[query, value]] if listed else [query, value]
    y = layer(*given, return_attention_scores=scores)
    outputs = list(y) if scores else [y]
    agree(keras.Model([x, v], [*outputs, kl.GRU(2)(outputs[0])]), holes(0), holes(1, 4)[::-1])


@pytest.mark.parametrize("given", [(True, True), (True, False), (False, True)])
def test_masks_given_to_attention(given: tuple[bool, bool]) -> None:
    x, v = sequence(), sequence()
    masks = [keras.Input((STEPS,), dtype="bool") if one else None for one in given]
    y = kl.Attention()([x, v], mask=masks)
    kept = [mask for mask in masks if mask is not None]
    arrays = [holes(3 + n)[:, :, 0] != 0 for n in range(len(kept))]
    after = [kl.GRU(2)(y), kl.MultiHeadAttention(2, 3)(x, y)]  # meet the mask of the query
    agree(keras.Model([x, v, *kept], [y, *after]), holes(0), holes(1), *arrays)


@pytest.mark.parametrize("axes", [None, (1,), (2,), (1, 2)])
def test_attention_over_other_axes(axes: tuple[int, ...] | None) -> None:
    x = keras.Input((3, 4, 5))
    y = kl.MultiHeadAttention(2, 3, attention_axes=axes)(x, x)
    agree(keras.Model(x, y), np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32"))
