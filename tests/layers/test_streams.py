"""Random stacks of layers that need only the past: step after step equals predict equals Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from keras import layers as kl

from codegen.lowered import Reference
from tests.layers.oracle import compare
from tests.support.targets import TOLERANCE, started, worst

SIZES = st.integers(1, 6)
DILATIONS = st.sampled_from([1, 1, 2, 3, 5])


KINDS = ("causal", "valid", "padded", "residual", "gru", "pool", "norm", "crop", "branch")
KINDS += ("chomp", "difference", "turned")

# kind, size and dilation of a window, and a number for what is particular to the kind
STACKS = st.lists(
    st.tuples(st.sampled_from(KINDS), SIZES, DILATIONS, st.integers(-2, 3)), min_size=1, max_size=5
)


def build(stack: list[tuple[str, int, int, int]]) -> tuple[Any, int]:
    """A model over (time, 3) and the number of rows that its first output needs."""
    x = y = kl.Input((None, 3))
    needed = 1
    for kind, size, dilation, extra in stack:
        reach = (size - 1) * dilation
        if kind == "causal":
            y = kl.Conv1D(3, size, dilation_rate=dilation, padding="causal", activation="tanh")(y)
        elif kind == "valid":
            y = kl.Conv1D(3, size, dilation_rate=dilation)(y)
            needed += reach
        elif kind == "padded":
            # As much, less or more padding than the window uses; what is left meets other layers.
            left = max(0, reach + extra)
            y = kl.Conv1D(3, size, dilation_rate=dilation)(kl.ZeroPadding1D((left, 0))(y))
            needed += max(0, reach - left)
            if left > reach:
                y = kl.GRU(3, return_sequences=True)(kl.BatchNormalization()(y))
                y = kl.Conv1D(3, left - reach + 1)(y)
        elif kind == "residual":
            z = kl.Conv1D(3, size, dilation_rate=dilation, padding="causal")(y)
            y = kl.Add()([y, z])
        elif kind == "gru":
            y = kl.GRU(3, return_sequences=True)(y)
        elif kind == "pool":
            y = kl.MaxPooling1D(size, strides=1)(y)
            needed += size - 1
        elif kind == "norm":
            y = kl.LayerNormalization()(y)
        elif kind == "crop":
            y = kl.Cropping1D((size - 1, 0))(y)
            needed += size - 1
        elif kind == "chomp":
            y = kl.Conv1D(3, size, dilation_rate=dilation)(kl.ZeroPadding1D(reach)(y))
            y = kl.Cropping1D((0, reach))(kl.BatchNormalization()(y))
        elif kind == "difference":
            y = y[:, size:] - y[:, :-size]
            needed += size
        elif kind == "turned":
            z = kl.Conv1D(3, size, data_format="channels_first")(kl.Permute((2, 1))(y))
            y = kl.Permute((2, 1))(kl.Activation("tanh")(z))
            needed += size - 1
        else:
            z = kl.Conv1D(3, size, dilation_rate=dilation)(y)
            right = min(reach, extra + 2)
            z = kl.Concatenate()([z, kl.Cropping1D((reach - right, right))(y)])
            y = kl.Dense(3)(z)
            needed += reach
    return keras.Model(x, kl.Dense(2)(y)), needed


@hypothesis.settings(max_examples=25, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(STACKS, st.integers(0, 7))
def test_stack(stack: list[tuple[str, int, int, int]], more: int) -> None:
    model, needed = build(stack)
    low = compare(model, (needed + more,))
    assert low.step is not None, low.reason
    assert low.warmup == needed - 1


HOP_KINDS = ("conv", "valid", "causal", "pool", "same", "gru", "up")
HOPS = st.lists(
    st.tuples(st.sampled_from(HOP_KINDS), SIZES, st.integers(1, 3)), min_size=1, max_size=4
)


def strided(stack: list[tuple[str, int, int]]) -> Any:
    """A model with strides over time."""
    x = y = kl.Input((None, 3))
    for kind, size, stride in stack:
        if kind == "conv":
            y = kl.Conv1D(3, size, strides=stride)(y)
        elif kind == "valid":
            y = kl.Conv1D(3, size)(y)
        elif kind == "causal":
            y = kl.Conv1D(3, size, strides=stride, padding="causal")(y)
        elif kind == "pool":
            y = kl.AveragePooling1D(size, strides=stride)(y)
        elif kind == "same":
            y = kl.MaxPooling1D(stride, padding="same")(y)
        elif kind == "up":
            y = kl.UpSampling1D(stride)(y)
        else:
            y = kl.SimpleRNN(3, return_sequences=True)(y)
    return keras.Model(x, y)


@hypothesis.settings(max_examples=25, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(HOPS)
def test_hops(stack: list[tuple[str, int, int]]) -> None:
    # A whole number of every hop that strides up to 3 can make; long enough for every window.
    compare(strided(stack), (648,) if len(stack) == 4 else (216,), batch=1)


def test_the_rest_of_a_sequence_that_another_one_has_no_part_in(tmp_path: Path) -> None:
    """Pairs of rows of one input leave a row over, which counts for a state of the other."""
    x, z = keras.Input((None, 3)), keras.Input((None, 3))
    low = compare(keras.Model([x, z], [kl.AveragePooling1D(2)(x), kl.GRU(2)(z)]), (8,))
    assert low.hop == 2
    model = started("c", low, tmp_path)
    rows = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    with pytest.raises(ValueError, match="this number of steps is not accepted"):
        model.predict(rows, rows)
    expected = Reference(low).predict(rows[None, :6], rows[None, :6])
    assert worst(model.predict(rows[:6], rows[:6]), [y[0] for y in expected]) <= TOLERANCE
