"""Each trap of Keras' file formats, by name: these fail when the trap is open again."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import codegen
from codegen.errors import LayerError, ReadError, UnsupportedError
from codegen.layers.core import Dense, Identity, Rescaling
from codegen.layers.recurrent import Bidirectional, Recurrent
from codegen.lowered import Reference
from codegen.lowering import lower
from codegen.model import Array, Input, Model, Unsupported
from codegen.program.activations import Activation
from codegen.readers.keras.era import detect, from_option
from tests.readers.files import (
    Json,
    array,
    called,
    dense,
    dense_weights,
    functional,
    given,
    gru,
    gru_weights,
    layer,
    named,
    own,
    problems,
    sequential,
    tensor,
    variables,
    weights_file,
    write_h5,
    write_json,
    write_keras,
    write_layers,
    write_weights,
    write_zip,
)

same = np.testing.assert_array_equal


def read_h5(
    folder: Path, config: Json, layers: Any, version: str | None = "2.2.4", **more: Any
) -> Model:
    return codegen.read(write_h5(folder / "m.h5", config, layers, version), **more)


# ---- which array is which -------------------------------------------------------------------


def test_a_frozen_inner_layer_stands_last(tmp_path: Path) -> None:
    """Three equal Dense layers, the middle one frozen: stored first, third, second."""
    inner = sequential(
        dense("d1", 3), dense("d2", 3, trainable=False), dense("d3", 3), name="inner"
    )
    stored = [(f"d{n}/{w}", a) for n in (1, 3, 2) for w, a in dense_weights(3, 3, seed=n)]
    model = read_h5(tmp_path, sequential(inner), [("inner", stored)])
    for n in (1, 2, 3):
        same(named(model, f"inner/d{n}").kernel, array(3, 3, seed=n))


@pytest.mark.parametrize(("version", "order"), [("2.0.2", (2, 1)), ("2.0.3", (1, 2))])
def test_a_frozen_time_distributed(tmp_path: Path, version: str, order: tuple[int, ...]) -> None:
    """From Keras 2.0.3 on its own flag moves nothing, only that of the layer in it."""
    inner = sequential(
        layer("TimeDistributed", "t1", trainable=False, layer=dense("d1", 3)),
        layer("TimeDistributed", "t2", layer=dense("d2", 3)),
        name="inner",
        shape=(4, 3),
    )
    stored = [(f"d{n}/{w}", a) for n in order for w, a in dense_weights(3, 3, seed=n)]
    model = read_h5(tmp_path, sequential(inner), [("inner", stored)], version)
    for wrapper, n in zip((one for one in model.layers if one.inner), (1, 2), strict=True):
        same(wrapper.inner[-1].kernel, array(3, 3, seed=n))


def test_a_nested_model_is_stored_trainable_first(tmp_path: Path) -> None:
    """[Dense, BatchNormalization, Dense]: the statistics come after the last Dense."""
    inner = sequential(dense("d1", 2), layer("BatchNormalization", "bn"), dense("d2", 2), name="in")
    gamma, beta, mean = (array(2, seed=n) for n in (1, 2, 3))
    variance = np.array([0.5, 2.0], "float32")
    stored = [
        *(("d1/" + w, a) for w, a in dense_weights(3, 2, seed=5)),
        ("bn/gamma:0", gamma),
        ("bn/beta:0", beta),
        *(("d2/" + w, a) for w, a in dense_weights(2, 2, seed=6)),
        ("bn/moving_mean:0", mean),
        ("bn/moving_variance:0", variance),
    ]
    model = read_h5(tmp_path, sequential(inner), [("in", stored)])
    same(named(model, "in/d2").kernel, array(2, 2, seed=6))
    scale = gamma / np.sqrt(variance.astype(float) + 1e-3)
    np.testing.assert_allclose(named(model, "in/bn").scale, scale)
    np.testing.assert_allclose(named(model, "in/bn").offset, beta - mean * scale)


def test_a_model_frozen_as_a_whole_is_known_by_its_names_alone(tmp_path: Path) -> None:
    """Up to Keras 2.3 `inner.trainable = False` is in no configuration, but moves its weights."""
    frozen = sequential(dense("a1", 3), dense("a2", 3), name="frozen")
    outer = sequential(frozen, dense("b", 3), name="outer")
    stored = [
        (f"{n}/{w}", a)
        for n, seed in (("b", 3), ("a1", 1), ("a2", 2))
        for w, a in dense_weights(3, 3, seed)
    ]
    model = read_h5(tmp_path, sequential(outer), [("outer", stored)])
    same(named(model, "outer/frozen/a1").kernel, array(3, 3, seed=1))
    same(named(model, "outer/b").kernel, array(3, 3, seed=3))


def test_names_of_weights_that_point_elsewhere_are_not_believed(tmp_path: Path) -> None:
    """A second `dense` in one session is stored as dense_1, and dense_1 as dense_1_1."""
    inner = sequential(dense("dense", 3), dense("dense_1", 3), name="inner")
    stored = [
        *(("dense_1/" + w, a) for w, a in dense_weights(3, 3, seed=1)),
        *(("dense_1_1/" + w, a) for w, a in dense_weights(3, 3, seed=2)),
    ]
    model = read_h5(tmp_path, sequential(inner), [("inner", stored)])
    same(named(model, "inner/dense").kernel, array(3, 3, seed=1))
    same(named(model, "inner/dense_1").kernel, array(3, 3, seed=2))


def test_layers_are_taken_in_listed_order_not_alphabetically(tmp_path: Path) -> None:
    config = sequential(dense("zz", 3), dense("aa", 3), dense("mm", 3))
    layers = [(n, dense_weights(3, 3, seed=k)) for k, n in enumerate(("zz", "aa", "mm"))]
    model = read_h5(tmp_path, config, layers)
    for k, name in enumerate(("zz", "aa", "mm")):
        same(named(model, name).kernel, array(3, 3, seed=k))


def test_weights_are_taken_in_listed_order_not_by_name(tmp_path: Path) -> None:
    """Whatever the arrays are called, the first is the kernel."""
    weights = [("zeta:0", array(3, 2, seed=1)), ("alpha:0", array(2, seed=2))]
    model = read_h5(tmp_path, sequential(dense("d", 2)), [("d", weights)])
    same(named(model, "d").kernel, array(3, 2, seed=1))
    same(named(model, "d").bias, array(2, seed=2))


def test_keras_files_count_classes_and_ignore_names(tmp_path: Path) -> None:
    """The layer called aa, after zz, is dense_1; dense_10 comes after dense_9."""
    names = ["zz", "aa", *(f"n{number}" for number in range(10))]
    config = own(sequential(*(own(dense(name, 3)) for name in names)))
    arrays: dict[str, Array] = {}
    for number in range(len(names)):
        path = f"layers/dense_{number}" if number else "layers/dense"
        arrays |= variables(path, array(3, 3, seed=number), array(3, seed=50 + number))
    model = codegen.read(write_keras(tmp_path / "m.keras", config, arrays))
    for number, name in enumerate(names):
        same(named(model, name).kernel, array(3, 3, seed=number))


def test_each_class_has_a_counter_of_its_own(tmp_path: Path) -> None:
    config = own(sequential(*(own(x) for x in (gru("b", 3), dense("c", 3), gru("a", 3)))))
    arrays = {
        **variables("layers/gru/cell", *(w for _, w in gru_weights(3, 3, seed=1))),
        **variables("layers/dense", array(3, 3, seed=9), array(3)),
        **variables("layers/gru_1/cell", *(w for _, w in gru_weights(3, 3, seed=5))),
    }
    model = codegen.read(write_keras(tmp_path / "m.keras", config, arrays))
    same(named(model, "a").cell.kernel, array(3, 9, seed=5))
    same(named(model, "b").cell.kernel, array(3, 9, seed=1))


def test_variable_ten_comes_after_variable_nine(tmp_path: Path) -> None:
    received: list[Array] = []

    def hook(config: Any, arrays: list[Array], name: str) -> Identity:
        received.extend(arrays)
        return Identity(name=name, class_name="Many")

    entry = {**layer("Many", "many"), "module": "mine", "registered_name": "mine>Many"}
    config = own(sequential(entry))
    arrays = variables("layers/many", *(np.full(1, n, "float32") for n in range(12)))
    codegen.read(write_keras(tmp_path / "m.keras", config, arrays), custom={"Many": hook})
    assert [int(values[0]) for values in received] == list(range(12))


def test_nested_sequential_without_a_name_pairs_by_order(tmp_path: Path) -> None:
    """Up to Keras 2.1.5 a nested Sequential is a bare list, its name lost."""
    first = {
        **dense("d1", 3),
        "config": {**dense("d1", 3)["config"], "batch_input_shape": [None, 3]},
    }
    nested = {"class_name": "Sequential", "config": [dense("d2", 3)]}
    config = {"class_name": "Sequential", "config": [first, nested, dense("d3", 2)]}
    layers = [
        ("d1", dense_weights(3, 3, 1)),
        ("sequential_7", dense_weights(3, 3, 2)),
        ("d3", dense_weights(3, 2, 3)),
    ]
    model = read_h5(tmp_path, config, layers, "2.1.5")
    kernels = [x.kernel for x in model.layers if isinstance(x, Dense)]
    for seed, kernel in enumerate(kernels, 1):
        same(kernel, array(*kernel.shape, seed=seed))


@pytest.mark.parametrize("chunk", [1, 2])
def test_lists_of_names_that_are_split(tmp_path: Path, chunk: int) -> None:
    """Longer than 64 KiB: layer_names0, layer_names1, ... and no layer_names."""
    path = write_h5(
        tmp_path / "m.h5",
        sequential(*(dense(f"d{n}", 3) for n in range(5))),
        [(f"d{n}", dense_weights(3, 3, n)) for n in range(5)],
    )
    with h5py.File(path, "r+") as file:
        for group, key in [(file["model_weights"], "layer_names")] + [
            (file[f"model_weights/d{n}"], "weight_names") for n in range(5)
        ]:
            names = group.attrs[key]
            del group.attrs[key]
            for number in range(0, len(names), chunk):
                group.attrs[f"{key}{number // chunk}"] = names[number : number + chunk]
    model = codegen.read(path)
    for n in range(5):
        same(named(model, f"d{n}").kernel, array(3, 3, seed=n))


def test_eleven_chunks_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    path = write_h5(
        tmp_path / "m.h5",
        sequential(*(dense(f"d{n}", 3) for n in range(12))),
        [(f"d{n}", dense_weights(3, 3, n)) for n in range(12)],
    )
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        names = group.attrs["layer_names"]
        del group.attrs["layer_names"]
        for number, name in enumerate(names):
            group.attrs[f"layer_names{number}"] = np.array([name])
    same(named(codegen.read(path), "d10").kernel, array(3, 3, seed=10))


@pytest.mark.parametrize("name", ["gru/one", "a b", "*/", "model_weights", "..", "für", "x" * 300])
def test_odd_names_of_layers(tmp_path: Path, name: str) -> None:
    model = read_h5(tmp_path, sequential(dense(name, 2)), [(name, dense_weights(3, 2, 4))])
    same(named(model, name).kernel, array(3, 2, seed=4))


def test_a_layer_called_model_weights_in_a_file_of_weights(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "w.h5", [("model_weights", dense_weights(3, 2, 4))])
    config = write_json(tmp_path / "c.json", sequential(dense("model_weights", 2)))
    same(named(codegen.read(path, config), "model_weights").kernel, array(3, 2, seed=4))


def test_texts_of_every_writer(tmp_path: Path) -> None:
    """Attributes are bytes or text, of fixed or free length, depending on who wrote them."""
    config = sequential(dense("d", 2))
    for number, kind in enumerate((np.array([b"d"]), np.array(["d"], object), ["d"], [b"d"])):
        path = tmp_path / f"m{number}.h5"
        with h5py.File(path, "w") as file:
            text = json.dumps(config)
            file.attrs["model_config"] = text if number % 2 else text.encode()
            file.attrs["keras_version"] = "2.2.4" if number % 2 else b"2.2.4"
            group = file.create_group("model_weights")
            write_layers(group, [("d", dense_weights(3, 2))])
            group.attrs["layer_names"] = kind
        same(named(codegen.read(path), "d").kernel, array(3, 2))


# ---- containers -----------------------------------------------------------------------------


def test_content_decides_not_the_suffix(tmp_path: Path) -> None:
    """Up to TensorFlow 2.12 `model.save("m.keras")` writes HDF5."""
    config = sequential(dense("d", 2))
    hdf5 = write_h5(tmp_path / "m.keras", config, [("d", dense_weights(3, 2))])
    archive = write_keras(
        tmp_path / "m.h5",
        own(sequential(own(dense("d", 2)))),
        variables("layers/dense", *(w for _, w in dense_weights(3, 2))),
    )
    assert codegen.read(hdf5).format == "keras_h5"
    assert codegen.read(archive).format == "keras_zip"


def keras_members(tmp_path: Path) -> dict[str, bytes]:
    config = own(sequential(own(dense("a", 3)), own(dense("b", 2))))
    arrays = {
        **variables("layers/dense", *(w for _, w in dense_weights(3, 3, 1))),
        **variables("layers/dense_1", *(w for _, w in dense_weights(3, 2, 2))),
    }
    return {
        "metadata.json": b'{"keras_version": "3.15.1"}',
        "config.json": json.dumps(config).encode(),
        "model.weights.h5": weights_file(arrays),
    }


def test_a_repacked_zip(tmp_path: Path) -> None:
    members = keras_members(tmp_path)
    model = codegen.read(write_zip(tmp_path / "m.keras", members.items(), packed=True))
    same(named(model, "b").kernel, array(3, 2, seed=2))


def test_the_same_members_in_a_directory(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name, data in keras_members(tmp_path).items():
        (folder / name).write_bytes(data)
    same(named(codegen.read(folder), "b").kernel, array(3, 2, seed=2))


def sharded(folder: Path, second: str = "model_00001.weights.h5") -> Path:
    """Weights in two files with an index."""
    folder.mkdir()
    one, two = dense_weights(3, 3, 1), dense_weights(3, 2, 2)
    first = "model_00000.weights.h5"
    (folder / first).write_bytes(weights_file(variables("layers/dense", *(w for _, w in one))))
    (folder / "model_00001.weights.h5").write_bytes(
        weights_file(variables("layers/dense_1", *(w for _, w in two)))
    )
    index = {
        "metadata": {"total_size": 1},
        "weight_map": {"/layers/dense/vars": first, "/layers/dense_1/vars": second},
    }
    write_json(folder / "model.weights.json", index)
    return folder


def test_weights_in_several_files(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "model")
    (folder / "config.json").write_bytes(keras_members(tmp_path)["config.json"])
    same(named(codegen.read(folder), "b").kernel, array(3, 2, seed=2))
    alone = codegen.read(folder / "model.weights.json", folder / "config.json")
    same(named(alone, "b").kernel, array(3, 2, seed=2))


@pytest.mark.parametrize("name", ["../outside.h5", "/etc/passwd", "link.h5", "absent.h5"])
def test_an_index_reaches_no_file_elsewhere(tmp_path: Path, name: str) -> None:
    folder = sharded(tmp_path / "model", name)
    (folder / "config.json").write_bytes(keras_members(tmp_path)["config.json"])
    (tmp_path / "outside.h5").write_bytes((folder / "model_00001.weights.h5").read_bytes())
    (folder / "link.h5").symlink_to(tmp_path / "outside.h5")
    with pytest.raises(ReadError, match="not a file next to the index"):
        codegen.read(folder)


def test_the_digest_is_of_the_bytes(tmp_path: Path) -> None:
    import hashlib

    path = write_h5(tmp_path / "m.h5", sequential(dense("d", 2)), [("d", dense_weights(3, 2))])
    assert codegen.read(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    weights = write_weights(tmp_path / "w.h5", [("d", dense_weights(3, 2))])
    config = write_json(tmp_path / "c.json", sequential(dense("d", 2)))
    both = hashlib.sha256(weights.read_bytes() + config.read_bytes()).hexdigest()[:16]
    assert codegen.read(weights, config).digest == both


# ---- weights without a configuration ----------------------------------------------------------


def test_weights_alone_say_what_they_hold(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "w.h5", [("d", dense_weights(3, 2)), ("drop", [])])
    with pytest.raises(ReadError, match=r"(?s)--config.*d: \(3, 2\), \(2,\)"):
        codegen.read(path)
    keras = tmp_path / "m.weights.h5"
    keras.write_bytes(weights_file(variables("layers/dense", array(3, 2))))
    with pytest.raises(ReadError, match=r"(?s)--config.*layers/dense/vars/0: \(3, 2\)"):
        codegen.read(keras)


def test_weights_pair_in_order_under_other_names(tmp_path: Path) -> None:
    path = write_weights(
        tmp_path / "w.h5",
        [("dense_7", dense_weights(3, 3, 1)), ("dense_8", dense_weights(3, 2, 2))],
    )
    config = write_json(tmp_path / "c.json", sequential(dense("a", 3), dense("b", 2)))
    same(named(codegen.read(path, config), "b").kernel, array(3, 2, seed=2))


@pytest.mark.parametrize("extra", [[], [("more", dense_weights(4, 4))]])
def test_weights_pair_by_name_where_the_order_does_not_fit(tmp_path: Path, extra: Any) -> None:
    layers = [*extra, ("b", dense_weights(5, 2, 2)), ("a", dense_weights(3, 5, 1))]
    path = write_weights(tmp_path / "w.h5", layers)
    config = write_json(tmp_path / "c.json", sequential(dense("a", 5), dense("b", 2)))
    same(named(codegen.read(path, config), "a").kernel, array(3, 5, seed=1))


def test_weights_pair_by_name_where_only_the_widths_tell(tmp_path: Path) -> None:
    """Both layers have two units: what differs is what goes in, which no configuration says."""
    layers = [("b", dense_weights(2, 2, 2)), ("a", dense_weights(3, 2, 1))]
    path = write_weights(tmp_path / "w.h5", layers)
    config = write_json(tmp_path / "c.json", sequential(dense("a", 2), dense("b", 2)))
    same(named(codegen.read(path, config), "a").kernel, array(3, 2, seed=1))


def test_by_name_is_done_when_asked(tmp_path: Path) -> None:
    layers = [("b", dense_weights(3, 3, 2)), ("a", dense_weights(3, 3, 1))]
    path = write_weights(tmp_path / "w.h5", layers)
    config = write_json(tmp_path / "c.json", sequential(dense("a", 3), dense("b", 3)))
    same(named(codegen.read(path, config), "a").kernel, array(3, 3, seed=2))
    same(named(codegen.read(path, config, by_name=True), "a").kernel, array(3, 3, seed=1))


def test_weights_that_do_not_fit_are_refused_with_both_lists(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "w.h5", [("x", dense_weights(3, 4))])
    config = write_json(tmp_path / "c.json", sequential(dense("a", 5), dense("b", 2)))
    with pytest.raises(ReadError, match=r"(?s)a \(kernel, bias\).*x: \(3, 4\), \(4,\)"):
        codegen.read(path, config)


# ---- what a version means ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "meaning"),
    [
        ("1.2.2", "hard_sigmoid"),
        ("2.1.5", "hard_sigmoid"),
        ("2.2.4-tf", "hard_sigmoid"),
        ("2.15.0", "hard_sigmoid"),
        ("2.21.0", "hard_sigmoid"),
        ("3.0.5", "hard_sigmoid_3"),
        ("3.15.1", "hard_sigmoid_3"),
    ],
)
def test_hard_sigmoid_is_what_the_writer_meant(tmp_path: Path, version: str, meaning: str) -> None:
    entry = layer("Activation", "a", activation="hard_sigmoid")
    model = read_h5(tmp_path, sequential(entry), [("a", [])], version)
    assert named(model, "a").activation == Activation(meaning)


def test_the_option_overrides_the_version(tmp_path: Path) -> None:
    entry = layer("Activation", "a", activation="hard_sigmoid")
    model = read_h5(tmp_path, sequential(entry), [("a", [])], "2.2.4", keras_version="3.1")
    assert named(model, "a").activation == Activation("hard_sigmoid_3")
    with pytest.raises(ReadError, match="is not a version"):
        read_h5(tmp_path, sequential(entry), [("a", [])], keras_version="new")


def test_a_configuration_of_keras_3_has_no_version(tmp_path: Path) -> None:
    entry = own(layer("Activation", "a", activation="hard_sigmoid"))
    config = write_json(tmp_path / "c.json", own(sequential(entry, own(dense("d", 2)))))
    path = tmp_path / "m.weights.h5"
    path.write_bytes(weights_file(variables("layers/dense", *(w for _, w in dense_weights(3, 2)))))
    model = codegen.read(path, config)
    assert named(model, "a").activation == Activation("hard_sigmoid_3")


def without(entry: Json, *keys: str) -> Json:
    return {**entry, "config": {k: v for k, v in entry["config"].items() if k not in keys}}


@pytest.mark.parametrize("version", ["2.0.8", "2.1.4", "2.2.4", "2.11.0", "3.5.0"])
def test_a_missing_reset_after_means_false(tmp_path: Path, version: str) -> None:
    """No version that had True as its default left the key out; without bias no shape tells."""
    entry = without(gru("g", 2, use_bias=False), "reset_after")
    model = read_h5(tmp_path, sequential(entry), [("g", gru_weights(3, 2)[:2])], version)
    assert named(model, "g").cell.reset_after is False


def test_two_rows_of_biases_are_reset_after(tmp_path: Path) -> None:
    weights = [*gru_weights(3, 2)[:2], ("bias:0", array(2, 6))]
    entry = without(gru("g", 2), "reset_after")
    assert named(read_h5(tmp_path, sequential(entry), [("g", weights)]), "g").cell.reset_after
    wrong = read_h5(tmp_path, sequential(gru("g", 2)), [("g", weights)])
    assert "'bias' has shape (2, 6), expected (6,)" in problems(wrong)[0]


@pytest.mark.parametrize(
    ("version", "expected"),
    [("2.1.5", "hard_sigmoid"), ("2.3.1", "sigmoid"), ("2.4.0", "sigmoid"), ("3.0.0", "sigmoid")],
)
def test_missing_gate_activations(tmp_path: Path, version: str, expected: str) -> None:
    entry = without(gru("g", 2), "recurrent_activation")
    model = read_h5(tmp_path, sequential(entry), [("g", gru_weights(3, 2))], version)
    assert named(model, "g").cell.recurrent_activation == Activation(expected)


@pytest.mark.parametrize("option", ["cpu", "mem", "gpu"])
def test_keras_1_stores_the_gates_of_lstm_as_i_c_f_o(tmp_path: Path, option: str) -> None:
    parts = {
        f"{kind}_{gate}": array(*shape, seed=seed * 4 + k)
        for k, gate in enumerate("icfo")
        for seed, (kind, shape) in enumerate((("W", (3, 2)), ("U", (2, 2)), ("b", (2,))))
    }

    def columns(kind: str) -> Array:
        return np.concatenate([parts[f"{kind}_{gate}"] for gate in "ifco"], -1)

    stored = (
        [(f"l_{k}", columns(k)) for k in "WUb"]
        if option == "gpu"
        else [(f"l_{k}_{gate}:0", parts[f"{k}_{gate}"]) for gate in "icfo" for k in "WUb"]
    )
    entry = layer(
        "LSTM",
        "l",
        output_dim=2,
        consume_less=option,
        inner_activation="hard_sigmoid",
        activation="tanh",
        batch_input_shape=[None, None, 3],
    )
    config = {"class_name": "Sequential", "config": [entry]}
    cell = named(read_h5(tmp_path, config, [("l", stored)], "1.2.2"), "l").cell
    same(cell.kernel, columns("W"))
    same(cell.recurrent_kernel, columns("U"))
    same(cell.bias, columns("b"))
    assert cell.recurrent_activation == Activation("hard_sigmoid")


def shapeless(*layers: Json) -> Json:
    """A Sequential without any input shape."""
    return {"class_name": "Sequential", "config": {"name": "inner", "layers": list(layers)}}


CONVOLUTION = layer("Conv1D", "c", filters=2, kernel_size=[4], activation="linear")


@pytest.mark.parametrize(
    ("layers", "weights"),
    [
        ([gru("g", 2)], [("g", gru_weights(3, 2))]),
        ([layer("Masking", "m"), gru("g", 2)], [("m", []), ("g", gru_weights(3, 2))]),
        ([dense("d", 5), gru("g", 2)], [("d", dense_weights(3, 5)), ("g", gru_weights(5, 2))]),
        ([CONVOLUTION], [("c", [("kernel:0", array(4, 3, 2)), ("bias:0", array(2))])]),
    ],
    ids=["gru", "masking", "dense", "convolution"],
)
def test_a_lost_input_shape_is_told_by_the_first_kernel(
    tmp_path: Path, layers: list[Json], weights: Any
) -> None:
    """From Keras 2.2 to TensorFlow 2.1 a Sequential lost its InputLayer when it was saved."""
    model = read_h5(tmp_path, shapeless(*layers), weights)
    first = model.graph.layers[0]
    assert isinstance(first, Input)
    assert first.shape == (None, 3)


def test_a_lost_input_shape_is_refused_where_no_layer_tells_its_axes(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no input shape is stored for layer 'd'"):
        read_h5(tmp_path, shapeless(dense("d", 2)), [("d", dense_weights(3, 2))])


def test_a_model_inside_needs_no_input_shape(tmp_path: Path) -> None:
    wrapped = layer("TimeDistributed", "t", layer=shapeless(dense("d", 2)))
    model = read_h5(tmp_path, sequential(wrapped), [("t", dense_weights(3, 2))])
    same(named(model, "t").inner[1].kernel, array(3, 2))


def test_masks_of_more_than_one_axis_are_refused_where_the_era_passes_them_on(
    tmp_path: Path,
) -> None:
    """TimeDistributed keeps the mask that its layer makes from Keras 2.2 on, to Keras 3."""
    embedding = layer("Embedding", "e", input_dim=9, output_dim=3, mask_zero=True)
    config = sequential(
        layer("TimeDistributed", "words", layer=embedding),
        layer("TimeDistributed", "sums", layer=dense("d", 2)),
        shape=(None, 4),
    )
    stored = [("words", [("words/embeddings:0", array(9, 3))]), ("sums", dense_weights(3, 2))]
    lower(read_h5(tmp_path, config, stored, "2.1.5"))
    with pytest.raises(UnsupportedError, match=r"'sums'.*a mask of more than one axis"):
        lower(read_h5(tmp_path, config, stored, "2.2.4"))


@pytest.mark.parametrize("orders", [(), ("tf", "th")], ids=["none", "two"])
def test_padding_without_an_order_is_refused_where_others_tell_none(
    tmp_path: Path, orders: tuple[str, ...]
) -> None:
    shape = [None, 4, 4, 4]
    entries = [layer("ZeroPadding2D", "p", padding=[1, 1], batch_input_shape=shape)]
    entries += [layer("MaxPooling2D", f"m_{one}", dim_ordering=one) for one in orders]
    config = {"class_name": "Sequential", "config": entries}
    stored = [(entry["config"]["name"], []) for entry in entries]
    found = named(read_h5(tmp_path, config, stored, "1.2.2"), "p")
    assert isinstance(found, Unsupported)
    assert "does not say which axis holds the channels" in found.message


def test_a_file_without_any_version_is_keras_1(tmp_path: Path) -> None:
    entry = layer("Dense", "d", output_dim=2, bias=False, batch_input_shape=[None, 3])
    config = {"class_name": "Sequential", "config": [entry]}
    model = read_h5(tmp_path, config, [("d", [("d_W", array(3, 2))])], None)
    same(named(model, "d").kernel, array(3, 2))
    assert named(model, "d").bias is None


def cudnn(kernel: Array, recurrent: Array, gates: int) -> tuple[Array, Array]:
    """What cuDNN keeps for these plain matrices, written apart from the reader's way."""
    units = recurrent.shape[0]

    def packed(matrix: Array) -> Array:
        parts = [matrix[:, g * units : (g + 1) * units] for g in range(gates)]
        # column by column of each gate's transpose, in the shape of the plain matrix
        return np.concatenate([part.T.reshape(-1).reshape(part.shape) for part in parts], 1)

    parts = [recurrent[:, g * units : (g + 1) * units].T for g in range(gates)]
    return packed(kernel), np.concatenate(parts, 1)


@pytest.mark.parametrize("class_name", ["CuDNNGRU", "GRU"])
def test_gru_weights_in_the_layout_of_cudnn(tmp_path: Path, class_name: str) -> None:
    kernel, recurrent, bias = array(3, 6, seed=1), array(2, 6, seed=2), array(12, seed=3)
    packed = cudnn(kernel, recurrent, 3)
    weights = [("k", packed[0]), ("r", packed[1]), ("b", bias)]
    entry = (
        gru("g", 2, reset_after=True)
        if class_name == "GRU"
        else layer("CuDNNGRU", "g", units=2, return_sequences=True)
    )
    cell = named(read_h5(tmp_path, sequential(entry), [("g", weights)], "2.1.5"), "g").cell
    same(cell.kernel, kernel)
    same(cell.recurrent_kernel, recurrent)
    same(cell.bias, bias.reshape(2, 6))
    assert cell.reset_after
    assert cell.recurrent_activation == Activation("sigmoid")


@pytest.mark.parametrize("class_name", ["CuDNNLSTM", "LSTM"])
def test_lstm_weights_in_the_layout_of_cudnn(tmp_path: Path, class_name: str) -> None:
    kernel, recurrent, bias = array(3, 8, seed=1), array(2, 8, seed=2), array(16, seed=3)
    packed = cudnn(kernel, recurrent, 4)
    entry = layer(class_name, "l", units=2, recurrent_activation="sigmoid")
    weights = [("k", packed[0]), ("r", packed[1]), ("b", bias)]
    cell = named(read_h5(tmp_path, sequential(entry), [("l", weights)], "2.1.5"), "l").cell
    same(cell.kernel, kernel)
    same(cell.recurrent_kernel, recurrent)
    same(cell.bias, bias[:8] + bias[8:])


def test_a_cudnn_layer_with_plain_weights(tmp_path: Path) -> None:
    weights = [*gru_weights(3, 2)[:2], ("b", array(2, 6))]
    entry = layer("CuDNNGRU", "g", units=2)
    cell = named(read_h5(tmp_path, sequential(entry), [("g", weights)]), "g").cell
    same(cell.kernel, array(3, 6))


# ---- numbers ----------------------------------------------------------------------------------


def test_half_precision_is_widened(tmp_path: Path) -> None:
    weights = [("k", array(3, 2, dtype="float16")), ("b", array(2, dtype="float16"))]
    model = read_h5(tmp_path, sequential(dense("d", 2)), [("d", weights)])
    assert named(model, "d").kernel.dtype == np.float32
    assert model.dtype == "float32"


@pytest.mark.parametrize("labelled", [True, False])
def test_bfloat16_is_stored_as_two_plain_bytes(tmp_path: Path, labelled: bool) -> None:
    values = np.array([[1.0, -2.5], [0.15625, 3.0], [0.0, 1e30]], "float32")
    half = (values.view("uint32") >> 16).astype("<u2").view("V2")
    path = tmp_path / "m.keras"
    arrays = io_with_bfloat16(half, labelled)
    config = json.dumps(own(sequential(own(dense("d", 2, use_bias=False))))).encode()
    write_zip(path, [("config.json", config), ("model.weights.h5", arrays)])
    expected = (values.view("uint32") >> 16 << 16).view("float32")
    same(named(codegen.read(path), "d").kernel, expected)


def io_with_bfloat16(half: Array, labelled: bool) -> bytes:
    import io

    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        found = file.create_dataset("layers/dense/vars/0", data=half)
        if labelled:
            found.attrs["dtype"] = "bfloat16"
    return data.getvalue()


@pytest.mark.parametrize("dtype", ["<f8", ">f8"])
def test_double_precision_stays(tmp_path: Path, dtype: str) -> None:
    weights = [("k", array(3, 2, dtype=dtype)), ("b", array(2, dtype=dtype))]
    model = read_h5(tmp_path, sequential(dense("d", 2)), [("d", weights)])
    assert model.dtype == "float64"
    assert named(model, "d").kernel.dtype == np.float64
    same(named(model, "d").kernel, array(3, 2, dtype="float64"))


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    bad = array(3, 2)
    bad[1, 1] = np.nan
    layers = [("d", [("k", bad), ("b", array(2))])]
    assert "not finite" in problems(read_h5(tmp_path, sequential(dense("d", 2)), layers))[0]
    model = read_h5(tmp_path, sequential(dense("d", 2)), layers, allow_nonfinite=True)
    assert not problems(model)


def test_a_negative_variance(tmp_path: Path) -> None:
    arrays = [("gamma", array(2)), ("beta", array(2)), ("mean", array(2))]
    layers = [("bn", [*arrays, ("variance", np.array([1, -0.5], "float32"))])]
    config = sequential(layer("BatchNormalization", "bn"), shape=(None, 2))
    assert "variance is negative" in problems(read_h5(tmp_path, config, layers))[0]
    assert not problems(read_h5(tmp_path, config, layers, allow_nonfinite=True))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (layer("LeakyReLU", "a"), Activation("leaky_relu", (0.3,))),
        (layer("LeakyReLU", "a", alpha=0.30000001192092896), Activation("leaky_relu", (0.3,))),
        (
            layer("LeakyReLU", "a", alpha={"type": "ndarray", "value": 0.10000000149011612}),
            Activation("leaky_relu", (0.1,)),
        ),
        (layer("LeakyReLU", "a", negative_slope=0.5), Activation("leaky_relu", (0.5,))),
        (layer("Activation", "a", activation="leaky_relu"), Activation("leaky_relu", (0.2,))),
        (layer("Activation", "a", activation="log_softmax_v2"), Activation("log_softmax")),
        (layer("Activation", "a", activation="swish"), Activation("silu")),
        (
            layer("Activation", "a", activation={"class_name": "function", "config": "relu"}),
            Activation("relu"),
        ),
        (
            layer("Activation", "a", activation={"class_name": "LeakyReLU", "config": {}}),
            Activation("leaky_relu", (0.3,)),
        ),
        (layer("ELU", "a", alpha=1.0), Activation("elu")),
        (layer("ReLU", "a", max_value=6.0), Activation("relu", (0.0, 6.0))),
        (layer("ReLU", "a", max_value=None, threshold=0.0), Activation("relu")),
    ],
)
def test_activations(tmp_path: Path, entry: Json, expected: Activation) -> None:
    model = read_h5(tmp_path, sequential(entry), [("a", [])])
    assert named(model, "a").activation == expected


# ---- graphs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "first"), [("2.2.4", 1), ("2.11.0", 1), ("3.5.0", 0), ("2.5.0", 0)]
)
def test_nodes_of_a_nested_model_may_count_from_1(tmp_path: Path, version: str, first: int) -> None:
    inner = sequential(dense("d", 3), name="inner")
    layers = [
        given("a", 3),
        given("b", 3),
        called(inner, ["a"], ["b"]),
        called(layer("Subtract", "minus"), [["inner", first, 0, {}], ["inner", first + 1, 0, {}]]),
    ]
    config = functional(layers, ["a", "b"], ["minus"])
    model = read_h5(tmp_path, config, [("inner", dense_weights(3, 3))], version)
    nodes = model.graph.nodes
    minus = next(node for node in nodes if node.layer.name == "minus")
    left, right = (nodes[ref.node] for ref in minus.inputs)
    assert left.layer is right.layer  # shared
    assert [nodes[node.inputs[0].node].layer.name for node in (left, right)] == ["a", "b"]


def test_only_the_second_call_is_an_output(tmp_path: Path) -> None:
    inner = sequential(dense("d", 3), name="inner")
    layers = [given("a", 3), given("b", 3), called(inner, ["a"], ["b"])]
    config = functional(layers, ["a", "b"], [["inner", 2, 0]])
    graph = read_h5(tmp_path, config, [("inner", dense_weights(3, 3))]).graph
    (call,) = [node for node in graph.nodes if node.inputs]
    assert graph.nodes[call.inputs[0].node].layer.name == "b"


def test_outputs_count_the_calls_of_a_functional_model_from_1(tmp_path: Path) -> None:
    inner = {**functional([given("x", 3), called(dense("d", 3), ["x"])], ["x"], ["d"])}
    inner["config"] = {**inner["config"], "name": "inner"}
    layers = [
        given("a", 3),
        called({**inner, "name": "inner"}, ["a"], [["inner", 0, 0, {}]]),
        called(dense("e", 2), [["inner", 1, 0, {}]]),
    ]
    config = functional(layers, ["a"], [["inner", 2, 0], "e"])
    weights = [("inner", dense_weights(3, 3)), ("e", dense_weights(3, 2))]
    graph = read_h5(tmp_path, config, weights, "3.5.0").graph
    names = [graph.nodes[ref.node].layer.name for ref in graph.outputs]
    assert names == ["inner/d", "e"]
    assert graph.nodes[graph.outputs[1].node].inputs == (graph.outputs[0],)


def test_a_single_output_without_a_list_around_it(tmp_path: Path) -> None:
    config = functional([given("a", 3), called(dense("d", 2), ["a"])], ["a"], ["d"])
    config["config"] |= {"input_layers": ["a", 0, 0], "output_layers": ["d", 0, 0]}
    model = read_h5(tmp_path, config, [("d", dense_weights(3, 2))], "3.5.0")
    assert [x.name for x in model.inputs] == ["a"]


def test_inputs_by_name_are_in_sorted_order(tmp_path: Path) -> None:
    add = called(layer("Add", "add"), ["z", "a"])
    config = functional([given("z", 3), given("a", 3), add], [], ["add"])
    config["config"]["input_layers"] = {"k2": ["z", 0, 0], "k1": ["a", 0, 0]}
    assert [x.name for x in read_h5(tmp_path, config, [], "3.5.0").inputs] == ["a", "z"]


def test_layers_are_ordered_by_what_they_need(tmp_path: Path) -> None:
    layers = [called(dense("last", 2), ["first"]), called(dense("first", 3), ["a"]), given("a", 3)]
    config = functional(layers, ["a"], ["last"])
    weights = [("last", dense_weights(3, 2, 1)), ("first", dense_weights(3, 3, 2))]
    model = read_h5(tmp_path, config, weights)
    assert [x.name for x in model.layers] == ["a", "first", "last"]
    same(named(model, "first").kernel, array(3, 3, seed=2))


def test_initial_state_in_every_spelling(tmp_path: Path) -> None:
    states = [
        ("further input", ["x", "h"]),
        ("keyword", [["x", 0, 0, {"initial_state": ["h", 0, 0]}]]),
    ]
    graphs = []
    for _, node in states:
        layers = [given("x", None, 3), given("h", 2), called(gru("g", 2), node)]
        config = functional(layers, ["x", "h"], ["g"])
        graphs.append(read_h5(tmp_path, config, [("g", gru_weights(3, 2))]).graph)
    node3 = {"args": [tensor("x")], "kwargs": {"initial_state": [tensor("h")], "training": False}}
    layers = [given("x", None, 3), given("h", 2), {**gru("g", 2), "inbound_nodes": [node3]}]
    config = functional([own(entry) for entry in layers], ["x", "h"], ["g"])
    graphs.append(read_h5(tmp_path, config, [("g", gru_weights(3, 2))], "3.5.0").graph)
    for graph in graphs:
        call = graph.nodes[graph.outputs[0].node]
        refs = (*call.inputs, *call.keywords.get("initial_state", ()))
        assert [graph.nodes[ref.node].layer.name for ref in refs] == ["x", "h"]


def test_integer_inputs(tmp_path: Path) -> None:
    """int32 where only Embeddings read it, whatever the file says; float32 otherwise."""
    table = [("e", array(9, 3))]
    embedding = layer("Embedding", "e", input_dim=9, output_dim=3)
    model = read_h5(tmp_path, sequential(embedding, shape=(None,)), [("e", table)])
    assert model.inputs[0].dtype == "int32"
    layers = [given("x", 3), called(embedding, ["x"]), called(dense("d", 2), ["x"])]
    config = functional(layers, ["x"], ["e", "d"])
    model = read_h5(tmp_path, config, [("e", table), ("d", dense_weights(3, 2))])
    assert model.inputs[0].dtype == "float32"


def test_keras_3_2_forgets_which_call_of_a_layer_another_one_takes(tmp_path: Path) -> None:
    """It wrote call 0 whenever a layer takes what one gives that was called more than once."""
    shared = dense("d", 3)
    shared["inbound_nodes"] = [{"args": [tensor(name)], "kwargs": {}} for name in ("x", "y")]
    both = layer("Subtract", "s")
    both["inbound_nodes"] = [{"args": [[tensor("d"), tensor("d")]], "kwargs": {}}]
    layers = [given("x", 3), given("y", 3), shared, both]
    config = functional([own(entry) for entry in layers], ["x", "y"], ["s"])
    weights = [("d", dense_weights(3, 3))]
    (message,) = problems(read_h5(tmp_path, config, weights, "3.2.1"))
    assert "called 2 times" in message
    (message,) = problems(read_h5(tmp_path, config, weights, keras_version="3"))
    assert "which call of a shared layer" in message
    assert not problems(read_h5(tmp_path, config, weights, "3.3.0"))
    both["inbound_nodes"][0]["args"][0][1]["config"]["keras_history"][1] = 1
    assert not problems(read_h5(tmp_path, config, weights, keras_version="3"))


@pytest.mark.parametrize(
    ("class_name", "own"),
    [("Discretization", {"bin_boundaries": [0.0, 1.0]}), ("CategoryEncoding", {"num_tokens": 3})],
)
def test_codes_keep_an_axis_of_length_1_before_keras_3_4(
    tmp_path: Path, class_name: str, own: Json
) -> None:
    config = sequential(layer(class_name, "c", output_mode="one_hot", **own), shape=(4, 1))

    def shape(version: str) -> Any:
        return lower(read_h5(tmp_path, config, [], version)).whole.outputs[0].shape[1:]

    assert shape("3.3.0") == (1, 3)
    assert shape("3.4.0") == shape("2.11.0") == (3,)
    with pytest.raises(UnsupportedError, match="--keras-version"):
        shape("3")


POLICY = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}


@pytest.mark.parametrize(
    ("entry", "reached"),
    [
        (dense("d", 2, dtype=POLICY), [(3, 4)]),
        (layer("InputLayer", "x", dtype="float32", ragged=False), [(3, 4), (3, 9)]),
        (dense("d", 2, dtype="float32"), []),
    ],
)
def test_a_configuration_of_keras_3_tells_its_side_of_some_releases(
    entry: Json, reached: list[tuple[int, int]]
) -> None:
    """The text of to_json() has no version, but what is in it has changed."""
    found = detect(own(sequential(entry)), "")
    assert found.merges_any_mask == ((3, 4) in reached)
    assert found.codes_keep_axes == ((3, 4) not in reached)
    if reached:
        assert found.tells_calls
    else:
        with pytest.raises(LayerError, match="--keras-version"):
            _ = found.tells_calls
    if reached == [(3, 4)]:
        with pytest.raises(LayerError, match="--keras-version"):
            _ = found.ignores_query_mask
    else:
        assert found.ignores_query_mask == ((3, 9) in reached)


@pytest.mark.parametrize("mode", ["multi_hot", "count"])
def test_bins_of_several_axes_are_counted_otherwise_before_keras_3_4(
    tmp_path: Path, mode: str
) -> None:
    settings = {"bin_boundaries": [0.0, 1.0], "output_mode": mode}
    config = sequential(layer("Discretization", "c", **settings), shape=(4, 2))
    with pytest.raises(UnsupportedError, match=r"Keras 3\.0 to 3\.3"):
        lower(read_h5(tmp_path, config, [], "3.3.0"))
    assert lower(read_h5(tmp_path, config, [], "3.4.0")).whole.outputs[0].shape == (2, 3)


# ---- masks ------------------------------------------------------------------------------------


def masked(*entries: Json) -> Json:
    return sequential(layer("Masking", "mask", mask_value=0.0), *entries)


@pytest.mark.parametrize(
    ("version", "unroll", "zeros", "rule"),
    [
        ("1.2.2", False, False, "state"),
        ("2.2.4", False, False, "state"),
        ("2.2.4", True, False, "previous"),
        ("2.3.1", False, False, "previous"),
        ("2.2.4-tf", False, False, "previous"),
        ("2.11.0", False, False, "previous"),
        ("3.5.0", False, False, "previous"),
        ("3.5.0", False, True, "zeros"),
    ],
)
def test_what_a_masked_step_gives(
    tmp_path: Path, version: str, unroll: bool, zeros: bool, rule: str
) -> None:
    entry = gru("g", 2, unroll=unroll, zero_output_for_mask=zeros)
    weights = gru_weights(3, 2)
    if version == "1.2.2":
        for new, old in (("units", "output_dim"), ("recurrent_activation", "inner_activation")):
            entry["config"][old] = entry["config"].pop(new)
        del entry["config"]["reset_after"]
        entry["config"]["consume_less"] = "gpu"
    model = read_h5(tmp_path, masked(entry), [("g", weights)], version)
    assert named(model, "g").mask_rule == rule


def bidirectional(**config: Any) -> tuple[Json, list[Any]]:
    inner = gru("g", 2, **config)
    inner.pop("name")
    entry = layer("Bidirectional", "b", layer=inner, merge_mode="concat")
    backward = [(f"backward/{name}", values) for name, values in gru_weights(3, 2, seed=7)]
    return entry, [("b", [*gru_weights(3, 2), *backward])]


@pytest.mark.parametrize(
    ("version", "option", "rule"),
    [
        ("2.2.4", None, "state"),
        ("2.3.1", None, "previous"),
        ("2.2.4-tf", "tf1.15", "zeros"),
        ("2.2.4-tf", "tf2.1", "zeros"),  # no layer that cuDNN computes, too: see below
        ("2.3.0-tf", None, "zeros"),
        ("2.4.0", None, "zeros"),
        ("3.5.0", None, "zeros"),
    ],
)
def test_what_a_masked_step_gives_inside_bidirectional(
    tmp_path: Path, version: str, option: str | None, rule: str
) -> None:
    entry, weights = bidirectional()
    model = read_h5(tmp_path, masked(entry), weights, version, keras_version=option)
    found = named(model, "b")
    assert isinstance(found, Bidirectional)
    assert found.forward.mask_rule == found.backward.mask_rule == rule
    same(found.backward.cell.kernel, array(3, 6, seed=7))
    assert found.backward.go_backwards


@pytest.mark.parametrize(("fused", "rule"), [(True, "previous"), (False, "zeros")])
def test_tensorflow_2_1_forgets_zeros_where_cudnn_could_compute(fused: bool, rule: str) -> None:
    assert from_option("tf2.1").bidirectional_mask_rule(False, True, fused) == rule


@pytest.mark.parametrize(
    ("version", "carries"),
    [("2.0.8", True), ("2.1.3", True), ("2.1.4", False), ("2.3.1", False), ("2.4.0", True)],
)
def test_a_stateful_bidirectional_forgets_from_2_1_4_on(
    tmp_path: Path, version: str, carries: bool
) -> None:
    entry, weights = bidirectional(stateful=True)
    found = named(read_h5(tmp_path, sequential(entry), weights, version), "b")
    assert isinstance(found, Bidirectional)
    assert found.stateful_carried == carries


def test_an_ambiguous_version_matters_only_where_a_mask_arrives(tmp_path: Path) -> None:
    entry, weights = bidirectional()
    refused = problems(read_h5(tmp_path, masked(entry), weights, "2.2.4-tf"))
    assert len(refused) == 1
    assert "--keras-version" in refused[0]
    assert not problems(read_h5(tmp_path, sequential(entry), weights, "2.2.4-tf"))


def test_every_layer_whose_mask_is_ambiguous_is_a_problem_of_the_model(tmp_path: Path) -> None:
    layers = [given("x", None, 3), called(layer("Masking", "m", mask_value=0.0), ["x"])]
    layers += [called(layer("Add", name), ["x", "m"]) for name in ("a", "b", "unused")]
    model = read_h5(tmp_path, functional(layers, ["x"], ["a", "b"]), [], keras_version="3")
    refused = problems(model)
    assert len(refused) == 2
    assert all("how merge layers treat masks" in message for message in refused)


@pytest.mark.parametrize(
    ("version", "carried"),
    [
        ("2.0.8", True),
        ("2.1.5", False),
        ("2.3.1", False),
        ("tf1.15", False),
        ("tf2.1", True),
        ("3.5.0", True),
    ],
)
def test_whether_a_stateful_bidirectional_goes_on(
    tmp_path: Path, version: str, carried: bool
) -> None:
    entry, weights = bidirectional(stateful=True)
    model = read_h5(tmp_path, sequential(entry), weights, keras_version=version)
    assert named(model, "b").stateful_carried is carried


@pytest.mark.parametrize("value", [0, 0.0])
def test_masks_that_keras_3_writes_out_are_folded(tmp_path: Path, value: float) -> None:
    embedding = layer("Embedding", "e", input_dim=9, output_dim=3, mask_zero=True)
    embedding["inbound_nodes"] = [{"args": [tensor("x")], "kwargs": {}}]
    differs = {
        "class_name": "NotEqual",
        "name": "not_equal",
        "config": {"name": "not_equal"},
        "module": "keras.src.ops.numpy",
        "inbound_nodes": [{"args": [tensor("x"), value], "kwargs": {}}],
    }
    recurrent = gru("g", 2)
    recurrent["inbound_nodes"] = [{"args": [tensor("e")], "kwargs": {"mask": tensor("not_equal")}}]
    layers = [own(given("x", None)), own(embedding), differs, own(recurrent)]
    config = own(functional(layers, ["x"], ["g"]))
    weights = [("e", [("e", array(9, 3))]), ("g", gru_weights(3, 2))]
    model = read_h5(tmp_path, config, weights, "3.5.0")
    assert [x.name for x in model.layers] == ["x", "e", "g"]
    assert not model.graph.nodes[2].keywords
    assert model.inputs[0].dtype == "int32"


# ---- refusals ---------------------------------------------------------------------------------


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    entries = [
        layer("Lambda", "code", function=["4wEAAAA=", None, None], function_type="lambda"),
        layer("MyLayer", "mine"),
        {**layer("Dense", "theirs", units=2), "module": "their.code", "registered_name": "t>Dense"},
        gru("text", 2, activation="no_such"),
        layer("TimeDistributed", "td", layer=layer("MDN", "mdn")),
    ]
    found = problems(read_h5(tmp_path, sequential(*entries), [("text", gru_weights(3, 2))]))
    assert len(found) == len(entries)
    for text, problem in zip(
        (
            "'code' (Lambda): it holds Python code, which is never run",
            "'mine' (MyLayer): layers of this class are not supported",
            "'theirs' (Dense): 'Dense' is a custom class",
            "'text' (GRU): activation \"no_such\" is not an activation of Keras",
            "'td/mdn' (MDN): layers of this class are not supported",
        ),
        found,
        strict=True,
    ):
        assert text in problem


def test_an_activation_with_weights_of_its_own(tmp_path: Path) -> None:
    """The activation is named, not the number of weights it brings."""
    dense = layer(
        "Dense", "d", units=2, activation={"class_name": "PReLU", "config": {"name": "p"}}
    )
    arrays = [("kernel", np.ones((3, 2))), ("bias", np.ones(2)), ("alpha", np.ones((1, 2)))]
    found = problems(read_h5(tmp_path, sequential(dense), [("d", arrays)]))
    assert found == [
        "layer 'd' (Dense): activation is a layer of class \"PReLU\", which is not supported"
    ]


@pytest.mark.parametrize(
    ("function", "more", "message"),
    [
        ("math.igamma", {}, 'the TensorFlow operation "math.igamma" is not supported'),
        (["a"], {}, "TensorFlow operation"),
        ("math.add", {"seed": 3}, "called with seed=3"),
        ("math.add", {"slice_spec": [1]}, "called with slice_spec"),
        ("math.reduce_sum", {"axis": ["g", 0, 0]}, "called with a tensor as axis"),
        ("__operators__.getitem", {"slice_spec": [0]}, "single rows of the batch"),
        ("math.add", {"y": [["g", 0, 0], 1.0]}, "called with a tensor as y"),
        ("linalg.matmul", {"b": [[1.0]], "transpose_a": True}, "not supported"),
        ("nn.silu", {"beta": 2.0}, "called with beta=2.0"),
        ("where", {"x": ["g", 0, 0], "y": None}, "expected a number"),
        ("split", {"num_or_size_splits": [2, -1], "axis": -1}, "size is -1"),
    ],
)
def test_tensorflow_operations_that_are_not_read(
    tmp_path: Path, function: Any, more: Json, message: str
) -> None:
    """Those that Keras 3 has too are; see the fixtures op_layers."""
    operation = layer("TFOpLambda", "op", function=function)
    operation["inbound_nodes"] = [[["g", 0, 0, {"name": None, **more}]]]
    layers = [given("x", None, 3), called(gru("g", 2), ["x"]), operation]
    weights = [("g", gru_weights(3, 2))]
    model = read_h5(tmp_path, functional(layers, ["x"], ["op"]), weights, "2.4.0")
    assert message in problems(model)[0]


@pytest.mark.parametrize(
    ("node", "constants", "message"),
    [
        ({"op": "Igamma"}, {}, 'the TensorFlow operation "Igamma" is not supported'),
        (None, {}, "TensorFlow operation"),
        ({"op": ["Mul"]}, {}, "TensorFlow operation"),
        ({"op": "Mul", "input": ["g", "y"]}, {}, "2 inputs that are not constants, called on 1"),
        ({"op": "Mul", "input": ["g", "y"]}, {"1": 2.0, "7": 3.0}, "called on 1"),
        ({"op": "Mul", "input": 3}, {"1": 2.0}, "its inputs are 3"),
        ({"op": "Mul", "input": ["g", "y"]}, {"1": "2"}, "expected a number"),
        ({"op": "Neg", "input": ["g"], "attr": {"seed": {"i": "4"}}}, {}, '"seed" is 4'),
        ({"op": "Unpack", "input": ["g"], "attr": {"axis": {"i": "x"}}}, {}, "axis"),
        ({"op": "Unpack", "input": ["g"], "attr": {"axis": {"i": "9" * 30}}}, {}, "axis"),
        ({"op": "Squeeze", "input": ["g"], "attr": {"squeeze_dims": {"list": {"f": []}}}}, {}, "f"),
        ({"op": "Einsum", "input": ["g"], "attr": {"equation": {"s": "%"}}}, {}, "equation"),
        ({"op": "Neg", "input": ["g"], "attr": [1]}, {}, "attr"),
        ({"op": "Mean", "input": ["g", "a"]}, {"1": 0}, "axis 0"),
        ({"op": "StridedSlice", "input": list("gabc")}, {"1": [0], "2": 3, "3": [1]}, "bounds"),
    ],
)
def test_tensorflow_nodes_that_are_not_read(
    tmp_path: Path, node: Any, constants: Json, message: str
) -> None:
    """Those that Keras 3 has as operations are; see the fixtures tf_nodes."""
    operation = layer("TensorFlowOpLayer", "op", node_def=node, constants=constants)
    operation["inbound_nodes"] = [[["g", 0, 0, {}]]]
    layers = [given("x", None, 3), called(gru("g", 2), ["x"]), operation]
    weights = [("g", gru_weights(3, 2))]
    model = read_h5(tmp_path, functional(layers, ["x"], ["op"]), weights, "2.3.0-tf")
    found = problems(model)
    if not found:  # what only lowering can tell
        with pytest.raises(UnsupportedError, match=message):
            lower(model)
        return
    assert message in found[0]


def constant_node(dims: list[int], dtype: str = "DT_FLOAT", **values: Any) -> Json:
    sizes = [{"size": str(n)} for n in dims]
    tensor = {"dtype": dtype, "tensorShape": {"dim": sizes} if dims else {}, **values}
    return {"op": "Const", "attr": {"value": {"tensor": tensor}, "dtype": {"type": dtype}}}


def packed(dtype: str, *numbers: float) -> str:
    return base64.b64encode(np.array(numbers, dtype).tobytes()).decode()


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (constant_node([1, 2], tensorContent=packed("<f4", 0.5, -2)), [0.5, -2]),
        (constant_node([1, 2], "DT_INT32", tensorContent=packed("<i4", 3, -2)), [3, -2]),
        (constant_node([1, 2], floatVal=[0.25]), [0.25, 0.25]),
        (constant_node([1, 2], "DT_INT64", int64Val=["7", "-1"]), [7, -1]),
        (constant_node([1, 2], tensorContent=packed("<f4", 0.5)), "expected an array"),
        (constant_node([1, 2], tensorContent="%"), "expected an array"),
        (constant_node([1, 2], "DT_STRING", stringVal=["a"]), "expected an array"),
        (constant_node([1, 2], floatVal=[0.5], boolVal=[True]), "expected an array"),
        (constant_node([1, 2**24], floatVal=[0.5]), "expected an array"),
        (constant_node([1, 2], tensorContent=packed("<f4", 0.5, np.nan)), "a finite number"),
        ({"op": "Const", "attr": {"value": {"tensor": 3}}}, "expected an array"),
    ],
)
def test_arrays_in_tensorflow_graphs(tmp_path: Path, node: Json, expected: Any) -> None:
    fixed = layer("TensorFlowOpLayer", "fixed", node_def=node, constants={})
    fixed["inbound_nodes"] = []
    layers = [given("x", 2), fixed, called(layer("Add", "sum"), ["x", "fixed"])]
    model = read_h5(tmp_path, functional(layers, ["x"], ["sum"]), [], "2.2.4-tf")
    found = problems(model)
    if isinstance(expected, str):
        assert expected in found[0]
    else:
        assert not found
        y = Reference(lower(model), 1).predict(np.array([[1.0, 2.0]]))
        same(y[0], np.array([[1.0, 2.0]]) + expected)


@pytest.mark.parametrize("form", ["TFOpLambda", "TensorFlowOpLayer"])
@pytest.mark.parametrize("of_integers", [True, False])
def test_means_of_integers_in_tensorflow(tmp_path: Path, form: str, of_integers: bool) -> None:
    """TensorFlow cuts the mean of integers off to an integer."""
    dtype = "int32" if of_integers else "float32"
    if form == "TFOpLambda":
        cast, mean = (layer(form, name, function=name) for name in ("cast", "math.reduce_mean"))
        cast["inbound_nodes"] = [[["x", 0, 0, {"dtype": dtype}]]]
        mean["inbound_nodes"] = [[["cast", 0, 0, {"axis": 1}]]]
    else:
        to = {"DstT": {"type": f"DT_{'INT32' if of_integers else 'FLOAT'}"}}
        node = {"op": "Cast", "input": ["x"], "attr": to}
        cast = layer(form, "cast", node_def=node, constants={})
        mean = layer(
            form, "math.reduce_mean", node_def={"op": "Mean", "input": ["a", "b"]}, constants={1: 1}
        )
        cast["inbound_nodes"], mean["inbound_nodes"] = [[["x", 0, 0, {}]]], [[["cast", 0, 0, {}]]]
    config = functional([given("x", 4), cast, mean], ["x"], ["math.reduce_mean"])
    found = problems(read_h5(tmp_path, config, [], "2.4.0"))
    assert ["which Keras treats unlike floats" in one for one in found] == [True] * of_integers


def test_a_layer_that_is_used_and_never_called(tmp_path: Path) -> None:
    alone, after = layer("ReLU", "alone"), called(layer("ReLU", "after"), ["alone"])
    alone["inbound_nodes"] = []
    config = functional([given("x", 2), alone, after], ["x"], ["after"])
    with pytest.raises(ReadError, match="layer 'alone' is used but never called"):
        read_h5(tmp_path, config, [])


def test_quantised_layers(tmp_path: Path) -> None:
    policy = {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}
    entry = own(dense("d", 2, dtype=policy))
    arrays = variables("layers/dense", array(3, 2).astype("int8"), array(2), array(2))
    model = codegen.read(write_keras(tmp_path / "m.keras", own(sequential(entry)), arrays))
    assert "quantised" in problems(model)[0]


def test_integers_where_numbers_are_expected(tmp_path: Path) -> None:
    weights = [("k", np.ones((3, 2), "int8")), ("b", array(2))]
    assert "int8" in problems(read_h5(tmp_path, sequential(dense("d", 2)), [("d", weights)]))[0]


def test_lora_is_merged_in_keras_files_only(tmp_path: Path) -> None:
    entry = dense("d", 2, lora_rank=1)
    weights = [("b", array(2)), ("a", array(3, 1)), ("bb", array(1, 2)), ("k", array(3, 2))]
    model = read_h5(tmp_path, sequential(entry), [("d", weights)], "3.5.0")
    assert "save the model as .keras" in problems(model)[0]
    arrays = variables("layers/dense", array(3, 2, seed=4), array(2))
    model = codegen.read(write_keras(tmp_path / "m.keras", own(sequential(own(entry))), arrays))
    same(named(model, "d").kernel, array(3, 2, seed=4))


def test_every_shape_is_checked(tmp_path: Path) -> None:
    wrong = [("k", array(3, 5)), ("b", array(2))]
    found = problems(read_h5(tmp_path, sequential(dense("d", 2)), [("d", wrong)]))
    assert "'kernel' has shape (3, 5), expected (any, 2)" in found[0]
    found = problems(read_h5(tmp_path, sequential(dense("d", 2)), [("d", wrong[:1])]))
    assert "1 weight arrays found ((3, 5)), expected 2 (kernel, bias)" in found[0]


# ---- the user's own ---------------------------------------------------------------------------


def test_a_layer_of_the_users_own(tmp_path: Path) -> None:
    """Its arrays stand between those of its neighbours in a nested list."""

    def scale(config: Any, arrays: list[Array], name: str) -> Rescaling:
        assert config["factor"] == 2
        (values,) = arrays
        return Rescaling(name=name, class_name="Scale", scale=values, offset=np.zeros(1))

    mine = layer("own>Scale", "mine", factor=2)
    inner = sequential(dense("d1", 2), mine, dense("d2", 2), name="inner")
    stored = [
        *(("d1/" + w, a) for w, a in dense_weights(3, 2, 1)),
        ("mine/s:0", array(2, seed=3)),
        *(("d2/" + w, a) for w, a in dense_weights(2, 2, 2)),
    ]
    model = read_h5(tmp_path, sequential(inner), [("inner", stored)], custom={"Scale": scale})
    same(named(model, "inner/mine").scale, array(2, seed=3))
    same(named(model, "inner/d2").kernel, array(2, 2, seed=2))


def test_an_activation_of_the_users_own(tmp_path: Path) -> None:
    entry = dense("d", 2, activation="cube")
    layers = [("d", dense_weights(3, 2))]
    assert "--custom" in problems(read_h5(tmp_path, sequential(entry), layers))[0]
    model = read_h5(tmp_path, sequential(entry), layers, custom={"cube": lambda x: x * x * x})
    assert not problems(model)
    assert named(model, "d").activation.is_elementwise


def test_a_live_model_is_saved_by_its_own_keras(tmp_path: Path) -> None:
    class Live:
        def get_config(self) -> Json:
            return {}

        def save(self, path: str) -> None:
            write_h5(Path(path), sequential(dense("d", 2)), [("d", dense_weights(3, 2))])

    same(named(codegen.read(Live()), "d").kernel, array(3, 2))
    with pytest.raises(ReadError, match="expected a path or a Keras model, found int"):
        codegen.read(3)


def test_recurrent_layers_of_any_cell(tmp_path: Path) -> None:
    cells = [
        {"class_name": "GRUCell", "config": {"name": "c", "units": 2, "reset_after": False}},
        {"class_name": "LSTMCell", "config": {"name": "c2", "units": 3}},
        {"class_name": "GRUCell", "config": {"name": "c3", "units": 2, "reset_after": False}},
    ]
    arrays = {
        **variables("layers/rnn/cell/cells/gru_cell", *(w for _, w in gru_weights(3, 2, 1))),
        **variables("layers/rnn/cell/cells/lstm_cell", array(2, 12), array(3, 12), array(12)),
        **variables("layers/rnn/cell/cells/gru_cell_1", *(w for _, w in gru_weights(3, 2, 9))),
    }
    stacked = {"class_name": "StackedRNNCells", "config": {"cells": cells}}
    config = own(sequential(own(layer("RNN", "r", cell=stacked, return_state=True))))
    found = named(codegen.read(write_keras(tmp_path / "m.keras", config, arrays)), "r")
    assert isinstance(found, Recurrent)
    assert [len(cell.states) for cell in found.cell.cells] == [1, 2, 1]
    same(found.cell.cells[2].kernel, array(3, 6, seed=9))


@pytest.mark.parametrize(("version", "is_refused"), [("2.15.0", True), ("3.5.0", False)])
def test_means_of_whole_numbers(tmp_path: Path, version: str, is_refused: bool) -> None:
    """TensorFlow's mean of int32 is int32; Keras 3 makes floats of them first."""
    config = sequential(
        layer("Discretization", "bins", bin_boundaries=[0.0, 1.0], output_mode="int"),
        layer("Permute", "turn", dims=[1, 2]),
        layer("GlobalAveragePooling1D", "mean", data_format="channels_last"),
        shape=(4, 3),
    )
    found = problems(codegen.read(write_keras(tmp_path / "m.keras", config, {}, version)))
    assert bool(found) == is_refused
    assert not is_refused or "which Keras treats unlike floats" in found[0]
