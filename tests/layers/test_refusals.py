"""What each row of the table of refusals names is refused, and the message says so."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L  # noqa: N812
from keras import ops

import codegen
from codegen.errors import CodegenError
from codegen.lowering import lower
from codegen.model import Model
from docs.make.refusals import REFUSALS, Refusal
from tests.readers.files import (
    array,
    called,
    dense,
    dense_weights,
    functional,
    given,
    layer,
    sequential,
    write_h5,
)

Make = Callable[[Path], Model]


def live(
    make: Callable[[], Any], version: str | None = None, swap: tuple[str, str] = ("", "")
) -> Make:
    """A model of the newest Keras, through its file; as if another had written it, or changed."""

    def found(folder: Path) -> Model:
        path, changed = folder / "live.keras", folder / "model.keras"
        make().save(path)
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
            for name in old.namelist():
                data = old.read(name)
                if name == "metadata.json" and version:
                    data = json.dumps({**json.loads(data), "keras_version": version}).encode()
                if name == "config.json":
                    data = data.replace(swap[0].encode(), swap[1].encode()) if swap[0] else data
                new.writestr(name, data)
        return codegen.read(changed)

    return found


def one(built: Callable[[], Any], *shape: int | None, batch: int | None = None) -> Make:
    """A layer of the newest Keras on an input of this shape."""

    def make() -> Any:
        x = keras.Input(shape, batch_size=batch)
        return keras.Model(x, built()(x))

    return live(make)


def file(config: Any, stored: Any, version: str | None = "2.2.4", **more: Any) -> Make:
    """A whole-model HDF5 file of an older Keras."""
    return lambda folder: codegen.read(write_h5(folder / "m.h5", config, stored, version, **more))


def old(entry: Any, *weights: tuple[str, Any], shape: Any = (4, 4, 2), **more: Any) -> Make:
    """One layer in a Sequential of an older Keras."""
    config = sequential(entry, shape=shape)
    if more.get("version") in ("1.0.8", "1.2.2"):
        config = {"class_name": "Sequential", "config": config["config"]["layers"]}
    return file(config, [(entry["config"]["name"], list(weights))], **more)


def quantised() -> Any:
    model = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    model.quantize("int8")
    return model


def with_lora(folder: Path) -> Model:
    model = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    model.layers[0].enable_lora(2)
    model.save(folder / "m.h5")
    return codegen.read(folder / "m.h5")


def twice(from_state: bool = False) -> Any:
    x, h = keras.Input((5, 4), batch_size=2), keras.Input((4,), batch_size=2)
    recurrent = L.GRU(4, stateful=True, return_sequences=True)
    first = recurrent(x, initial_state=h) if from_state else recurrent(x)
    return keras.Model([x, h] if from_state else x, recurrent(first))


def from_state(recurrent: Any, shape: tuple[int, ...], *states: tuple[int, ...]) -> Any:
    x = keras.Input(shape)
    given_states = [keras.Input(state) for state in states]
    return keras.Model([x, *given_states], recurrent(x, initial_state=given_states))


def unequal() -> Any:
    x, y = keras.Input((3, 4)), keras.Input((4,))
    return keras.Model([x, y], x + y)


def cast_to(dtype: str) -> Any:
    x = keras.Input((3, 4))
    return keras.Model(x, keras.ops.cast(x, dtype))


def of_integers(make: Callable[[Any], Any]) -> Make:
    def model() -> Any:
        x = keras.Input((3, 4))
        return keras.Model(x, make(keras.ops.cast(3 * x, "int32")))

    return live(model)


def computed(make: Callable[[Any], Any]) -> Any:
    x = keras.Input((4,))
    return keras.Model(x, make(2 * x))


def two_masks() -> Any:
    x, mask = keras.Input((6, 4)), keras.Input((6,), dtype="bool")
    inner = L.GRU(3, return_sequences=True)(L.Masking()(x), mask=mask)
    return keras.Model([x, mask], L.GRU(3)(inner))


def plus_constant(samples: int) -> Any:
    x = keras.Input((4,), batch_size=samples)
    return keras.Model(x, L.Add()([x, ops.reshape(ops.arange(samples * 4.0), (samples, 4))]))


def two_axes() -> Any:
    x = keras.Input((6, 5, 4))
    return keras.Model(x, L.Attention()([x, x]))


def wide_attention() -> Any:
    x = keras.Input((6, 8))
    return keras.Model(x, L.MultiHeadAttention(2, 4, output_shape=(3, 2))(x, x))


def attention(**settings: Any) -> Any:
    x = keras.Input((6, 5, 4))
    layer = L.MultiHeadAttention(2, 3, attention_axes=(1, 2))
    return keras.Model(x, layer(x, x, **settings))


def over_heads() -> Any:
    x = keras.Input((6, 4))
    return keras.Model(x, L.MultiHeadAttention(2, 3, attention_axes=(2,))(x, x))


def operation(name: str, *arguments: Any) -> Make:
    def make() -> Any:
        x = keras.Input((6, 4))
        y = getattr(ops, name)(x, *arguments)
        return keras.Model(x, y[0] if isinstance(y, tuple) else y)

    return live(make)


WORDS = layer("Embedding", "e", input_dim=9, output_dim=3, mask_zero=True)
EMBEDDED = ("words/embeddings:0", array(9, 3))
BIDIRECTIONAL = layer(
    "Bidirectional",
    "b",
    merge_mode="concat",
    layer=layer("LSTM", "l", units=2, return_sequences=True, time_major=True, use_bias=False),
)
HALVES = [
    (f"b/{way}_l/{name}:0", array(n, 8))
    for way in ("forward", "backward")
    for name, n in (("kernel", 3), ("recurrent_kernel", 2))
]
MERGE = [
    given("i", 3),
    called(dense("a", 2), "i"),
    called(dense("c", 2), "i"),
    called(layer("Merge", "m", mode="of my own", mode_type="function"), "a", "c"),
]
THREE_BY_THREE = ("kernel:0", array(2, 2, 2, 3))
IMAGES = {"kernel_size": [2, 2], "filters": 3, "padding": "same", "use_bias": False}

DROPOUT = layer("Dropout", "drop", rate=0.5)
STATISTICS = layer("BatchNormalization", "drop")
IN_TRAINING = [["i", 0, 0, {"training": True}]]
ENDS = (["i"], ["drop"])

# By a part of the row's `what`.
CASES: dict[str, list[Make]] = {
    "quantised": [live(quantised)],
    "un-merged LoRA": [with_lora],
    "NaN or infinite": [
        file(
            sequential(dense("d", 2)),
            [("d", [("kernel:0", np.full((3, 2), np.nan)), ("bias:0", array(2))])],
        )
    ],
    "a setting that": [
        old(dense("d", 2, wobble=1), *dense_weights(2, 2)),
        old(dense("d", 2, dtype="float31"), *dense_weights(2, 2)),
    ],
    "a class that is not of Keras": [
        old(layer("Mystery", "m")),
        old({**layer("GRU", "m"), "registered_name": "mine>GRU", "module": "mine"}),
    ],
    "a call with training=True, which": [
        file(functional([given("i", 3), called(DROPOUT, IN_TRAINING)], *ENDS), [])
    ],
    "a call with training=True:": [
        file(
            functional([given("i", 3), called(STATISTICS, IN_TRAINING)], *ENDS),
            [("drop", [(f"{name}:0", np.ones(3)) for name in ("gamma", "beta", "mean", "var")])],
        )
    ],
    "an argument of its call": [
        file(functional([given("i", 3), called(DROPOUT, [["i", 0, 0, {"rate": 0.1}]])], *ENDS), [])
    ],
    "a constant in its call": [live(lambda: plus_constant(2))],
    "a function that is not": [
        old(dense("d", 2, activation="wobble"), *dense_weights(2, 2)),
        one(lambda: L.Dense(3, activation="sparsemax"), 4),
    ],
    "a PReLU, or a Softmax": [
        one(lambda: L.Dense(4, activation=L.PReLU()), 4),
        one(lambda: L.Dense(4, activation=L.Softmax(axis=1)), None, 4),
    ],
    "stateful=True": [
        live(twice),
        live(lambda: twice(from_state=True)),
        one(lambda: L.TimeDistributed(L.GRU(4, stateful=True)), 5, 6, 4, batch=2),
    ],
    "`constants`": [
        live(
            lambda: from_state(L.RNN(L.GRUCell(3)), (5, 4), (3,)),
            swap=('"initial_state"', '"constants"'),
        )
    ],
    "time_major=True": [
        file(
            sequential(BIDIRECTIONAL),
            [("b", HALVES)],
            "2.2.4-tf",
        ),
    ],
    "an initial state with": [
        live(
            lambda: from_state(
                L.ConvLSTM2D(2, 3, padding="same", data_format="channels_first"),
                (3, 2, 4, 4),
                (2, 4, 4),
                (2, 4, 4),
            )
        )
    ],
    "softmax, log_softmax or glu as": [
        one(lambda kind=kind: L.ConvLSTM1D(2, 2, data_format="channels_first", **kind), 4, 3, 6)
        for kind in ({"activation": "softmax"}, {"recurrent_activation": "log_softmax"})
    ],
    "a scale that widens": [one(lambda: L.RMSNormalization(axis=1), 4, 1)],
    "a given mean of length 1": [
        one(lambda: L.Normalization((1, 2), mean=[[0.0], [1.0]], variance=[[1.0], [2.0]]), 2, 2, 3)
    ],
    "not (time, features)": [one(L.Masking, None, 6, 4)],
    "mask_zero=True on": [one(lambda: L.Embedding(9, 3, mask_zero=True), None, 6)],
    "a mask of more": [
        file(
            sequential(
                layer("TimeDistributed", "words", layer=WORDS),
                layer("TimeDistributed", "sums", layer=dense("d", 2)),
                shape=(None, 4),
            ),
            [("words", [EMBEDDED]), ("sums", dense_weights(3, 2))],
        )
    ],
    "a `mask` of its own": [live(two_masks, "3.5.0")],
    "around an Embedding": [
        one(lambda: L.SpectralNormalization(L.Embedding(9, 3)), None),
        live(
            lambda: keras.Sequential(
                [keras.Input((None, 4)), L.Masking(), L.SpectralNormalization(L.Dense(3))]
            )
        ),
    ],
    "mode=2": [
        old(
            layer("BatchNormalization", "n", mode=2),
            *((f"n_{name}", array(3)) for name in ("gamma", "beta", "running_mean", "running_std")),
            shape=(3,),
            version="1.2.2",
        )
    ],
    "a mode that": [
        file(
            functional(MERGE, ["i"], ["m"]),
            [(name, dense_weights(3, 2)) for name in ("a", "c")],
            "1.2.2",
        )
    ],
    "tells nowhere": [old(layer("ZeroPadding2D", "p", padding=[1, 1]), version="1.0.8")],
    "padding='same' with": [old(layer("Conv2D", "c", **IMAGES), THREE_BY_THREE, backend=b"theano")],
    "interpolation=": [
        one(lambda: L.UpSampling2D(2, interpolation="bicubic"), 6, 6, 4),
        old(layer("UpSampling2D", "u", size=[2, 2], interpolation="bilinear"), backend=b"theano"),
    ],
    "of free length": [
        old(
            layer("LocallyConnected1D", "c", filters=3, kernel_size=[2], use_bias=False),
            ("kernel:0", array(3, 6, 3)),
            shape=(None, 3),
        )
    ],
    "inputs of other": [live(two_axes)],
    "over several attention_axes": [
        live(lambda: attention(use_causal_mask=True)),
        live(over_heads),
    ],
    "an output_shape of several axes": [live(wide_attention)],
    "sort, top_k": [operation("sort"), operation("top_k", 2)],
    "operands of which": [live(unequal)],
    "casts to": [live(lambda: cast_to("float16")), live(lambda: cast_to("uint8"))],
    "integers or booleans": [
        of_integers(lambda n: L.LeakyReLU()(n + 1)),
        of_integers(lambda n: L.LayerNormalization()(-n)),
        of_integers(lambda n: ops.clip(n, -0.5, 2)),
        of_integers(lambda n: (n > 1) + (n < 0)),
        of_integers(lambda n: ops.logical_or(n, n > 1)),
        of_integers(lambda n: ops.mod(n, n)),
        of_integers(lambda n: ops.reciprocal(n * n)),
        of_integers(lambda n: L.TimeDistributed(L.ELU())(ops.abs(n))),
    ],
    "on computed floats": [
        live(lambda: computed(L.CategoryEncoding(4))),
        live(lambda: computed(lambda x: ops.one_hot(x, 4))),
    ],
    "a SavedModel": [],
}


def rows() -> list[Any]:
    found = []
    for part, cases in CASES.items():
        for k, case in enumerate(cases):
            found.append(pytest.param(part, case, id=f"{part} {k}"))
    return found


def row(part: str) -> Refusal:
    (found,) = [row for row in REFUSALS if row.what.startswith(part) or part in row.what]
    return found


@pytest.mark.parametrize(("part", "make"), rows())
@pytest.mark.filterwarnings("ignore")  # Keras' own, of what the models do
def test_what_the_table_says_is_refused(part: str, make: Make, tmp_path: Path) -> None:
    with pytest.raises(CodegenError) as refusal:
        lower(make(tmp_path))
    assert re.search(row(part).says, str(refusal.value)), refusal.value


def test_every_row_has_a_case() -> None:
    assert [row(part) for part in CASES] == list(REFUSALS)


def test_no_other_file_is_taken_for_a_model(tmp_path: Path) -> None:
    """A SavedModel, YAML and a pickle are told by their looks, with how to save instead."""
    saved = tmp_path / "saved"
    (saved / "variables").mkdir(parents=True)
    (saved / "saved_model.pb").write_bytes(b"\x08\x01\x12")
    yaml = tmp_path / "m.yaml"
    yaml.write_text("backend: tensorflow\nclass_name: Sequential\nconfig:\n- class_name: Dense\n")
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04\x95\x1a")
    for path in (saved, yaml, tmp_path / "m.pkl"):
        with pytest.raises(CodegenError) as refusal:
            codegen.read(path)
        assert re.search(row("a SavedModel").says, str(refusal.value)), refusal.value
