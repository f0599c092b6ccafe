"""Convolutions, pooling and padding against live Keras, whole and step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
from keras import layers as kl

from tests.layers.oracle import compare

Layers = Callable[[], list[Any]]

# name: (layers, lengths to try, streams?)
SEQUENCES: dict[str, tuple[Layers, tuple[int, ...], bool]] = {
    "valid": (lambda: [kl.Conv1D(4, 3, activation="relu")], (3, 4, 9), True),
    "causal": (lambda: [kl.Conv1D(4, 3, padding="causal")], (1, 2, 9), True),
    "same": (lambda: [kl.Conv1D(4, 4, padding="same", activation="softmax")], (1, 2, 9), False),
    "one row": (lambda: [kl.Conv1D(4, 1, use_bias=False)], (1, 5), True),
    "one row same": (lambda: [kl.Conv1D(4, 1, padding="same")], (1, 5), True),
    "glu": (lambda: [kl.Conv1D(6, 2, padding="causal", activation="glu")], (1, 5), True),
    "long kernel": (lambda: [kl.Conv1D(2, 9, padding="causal")], (1, 3, 12), True),
    "long valid kernel": (lambda: [kl.Conv1D(2, 7)], (7, 12), True),
    "dilation": (lambda: [kl.Conv1D(4, 3, dilation_rate=4, padding="causal")], (1, 5, 20), True),
    "valid dilation": (lambda: [kl.Conv1D(4, 2, dilation_rate=5)], (6, 15), True),
    "groups": (lambda: [kl.Conv1D(6, 3, groups=3, padding="causal")], (1, 7), True),
    "stride": (lambda: [kl.Conv1D(4, 3, strides=2, padding="causal")], (2, 8), True),
    "stride valid": (lambda: [kl.Conv1D(4, 3, strides=2)], (4, 8, 10), True),
    "stride over size": (lambda: [kl.Conv1D(4, 2, strides=5)], (5, 15), True),
    "stride same": (lambda: [kl.Conv1D(4, 3, strides=2, padding="same")], (1, 2, 7, 8), False),
    "stride same short": (lambda: [kl.Conv1D(4, 2, strides=2, padding="same")], (2, 8, 7), True),
    "two strides": (
        lambda: [kl.Conv1D(4, 5, strides=2), kl.Conv1D(3, 3, strides=2), kl.GRU(3)],
        (12, 16),
        True,
    ),
    "valid then strided": (
        lambda: [kl.Conv1D(4, 3), kl.Conv1D(4, 3), kl.AveragePooling1D(4)],
        (8, 16),
        True,
    ),
    "unaligned then recurrent": (
        lambda: [kl.Conv1D(4, 2), kl.GRU(3, return_sequences=True), kl.MaxPooling1D(2)],
        (4, 8),
        False,
    ),
    "depthwise": (lambda: [kl.DepthwiseConv1D(3, depth_multiplier=2)], (3, 8), True),
    "depthwise long": (
        lambda: [kl.DepthwiseConv1D(12, depth_multiplier=2, activation="tanh")],
        (12, 14),
        True,
    ),
    "depthwise same": (lambda: [kl.DepthwiseConv1D(3, padding="same")], (1, 8), False),
    "separable": (lambda: [kl.SeparableConv1D(5, 3, dilation_rate=2)], (5, 8), True),
    "separable same": (
        lambda: [kl.SeparableConv1D(5, 4, depth_multiplier=2, padding="same")],
        (2, 8),
        False,
    ),
    "transpose": (lambda: [kl.Conv1DTranspose(4, 3)], (1, 6), False),
    "transpose stride": (lambda: [kl.Conv1DTranspose(4, 3, strides=2)], (1, 6), False),
    "transpose same": (
        lambda: [kl.Conv1DTranspose(4, 5, strides=2, padding="same")],
        (1, 6),
        False,
    ),
    "transpose short": (lambda: [kl.Conv1DTranspose(4, 2, strides=3)], (1, 6), True),
    "transpose after stride": (
        lambda: [kl.Conv1D(4, 2, strides=2), kl.Conv1DTranspose(3, 2, strides=2)],
        (2, 8),
        True,
    ),
    "transpose dilated": (lambda: [kl.Conv1DTranspose(4, 3, dilation_rate=2)], (1, 6), False),
    "max": (lambda: [kl.MaxPooling1D(3, strides=1)], (3, 7), True),
    "max hop": (lambda: [kl.MaxPooling1D(3)], (3, 9), True),
    "max same": (lambda: [kl.MaxPooling1D(3, strides=2, padding="same")], (1, 2, 7), False),
    "max same hop": (lambda: [kl.MaxPooling1D(2, padding="same")], (2, 8, 7), True),
    "average": (lambda: [kl.AveragePooling1D(12, strides=1)], (12, 17), True),
    "average same": (
        lambda: [kl.AveragePooling1D(3, strides=1, padding="same")],
        (1, 2, 7),
        False,
    ),
    "average same hop": (lambda: [kl.AveragePooling1D(4, padding="same")], (4, 8, 7), True),
    "global max": (lambda: [kl.GlobalMaxPooling1D()], (1, 7), True),
    "global average": (lambda: [kl.GlobalAveragePooling1D(), kl.Dense(2)], (1, 7), True),
    "global average kept": (lambda: [kl.GlobalAveragePooling1D(keepdims=True)], (1, 7), True),
    "global after valid": (lambda: [kl.Conv1D(3, 3), kl.GlobalAveragePooling1D()], (3, 7), True),
    "global after padding": (
        lambda: [kl.ZeroPadding1D((2, 0)), kl.Conv1D(3, 2), kl.GlobalMaxPooling1D()],
        (1, 7),
        True,
    ),
    "masked average": (
        lambda: [kl.Masking(0.0), kl.GlobalAveragePooling1D()],
        (1, 7),
        True,
    ),
    "left padding": (
        lambda: [
            kl.ZeroPadding1D((6, 0)),
            kl.Conv1D(4, 3, activation="tanh"),
            kl.BatchNormalization(),
            kl.Conv1D(4, 3, dilation_rate=2),
        ],
        (1, 2, 9),
        True,
    ),
    "padding and recurrent": (
        lambda: [
            kl.ZeroPadding1D((4, 0)),
            kl.GRU(3, return_sequences=True),
            kl.Conv1D(2, 5),
        ],
        (1, 9),
        True,
    ),
    "padding never used": (lambda: [kl.ZeroPadding1D((2, 0)), kl.Conv1D(4, 2)], (1, 5), False),
    "padding after a window": (
        lambda: [kl.Conv1D(4, 3), kl.ZeroPadding1D((2, 0)), kl.Dense(3)],
        (3, 5),
        False,
    ),
    "padding between windows": (
        lambda: [kl.Conv1D(4, 3), kl.ZeroPadding1D((2, 0)), kl.Conv1D(3, 3)],
        (3, 5),
        True,
    ),
    "padding at both ends, then crop": (
        lambda: [
            kl.ZeroPadding1D(4),
            kl.Conv1D(3, 3, dilation_rate=2, activation="tanh"),
            kl.BatchNormalization(),
            kl.Cropping1D((0, 4)),
            kl.GRU(2, return_sequences=True),
        ],
        (1, 3, 9),
        True,
    ),
    "crop more than was padded": (
        lambda: [kl.ZeroPadding1D((0, 2)), kl.Dense(2), kl.Cropping1D((1, 3)), kl.GRU(2)],
        (3, 9),
        True,
    ),
    "crop a same end": (
        lambda: [kl.Conv1D(3, 4, padding="same"), kl.Cropping1D((0, 2)), kl.LSTM(2)],
        (3, 9),
        True,
    ),
    "crop a transposed end": (
        lambda: [kl.Conv1DTranspose(3, 5, strides=2), kl.Cropping1D((0, 3)), kl.GRU(2)],
        (1, 6),
        True,
    ),
    "padding behind a state": (lambda: [kl.ZeroPadding1D((0, 1)), kl.GRU(3)], (1, 5), False),
    "right padding": (lambda: [kl.ZeroPadding1D((1, 1)), kl.Conv1D(4, 3)], (1, 5), False),
    "padding and stride": (
        lambda: [kl.ZeroPadding1D((3, 0)), kl.Conv1D(4, 5, strides=2)],
        (2, 8),
        True,
    ),
    "padding and last state": (
        lambda: [kl.ZeroPadding1D((3, 0)), kl.LSTM(4)],
        (1, 8),
        True,
    ),
    "crop left": (lambda: [kl.Cropping1D((2, 0))], (3, 7), True),
    "crop both": (lambda: [kl.Cropping1D((2, 3)), kl.Dense(2)], (6, 12), True),
    "crop a causal start": (
        lambda: [kl.Conv1D(3, 5, padding="causal"), kl.Cropping1D((4, 0)), kl.GRU(2)],
        (5, 12),
        True,
    ),
    "upsample": (lambda: [kl.UpSampling1D(3)], (1, 4), True),
    "three rows for two": (lambda: [kl.MaxPooling1D(2), kl.UpSampling1D(3)], (4, 8), True),
    "down and up": (
        lambda: [kl.MaxPooling1D(2), kl.GRU(3, return_sequences=True), kl.UpSampling1D(2)],
        (2, 8),
        True,
    ),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequence(name: str) -> None:
    make, lengths, streams = SEQUENCES[name]
    model = keras.Sequential([kl.Input((None, 3)), *make()])
    low = compare(model, lengths)
    assert (low.step is not None) == streams, low.reason


def test_one_channel() -> None:
    model = keras.Sequential([kl.Input((None, 1)), kl.Conv1D(1, 3, padding="causal"), kl.GRU(1)])
    assert compare(model, (1, 5)).step is not None


def test_warmup_counts_steps() -> None:
    model = keras.Sequential([kl.Input((None, 2)), kl.Conv1D(3, 4), kl.Conv1D(3, 3)])
    assert compare(model, (6, 9)).warmup == 5


def test_a_length_that_same_padding_fills_up_does_not_stream() -> None:
    """It is predicted as it is; a step would take rows that are not there."""
    for steps, streams in ((6, True), (7, False)):
        model = keras.Sequential([kl.Input((steps, 3)), kl.MaxPooling1D(3, padding="same")])
        low = compare(model)
        assert (low.step is not None) == streams, low.reason


def test_a_saved_length_of_which_the_rest_counts_does_not_stream() -> None:
    """A kept state has seen the rows after the last whole hop, which no step takes."""

    def gru(stateful: bool) -> Any:
        return kl.GRU(4, stateful=stateful, return_sequences=True)

    pool = kl.AveragePooling1D(3)
    stacks: list[tuple[int, list[Any], bool]] = [
        (8, [gru(True), pool], False),
        (9, [gru(True), pool], True),
        (8, [gru(False), pool], True),
        (8, [pool, gru(True)], True),
    ]
    for steps, layers, streams in stacks:
        low = compare(keras.Sequential([kl.Input(batch_shape=(2, steps, 3)), *layers]))
        assert (low.step is not None) == streams, low.reason


def test_hop() -> None:
    model = keras.Sequential([kl.Input((None, 2)), kl.MaxPooling1D(2), kl.Conv1D(3, 3, strides=3)])
    assert compare(model, (6, 12)).hop == 6


IMAGES: dict[str, tuple[Layers, bool]] = {
    "valid": (lambda: [kl.Conv2D(3, (3, 2), activation="relu")], True),
    "same": (lambda: [kl.Conv2D(3, (3, 2), padding="same")], False),
    "stride": (lambda: [kl.Conv2D(3, 3, strides=(2, 3), padding="same")], False),
    "dilation": (lambda: [kl.Conv2D(3, 2, dilation_rate=(2, 3))], True),
    "groups": (lambda: [kl.Conv2D(4, 2, groups=2)], True),
    "depthwise": (lambda: [kl.DepthwiseConv2D((2, 3), depth_multiplier=2, padding="same")], False),
    "depthwise valid": (lambda: [kl.DepthwiseConv2D((4, 3))], True),
    "separable": (lambda: [kl.SeparableConv2D(3, 2, strides=2, padding="same")], True),
    "transpose": (lambda: [kl.Conv2DTranspose(3, 3, strides=2, padding="same")], True),
    "transpose valid": (lambda: [kl.Conv2DTranspose(3, (2, 3), strides=(3, 1))], True),
    "max": (lambda: [kl.MaxPooling2D((2, 3), padding="same")], True),
    "average": (lambda: [kl.AveragePooling2D(3, strides=2, padding="same")], False),
    "average valid": (lambda: [kl.AveragePooling2D((4, 3), strides=1)], True),
    "global max": (lambda: [kl.GlobalMaxPooling2D()], True),
    "global average": (lambda: [kl.GlobalAveragePooling2D(keepdims=True)], True),
    "padding": (lambda: [kl.ZeroPadding2D(((2, 0), (1, 2))), kl.Conv2D(2, (3, 3))], True),
    "padding both": (lambda: [kl.ZeroPadding2D(1)], False),
    "cropping": (lambda: [kl.Cropping2D(((1, 1), (2, 1)))], True),
    "upsampling": (lambda: [kl.UpSampling2D((2, 3))], True),
    "upsampling across": (lambda: [kl.UpSampling2D((1, 3))], True),
    "per step": (lambda: [kl.Conv2D(2, (1, 3)), kl.MaxPooling2D((1, 2))], True),
}


@pytest.mark.parametrize("name", IMAGES)
def test_image(name: str) -> None:
    make, streams = IMAGES[name]
    model = keras.Sequential([kl.Input((None, 10, 4)), *make()])
    low = compare(model, (6, 8))
    assert (low.step is not None) == streams, low.reason


@pytest.mark.parametrize(
    "make",
    [
        lambda: kl.Conv1D(4, 3, data_format="channels_first"),
        lambda: kl.MaxPooling1D(2, data_format="channels_first"),
        lambda: kl.AveragePooling1D(3, 2, padding="same", data_format="channels_first"),
        lambda: kl.GlobalAveragePooling1D(data_format="channels_first"),
        lambda: kl.GlobalMaxPooling1D(data_format="channels_first", keepdims=True),
    ],
)
def test_channels_first(make: Callable[[], Any]) -> None:
    assert compare(keras.Sequential([kl.Input((3, 8)), make()])).step is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: kl.Conv2D(4, 3, padding="same", data_format="channels_first"),
        lambda: kl.ZeroPadding2D(((1, 0), (2, 1)), data_format="channels_first"),
        lambda: kl.UpSampling2D(2, data_format="channels_first"),
        lambda: kl.Cropping2D(1, data_format="channels_first"),
        lambda: kl.GlobalAveragePooling2D(data_format="channels_first"),
    ],
)
def test_channels_first_image(make: Callable[[], Any]) -> None:
    compare(keras.Sequential([kl.Input((3, 6, 5)), make()]))


@pytest.mark.parametrize("size", [(2, 3), (3, 1), (1, 2)])
def test_bilinear(size: tuple[int, int]) -> None:
    layer = kl.UpSampling2D(size, interpolation="bilinear")
    low = compare(keras.Sequential([kl.Input((None, 4, 2)), layer]), (1, 5))
    assert (low.step is not None) == (size[0] == 1)


@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_adaptive_pooling(kind: str) -> None:
    one, two = (getattr(kl, f"Adaptive{kind}Pooling{n}D") for n in (1, 2))
    for length, size in ((7, 3), (8, 4), (9, 6), (3, 5)):
        compare(keras.Sequential([kl.Input((length, 2)), one(size)]))
    compare(keras.Sequential([kl.Input((2, 7, 6)), two((3, 4), data_format="channels_first")]))


FIRST: Any = {"data_format": "channels_first"}
TURNED: dict[str, Layers] = {
    "convolutions": lambda: [
        kl.ZeroPadding1D((4, 0), **FIRST),
        kl.Conv1D(4, 3, activation="relu", **FIRST),
        kl.BatchNormalization(axis=1),
        kl.DepthwiseConv1D(2, **FIRST),
        kl.MaxPooling1D(2, strides=1, **FIRST),
        kl.Permute((2, 1)),
        kl.GRU(2, return_sequences=True),
    ],
    "pooled": lambda: [
        kl.Conv1D(4, 3, **FIRST),
        kl.Activation("tanh"),
        kl.GlobalAveragePooling1D(**FIRST),
        kl.Dense(2),
    ],
    "hops": lambda: [
        kl.AveragePooling1D(2, **FIRST),
        kl.Dropout(0.1),
        kl.Permute((2, 1)),
        kl.LSTM(2),
    ],
}


@pytest.mark.parametrize("name", TURNED)
def test_channels_first_between_permutes(name: str) -> None:
    model = keras.Sequential([kl.Input((None, 3)), kl.Permute((2, 1)), *TURNED[name]()])
    low = compare(model, (4, 8))
    assert low.step is not None, low.reason


def test_images_between_permutes() -> None:
    layers = [kl.Permute((3, 1, 2)), kl.Conv2D(3, (3, 2), **FIRST), kl.Permute((2, 1, 3))]
    model = keras.Sequential([kl.Input((None, 5, 2)), *layers])
    low = compare(model, (3, 6))
    assert low.step is not None, low.reason
    assert [n.output_shape for n in low.layers[1:]] == [(2, None, 5), (3, None, 4), (None, 3, 4)]


def test_moved_time_that_is_used() -> None:
    x = kl.Input((6, 3))
    y = kl.Permute((2, 1))(x)
    low = compare(keras.Model(x, [kl.Dense(2)(y), y]))
    assert str(low.reason).endswith("(Permute): it swaps the time axis with another")


@pytest.mark.parametrize("sequences", [True, False])
def test_conv_lstm(sequences: bool) -> None:
    model = keras.Sequential(
        [
            kl.Input((None, 5, 4, 2)),
            kl.ConvLSTM2D(3, (2, 3), padding="same", return_sequences=sequences),
        ]
    )
    assert compare(model, (1, 4)).step is not None
    model = keras.Sequential(
        [kl.Input((None, 6, 2)), kl.ConvLSTM1D(3, 3, strides=2, return_sequences=sequences)]
    )
    assert compare(model, (1, 4)).step is not None


@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("merge", ["concat", "ave", None])
def test_conv_lstm_with_channels_first_in_both_directions(
    sequences: bool, merge: str | None
) -> None:
    """The wrapper runs the layer itself; a cube hides which axis has the channels."""
    layer = kl.ConvLSTM2D(
        3, 2, padding="same", data_format="channels_first", return_sequences=sequences
    )
    for shape in ((None, 3, 3, 3), (None, 2, 3, 4)):
        x = kl.Input(shape)
        compare(keras.Model(x, kl.Bidirectional(layer, merge_mode=merge)(x)), (1, 3))


def test_slices_of_time() -> None:
    x = kl.Input((None, 3))
    y = kl.Conv1D(3, 3, padding="causal")(x)
    model = keras.Model(x, kl.GRU(2)(y[:, 2:] - x[:, :-2]))
    assert compare(model, (3, 8)).warmup == 2
    model = keras.Model(x, kl.Dense(2)(y[:, 1::3]))
    low = compare(model, (3, 9))
    assert (low.hop, low.warmup) == (3, 0)
    low = compare(keras.Model(x, kl.Reshape((6,))(y[:, -3:-1])), (3, 8))
    assert low.step is not None
    assert low.warmup == 2


def test_last_row_after_the_last_step() -> None:
    x = kl.Input((None, 3))
    y = kl.ZeroPadding1D((0, 2))(x)
    for last in (y[:, -1], keras.ops.sum(y, axis=1), kl.GlobalMaxPooling1D()(y), y[:, -2:]):
        assert compare(keras.Model(x, last), (4,)).step is None
    assert compare(keras.Model(x, kl.Reshape((3,))(y[:, -3:-2])), (4,)).step is not None


@pytest.mark.parametrize("kind", ["mean", "sum", "max", "min"])
def test_reduction_of_all_steps(kind: str) -> None:
    x = kl.Input((None, 4, 3))
    reduced = getattr(keras.ops, kind)
    assert compare(keras.Model(x, reduced(x, axis=1)), (1, 5)).step is not None
    assert compare(keras.Model(x, reduced(x, axis=[1, 2], keepdims=True)), (1, 5)).step is not None


def test_the_only_row() -> None:
    for layer in (kl.Flatten(), kl.Reshape((3,))):
        model = keras.Sequential([kl.Input((1, 4)), kl.GRU(3, return_sequences=True), layer])
        low = compare(model)
        assert low.step is not None
        assert len(low.whole.outputs[0].shape) == 1
    x = kl.Input((1, 4))
    assert compare(keras.Model(x, keras.ops.squeeze(kl.Dense(2)(x), 1))).step is not None
    model = keras.Sequential([kl.Input((1, 4)), kl.ZeroPadding1D((1, 0)), kl.Flatten()])
    assert compare(model).step is None


def test_vector_beside_a_sequence() -> None:
    x, c = kl.Input((8, 3)), kl.Input((4,))
    y = kl.Concatenate()([kl.Conv1D(2, 3, padding="causal")(x), kl.RepeatVector(8)(c)])
    assert compare(keras.Model([x, c], kl.GRU(3, return_sequences=True)(y))).step is not None


def test_decoder_that_starts_anew_at_every_step() -> None:
    layers = [kl.Conv1D(3, 3), kl.GRU(3), kl.RepeatVector(4)]
    layers += [kl.LSTM(3, return_sequences=True), kl.Conv1D(2, 2, padding="same")]
    low = compare(keras.Sequential([kl.Input((None, 3)), *layers]), (3, 9))
    assert low.warmup == 2
    layers = [kl.GRU(3), kl.RepeatVector(5), kl.Bidirectional(kl.GRU(2, return_sequences=True))]
    assert compare(keras.Sequential([kl.Input((5, 3)), *layers])).step is not None


def test_residual_of_another_delay() -> None:
    x = kl.Input((None, 3))
    y = kl.Conv1D(3, 3)(x)
    model = keras.Model(x, kl.Add()([y, kl.Cropping1D((1, 1))(x)]))
    low = compare(model, (3, 8))
    assert low.warmup == 2


def test_padding_meets_a_branch() -> None:
    x = kl.Input((None, 3))
    y = kl.Conv1D(3, 3)(kl.ZeroPadding1D((2, 0))(x))
    z = kl.Conv1D(3, 4, padding="causal")(x)
    model = keras.Model(x, kl.Concatenate()([y, z, x]))
    assert compare(model, (1, 8)).warmup == 0
