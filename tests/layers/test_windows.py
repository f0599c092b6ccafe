"""Convolutions, pooling and padding against live Keras, whole and step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
from keras import layers as L

from tests.layers.oracle import compare

Layers = Callable[[], list[Any]]

# name: (layers, lengths to try, streams?)
SEQUENCES: dict[str, tuple[Layers, tuple[int, ...], bool]] = {
    "valid": (lambda: [L.Conv1D(4, 3, activation="relu")], (3, 4, 9), True),
    "causal": (lambda: [L.Conv1D(4, 3, padding="causal")], (1, 2, 9), True),
    "same": (lambda: [L.Conv1D(4, 4, padding="same", activation="softmax")], (1, 2, 9), False),
    "one row": (lambda: [L.Conv1D(4, 1, use_bias=False)], (1, 5), True),
    "one row same": (lambda: [L.Conv1D(4, 1, padding="same")], (1, 5), True),
    "glu": (lambda: [L.Conv1D(6, 2, padding="causal", activation="glu")], (1, 5), True),
    "long kernel": (lambda: [L.Conv1D(2, 9, padding="causal")], (1, 3, 12), True),
    "long valid kernel": (lambda: [L.Conv1D(2, 7)], (7, 12), True),
    "dilation": (lambda: [L.Conv1D(4, 3, dilation_rate=4, padding="causal")], (1, 5, 20), True),
    "valid dilation": (lambda: [L.Conv1D(4, 2, dilation_rate=5)], (6, 15), True),
    "groups": (lambda: [L.Conv1D(6, 3, groups=3, padding="causal")], (1, 7), True),
    "stride": (lambda: [L.Conv1D(4, 3, strides=2, padding="causal")], (2, 8), True),
    "stride valid": (lambda: [L.Conv1D(4, 3, strides=2)], (4, 8, 10), True),
    "stride over size": (lambda: [L.Conv1D(4, 2, strides=5)], (5, 15), True),
    "stride same": (lambda: [L.Conv1D(4, 3, strides=2, padding="same")], (1, 2, 7, 8), False),
    "stride same short": (lambda: [L.Conv1D(4, 2, strides=2, padding="same")], (2, 8, 7), True),
    "two strides": (
        lambda: [L.Conv1D(4, 5, strides=2), L.Conv1D(3, 3, strides=2), L.GRU(3)],
        (12, 16),
        True,
    ),
    "valid then strided": (
        lambda: [L.Conv1D(4, 3), L.Conv1D(4, 3), L.AveragePooling1D(4)],
        (8, 16),
        True,
    ),
    "unaligned then recurrent": (
        lambda: [L.Conv1D(4, 2), L.GRU(3, return_sequences=True), L.MaxPooling1D(2)],
        (4, 8),
        False,
    ),
    "depthwise": (lambda: [L.DepthwiseConv1D(3, depth_multiplier=2)], (3, 8), True),
    "depthwise long": (
        lambda: [L.DepthwiseConv1D(12, depth_multiplier=2, activation="tanh")],
        (12, 14),
        True,
    ),
    "depthwise same": (lambda: [L.DepthwiseConv1D(3, padding="same")], (1, 8), False),
    "separable": (lambda: [L.SeparableConv1D(5, 3, dilation_rate=2)], (5, 8), True),
    "separable same": (
        lambda: [L.SeparableConv1D(5, 4, depth_multiplier=2, padding="same")],
        (2, 8),
        False,
    ),
    "transpose": (lambda: [L.Conv1DTranspose(4, 3)], (1, 6), False),
    "transpose stride": (lambda: [L.Conv1DTranspose(4, 3, strides=2)], (1, 6), False),
    "transpose same": (
        lambda: [L.Conv1DTranspose(4, 5, strides=2, padding="same")],
        (1, 6),
        False,
    ),
    "transpose short": (lambda: [L.Conv1DTranspose(4, 2, strides=3)], (1, 6), False),
    "transpose after stride": (
        lambda: [L.Conv1D(4, 2, strides=2), L.Conv1DTranspose(3, 2, strides=2)],
        (2, 8),
        True,
    ),
    "transpose dilated": (lambda: [L.Conv1DTranspose(4, 3, dilation_rate=2)], (1, 6), False),
    "max": (lambda: [L.MaxPooling1D(3, strides=1)], (3, 7), True),
    "max hop": (lambda: [L.MaxPooling1D(3)], (3, 9), True),
    "max same": (lambda: [L.MaxPooling1D(3, strides=2, padding="same")], (1, 2, 7), False),
    "max same hop": (lambda: [L.MaxPooling1D(2, padding="same")], (2, 8, 7), True),
    "average": (lambda: [L.AveragePooling1D(12, strides=1)], (12, 17), True),
    "average same": (
        lambda: [L.AveragePooling1D(3, strides=1, padding="same")],
        (1, 2, 7),
        False,
    ),
    "average same hop": (lambda: [L.AveragePooling1D(4, padding="same")], (4, 8, 7), True),
    "global max": (lambda: [L.GlobalMaxPooling1D()], (1, 7), True),
    "global average": (lambda: [L.GlobalAveragePooling1D(), L.Dense(2)], (1, 7), True),
    "global average kept": (lambda: [L.GlobalAveragePooling1D(keepdims=True)], (1, 7), True),
    "global after valid": (lambda: [L.Conv1D(3, 3), L.GlobalAveragePooling1D()], (3, 7), True),
    "global after padding": (
        lambda: [L.ZeroPadding1D((2, 0)), L.Conv1D(3, 2), L.GlobalMaxPooling1D()],
        (1, 7),
        True,
    ),
    "masked average": (
        lambda: [L.Masking(0.0), L.GlobalAveragePooling1D()],
        (1, 7),
        True,
    ),
    "left padding": (
        lambda: [
            L.ZeroPadding1D((6, 0)),
            L.Conv1D(4, 3, activation="tanh"),
            L.BatchNormalization(),
            L.Conv1D(4, 3, dilation_rate=2),
        ],
        (1, 2, 9),
        True,
    ),
    "padding and recurrent": (
        lambda: [
            L.ZeroPadding1D((4, 0)),
            L.GRU(3, return_sequences=True),
            L.Conv1D(2, 5),
        ],
        (1, 9),
        True,
    ),
    "padding never used": (lambda: [L.ZeroPadding1D((2, 0)), L.Conv1D(4, 2)], (1, 5), False),
    "padding after a window": (
        lambda: [L.Conv1D(4, 3), L.ZeroPadding1D((2, 0)), L.Dense(3)],
        (3, 5),
        False,
    ),
    "padding between windows": (
        lambda: [L.Conv1D(4, 3), L.ZeroPadding1D((2, 0)), L.Conv1D(3, 3)],
        (3, 5),
        True,
    ),
    "right padding": (lambda: [L.ZeroPadding1D((1, 1)), L.Conv1D(4, 3)], (1, 5), False),
    "padding and stride": (
        lambda: [L.ZeroPadding1D((3, 0)), L.Conv1D(4, 5, strides=2)],
        (2, 8),
        True,
    ),
    "padding and last state": (
        lambda: [L.ZeroPadding1D((3, 0)), L.LSTM(4)],
        (1, 8),
        True,
    ),
    "crop left": (lambda: [L.Cropping1D((2, 0))], (3, 7), True),
    "crop both": (lambda: [L.Cropping1D((2, 3)), L.Dense(2)], (6, 12), True),
    "crop a causal start": (
        lambda: [L.Conv1D(3, 5, padding="causal"), L.Cropping1D((4, 0)), L.GRU(2)],
        (5, 12),
        True,
    ),
    "upsample": (lambda: [L.UpSampling1D(3)], (1, 4), False),
    "down and up": (
        lambda: [L.MaxPooling1D(2), L.GRU(3, return_sequences=True), L.UpSampling1D(2)],
        (2, 8),
        True,
    ),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequence(name: str) -> None:
    make, lengths, streams = SEQUENCES[name]
    model = keras.Sequential([L.Input((None, 3)), *make()])
    low = compare(model, lengths)
    assert (low.step is not None) == streams, low.reason


def test_one_channel() -> None:
    model = keras.Sequential([L.Input((None, 1)), L.Conv1D(1, 3, padding="causal"), L.GRU(1)])
    assert compare(model, (1, 5)).step is not None


def test_warmup_counts_steps() -> None:
    model = keras.Sequential([L.Input((None, 2)), L.Conv1D(3, 4), L.Conv1D(3, 3)])
    assert compare(model, (6, 9)).warmup == 5


def test_hop() -> None:
    model = keras.Sequential([L.Input((None, 2)), L.MaxPooling1D(2), L.Conv1D(3, 3, strides=3)])
    assert compare(model, (6, 12)).hop == 6


IMAGES: dict[str, tuple[Layers, bool]] = {
    "valid": (lambda: [L.Conv2D(3, (3, 2), activation="relu")], True),
    "same": (lambda: [L.Conv2D(3, (3, 2), padding="same")], False),
    "stride": (lambda: [L.Conv2D(3, 3, strides=(2, 3), padding="same")], False),
    "dilation": (lambda: [L.Conv2D(3, 2, dilation_rate=(2, 3))], True),
    "groups": (lambda: [L.Conv2D(4, 2, groups=2)], True),
    "depthwise": (lambda: [L.DepthwiseConv2D((2, 3), depth_multiplier=2, padding="same")], False),
    "depthwise valid": (lambda: [L.DepthwiseConv2D((4, 3))], True),
    "separable": (lambda: [L.SeparableConv2D(3, 2, strides=2, padding="same")], True),
    "transpose": (lambda: [L.Conv2DTranspose(3, 3, strides=2, padding="same")], False),
    "transpose valid": (lambda: [L.Conv2DTranspose(3, (2, 3), strides=(3, 1))], False),
    "max": (lambda: [L.MaxPooling2D((2, 3), padding="same")], True),
    "average": (lambda: [L.AveragePooling2D(3, strides=2, padding="same")], False),
    "average valid": (lambda: [L.AveragePooling2D((4, 3), strides=1)], True),
    "global max": (lambda: [L.GlobalMaxPooling2D()], True),
    "global average": (lambda: [L.GlobalAveragePooling2D(keepdims=True)], True),
    "padding": (lambda: [L.ZeroPadding2D(((2, 0), (1, 2))), L.Conv2D(2, (3, 3))], True),
    "padding both": (lambda: [L.ZeroPadding2D(1)], False),
    "cropping": (lambda: [L.Cropping2D(((1, 1), (2, 1)))], True),
    "upsampling": (lambda: [L.UpSampling2D((2, 3))], False),
    "upsampling across": (lambda: [L.UpSampling2D((1, 3))], True),
    "per step": (lambda: [L.Conv2D(2, (1, 3)), L.MaxPooling2D((1, 2))], True),
}


@pytest.mark.parametrize("name", IMAGES)
def test_image(name: str) -> None:
    make, streams = IMAGES[name]
    model = keras.Sequential([L.Input((None, 10, 4)), *make()])
    low = compare(model, (6, 8))
    assert (low.step is not None) == streams, low.reason


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.Conv1D(4, 3, data_format="channels_first"),
        lambda: L.MaxPooling1D(2, data_format="channels_first"),
        lambda: L.AveragePooling1D(3, 2, padding="same", data_format="channels_first"),
        lambda: L.GlobalAveragePooling1D(data_format="channels_first"),
        lambda: L.GlobalMaxPooling1D(data_format="channels_first", keepdims=True),
    ],
)
def test_channels_first(make: Callable[[], Any]) -> None:
    assert compare(keras.Sequential([L.Input((3, 8)), make()])).step is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.Conv2D(4, 3, padding="same", data_format="channels_first"),
        lambda: L.ZeroPadding2D(((1, 0), (2, 1)), data_format="channels_first"),
        lambda: L.UpSampling2D(2, data_format="channels_first"),
        lambda: L.Cropping2D(1, data_format="channels_first"),
        lambda: L.GlobalAveragePooling2D(data_format="channels_first"),
    ],
)
def test_channels_first_image(make: Callable[[], Any]) -> None:
    compare(keras.Sequential([L.Input((3, 6, 5)), make()]))


@pytest.mark.parametrize("sequences", [True, False])
def test_conv_lstm(sequences: bool) -> None:
    model = keras.Sequential(
        [
            L.Input((None, 5, 4, 2)),
            L.ConvLSTM2D(3, (2, 3), padding="same", return_sequences=sequences),
        ]
    )
    assert compare(model, (1, 4)).step is not None
    model = keras.Sequential(
        [L.Input((None, 6, 2)), L.ConvLSTM1D(3, 3, strides=2, return_sequences=sequences)]
    )
    assert compare(model, (1, 4)).step is not None


def test_residual_of_another_delay() -> None:
    x = L.Input((None, 3))
    y = L.Conv1D(3, 3)(x)
    model = keras.Model(x, L.Add()([y, L.Cropping1D((1, 1))(x)]))
    low = compare(model, (3, 8))
    assert low.warmup == 2


def test_padding_meets_a_branch() -> None:
    x = L.Input((None, 3))
    y = L.Conv1D(3, 3)(L.ZeroPadding1D((2, 0))(x))
    z = L.Conv1D(3, 4, padding="causal")(x)
    model = keras.Model(x, L.Concatenate()([y, z, x]))
    assert compare(model, (1, 8)).warmup == 0
