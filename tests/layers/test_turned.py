"""A layer after a Permute, or after one with channels_first, computes what it would without.

Such layers may leave the time axis in front and only note the order of the axes, so that what
follows can stream. No layer may show that: every class is put behind them here, on inputs whose
axes have equal lengths (where a wrong axis changes nothing but numbers) and unequal ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras
import pytest
from keras import layers as kl
from keras import ops

from codegen.layers.convolution import WithFilters
from codegen.layers.core import ActivationLayer, BatchNormalization, Identity, WithChannels
from codegen.layers.locally_connected import LocallyConnected
from codegen.layers.merging import Merge
from codegen.layers.operations import Operation
from codegen.layers.pooling import GlobalPooling
from codegen.layers.reshaping import Permute
from codegen.model import Layer
from codegen.readers.keras.table import TABLE
from tests.layers.oracle import compare, shapes_agree

Make = Callable[[Any], Any]
FIRST: Any = {"data_format": "channels_first"}
LAYOUTS: tuple[Any, ...] = ({}, FIRST)


def tanh(x: Any) -> Any:
    """A second tensor beside `x`."""
    return kl.Activation("tanh")(x)


def windows(rank: int) -> dict[str, list[Callable[[], Any]]]:
    """The layers over `rank` axes and channels, which come last or first."""
    high, wide = (2,) + (1,) * (rank - 1), (1,) * (rank - 1) + (3,)
    padding = ((1, 2), (0, 1))[:rank]

    def of(name: str) -> Any:
        return getattr(kl, name)

    rows: dict[str, list[Callable[[Any], Any]]] = {
        f"Conv{rank}D": [
            lambda k: of(f"Conv{rank}D")(3, high, **k),
            lambda k: of(f"Conv{rank}D")(3, wide, padding="same", activation="softmax", **k),
        ],
        f"SeparableConv{rank}D": [lambda k: of(f"SeparableConv{rank}D")(3, high, **k)],
        f"DepthwiseConv{rank}D": [
            lambda k: of(f"DepthwiseConv{rank}D")(high, depth_multiplier=2, **k)
        ],
        f"Conv{rank}DTranspose": [
            lambda k: of(f"Conv{rank}DTranspose")(3, high, strides=high, **k)
        ],
        f"ZeroPadding{rank}D": [
            lambda k: of(f"ZeroPadding{rank}D")(padding if rank > 1 else padding[0], **k)
        ],
    }
    for kind in ("Max", "Average"):
        plain, full, adaptive = (
            f"{kind}Pooling{rank}D",
            f"Global{kind}Pooling{rank}D",
            f"Adaptive{kind}Pooling{rank}D",
        )
        rows |= {
            plain: [
                lambda k, name=plain: of(name)(high, **k),
                lambda k, name=plain: of(name)(wide, strides=1, padding="same", **k),
            ],
            full: [
                lambda k, name=full: of(name)(**k),
                lambda k, name=full: of(name)(keepdims=True, **k),
            ],
            adaptive: [lambda k, name=adaptive: of(name)(high, **k)],
        }
    if rank == 2:  # over one axis Keras has no data_format for these
        rows |= {
            "Cropping2D": [lambda k: kl.Cropping2D(((1, 0), (0, 1)), **k)],
            "UpSampling2D": [
                lambda k: kl.UpSampling2D((2, 3), **k),
                lambda k: kl.UpSampling2D((2, 3), interpolation="bilinear", **k),
            ],
        }
    return {
        name: [lambda make=make, k=k: make(k) for make in made for k in LAYOUTS]
        for name, made in rows.items()
    }


def new(kind: Callable[[], Any]) -> Make:
    """A new layer for each input."""

    def make(x: Any) -> Any:
        return kind()(x)

    return make


def einsum(equation: str, bias: str | None = None) -> Make:
    """An EinsumDense on a tensor of the letters a, b, c, ...; other letters are 3 long."""

    def make(x: Any) -> Any:
        lengths = dict(zip("abcd", x.shape, strict=False))
        shape = tuple(lengths.get(letter, 3) for letter in equation.split("->")[1][1:])
        return kl.EinsumDense(equation, shape, bias_axes=bias)(x)

    return make


def of_any_rank(rank: int) -> dict[str, list[Make]]:
    """Layers on `rank` axes besides the batch axis."""
    axes = (*range(1, rank + 1), -1, -2)
    sets = [c for n in range(rank + 1) for c in itertools.combinations(range(1, rank + 1), n)]
    several = [list(c) for c in sets if c]
    orders = list(itertools.permutations(range(1, rank + 1)))

    def over(make: Callable[[Any], Any], choices: Any = axes) -> list[Make]:
        return [lambda x, a=a: make(a)(x) for a in choices]

    def divisor(a: int) -> Make:
        return lambda x: kl.GroupNormalization(-1 if x.shape[a] % 2 else 2, axis=a)(x)

    return {
        "Activation": [tanh, new(lambda: kl.Activation("softmax"))],
        "Softmax": over(lambda a: kl.Softmax(axis=a)),
        "LeakyReLU": [new(kl.LeakyReLU)],
        "PReLU": over(lambda a: kl.PReLU(shared_axes=a or None), sets),
        "Dropout": [new(lambda: kl.Dropout(0.5))],
        "Dense": [new(lambda: kl.Dense(3, activation="softmax"))],
        "EinsumDense": [
            einsum("abc,cz->abz", "z") if rank == 2 else einsum("abcd,dz->abcz", "z"),
            einsum("abc,bz->azc") if rank == 2 else einsum("abcd,dc->abc"),
            einsum("abc,bcz->abz", "bz") if rank == 2 else einsum("abcd,bdz->abcz"),
        ],
        "BatchNormalization": over(lambda a: kl.BatchNormalization(axis=a)),
        "LayerNormalization": over(lambda a: kl.LayerNormalization(axis=a), several),
        "GroupNormalization": over(divisor),
        "UnitNormalization": over(lambda a: kl.UnitNormalization(axis=a), several),
        "RMSNormalization": [new(kl.RMSNormalization)],
        "Normalization": over(lambda a: kl.Normalization(axis=a), several),
        "Rescaling": [lambda x: kl.Rescaling([float(n) for n in range(x.shape[-1])], 0.5)(x)],
        "Discretization": [new(lambda: kl.Discretization([0.0, 0.5], output_mode="one_hot"))],
        "Flatten": [lambda x, k=k: kl.Flatten(**k)(x) for k in LAYOUTS],
        "Reshape": [
            lambda x: kl.Reshape((-1, x.shape[1]))(x),
            lambda x: kl.Reshape((x.shape[1], -1))(x),
            lambda x: kl.Reshape((*x.shape[1:], 1))(x),
        ],
        "Permute": [lambda x, p=p: kl.Dense(2)(kl.Permute(p)(x)) for p in orders]
        + [lambda x, p=p: kl.Permute(p)(x) for p in orders],
        "Add": [lambda x: kl.Add()([x, tanh(x)]), lambda x: kl.Add()([x, x[:, :1]])],
        "Subtract": [lambda x: kl.Subtract()([x, tanh(x)])],
        "Multiply": [lambda x: kl.Multiply()([x, tanh(x), kl.Dense(1)(x)])],
        "Average": [lambda x: kl.Average()([x, tanh(x)])],
        "Maximum": [lambda x: kl.Maximum()([x, tanh(x)])],
        "Minimum": [lambda x: kl.Minimum()([x, tanh(x)])],
        "Concatenate": over(lambda a: lambda x: kl.Concatenate(axis=a)([x, tanh(x)])),
        "MultiHeadAttention": [lambda x: kl.MultiHeadAttention(2, 3)(x, tanh(x))],
    }


SEQUENCES: dict[str, list[Make]] = {
    **{name: [*map(new, made)] for name, made in windows(1).items()},
    **of_any_rank(2),
    "Cropping1D": [new(lambda: kl.Cropping1D((1, 0)))],
    "UpSampling1D": [new(lambda: kl.UpSampling1D(2))],
    "SimpleRNN": [new(lambda: kl.SimpleRNN(3))],
    "GRU": [new(lambda: kl.GRU(3, return_sequences=True))],
    "LSTM": [new(lambda: kl.LSTM(3, go_backwards=True))],
    "RNN": [new(lambda: kl.RNN([kl.GRUCell(3), kl.LSTMCell(2)]))],
    "Bidirectional": [new(lambda: kl.Bidirectional(kl.GRU(3, return_sequences=True)))],
    "TimeDistributed": [new(lambda: kl.TimeDistributed(kl.Dense(3)))],
    "Masking": [lambda x: kl.GRU(3)(kl.Masking(0.1)(x))],
    "SpectralNormalization": [new(lambda: kl.SpectralNormalization(kl.Conv1D(3, 2)))],
    "Attention": [lambda x: kl.Attention()([x, tanh(x)])],
    "AdditiveAttention": [lambda x: kl.AdditiveAttention()([x, tanh(x)])],
    "GroupQueryAttention": [lambda x: kl.GroupQueryAttention(3, 2, 1)(x, tanh(x))],
    "Dot": [lambda x, a=a: kl.Dot(a)([x, tanh(x)]) for a in (1, 2)]
    + [lambda x, a=a: kl.Dot(a)([x, kl.Permute((2, 1))(x)]) for a in ((1, 2), (2, 1))],
    "RepeatVector": [lambda x: kl.RepeatVector(4)(kl.Flatten()(x))],
    "Embedding": [lambda x: kl.Embedding(3, 2)(kl.Discretization([0.0, 0.5])(x))],
    "operations": [
        lambda x: 1 - x * 2,
        lambda x: x[:, 1:],
        lambda x: x[:, -1],
        lambda x: ops.mean(x, axis=1),
        lambda x: ops.max(x, axis=-1, keepdims=True),
        lambda x: ops.cumsum(x, axis=1),
        lambda x: ops.flip(x, axis=2),
        lambda x: ops.softmax(x, axis=1),
        lambda x: ops.swapaxes(x, 1, 2),
        lambda x: ops.transpose(x, (0, 2, 1)),
        lambda x: ops.stack([x, tanh(x)], axis=1),
        lambda x: ops.einsum("abc,adc->abd", x, x),
        lambda x: ops.where(x > 0, x, ops.sum(x, axis=1, keepdims=True)),
    ],
}
IMAGES: dict[str, list[Make]] = {
    **{name: [*map(new, made)] for name, made in windows(2).items()},
    **of_any_rank(3),
    "ConvLSTM1D": [lambda x, k=k: kl.ConvLSTM1D(2, 2, **k)(x) for k in LAYOUTS],
    "TimeDistributed": [
        lambda x, k=k: kl.TimeDistributed(kl.Conv1D(2, 2, **k))(x) for k in LAYOUTS
    ],
    "operations": [
        lambda x: ops.sum(x, axis=(1, 3)),
        lambda x: ops.moveaxis(x, 3, 1),
        lambda x: ops.expand_dims(x, 2),
    ],
}
BEFORE_SEQUENCES: dict[str, Make] = {
    "nothing": lambda x: x,
    "permute": new(lambda: kl.Permute((2, 1))),
    "channels first": new(lambda: kl.Conv1D(3, 2, **FIRST)),
    "both": lambda x: kl.Conv1D(3, 2, **FIRST)(tanh(kl.Permute((2, 1))(x))),
    "pooling": lambda x: kl.Permute((2, 1))(kl.MaxPooling1D(2, strides=1)(x)),
}
BEFORE_IMAGES: dict[str, Make] = {
    "nothing": lambda x: x,
    "permute": new(lambda: kl.Permute((3, 1, 2))),
    "two": lambda x: kl.Permute((2, 1, 3))(kl.Permute((3, 1, 2))(x)),
    "reversed": new(lambda: kl.Permute((3, 2, 1))),
    "channels first": lambda x: kl.MaxPooling2D((2, 1), **FIRST)(kl.Permute((3, 1, 2))(x)),
}


def follow(shape: tuple[int, ...], before: dict[str, Make], made: list[Make]) -> None:
    """Each layer behind each producer, all as branches of one model, agrees with Keras."""
    x = kl.Input(shape)
    turned = [make(x) for make in before.values()]
    outputs = [make(y) for y in turned for make in made]
    model = keras.Model(x, outputs)
    shapes_agree(model, compare(model))


@pytest.mark.parametrize("shape", [(4, 4), (6, 4)], ids=str)
@pytest.mark.parametrize("name", SEQUENCES)
def test_after_turned_sequence(name: str, shape: tuple[int, ...]) -> None:
    follow(shape, BEFORE_SEQUENCES, SEQUENCES[name])


@pytest.mark.parametrize("shape", [(4, 4, 4), (6, 5, 4)], ids=str)
@pytest.mark.parametrize("name", IMAGES)
def test_after_turned_image(name: str, shape: tuple[int, ...]) -> None:
    follow(shape, BEFORE_IMAGES, IMAGES[name])


# Layers that this Keras has not, and others that do as one that is in the tables.
ELSEWHERE = {
    "AttentionProjection", "ConvLSTM1DCell", "ConvLSTM2D", "ConvLSTM2DCell", "GRUCell", "LSTMCell",
    "SimpleRNNCell", "StackedRNNCells", "CategoryEncoding", "GroupedQueryAttention",
    "ActivityRegularization", "AlphaDropout", "ELU", "GaussianDropout", "GaussianNoise",
    "Identity", "ReLU", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
}  # fmt: skip


def test_every_layer_is_put_behind() -> None:
    live = {name for name in TABLE if hasattr(kl, name)}
    assert live - ELSEWHERE <= {*SEQUENCES, *IMAGES}


def test_layers_that_take_turned_inputs_are_known() -> None:
    """Every other class gets its inputs in Keras' order; these stream in the tests below."""

    def below(kind: type[Layer]) -> set[type[Layer]]:
        return {kind}.union(*(below(k) for k in kind.__subclasses__()))

    declared = {kind for kind in below(Layer) if "turned" in vars(kind)} - {Layer}
    assert declared == {
        ActivationLayer, BatchNormalization, GlobalPooling, Identity,
        LocallyConnected, Merge, Operation, Permute, WithChannels, WithFilters,
    }  # fmt: skip


STREAMING: dict[str, tuple[Make, Make]] = {
    "activation": (tanh, tanh),
    "dropout": (new(lambda: kl.Dropout(0.5)), new(lambda: kl.Dropout(0.5))),
    "merge": (lambda x: kl.Add()([x, tanh(x)]), lambda x: kl.Add()([x, tanh(x)])),
    "normalised channels": (
        new(lambda: kl.BatchNormalization(axis=1)),
        new(lambda: kl.BatchNormalization(axis=-1)),
    ),
}
for _name, _made in windows(1).items():
    for _number, (_last, _first) in enumerate(zip(_made[::2], _made[1::2], strict=True)):
        STREAMING[f"{_name} {_number}"] = new(_first), new(_last)


@pytest.mark.parametrize("name", STREAMING)
def test_streams_as_without(name: str) -> None:
    """With channels first between Permutes it steps where it does with channels last."""
    first, last = STREAMING[name]

    def model(turned: bool) -> Any:
        x = y = kl.Input((8, 3))
        y = first(kl.Permute((2, 1))(y)) if turned else last(y)
        return keras.Model(x, kl.Permute((2, 1))(y) if turned and len(y.shape) == 3 else y)

    low = compare(model(True))
    plain = compare(model(False))
    assert (low.step is None) == (plain.step is None), (low.reason, plain.reason)
    assert (low.hop, low.warmup) == (plain.hop, plain.warmup)
