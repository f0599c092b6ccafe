"""Axes that Keras treats otherwise than they read, on shapes where only numbers tell.

Every layer with an axis is also in `test_turned`, on equal and unequal lengths.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers as kl
from keras import ops

from codegen.errors import UnsupportedError
from codegen.lowering import lower
from tests.layers.oracle import compare, lowered
from tests.layers.test_refusals import live

FIRST: Any = {"data_format": "channels_first"}


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((4, 4), 1), ((4, 4), -2), ((4, 4), [1, 2]), ((4, 4), [-1, 1]), ((1, 4), 1),
        ((4, 4, 4), 1), ((4, 4, 4), 2), ((4, 4, 4), [1, 2]), ((4, 4, 4), [1, 3]),
        ((4, 4, 4), [2, 3]), ((6, 4, 5), [2, 3]), ((4, 5, 4), 1), ((5, 4, 4), 2),
    ],
    ids=str,
)  # fmt: skip
def test_rms_scale_broadcasts_along_the_last_axes(shape: tuple[int, ...], axis: Any) -> None:
    compare(keras.Sequential([kl.Input(shape), kl.RMSNormalization(axis=axis)]))


def test_rms_scale_that_would_widen_its_input_is_refused() -> None:
    """Keras says that it gives its input's shape, and then gives (4, 4)."""
    model = keras.Sequential([kl.Input((4, 1)), kl.RMSNormalization(axis=1)])
    with pytest.raises(UnsupportedError, match="length 1 found, expected == 4"):
        lowered(model)


@pytest.mark.parametrize("axis", [[-1, 1], [-2, 1], [-1, 2], [-1, 1, 2]])
def test_weights_of_layer_normalization_in_another_order(axis: list[int]) -> None:
    """Keras lays gamma, whose axes are in the order of `axis`, along those of the input."""
    compare(keras.Sequential([kl.Input((6, 5, 4)), kl.LayerNormalization(axis=axis)]))


def test_given_statistics_belong_to_the_axes_kept() -> None:
    x = kl.Input((4, 4, 4))
    given: dict[str, Any] = {"mean": [0.0, 1.0, 2.0, 3.0], "variance": [1.0, 2.0, 3.0, 4.0]}
    both: dict[str, Any] = {"mean": [[0.5] * 4] * 4, "variance": [given["variance"]] * 4}
    outputs = [kl.Normalization(axis=axis, **given)(x) for axis in (1, 2, -1, (1, 2), (1, 3))]
    outputs += [kl.Normalization(axis=axis, **both)(x) for axis in ((1, 2), (2, 1), (1, 3))]
    compare(keras.Model(x, outputs))


@pytest.mark.parametrize("activation", ["softmax", "log_softmax", "glu"])
@pytest.mark.parametrize("shape", [(4, 4), (4, 6), (4, 4, 4), (2, 4, 6)], ids=str)
def test_activations_run_along_the_last_axis(shape: tuple[int, ...], activation: str) -> None:
    """With channels_first that is not the axis of the channels."""
    x = kl.Input(shape)
    rank = len(shape) - 1
    settings: dict[str, Any] = {"padding": "same", "activation": activation, **FIRST}
    names = [f"Conv{rank}D", f"SeparableConv{rank}D", f"Conv{rank}DTranspose"]
    outputs = [getattr(kl, name)(4, 2, **settings)(x) for name in names]
    outputs.append(getattr(kl, f"DepthwiseConv{rank}D")(2, **settings)(x))
    turned = kl.Permute((rank + 1, *range(1, rank + 1)))(x)
    outputs.append(getattr(kl, names[0])(4, 2, **settings)(turned))
    compare(keras.Model(x, outputs))


@pytest.mark.parametrize(
    "before", [lambda: kl.MaxPooling1D(2), lambda: kl.Cropping1D(2), lambda: kl.Conv1D(4, 5)]
)
def test_as_many_rows_as_the_model_is_long(before: Callable[[], Any]) -> None:
    """A Reshape to that many rows keeps no step by itself where there are fewer."""
    low = compare(keras.Sequential([kl.Input((8, 4)), before(), kl.Reshape((8, -1))]))
    assert "it cuts the sequence into other pieces" in str(low.reason)


def test_as_many_rows_again_as_the_model_is_long() -> None:
    layers = [kl.ZeroPadding1D((2, 0)), kl.Conv1D(4, 3), kl.Reshape((8, 2, -1))]
    low = compare(keras.Sequential([kl.Input((8, 4)), *layers]))
    assert low.step is not None, low.reason


OPERATIONS: dict[str, Callable[[Any, int], Any]] = {
    "sum": lambda x, a: ops.sum(x, axis=a),
    "mean": lambda x, a: ops.mean(x, axis=a, keepdims=True),
    "max": lambda x, a: ops.max(x, axis=a),
    "product": lambda x, a: ops.prod(x, axis=a),
    "variance": lambda x, a: ops.var(x, axis=a),
    "logsumexp": lambda x, a: ops.logsumexp(x, axis=a),
    "norm": lambda x, a: ops.norm(x, axis=(a,)),
    "normalize": lambda x, a: ops.normalize(x, axis=a),
    "softmax": lambda x, a: ops.softmax(x, axis=a),
    "logarithm of softmax": lambda x, a: ops.log_softmax(x, axis=a),
    "largest": lambda x, a: ops.argmax(x, axis=a),
    "running sum": lambda x, a: ops.cumsum(x, axis=a),
    "flip": lambda x, a: ops.flip(x, axis=a),
    "roll": lambda x, a: ops.roll(x, 1, axis=a),
    "take": lambda x, a: ops.take(x, [1, 0], axis=a),
    "repeat": lambda x, a: ops.repeat(x, 2, axis=a),
    "split": lambda x, a: ops.split(x, [1], axis=a)[1],
    "unstack": lambda x, a: ops.unstack(x, axis=a)[1],
    "stack": lambda x, a: ops.stack([x, -x], axis=a),
    "concatenate": lambda x, a: ops.concatenate([x, -x], axis=a),
    "expand": lambda x, a: ops.expand_dims(x, axis=a),
    "move": lambda x, a: ops.moveaxis(x, a, 1),
    "swap": lambda x, a: ops.swapaxes(x, 1, a),
}


@pytest.mark.parametrize("shape", [(4, 4), (5, 4), (4, 4, 4), (5, 4, 6)], ids=str)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_along_every_axis(name: str, shape: tuple[int, ...]) -> None:
    x = kl.Input(shape)
    rank = len(shape)
    axes = (*range(1, rank + 1), *range(-rank, 0))
    compare(keras.Model(x, [OPERATIONS[name](x, axis) for axis in axes]))


@pytest.mark.parametrize(
    ("swap", "expected"),
    [
        (('"axis": 1', '"axis": 3'), "axis 3 of an input with 2 axes"),
        (('"axis": 1', '"axis": -3'), "axis -3 of an input with 2 axes"),
        (('"dims": [2, 1]', '"dims": [1, 3, 2]'), "axes (0, 2, 1) of an input with 2 axes"),
        (('"dims": [2, 1]', '"dims": [3, 1, 2]'), "axes (2, 0, 1) of an input with 2 axes"),
    ],
)
def test_axes_that_are_not_there(tmp_path: Path, swap: tuple[str, str], expected: str) -> None:
    """No file of Keras has them; behind a Permute they are refused as they are elsewhere."""
    layers = [kl.Permute((2, 1)), kl.BatchNormalization(axis=1)]
    model = keras.Sequential([kl.Input((4, 4)), *layers])
    with pytest.raises(UnsupportedError, match=re.escape(expected)):
        lower(live(lambda: model, swap=swap)(tmp_path))


ALONG_TIME: dict[str, Callable[[], Any]] = {
    "Dense": lambda: kl.Dense(4),
    "Dense, 1": lambda: kl.Dense(1),
    "Rescaling": lambda: kl.Rescaling([0.5, 1.5, -1.0, 2.0]),
    "Rescaling, offset": lambda: kl.Rescaling(2.0, [0.5, 1.5, -1.0, 2.0]),
    "BatchNormalization": kl.BatchNormalization,
    "LayerNormalization": kl.LayerNormalization,
    "RMSNormalization": kl.RMSNormalization,
    "UnitNormalization": kl.UnitNormalization,
    "Normalization": lambda: kl.Normalization(mean=[0.0, 1.0, 2.0, 3.0], variance=[1.0] * 4),
    "PReLU": kl.PReLU,
    "Softmax": kl.Softmax,
    "softmax": lambda: kl.Activation("softmax"),
    "EinsumDense": lambda: kl.EinsumDense("ab,bc->ac", 4),
    "Add": lambda: lambda x: kl.Add()([x, ops.reshape(ops.arange(4.0), (1, 4))]),
    "add": lambda: lambda x: x + ops.arange(4.0),
    "less": lambda: lambda x: x < ops.arange(4.0),
    "where": lambda: lambda x: ops.where(x > 0, ops.arange(4.0), x),
    "matmul": lambda: lambda x: ops.matmul(x, ops.ones((4, 4))),
    "cumsum": lambda: lambda x: ops.cumsum(x, axis=-1),
    "flip": lambda: lambda x: ops.flip(x, axis=-1),
    "roll": lambda: lambda x: ops.roll(x, 1, axis=-1),
    "argmax": lambda: lambda x: ops.argmax(x, axis=-1, keepdims=True),
}


@pytest.mark.parametrize("name", ALONG_TIME)
def test_the_last_axis_may_be_time(name: str) -> None:
    """One number a step: what has another meaning for each of them is no step by itself."""
    x = kl.Input((4, 3))
    y = ALONG_TIME[name]()(x[:, :, 0])
    compare(keras.Model(x, y))
    compare(keras.Model(x, [y, kl.GRU(2, return_sequences=True)(x)]))


def test_rows_of_unequal_number_are_no_steps() -> None:
    """Three steps have a mean of one row, which is laid along; six have two, which fit no more."""
    x = kl.Input((3, 4))
    low = compare(keras.Model(x, kl.Average()([x, kl.AveragePooling1D(3)(x)])))
    assert low.step is None
