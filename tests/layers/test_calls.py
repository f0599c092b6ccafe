"""What a layer is called with: constants, masks and states by name, and what nobody reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl
from keras import ops

import codegen
from codegen.commands.inspect import streaming
from codegen.errors import CodegenError, ReadError, UnsupportedError
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.model import Constant
from codegen.readers.keras.table import TABLE
from tests.layers.oracle import close, compare, lowered, randomised
from tests.readers.files import (
    array,
    called,
    dense,
    dense_weights,
    functional,
    given,
    gru,
    gru_weights,
    layer,
    own,
    problems,
    sequential,
    tensor,
    variables,
    write_h5,
    write_keras,
)
from tests.support.targets import TARGETS, rendered, started, worst

T, F = 6, 4
RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def again() -> None:
    """Every test draws the same numbers, whichever was before it."""
    RNG.bit_generator.state = np.random.default_rng(7).bit_generator.state


def fixed(*shape: int) -> Any:
    """A constant as a user has it."""
    return ops.convert_to_tensor(RNG.normal(size=shape).astype("float32"))


def truth(*shape: int) -> Any:
    """A constant mask; its first step counts."""
    values = RNG.integers(0, 2, shape).astype(bool)
    values[..., 0] = True
    return ops.convert_to_tensor(values)


def model(build: Callable[[Any], Any], *shape: int | None) -> Any:
    """A functional model around what `build` makes of an input."""
    x = keras.Input(shape or (T, F))
    return keras.Model(x, build(x))


def on_all_targets(built: Any, folder: Path, batch: int = 1) -> Lowered:
    """The interpreter and every target against Keras."""
    low = compare(built, batch=batch)
    inputs = [
        np.random.default_rng(3).normal(size=(1, *x.shape[1:])).astype("float32")
        for x in built.inputs
    ]
    expected = built(inputs if len(inputs) > 1 else inputs[0])
    expected = expected if isinstance(expected, (list, tuple)) else [expected]
    for target in TARGETS:
        found = started(target, low, folder).predict(*(x[0] for x in inputs))
        assert worst(found, [np.asarray(y)[0] for y in expected]) <= 2e-5, target
    return low


# ---- constants ------------------------------------------------------------------------------

GRU_SEQUENCE: dict[str, Any] = {"return_sequences": True}
OPERANDS: dict[str, Callable[[Any], Any]] = {
    "Add": lambda x: kl.Add()([x, fixed(1, T, F)]),
    "Add of one row": lambda x: kl.Add()([x, fixed(1, 1, F)]),
    "Subtract": lambda x: kl.Subtract()([x, fixed(1, T, F)]),
    "Multiply by a vector": lambda x: kl.Multiply()([x, fixed(1, F)]),
    "Maximum of three": lambda x: kl.Maximum()([x, fixed(1, T, F), fixed(1, T, F)]),
    "Concatenate": lambda x: kl.Concatenate()([x, fixed(1, T, 2)]),
    "Concatenate over time": lambda x: kl.Concatenate(axis=1)([x, fixed(1, 2, F)]),
    "Dot": lambda x: kl.Dot(axes=(2, 2))([x, fixed(1, 3, F)]),
    "Attention": lambda x: kl.Attention()([x, fixed(1, 3, F)]),
    "Attention of a constant query": lambda x: kl.Attention()([fixed(1, 3, F), x]),
    "AdditiveAttention": lambda x: kl.AdditiveAttention()([x, fixed(1, 3, F)]),
    "MultiHeadAttention": lambda x: kl.MultiHeadAttention(2, 3)(x, fixed(1, 3, F)),
    "a layer called on a constant": lambda x: kl.GRU(3)(fixed(1, 5, 2), initial_state=kl.GRU(3)(x)),
    "add": lambda x: ops.add(x, fixed(1, T, F)),
    "add without a batch axis": lambda x: ops.add(fixed(T, F), x),
    "subtract a vector": lambda x: ops.subtract(x, fixed(F)),
    "subtract from a vector": lambda x: ops.subtract(fixed(F), x),
    "divide by one number": lambda x: ops.divide(x, fixed(1)),
    "power of an array": lambda x: ops.power(ops.abs(fixed(1, T, F)), x),
    "greater": lambda x: ops.cast(ops.greater(x, fixed(T, F)), "float32"),
    "less than a vector": lambda x: ops.cast(ops.less(fixed(F), x), "float32"),
    "where": lambda x: ops.where(x > 0, x, fixed(T, F)),
    "where by a constant": lambda x: ops.where(truth(1, T, F), x, 0.5),
    "concatenate": lambda x: ops.concatenate([x, fixed(1, T, 3), x], axis=-1),
    "stack": lambda x: ops.stack([x, fixed(1, T, F)], axis=2),
    "matmul": lambda x: ops.matmul(x, fixed(F, 3)),
    "matmul with a batch axis": lambda x: ops.matmul(x, fixed(1, F, 3)),
    "matmul from the left": lambda x: ops.matmul(fixed(3, T), x),
    "einsum": lambda x: ops.einsum("bti,bio->bto", x, fixed(1, F, 2)),
}


@pytest.mark.parametrize("build", OPERANDS.values(), ids=OPERANDS)
def test_a_constant_is_an_operand(build: Callable[[Any], Any]) -> None:
    compare(model(build), batch=1)


NAMED: dict[str, Callable[[Any], Any]] = {
    "a mask": lambda x: kl.LSTM(3, **GRU_SEQUENCE)(x, mask=truth(1, T)),
    "a mask of numpy": lambda x: kl.GRU(3)(x, mask=np.array([[True, False] * 3])),
    "a mask by position": lambda x: kl.GRU(3)(x, None, truth(1, T)),
    "a mask that goes on": lambda x: kl.GRU(3)(kl.GRU(3, **GRU_SEQUENCE)(x, mask=truth(1, T))),
    "a mask of both directions": lambda x: kl.Bidirectional(kl.GRU(3, **GRU_SEQUENCE))(
        x, mask=truth(1, T)
    ),
    "a mask of a mean": lambda x: kl.GlobalAveragePooling1D()(x, mask=truth(1, T)),
    "a mask through TimeDistributed": lambda x: kl.GRU(3)(
        kl.TimeDistributed(kl.Dense(3))(x, mask=truth(1, T))
    ),
    "a mask through BatchNormalization": lambda x: kl.GRU(3)(
        kl.BatchNormalization()(x, mask=truth(1, T))
    ),
    "a mask of a model": lambda x: keras.Sequential([keras.Input((T, F)), kl.GRU(3)])(
        x, mask=truth(1, T)
    ),
    "masks of Attention": lambda x: kl.Attention()([x, x], mask=[truth(1, T), truth(1, T)]),
    "one mask of Attention": lambda x: kl.Attention()([x, x], mask=[None, truth(1, T)]),
    "masks of heads": lambda x: kl.MultiHeadAttention(2, 3)(
        x, x, query_mask=truth(1, T), value_mask=truth(1, T), key_mask=truth(1, T)
    ),
    "attention_mask": lambda x: kl.MultiHeadAttention(2, 3)(x, x, attention_mask=truth(1, T, T)),
    "attention_mask of all samples": lambda x: kl.MultiHeadAttention(2, 3)(
        x, x, attention_mask=truth(T, T)
    ),
    "initial states of both directions": lambda x: kl.Bidirectional(kl.LSTM(3))(
        x, initial_state=[fixed(1, 3) for _ in range(4)]
    ),
    "a constant and a tensor": lambda x: kl.LSTM(3)(x, initial_state=[fixed(1, 3), kl.GRU(3)(x)]),
}


@pytest.mark.parametrize("build", NAMED.values(), ids=NAMED)
def test_a_constant_is_given_by_name(build: Callable[[Any], Any]) -> None:
    low = compare(model(build), batch=1)
    assert low.step is None
    assert low.reason


STARTS: dict[str, Callable[[Any], Any]] = {
    "GRU": lambda x: kl.GRU(3)(x, initial_state=fixed(1, 3)),
    "by position": lambda x: kl.GRU(3, **GRU_SEQUENCE)(x, fixed(1, 3)),
    "LSTM": lambda x: kl.LSTM(3, return_state=True)(x, initial_state=[fixed(1, 3), fixed(1, 3)]),
    "LSTM of numpy": lambda x: kl.LSTM(3)(x, initial_state=[np.ones((1, 3)), np.zeros((1, 3))]),
    "cells": lambda x: kl.RNN([kl.GRUCell(2), kl.SimpleRNNCell(3)], return_sequences=True)(
        x, initial_state=[fixed(1, 2), fixed(1, 3)]
    ),
    "a masked sequence": lambda x: kl.GRU(3)(kl.Masking()(x), initial_state=fixed(1, 3)),
}


@pytest.mark.parametrize("build", STARTS.values(), ids=STARTS)
def test_a_constant_initial_state_streams(build: Callable[[Any], Any]) -> None:
    low = compare(model(build, None, F), [5, 1, 8])
    assert low.step is not None


def test_constants_reach_every_target(tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        y = kl.GRU(3, **GRU_SEQUENCE)(x, initial_state=fixed(1, 3), mask=truth(1, T))
        y = ops.matmul(kl.Add()([y, fixed(1, T, 3)]), fixed(1, 3, 3))
        y = kl.MultiHeadAttention(2, 3)(y, fixed(1, 5, 3), attention_mask=truth(T, 5))
        return kl.Attention()([fixed(1, 3, 3), y])

    on_all_targets(model(build), tmp_path)


def test_a_constant_in_a_model_that_is_called_twice(tmp_path: Path) -> None:
    z = keras.Input((F,))
    inner = keras.Model(z, ops.multiply(kl.Add()([z, fixed(1, F)]), fixed(F)))

    def build(x: Any) -> Any:
        return kl.Concatenate()([kl.TimeDistributed(inner)(x), inner(inner(x[:, 0]))[:, None] + x])

    low = on_all_targets(model(build), tmp_path)
    assert sum(isinstance(one, Constant) for one in low.model.layers) == 2


def refused(folder: Path, value: Any) -> str:
    """The problem of a model in which a constant is added that is written so."""
    entry = own(layer("Add", "add"))
    entry["inbound_nodes"] = [{"args": [[tensor("x"), value]], "kwargs": {}}]
    config = functional([given("x", 2, 3), entry], ["x"], ["add"])
    with pytest.raises((UnsupportedError, ReadError)) as caught:
        lower(codegen.read(write_keras(folder / "m.keras", config, {})))
    return str(caught.value)


def stored(value: Any, dtype: Any = "float32") -> dict[str, Any]:
    return {"class_name": "__tensor__", "config": {"value": value, "dtype": dtype}}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (stored([[[1.0, 2.0, 3.0]], [[1.0, 2.0, 4.0]]]), "differs from sample to sample"),
        (stored(1.0), "which has no batch axis"),
        (stored([[1.0], [2.0, 3.0]]), "rows of different lengths"),
        (stored([[1.0, "2"]]), 'holds "2", expected a finite number'),
        (stored([[float("nan")] * 3]), "holds NaN"),
        (stored([[1e39, 1.0, 1.0]]), "which float32 cannot hold"),
        (stored([[2**24 + 1, 1, 1]], "int32"), "cannot hold exactly"),
        (stored([[1.5, 1.0, 1.0]], "int32"), "holds fractions"),
        (stored([[2.0, 1.0, 1.0]], "bool"), "other than true and false"),
        (stored([[1.0, 1.0, 1.0]], "complex64"), "has dtype"),
        (stored([[1.0, 1.0, 1.0]], ["float32"]), "the dtype of its constant"),
        (stored([]), "without numbers"),
        (stored(json.loads("[" * 12 + "1.0" + "]" * 12)), "more than 8 axes"),
        ({"class_name": "__tensor__", "config": 3}, "expected an array"),
        (stored([[1.0, 2.0]]), "length 3 found, expected == 2"),
    ],
)
def test_a_constant_that_is_none(tmp_path: Path, value: Any, says: str) -> None:
    assert says in refused(tmp_path, value)


def test_a_constant_with_equal_samples_is_that_of_each() -> None:
    x = keras.Input((T, F), batch_size=2)
    row = np.asarray(fixed(1, T, F))
    compare(keras.Model(x, kl.Add()([x, ops.concatenate([row, row])])))


def test_a_mask_of_numbers_is_refused() -> None:
    built = model(lambda x: kl.GRU(3)(x, mask=np.full((1, T), 2.0)))
    with pytest.raises(UnsupportedError, match="its mask is a constant that holds more than"):
        lowered(built)


def test_a_mask_from_outside_is_checked_and_has_no_step(tmp_path: Path) -> None:
    """Before, each step took the first truth value."""
    x, mask = keras.Input((T, F)), keras.Input((T,), dtype="bool")
    built = keras.Model([x, mask], kl.GRU(3)(x, mask=mask))
    assert "its mask has a truth value for each step" in str(lowered(built).reason)


# ---- what nobody reads ------------------------------------------------------------------------

INNER = {
    "TimeDistributed": own(dense("inner", 2)),
    "Bidirectional": own(gru("inner", 2)),
    "SpectralNormalization": own(dense("inner", 2)),
}


def one_call(folder: Path, class_name: str, kwargs: dict[str, Any], *args: Any) -> str:
    """The problem of a layer that is called so, in a file of Keras 3 without weights."""
    config: dict[str, Any] = {"units": 2, "filters": 2, "kernel_size": 2}
    config["layer"] = INNER.get(class_name)
    config["cell"] = own(layer("GRUCell", "cell", units=2))
    config["cells"] = [config["cell"]]
    entry = own(layer(class_name, "it", **config))
    kind = TABLE[class_name]
    inputs = [tensor("x")] * kind.inputs[0]
    by_position = kind.call[0] == "query"
    first = inputs if by_position else [inputs if len(inputs) > 1 else inputs[0]]
    entry["inbound_nodes"] = [{"args": [*first, *args], "kwargs": kwargs}]
    whole = functional([given("x", 4, 2), entry], ["x"], ["it"])
    (found,) = problems(codegen.read(write_keras(folder / "m.keras", whole, {})))
    return found


@pytest.mark.parametrize("class_name", sorted(TABLE))
def test_an_argument_that_nobody_reads(tmp_path: Path, class_name: str) -> None:
    """By name, and by position after all that there are."""
    assert "it is called with surprise=7" in one_call(tmp_path, class_name, {"surprise": 7})
    order = TABLE[class_name].call
    first = TABLE[class_name].inputs[0] if order[0] == "query" else 1
    spare = [None] * (len(order) - first)
    assert f"{len(order) + 1} arguments: 7" in one_call(tmp_path, class_name, {}, *spare, 7)


@pytest.mark.parametrize("value", ["twice", [1, 2], tensor("x"), [tensor("x")], {"a": 1}], ids=str)
def test_an_argument_of_any_kind_that_nobody_reads(tmp_path: Path, value: Any) -> None:
    assert "it is called with surprise=" in one_call(tmp_path, "GRU", {"surprise": value})


@pytest.mark.parametrize("value", [None, False])
def test_a_default_is_no_problem(tmp_path: Path, value: Any) -> None:
    entry = called(dense("d", 2), [["x", 0, 0, {"training": value, "surprise": value}]])
    config = functional([given("x", 3), entry], ["x"], ["d"])
    lower(codegen.read(write_h5(tmp_path / "m.h5", config, [("d", dense_weights(3, 2))])))


@pytest.mark.parametrize("kwargs", [{"surprise": 7}, {"surprise": ["x", 0, 0]}])
def test_a_model_called_with_what_nobody_reads(tmp_path: Path, kwargs: dict[str, Any]) -> None:
    inner = functional([given("z", 3), called(dense("d", 2), ["z"])], ["z"], ["d"])
    inner = {**inner, "name": "inner", "config": {**inner["config"], "name": "inner"}}
    entry = called(inner, [["x", 0, 0, kwargs]])
    config = functional([given("x", 3), entry], ["x"], [["inner", 1, 0]])
    read = codegen.read(write_h5(tmp_path / "m.h5", config, [("inner", dense_weights(3, 2))]))
    assert "it is called with surprise=" in problems(read)[0]


def test_a_model_that_is_given_its_inputs_by_name(tmp_path: Path) -> None:
    """In another order than it has them."""
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    inner = keras.Model([b, a], kl.Subtract()([a, kl.Dense(3)(b)]))
    x, y = keras.Input((3,)), keras.Input((3,))
    on_all_targets(keras.Model([x, y], inner({"a": x, "b": y})), tmp_path)


@pytest.mark.parametrize("by_name", [False, True])
def test_a_mask_for_each_input_of_a_model(by_name: bool, tmp_path: Path) -> None:
    """Of three; by name Keras takes them in the order of the names, not of the inputs."""
    a, b, c = (keras.Input((T, F), name=name) for name in "abc")
    states = [kl.GRU(3)(one) for one in (a, b, c)]
    inner = keras.Model([c, a, b], kl.Concatenate()(states))

    def build(x: Any) -> Any:
        masked, mask = kl.Masking()(x), truth(1, T)
        if by_name:
            inputs = {"a": masked, "b": x, "c": x}
            return inner(inputs, mask={"a": masked._keras_mask, "b": mask, "c": None})
        return inner([x, masked, x], mask=[None, masked._keras_mask, mask])

    on_all_targets(model(build), tmp_path)


def test_a_model_that_is_given_inputs_that_it_does_not_have(tmp_path: Path) -> None:
    entry = own(dense("d", 2))
    entry["inbound_nodes"] = [{"args": [{"a": tensor("x")}], "kwargs": {}}]
    config = functional([given("x", 3), entry], ["x"], ["d"])
    read = codegen.read(write_keras(tmp_path / "m.keras", config, {}))
    assert "whose names are not those of its inputs" in problems(read)[0]


def test_a_softmax_that_a_mask_reaches(tmp_path: Path) -> None:
    layers = [layer("Masking", "m", mask_value=0.0), layer("Softmax", "s", axis=-1)]
    config = sequential(*layers, shape=(4, 4))
    read = codegen.read(write_h5(tmp_path / "m.h5", config, [], "2.9.0"))
    assert "a mask reaches it" in problems(read)[0]


def test_an_operation_called_with_what_nobody_reads(tmp_path: Path) -> None:
    entry = {**layer("Exp", "exp"), "module": "keras.src.ops.numpy"}
    entry["inbound_nodes"] = [{"args": [tensor("x")], "kwargs": {"surprise": 7}}]
    config = functional([given("x", 3), entry], ["x"], ["exp"])
    read = codegen.read(write_keras(tmp_path / "m.keras", config, {}))
    assert "it is called with surprise=7" in problems(read)[0]


def test_a_number_that_float32_does_not_hold(tmp_path: Path) -> None:
    entry = {**layer("Multiply", "times"), "module": "keras.src.ops.numpy"}
    entry["inbound_nodes"] = [{"args": [1e300, tensor("x")], "kwargs": {}}]
    config = functional([given("x", 3), entry], ["x"], ["times"])
    read = codegen.read(write_keras(tmp_path / "m.keras", config, {}))
    assert "which float32 cannot hold" in problems(read)[0]


def test_tensors_with_different_arguments_by_name(tmp_path: Path) -> None:
    node = [["x", 0, 0, {"a": None}], ["x", 0, 0, {"a": 1}]]
    config = functional([given("x", 3), called(layer("Add", "add"), node)], ["x"], ["add"])
    with pytest.raises(ReadError, match="different keyword arguments"):
        codegen.read(write_h5(tmp_path / "m.h5", config, []))


def test_one_operation_called_with_different_arguments(tmp_path: Path) -> None:
    """Each call of a TensorFlow function has its own arguments."""
    entry = layer("TFOpLambda", "add", function="math.add")
    entry["inbound_nodes"] = [["x", 0, 0, {"y": 1.0}], ["x", 0, 0, {"y": 2.0}]]
    both = called(layer("Concatenate", "c", axis=-1), [["add", 0, 0, {}], ["add", 1, 0, {}]])
    config = functional([given("x", 2), entry, both], ["x"], ["c"])
    low = lower(codegen.read(write_h5(tmp_path / "m.h5", config, [], "2.9.0")))
    found = started("numpy", low, tmp_path).predict(np.zeros(2, "float32"))
    np.testing.assert_array_equal(found[0], [1, 1, 2, 2])


@pytest.mark.parametrize("node", [1, 7])
def test_a_call_that_is_not_there(tmp_path: Path, node: int) -> None:
    second = called(dense("e", 2), [["d", node, 0, {}]])
    config = functional([given("x", 3), called(dense("d", 2), ["x"]), second], ["x"], ["e"])
    weights = [("d", dense_weights(3, 2)), ("e", dense_weights(2, 2))]
    with pytest.raises(ReadError, match=f"the output of call {node} of layer 'd' is used"):
        codegen.read(write_h5(tmp_path / "m.h5", config, weights))


# ---- training=True ----------------------------------------------------------------------------

RANDOM: dict[str, dict[str, Any]] = {
    "Dropout": {"rate": 0.5},
    "SpatialDropout1D": {"rate": 0.5},
    "AlphaDropout": {"rate": 0.5},
    "GaussianDropout": {"rate": 0.5},
    "GaussianNoise": {"stddev": 0.5},
    "GRU": {"units": 2, "dropout": 0.5},
    "LSTM": {"units": 2, "recurrent_dropout": 0.5},
    "SimpleRNN": {"units": 2, "dropout": 0.5},
    "ConvLSTM2D": {"filters": 2, "dropout": 0.5},
    "RNN": {"cell": layer("GRUCell", "cell", units=2, dropout=0.5)},
    "Bidirectional": {"layer": layer("GRU", "inner", units=2, dropout=0.5)},
    "TimeDistributed": {"layer": layer("Dropout", "inner", rate=0.5)},
    "MultiHeadAttention": {"dropout": 0.5},
    "BatchNormalization": {},
    "SpectralNormalization": {"layer": dense("inner", 2)},
}


def trained(
    folder: Path, entry: Any, version: str, *arrays: tuple[str, Any], **options: Any
) -> Any:
    """A model whose one layer is called with training=True."""
    node = [["x", 0, 0, {"training": True}]]
    if entry["class_name"] == "MultiHeadAttention":
        node[0][3]["value"] = ["x", 0, 0]
    config = functional([given("x", 4, 2), called(entry, node)], ["x"], ["it"])
    path = write_keras(folder / "m.keras", config, dict(arrays), version)
    return codegen.read(path, **options)


@pytest.mark.parametrize("version", ["2.2.4", "2.3.1", "2.2.4-tf", "2.9.0", "2.21.0"])
@pytest.mark.parametrize("class_name", RANDOM)
def test_training_that_changes_what_is_predicted(
    tmp_path: Path, class_name: str, version: str
) -> None:
    entry = layer(class_name, "it", **RANDOM[class_name])
    (found,) = problems(trained(tmp_path, entry, version))
    assert "it is called with training=True" in found
    word = {"BatchNormalization": "the current batch", "SpectralNormalization": "its kernel"}
    assert word.get(class_name, "random") in found
    assert ("use --inference" in found) == (class_name not in word)


@pytest.mark.parametrize("class_name", ["BatchNormalization", "SpectralNormalization"])
def test_training_that_no_option_takes_away(tmp_path: Path, class_name: str) -> None:
    """It is not random: Keras' predict is another function, which has no file."""
    entry = layer(class_name, "it", **RANDOM[class_name])
    (found,) = problems(trained(tmp_path, entry, "2.9.0", inference=True))
    assert "save the model again" in found


@pytest.mark.parametrize(
    ("class_name", "settings"),
    [
        ("Dropout", {"rate": 0.0}),
        ("GaussianNoise", {"stddev": 0}),
        ("Activation", {"activation": "tanh"}),
        ("TimeDistributed", {"layer": layer("Dropout", "inner", rate=0.0)}),
    ],
)
def test_training_that_changes_nothing(
    tmp_path: Path, class_name: str, settings: dict[str, Any]
) -> None:
    model = trained(tmp_path, layer(class_name, "it", **settings), "2.9.0")
    assert problems(model) == []
    assert model.at_inference == ()


@pytest.mark.parametrize(("version", "is_refused"), [("2.2.4", True), ("2.9.0", False)])
def test_training_of_frozen_statistics(tmp_path: Path, version: str, is_refused: bool) -> None:
    """From TensorFlow 2 on a frozen layer takes the moving ones."""
    entry = layer("BatchNormalization", "it", trainable=False)
    arrays = variables("layers/batch_normalization", *[np.ones(2, "float32")] * 4)
    model = trained(tmp_path, entry, version, *arrays.items())
    assert bool(problems(model)) == is_refused


def test_inference_is_asked_for(tmp_path: Path) -> None:
    entry = layer("GRU", "it", units=2, dropout=0.5, reset_after=False)
    arrays = variables("layers/gru/cell", *(values for _, values in gru_weights(2, 2)))
    model = trained(tmp_path, entry, "2.9.0", *arrays.items(), inference=True)
    assert problems(model) == []
    assert model.at_inference == ("it",)


def test_a_model_that_is_called_in_training(tmp_path: Path) -> None:
    """All the layers inside are, and Dense does not mind."""
    parts = [
        given("z", 3),
        called(dense("d", 2), ["z"]),
        called(layer("Dropout", "drop", rate=0.5), ["d"]),
    ]
    inner = functional(parts, ["z"], ["drop"])
    inner = {**inner, "name": "inner", "config": {**inner["config"], "name": "inner"}}
    entry = called(inner, [["x", 0, 0, {"training": True}]])
    config = functional([given("x", 3), entry], ["x"], [["inner", 1, 0]])
    path = write_h5(tmp_path / "m.h5", config, [("inner", dense_weights(3, 2))], "2.9.0")
    (found,) = problems(codegen.read(path))
    assert found.startswith("layer 'inner/drop' (Dropout): it is called with training=True")
    assert codegen.read(path, inference=True).at_inference == ("inner/drop",)


def test_keras_3_tells_every_layer_that_it_predicts() -> None:
    """Whatever the call says, `predict` is without training there."""

    def build(x: Any) -> Any:
        return kl.BatchNormalization()(kl.Dropout(0.5)(x, training=True), training=True)

    built = randomised(model(build))
    x = RNG.normal(size=(2, T, F)).astype("float32")
    low = lowered(built)
    assert close(Reference(low, 2).predict(x)[0], np.asarray(built.predict(x, verbose=0)))
    assert len(low.model.at_inference) == 2  # which `inspect` says


# ---- cells as layers --------------------------------------------------------------------------


def with_cell(cell: Any, *units: int, several: bool = True) -> Any:
    """A model of one step of a cell, with its states as inputs and outputs."""
    x, states = keras.Input((F,)), [keras.Input((n,)) for n in units]
    y, new = cell(x, states=states if several else states[0])
    return keras.Model([x, *states], [y, *keras.tree.flatten(new)])


CELLS: dict[str, Callable[[], Any]] = {
    "GRUCell": lambda: with_cell(kl.GRUCell(3), 3),
    "GRUCell of one state": lambda: with_cell(kl.GRUCell(3), 3, several=False),
    "GRUCell reset before": lambda: with_cell(kl.GRUCell(3, reset_after=False), 3),
    "LSTMCell": lambda: with_cell(kl.LSTMCell(3), 3, 3),
    "SimpleRNNCell": lambda: with_cell(kl.SimpleRNNCell(3), 3),
    "StackedRNNCells": lambda: with_cell(
        kl.StackedRNNCells([kl.GRUCell(2), kl.SimpleRNNCell(3)]), 2, 3
    ),
    "a cell with softmax": lambda: with_cell(kl.GRUCell(3, activation="softmax"), 3),
}


@pytest.mark.parametrize("build", CELLS.values(), ids=CELLS)
def test_a_cell_is_a_layer(build: Callable[[], Any], tmp_path: Path) -> None:
    low = on_all_targets(build(), tmp_path, batch=2)
    assert low.step is None


def test_a_cell_called_twice_and_from_a_constant(tmp_path: Path) -> None:
    x, cell = keras.Input((3,)), kl.LSTMCell(3)
    y, states = cell(x, [fixed(1, 3), fixed(1, 3)])
    z, states = cell(y, states)
    on_all_targets(keras.Model(x, [z, *states]), tmp_path)


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [({}, "called with 0 states, expected 2"), ({"states": [["h", 0, 0]]}, "called with 1 states")],
)
def test_a_cell_without_its_states(tmp_path: Path, kwargs: Any, says: str) -> None:
    entry = called(layer("LSTMCell", "it", units=2, use_bias=False), [["x", 0, 0, kwargs]])
    config = functional([given("x", 2), given("h", 2), entry], ["x", "h"], ["it"])
    stored = [("it", [("it/kernel:0", array(2, 8)), ("it/recurrent_kernel:0", array(2, 8))])]
    with pytest.raises(UnsupportedError, match=says):
        lower(codegen.read(write_h5(tmp_path / "m.h5", config, stored, "2.9.0")))


# ---- decoders with their states as inputs and outputs -----------------------------------------


def decoder(steps: int | None = None, body: Callable[[Any], Any] = lambda x: x) -> Any:
    """What Keras' own example of a translator decodes with."""
    x, h, c = keras.Input((steps, F)), keras.Input((3,)), keras.Input((3,))
    y, *states = kl.LSTM(3, return_sequences=True, return_state=True)(body(x), initial_state=[h, c])
    return keras.Model([x, h, c], [kl.Dense(2)(y), *states])


@pytest.mark.parametrize("target", TARGETS)
def test_a_decoder_steps_by_predict_of_one_row(target: str, tmp_path: Path) -> None:
    built = randomised(decoder())
    low = lowered(built)
    assert low.by_row
    assert "predict of one row is one step" in streaming(low)
    x = RNG.normal(size=(1, 5, F)).astype("float32")
    h, c = (RNG.normal(size=(1, 3)).astype("float32") for _ in range(2))
    expected = [np.asarray(y)[0] for y in built([x, h, c])]
    runner = started(target, low, tmp_path)  # in C without --max-steps
    states, rows = [h[0], c[0]], []
    for t in range(5):
        y, *states = runner.predict(x[0, t : t + 1], *states)
        rows.append(np.reshape(y, -1))
    assert worst([np.array(rows), *states], expected) <= 2e-5


def test_a_decoder_of_one_row_takes_no_length(tmp_path: Path) -> None:
    low = lowered(randomised(decoder(1)))
    assert low.by_row
    assert low.whole.lengths == ()
    assert "_MAX_STEPS" not in rendered(low, "c")


def test_one_step_of_a_cell_is_said() -> None:
    assert "; predict is one step, given the states" in streaming(lowered(CELLS["LSTMCell"]()))


def not_returned() -> Any:
    x, h = keras.Input((None, F)), keras.Input((3,))
    return keras.Model([x, h], kl.GRU(3)(x, initial_state=h))


def from_a_layer() -> Any:
    x, h = keras.Input((None, F)), keras.Input((2,))
    y, state = kl.GRU(3, return_state=True)(x, initial_state=kl.Dense(3)(h))
    return keras.Model([x, h], [y, state])


@pytest.mark.parametrize(
    "build",
    [
        not_returned,
        from_a_layer,
        lambda: decoder(5),
        lambda: decoder(body=kl.GRU(3, return_sequences=True)),
        lambda: decoder(body=kl.Conv1D(3, 2, padding="causal")),
        lambda: decoder(body=kl.Bidirectional(kl.GRU(3, return_sequences=True))),
    ],
    ids=["not returned", "from a layer", "5 rows", "another state", "a delay", "the future"],
)
def test_one_row_that_is_no_step(build: Callable[[], Any]) -> None:
    low = lowered(build())
    assert low.step is None
    assert not low.by_row
    if low.whole.lengths:
        with pytest.raises(CodegenError, match="--max-steps"):
            rendered(low, "c")
