"""Operations of Keras 3 as nodes of functional models, against live Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl
from keras import ops

from codegen.errors import UnsupportedError
from tests.layers.oracle import compare

TABLE = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)


def whole(x: Any) -> Any:
    return ops.cast(3 * x, "int32")


# name: a function of two tensors of 4 steps with 6 features
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "last step": lambda x, z: x[:, -1],
    "new axis": lambda x, z: x[:, None] + z[:, :, None],
    "new last axis": lambda x, z: x[..., None] * z[..., 2:3, None],
    "every second": lambda x, z: x[:, 1::2] + z[:, ::2],
    "backwards": lambda x, z: x[:, ::-1] + z[..., ::-1],
    "last two": lambda x, z: x[:, -2:] * z[:, :2],
    "one element": lambda x, z: x[:, 2, 1:3],
    "where": lambda x, z: ops.where(x > z, x, 0.5),
    "where number": lambda x, z: ops.where(x > 0, 1.0, z),
    "number below": lambda x, z: ops.cast(ops.less(0.1, x), "float32") * z,
    "take one": lambda x, z: ops.take(x, 1, axis=1) + ops.take(z, -1, axis=1),
    "take": lambda x, z: ops.take(x, np.array([0, 3, 3]), axis=2),
    "repeat": lambda x, z: ops.repeat(x, 3, axis=1) + ops.repeat(z, 3, axis=1),
    "repeat features": lambda x, z: ops.repeat(x, 2, axis=-1),
    "split": lambda x, z: ops.split(x, 3, axis=-1)[1],
    "split at": lambda x, z: ops.split(x, [1, 3], axis=1)[1],
    "unstack": lambda x, z: ops.unstack(x, axis=1)[2],
    "swap": lambda x, z: ops.swapaxes(x, 1, 2),
    "move": lambda x, z: ops.moveaxis(ops.expand_dims(x, 1), 3, 1),
    "pad": lambda x, z: ops.pad(x, ((0, 0), (1, 2), (0, 1))),
    "einsum": lambda x, z: ops.einsum("btf,bsf->bts", x, z),
    "einsum of rows": lambda x, z: ops.einsum("btf,btf->bt", x, z),
    "matrix": lambda x, z: ops.matmul(x, np.arange(12).reshape(6, 2).astype("float32") / 6),
    "variance": lambda x, z: ops.var(x, axis=1) + ops.std(z, axis=1),
    "deviation": lambda x, z: ops.std(x, axis=-1, keepdims=True) * z,
    "logsumexp": lambda x, z: ops.logsumexp(x, axis=-1),
    "count": lambda x, z: ops.cast(ops.count_nonzero(x > 0, axis=1), "float32"),
    "whole numbers": lambda x, z: ops.cast(ops.cast(3 * x, "int32"), "float32") + z,
    "arithmetic of integers": lambda x, z: ops.cast(
        whole(x) * whole(z) - whole(x) // 2 + ops.mod(whole(z), 3) + ops.abs(whole(x)), "float32"
    ),
    "reduced integers": lambda x, z: (
        ops.mean(whole(x), axis=-1) + ops.sum(whole(z), axis=1)[:, :4] / 2 + ops.std(whole(x), 2)
    ),
    "layers on integers": lambda x, z: (
        kl.Dense(3)(whole(x)) + kl.GRU(3, return_sequences=True)(whole(z))
    ),
    "truth values": lambda x, z: (
        ops.sum(ops.logical_or(x > 0, z > 0), axis=-1) + ops.sum(ops.maximum(x > 1, z > 1), axis=2)
    ),
    "rounding": lambda x, z: ops.floor(x) + ops.ceil(2 * z) + ops.round(3 * x) + ops.trunc(z),
    "logarithms": lambda x, z: ops.log1p(ops.square(x)) + ops.log2(ops.exp(z)),
    "powers": lambda x, z: ops.exp2(x) + ops.expm1(z) + ops.rsqrt(ops.exp(x)),
    "sign": lambda x, z: ops.sign(x) * ops.erf(z) + ops.reciprocal(ops.exp(x)),
    "gelu": lambda x, z: ops.gelu(x) + ops.gelu(z, approximate=False),
    "slopes": lambda x, z: ops.leaky_relu(x, 0.1) + ops.elu(z, 0.5) + ops.celu(x, 0.7),
    "shrink": lambda x, z: ops.hard_shrink(x, 0.2) + ops.soft_shrink(z, 0.1),
    "differences": lambda x, z: ops.logaddexp(x, z) - ops.maximum(x, 0.3),
    "modulo": lambda x, z: x // 0.7 + z % 0.7,
    "tile": lambda x, z: ops.tile(x, [1, 2, 1]) + ops.tile(z[:, :2], (1, 4, 1)),
    "tile features": lambda x, z: ops.tile(x, [1, 1, 2]) * ops.tile(z[..., :3], (1, 4)),
    "roll": lambda x, z: ops.roll(x, 3, axis=1) + ops.roll(z, -2, axis=-1),
    "running sum": lambda x, z: ops.cumsum(x, axis=1) + ops.cumsum(z, axis=-1),
    "largest": lambda x, z: ops.cast(ops.argmax(x, axis=-1), "float32") + z[..., 0],
    "largest step": lambda x, z: ops.cast(ops.argmax(x, axis=1, keepdims=True), "float32") + z,
    "one hot": lambda x, z: ops.one_hot(ops.cast(ops.clip(3 * x, 0, 3), "int32"), 4),
    "product": lambda x, z: ops.prod(x, axis=-1) + ops.prod(z, axis=-1),
    "product of all": lambda x, z: ops.prod(x, axis=(1, 2), keepdims=True) + z,
    "norm": lambda x, z: ops.norm(x, axis=(1,)) + ops.norm(z, ord=2, axis=(-2,)),
    "normalize": lambda x, z: ops.normalize(x, axis=-1) + ops.normalize(z, axis=1),
    "hyperbolic": lambda x, z: ops.sinh(x) - ops.cosh(z),
    "angles": lambda x, z: ops.sin(x) + ops.cos(z) * ops.tan(ops.sigmoid(x)),
    "inverse angles": lambda x, z: (
        ops.arcsin(ops.tanh(x)) + ops.arccos(ops.tanh(z)) - ops.arctan(x)
    ),
    "inverse hyperbolic": lambda x, z: (
        ops.arcsinh(x) + ops.arccosh(1.5 + ops.square(z)) - ops.arctanh(ops.tanh(x) * 0.9)
    ),
    "table": lambda x, z: x * TABLE - ops.divide(TABLE[None], 1.5 + ops.abs(z)),
    "column": lambda x, z: ops.subtract(TABLE[:, :1], x) + z[:, :1] * TABLE[:1],
    "numbers": lambda x, z: ops.max(x, axis=(1, 2)) - ops.clip(ops.min(z, axis=(1, 2)), -0.5, 0.5),
    "truths": lambda x, z: ops.where(ops.sum(x, (1, 2)) > ops.sum(z, (1, 2)), x[:, 0, 0], 2.0),
    "repeat vector": lambda x, z: kl.RepeatVector(3)(kl.Flatten()(x)),
    "einsum bias": lambda x, z: kl.EinsumDense("abc,cd->abd", (4, 3), bias_axes="bd")(x),
    "einsum softmax": lambda x, z: kl.EinsumDense("abc,cd->abd", (None, 3), activation="softmax")(
        x
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name: str) -> None:
    x, z = keras.Input((4, 6)), keras.Input((4, 6))
    compare(keras.Model([x, z], [OPERATIONS[name](x, z), z]))


@pytest.mark.parametrize(
    "pick",
    [
        lambda x: x[:, ::-1],
        lambda x: x[:, ::2],
        lambda x: x[:, 1::3],
        lambda x: x[:, -2:],
        lambda x: x[:, :-1],
        lambda x: x[:, 1:],
        lambda x: x[:, 1:3],
        lambda x: x[:, -3:-1],
        lambda x: x[:, None, :, 1],
    ],
)
def test_slices_of_sequences_of_any_length(pick: Callable[[Any], Any]) -> None:
    x = keras.Input((None, 6))
    compare(keras.Model(x, pick(kl.Dense(2)(x))), (3, 4, 7))


@pytest.mark.parametrize(
    "sum_up",
    [
        lambda x: ops.cumsum(x, axis=1),
        lambda x: ops.cumsum(kl.Dense(2)(ops.cumsum(x, axis=1)), axis=-1),
        lambda x: kl.GRU(2)(ops.cumsum(kl.ZeroPadding1D((2, 0))(x) + 1.0, axis=1)),
    ],
)
def test_a_running_sum_streams(sum_up: Callable[[Any], Any]) -> None:
    x = keras.Input((None, 3))
    assert compare(keras.Model(x, sum_up(x)), (1, 5)).step is not None


def test_a_table_over_time_needs_the_whole_sequence() -> None:
    x = keras.Input((4, 6))
    low = compare(keras.Model(x, kl.Dense(2)(x) + TABLE[:, :2]))
    assert low.step is None
    assert "it combines the sequence with a tensor along time" in str(low.reason)


@pytest.mark.parametrize(
    "over_time",
    [
        lambda: kl.Activation("softmax"),
        kl.LayerNormalization,
        kl.UnitNormalization,
        kl.BatchNormalization,
        lambda: kl.Dense(3),
        kl.PReLU,
        lambda: ops.softmax,
    ],
)
def test_the_last_axis_may_be_time(over_time: Callable[[], Any]) -> None:
    x = keras.Input((5, 2))
    y = over_time()(ops.squeeze(kl.Dense(1)(x), -1))
    assert compare(keras.Model(x, y)).step is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "uint8", "int8"])
@pytest.mark.parametrize("cast", [ops.cast, ops.convert_to_tensor])
def test_a_cast_that_rounds_or_wraps_is_refused(cast: Callable[..., Any], dtype: str) -> None:
    x = keras.Input((None, 3))
    model = keras.Model(x, ops.cast(cast(x, dtype=dtype), "float32"))
    with pytest.raises(UnsupportedError, match=f"a cast to '{dtype}'"):
        compare(model)


def test_a_conversion_may_cut_off_fractions() -> None:
    x = keras.Input((None, 3))
    compare(keras.Model(x, ops.cast(ops.convert_to_tensor(3 * x, dtype="int32"), "float32")), (4,))


@pytest.mark.parametrize(
    "meet",
    [
        lambda x, z: x + z,
        lambda x, z: x > z,
        lambda x, z: ops.where(x > 0, x, z),
        ops.matmul,
    ],
)
def test_a_batch_that_meets_another_axis_is_refused(meet: Callable[[Any, Any], Any]) -> None:
    """As NumPy aligns them, sample 2 of z meets row 2 of x."""
    x, z = keras.Input((1, 3, 3)), keras.Input((3, 3))
    with pytest.raises(UnsupportedError, match="the batch axis of one meets another axis"):
        compare(keras.Model([x, z], meet(x, z)))


@pytest.mark.parametrize("operation", [ops.cumsum, ops.prod])
@pytest.mark.parametrize("dtype", ["int32", "float16"])
def test_a_setting_that_nobody_reads_is_refused(operation: Callable[..., Any], dtype: str) -> None:
    x = keras.Input((4, 3))
    model = keras.Model(x, ops.cast(operation(x, axis=1, dtype=dtype), "float32"))
    with pytest.raises(UnsupportedError, match=f'dtype="{dtype}", which is not supported'):
        compare(model)


def test_zeros_and_ones_are_the_same_in_every_type() -> None:
    x = keras.Input((4, 3))
    ones = ops.ones_like(x, dtype="int32")
    compare(keras.Model(x, ops.cast(ones, "float32") + ops.zeros_like(x, dtype="float32")))
