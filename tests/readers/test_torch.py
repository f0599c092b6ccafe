"""Weights of PyTorch, safetensors and npz: good files of every form, and hostile ones."""

from __future__ import annotations

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import codegen
from codegen.errors import CodegenError, ReadError, UnsupportedError
from codegen.layers.core import Dense
from codegen.lowering import lower
from codegen.model import Model
from codegen.readers.torch.layers.recurrent import COLUMNS, ROWS, gates
from codegen.readers.torch.pickles import MAX_BYTES
from tests.readers.torch_files import (
    Call,
    Global,
    Tensor,
    archive,
    entry,
    legacy,
    npz,
    safetensors,
    tensor,
)

LINEAR = [{"class": "Linear", "weights": "fc"}]
W, B = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([0.5, -0.5], np.float32)
STATE = {"fc.weight": tensor(W), "fc.bias": tensor(B)}


def read(
    folder: Path, data: bytes, layers: Any = LINEAR, shape: Any = (None, 3), **more: Any
) -> Model:
    """The model of a file of weights and its layers."""
    path, config = folder / "w.pt", folder / "layers.json"
    path.write_bytes(data)
    text = layers if isinstance(layers, str) else json.dumps({"input": shape, "layers": layers})
    config.write_text(text)
    return codegen.read(path, config, **more)


def dense(model: Model) -> Dense:
    (layer,) = (layer for layer in model.layers if isinstance(layer, Dense))
    return layer


def problems(model: Model) -> str:
    with pytest.raises(UnsupportedError) as caught:
        lower(model)
    return str(caught.value)


# ---- every form of file ---------------------------------------------------------------------

LENGTHS = np.linalg.norm(W.astype(np.float64), axis=1, keepdims=True)
LISTS = {"fc.weight": W.tolist(), "fc.bias": B.tolist()}
# What training frameworks keep: objects of known classes, whose state is not kept.
ASIDE = {
    "".join(name): Call(Global(*name), ("x", 1))
    for name in (
        ("argparse", "Namespace"),
        ("pathlib", "PosixPath"),
        ("numpy.core.multiarray", "scalar"),
        ("datetime", "datetime"),
        ("omegaconf.listconfig", "ListConfig"),
        ("lightning.pytorch.utilities.parsing", "AttributeDict"),
    )
}
BOTH = {"fc.weight": entry([2, 3], 0, 24), "fc.bias": entry([2], 24, 32)}
GOOD: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "zip": (lambda: archive(STATE), "torch_zip", "PyTorch"),
    "zip under another root": (lambda: archive(STATE, root="a/b"), "torch_zip", "PyTorch"),
    "zip, byteorder little": (
        lambda: archive(STATE, {"model/byteorder": b"little"}), "torch_zip", "PyTorch",
    ),
    "zip, byteorder big": (
        lambda: archive(STATE, {
            "model/byteorder": b"big",
            "model/data/0": W.astype(">f4").tobytes(),
            "model/data/1": B.astype(">f4").tobytes(),
        }), "torch_zip", "PyTorch",
    ),
    "legacy": (lambda: legacy(STATE), "torch_legacy", "PyTorch"),
    "safetensors": (
        lambda: safetensors({"__metadata__": {"format": "pt"}, **BOTH}, W.tobytes() + B.tobytes()),
        "safetensors", "PyTorch",
    ),
    "safetensors of others": (
        lambda: safetensors(BOTH, W.tobytes() + B.tobytes()), "safetensors", "",
    ),
    "npz": (lambda: npz(**{"fc.weight": W, "fc.bias": B}), "npz", ""),
    "npz in Fortran order": (
        lambda: npz(**{"fc.weight": np.asfortranarray(W), "fc.bias": B}), "npz", "",
    ),
    "npz, big-endian": (
        lambda: npz(**{"fc.weight": W.astype(">f4"), "fc.bias": B.astype(">f4")}), "npz", "",
    ),
    "a checkpoint": (
        lambda: archive({"epoch": 3, "loss": 0.5, "best": None, "names": ["a", ("b", True)],
                         "optimizer": {"state": {0: {"exp_avg": tensor(W)}}},
                         "state_dict": STATE}),
        "torch_zip", "PyTorch",
    ),
    "a checkpoint, model": (lambda: archive({"model": STATE}), "torch_zip", "PyTorch"),
    "the only dict of tensors": (lambda: archive({"net": STATE, "x": 1}), "torch_zip", "PyTorch"),
    "DataParallel": (
        lambda: archive({f"module.{name}": found for name, found in STATE.items()}),
        "torch_zip", "PyTorch",
    ),
    "torch.compile inside DataParallel": (
        lambda: archive({f"module._orig_mod.{name}": found for name, found in STATE.items()}),
        "torch_zip", "PyTorch",
    ),
    "a parameter": (
        lambda: archive({
            "fc.weight": Call(
                Global("torch._utils", "_rebuild_parameter"), (tensor(W), True, {})
            ), "fc.bias": tensor(B),
        }), "torch_zip", "PyTorch",
    ),
    "values without code": (
        lambda: archive({**STATE, "size": Call(Global("torch", "Size"), ((1, 2),)),
                         "when": Global("torch", "float32")}), "torch_zip", "PyTorch",
    ),
    "views of one storage": (
        lambda: archive({
            "fc.weight": tensor(np.concatenate([W.ravel(), B]), key="0", count=8, shape=(2, 3),
                                strides=(3, 1)),
            "fc.bias": tensor(B, key="0", count=8, offset=6),
        }), "torch_zip", "PyTorch",
    ),
    "a transposed view": (
        lambda: archive({"fc.weight": tensor(np.ascontiguousarray(W.T), shape=(2, 3),
                                             strides=(1, 2)), "fc.bias": tensor(B)}),
        "torch_zip", "PyTorch",
    ),
    "half precision": (
        lambda: archive({"fc.weight": Tensor(W.astype(np.float16)),
                         "fc.bias": Tensor(B.astype(np.float16))}), "torch_zip", "PyTorch",
    ),
    "bfloat16": (
        lambda: archive({
            "fc.weight": Tensor((W.view(np.uint32) >> 16).astype(np.int16).view(np.float16),
                                storage="BFloat16Storage"),
            "fc.bias": Tensor((B.view(np.uint32) >> 16).astype(np.int16).view(np.float16),
                              storage="BFloat16Storage"),
        }), "torch_zip", "PyTorch",
    ),
    "JSON": (lambda: json.dumps(LISTS).encode(), "json", ""),
    "JSON under a wrapper": (
        lambda: json.dumps({"epoch": 3, "state_dict": LISTS}).encode(), "json", "",
    ),
    "JSON with a counter": (
        lambda: json.dumps({**LISTS, "norm.num_batches_tracked": 7}).encode(), "json", "",
    ),
    "a checkpoint of Lightning": (
        lambda: archive({"callbacks": {"c": {"best": tensor(B)}}, "hyper_parameters": ASIDE,
                         "state_dict": STATE}), "torch_zip", "PyTorch",
    ),
    "values beside the tensors": (
        lambda: archive({**STATE, "config": ASIDE}), "torch_zip", "PyTorch",
    ),
    "a wrapper in a wrapper": (
        lambda: archive({"epoch": 1, "model": {"step": 2, "state_dict": STATE}}),
        "torch_zip", "PyTorch",
    ),
    "weight_norm": (
        lambda: archive({"fc.bias": tensor(B), "fc.weight_g": tensor(LENGTHS),
                         "fc.weight_v": tensor(2 * W)}), "torch_zip", "PyTorch",
    ),
    "weight_norm, a parametrization": (
        lambda: archive({"fc.bias": tensor(B),
                         "fc.parametrizations.weight.original0": tensor(LENGTHS),
                         "fc.parametrizations.weight.original1": tensor(2 * W)}),
        "torch_zip", "PyTorch",
    ),
    "num_batches_tracked": (
        lambda: archive({**STATE, "norm.num_batches_tracked": Tensor(np.array(7))}),
        "torch_zip", "PyTorch",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(GOOD))
def test_every_form_holds_the_same_weights(case: str, tmp_path: Path) -> None:
    make, form, writer = GOOD[case]
    model = read(tmp_path, make())
    assert (model.format, model.writer, model.keras_version) == (form, writer, "")
    np.testing.assert_allclose(dense(model).kernel, W.T, rtol=1e-7 * ("norm" in case))
    assert dense(model).bias is not None
    np.testing.assert_array_equal(dense(model).bias, B)
    assert lower(model).step is not None


def test_double_precision_stays_double(tmp_path: Path) -> None:
    state = {"fc.weight": Tensor(W / 3.0), "fc.bias": Tensor(B / 3.0)}
    state = {name: Tensor(found.array.astype(np.float64)) for name, found in state.items()}
    model = read(tmp_path, archive(state))
    assert model.dtype == "float64"
    np.testing.assert_array_equal(dense(model).kernel, state["fc.weight"].array.T)


# ---- gate orders ----------------------------------------------------------------------------


def test_the_gate_orders_of_torch() -> None:
    """As the documentation of torch.nn.GRU and torch.nn.LSTM gives them."""
    assert ROWS == {"RNN": ("h",), "GRU": ("r", "z", "n"), "LSTM": ("i", "f", "g", "o")}


@pytest.mark.parametrize(
    ("kind", "order"), [("RNN", [0]), ("GRU", [1, 0, 2]), ("LSTM", [0, 1, 2, 3])]
)
def test_gates_are_put_in_the_order_of_the_layers(kind: str, order: list[int]) -> None:
    rows = np.repeat(np.arange(len(ROWS[kind])), 2)[:, None] * np.ones((1, 3))
    assert sorted(ROWS[kind]) == sorted(COLUMNS[kind])
    np.testing.assert_array_equal(gates(kind, rows)[::2, 0], order)


# ---- descriptions ---------------------------------------------------------------------------

DESCRIPTIONS: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "not valid JSON"),
    "of Keras": ('{"class_name": "Sequential", "config": {}}', "a configuration of Keras"),
    "unknown key": ('{"input": [3], "layer": []}', "unknown key \"layer\", did you mean 'layers'"),
    "no layers": ('{"input": [3], "layers": []}', "layers is"),
    "no input": ('{"layers": [{"class": "Linear", "weights": "fc"}]}', "has no 'input'"),
    "empty input": ('{"input": [], "layers": [{"class": "Linear"}]}', "input is \\[\\]"),
    "a layer that is a text": ([*LINEAR, "Tanh"], 'layer 2: "Tanh" is not an object'),
    "no class": ([{"weights": "fc"}], "has no 'class'"),
    "from nowhere": (
        [{**LINEAR[0], "from": "x"}],
        'names "x", which is not a layer before it',
    ),
    "from itself": ([{**LINEAR[0], "name": "a", "from": ["a"]}], "not a layer before it"),
    "from a number": ([{**LINEAR[0], "from": 3}], "from is 3"),
    "input and inputs": (
        '{"input": [3], "inputs": {"a": [3]}, "layers": [{"class": "Tanh"}]}',
        "input and inputs",
    ),
    "inputs that are a list": ('{"inputs": [3], "layers": [{"class": "Tanh"}]}', "inputs is"),
    "a shape that is none": ('{"inputs": {"a": 3}, "layers": [{"class": "Tanh"}]}', "a is 3"),
    "from which input": (
        '{"inputs": {"a": [3], "b": [3]}, "layers": [{"class": "Tanh"}]}',
        "from is missing; there are several inputs: a, b",
    ),
    "an output that is not a layer": (
        '{"input": [3], "layers": [{"class": "Tanh"}], "outputs": ["x"]}',
        'outputs names "x", which is not a layer: tanh',
    ),
    "an output twice": (
        '{"input": [3], "layers": [{"class": "Tanh"}], "outputs": ["tanh", "tanh"]}',
        "twice",
    ),
    "no outputs": ('{"input": [3], "layers": [{"class": "Tanh"}], "outputs": []}', "outputs is"),
    "a name twice": ([{**LINEAR[0], "name": "a"}] * 2, 'the name "a" is taken'),
}


@pytest.mark.parametrize("case", list(DESCRIPTIONS))
def test_a_description_of_another_form_is_refused(case: str, tmp_path: Path) -> None:
    layers, message = DESCRIPTIONS[case]
    with pytest.raises(ReadError, match=message) as caught:
        read(tmp_path, archive(STATE), layers)
    assert str(caught.value).startswith("layers.json: ")


WRONG: dict[str, tuple[list[Any], str]] = {
    "unknown class": ([{"class": "Liner", "weights": "fc"}], "did you mean Linear?"),
    "unknown option": ([{**LINEAR[0], "in_feature": 3}], "did you mean 'in_features'?"),
    "another size": ([{**LINEAR[0], "out_features": 3}], "out_features is 3, its tensors say 2"),
    "another prefix": ([{**LINEAR[0], "weights": "f"}], "begins with 'f' and a dot; found: 'fc'"),
    "no prefix": ([{"class": "Linear"}], '"weights" is missing'),
    "another class": ([{"class": "GRU", "weights": "fc"}], "has no tensor 'weight_ih_l0'"),
    "two inputs": (
        [*LINEAR, {**LINEAR[0], "name": "b", "from": ["fc", "input"]}],
        "takes 2 inputs",
    ),
    "a layer that nothing takes": (
        [*LINEAR, {"class": "Tanh", "name": "t", "from": "input"}],
        '\'fc\' (output): no layer takes it ("from"), and "outputs" does not name it',
    ),
    "a length that is no number for each row": (
        [{"class": "Linear", "weights": "n"}, *LINEAR],
        "has no tensor 'weight'; found: weight_g",
    ),
    "options that are still to be told": (
        [{"class": "Conv1d", "weights": "fc", "stride": None, "padding": None}],
        "stride, padding are null: give what the tensors do not tell",
    ),
    "a vector beside a sequence": (
        [*LINEAR, {"class": "Last"}, {"class": "Add", "from": ["fc", "last"]}],
        "its inputs have 3 and 2 axes with the batch; Unsqueeze with dim 1",
    ),
    "an axis before the batch": ([*LINEAR, {"class": "Unsqueeze", "dim": 0}], "dim is 0"),
    "divisor_override of one axis": (
        [*LINEAR, {"class": "AvgPool1d", "kernel_size": 2, "divisor_override": 3}],
        'an unknown key "divisor_override"',
    ),
    "more padding than window": (
        [*LINEAR, {"class": "MaxPool1d", "kernel_size": 3, "padding": 2}],
        "padding is 2, more than half of the window",
    ),
    "groups that do not fit": (
        [*LINEAR, {"class": "ConvTranspose1d", "weights": "fc", "groups": 5}],
        "tensor 'weight'",
    ),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_a_layer_that_is_described_wrongly_is_refused(case: str, tmp_path: Path) -> None:
    layers, message = WRONG[case]
    state = {**STATE, "n.weight_g": tensor(1.0), "n.weight_v": tensor(W)}
    assert message in problems(read(tmp_path, archive(state), layers))


def test_every_tensor_is_used_or_refused(tmp_path: Path) -> None:
    found = problems(read(tmp_path, archive({**STATE, "old.weight": tensor(W)})))
    assert "no layer of the description uses old.weight (float32 [2, 3])" in found


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    layers = [{"class": "GRU", "weights": "rnn"}, {**LINEAR[0], "out_features": 5}]
    found = problems(read(tmp_path, archive({**STATE, "x": tensor(B)}), layers))
    for part in ("'rnn' (GRU)", "'fc' (Linear)", "uses x (float32 [2])", "3 problem(s)"):
        assert part in found


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(value: float, tmp_path: Path) -> None:
    data = archive({**STATE, "fc.bias": tensor([1.0, value])})
    assert "--allow-nonfinite" in problems(read(tmp_path, data))
    assert dense(read(tmp_path, data, allow_nonfinite=True)).bias is not None


def test_weights_alone_ask_for_their_layers(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(archive(STATE))
    with pytest.raises(ReadError, match=r"w\.pt: holds weights without their layers"):
        codegen.read(path)


# ---- hostile files --------------------------------------------------------------------------


class Evil:
    """What would run a command, were it unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


def five(number: int, value: Any) -> bytes:
    """A legacy file whose pickle `number` holds the value."""
    name = ("magic", "version", "system", "value", "keys")[number]
    return legacy(value) if name == "value" else legacy(STATE, **{name: value})


SYSTEM = Call(Global("posix", "system"), ("true",))
F = Global("torch._utils", "_rebuild_tensor_v2")
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a command in the pickle": (
        lambda: archive({"a": SYSTEM, **STATE}), r"never run: posix\.system",
    ),
    "a command by Python's pickle": (
        lambda: archive({}, {"model/data.pkl": pickle.dumps({"a": Evil()})}),
        r"never run: posix\.system",
    ),
    "a command, protocol 0": (
        lambda: archive({}, {"model/data.pkl": pickle.dumps({"a": Evil()}, 0)}),
        "opcode|damaged pickle",
    ),
    "builtins": (
        lambda: archive({"a": Call(Global("builtins", "eval"), ("1",))}), r"builtins\.eval",
    ),
    "a whole module": (
        lambda: archive(Call(Global("torch.nn.modules.rnn", "GRU"))),
        r"a whole module .* torch\.nn\.modules\.rnn\.GRU; save the weights alone",
    ),
    "an object of one's own": (
        lambda: archive({"hyper": Call(Global("__main__", "Config")), **STATE}),
        r"__main__\.Config; save the weights alone",
    ),
    "a command in the state of an object": (
        lambda: archive({"hyper": Call(Global("argparse", "Namespace"), (SYSTEM,)), **STATE}),
        r"never run: posix\.system",
    ),
    "another name of a known module": (
        lambda: archive({"a": Call(Global("pathlib", "os.system")), **STATE}),
        r"pathlib\.os\.system",
    ),
    "JSON: rows of different lengths": (
        lambda: b'{"fc.weight": [[1, 2], [3]], "fc.bias": [1, 2]}', "not of the same length",
    ),
    "JSON: a text": (
        lambda: b'{"fc.weight": [[1, "x"]], "fc.bias": [1]}', 'holds "x", expected numbers',
    ),
    "JSON: true": (lambda: b'{"fc.weight": [[1, true]], "fc.bias": [1]}', "holds true"),
    "JSON: deep": (
        lambda: b'{"fc.weight": ' + b"[" * 50 + b"1" + b"]" * 50 + b"}", "more than 16 axes",
    ),
    "JSON: no state dict": (lambda: b'{"fc.weight": [], "x": {}}', "w.pt: "),
    **{
        f"a command in legacy pickle {n + 1}": (
            lambda n=n: five(n, {"a": SYSTEM} if n == 3 else SYSTEM), r"posix\.system",
        )
        for n in range(1, 5)
    },
    "a plain pickle": (lambda: pickle.dumps({"a": 1}), "a pickle, which is never loaded"),
    "a list": (lambda: archive([1, 2]), "holds a list"),
    "a tensor alone": (lambda: archive(tensor(W)), "one tensor without a name"),
    "nothing": (lambda: archive({}), "no state dict"),
    "several state dicts": (
        lambda: archive({"generator": STATE, "critic": STATE}),
        r"several state dicts \(found: generator, critic\)",
    ),
    "no pickle": (lambda: archive({}, {"model/data.pkl": b""}), "ends too early"),
    "a pickle of nothing": (lambda: archive({}, {"model/data.pkl": b"\x80\x02."}), "damaged"),
    "a pickle without end": (
        lambda: archive({}, {"model/data.pkl": b"\x80\x02" + b"N" * 100}), "ends too early",
    ),
    "more opcodes than there may be": (
        lambda: archive({}, {"model/data.pkl": b"\x80\x02" + b"N0" * 2_100_000 + b"."}), "opcodes",
    ),
    "a pickle that is too long": (
        lambda: archive({}, {"model/data.pkl": b"\x80\x02" + b"N" * MAX_BYTES}), "MiB, more than",
    ),
    "protocol 9": (lambda: archive({}, {"model/data.pkl": b"\x80\x09}."}), "damaged pickle"),
    "an opcode of no state dict": (
        lambda: archive({}, {"model/data.pkl": b"\x80\x02(i os\nsystem\n."}), "opcode b'i'",
    ),
    "a text longer than the file": (
        lambda: archive({}, {"model/data.pkl": b"\x80\x02X\xff\xff\xff\x7fab."}), "longer than 16",
    ),
    "a memo that is not there": (lambda: archive({}, {"model/data.pkl": b"h\x07."}), "damaged"),
    "nested marks": (lambda: archive({}, {"model/data.pkl": b"(" * 9000 + b"."}), "damaged"),
    "two pickles": (lambda: archive(STATE, {"b/data.pkl": b"N."}), "2 members data.pkl"),
    "TorchScript": (lambda: archive(STATE, {"model/code/a.py": b"pass"}), "a TorchScript archive"),
    "no storage": (
        lambda: archive({"fc.weight": tensor(W, key="../x")}, {"model/data/../x": b""}),
        "shorter than declared",
    ),
    "a storage that is not there": (
        lambda: archive({"fc.weight": tensor(W), "fc.bias": Call(F, (
            Call(F, ()),))}), "damaged pickle",
    ),
    "a view beyond its storage": (
        lambda: archive({"fc.weight": tensor(W, offset=1), "fc.bias": tensor(B)}), "damaged",
    ),
    "strides beyond the storage": (
        lambda: archive({"fc.weight": tensor(W, strides=(3, 2)), "fc.bias": tensor(B)}), "damaged",
    ),
    "negative strides": (lambda: archive({"fc.weight": tensor(W, strides=(-3, 1))}), "damaged"),
    "a storage longer than its member": (
        lambda: archive({"fc.weight": tensor(W, count=60, shape=(20, 3)), "fc.bias": tensor(B)}),
        "shorter than declared",
    ),
    "a giant tensor of stride 0": (
        lambda: archive({"fc.weight": tensor(B, shape=(2**20, 2**20), strides=(0, 0))}),
        "more than 268,435,456 bytes",
    ),
    "a giant storage": (
        lambda: archive({"fc.weight": tensor(W, count=2**40)}), "more than 268,435,456 bytes",
    ),
    "a tensor of 99 axes": (
        lambda: archive({"a": tensor(B, shape=(1,) * 99, strides=(0,) * 99)}), "damaged pickle",
    ),
    "a complex tensor": (
        lambda: archive({"a": tensor(W, storage="ComplexFloatStorage")}), "ComplexFloatStorage",
    ),
    "a quantised tensor": (
        lambda: archive({**STATE, "q": Call(Global("torch._utils", "_rebuild_qtensor"))}),
        "tensor 'q' is a torch._utils._rebuild_qtensor, which is not supported",
    ),
    "byteorder": (lambda: archive(STATE, {"model/byteorder": b"middle"}), "byteorder is b'middle'"),
    "another version": (lambda: legacy(STATE, version=1002), "another version of torch"),
    "legacy storage longer than the file": (
        lambda: legacy(STATE, count=2**40), "longer than the file",
    ),
    "legacy storage of no length": (lambda: legacy(STATE, count=-1), "longer than the file"),
    "legacy keys that are no list": (lambda: legacy(STATE, keys=7), "damaged list of storages"),
    "legacy key without tensor": (lambda: legacy(STATE, keys=["9"]), "storage '9' is of type None"),
    "legacy storage that is missing": (lambda: legacy(STATE, keys=["0"]), "'1' is not in the file"),
    "safetensors: overlap": (
        lambda: safetensors({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)), "overlaps",
    ),
    "safetensors: gap": (
        lambda: safetensors({"a": entry([2], 0, 8), "b": entry([2], 12, 20)}, bytes(20)), "gap",
    ),
    "safetensors: beyond the end": (
        lambda: safetensors({"a": entry([4], 0, 16)}, bytes(8)), "8 bytes of numbers",
    ),
    "safetensors: another size": (
        lambda: safetensors({"a": entry([3], 0, 8)}, bytes(8)), "takes 12 bytes, its place has 8",
    ),
    "safetensors: negative": (
        lambda: safetensors({"a": entry([-1], 8, 4)}, bytes(8)), "are not lengths",
    ),
    "safetensors: giant": (
        lambda: safetensors({"a": entry([2**40], 0, 2**42)}, b""), "0 bytes of numbers",
    ),
    "safetensors: unknown type": (
        lambda: safetensors({"a": entry([2], 0, 2, "F8_E4M3")}, bytes(2)), "type F8_E4M3",
    ),
    "safetensors: type that is a list": (
        lambda: safetensors({"a": {**entry([2], 0, 8), "dtype": [1]}}, bytes(8)), "is of type",
    ),
    "safetensors: more keys": (
        lambda: safetensors({"a": {**entry([2], 0, 8), "x": 1}}, bytes(8)), "expected dtype",
    ),
    "safetensors: no tensors": (lambda: safetensors({}, b""), "holds no tensors"),
    "safetensors: a giant header": (
        lambda: safetensors(BOTH, bytes(32), 2**40), "neither HDF5 nor a zip archive",
    ),
    "safetensors: deep header": (
        lambda: safetensors({}, b"", 0) + b"{" * 9000, "JSON|neither",
    ),
    "npz: objects": (
        lambda: npz(a=np.array([{}], object)), r"type \|O, which is not a weight",
    ),
    "npz: texts": (lambda: npz(a=np.array(["x"])), "which is not a weight"),
    "npz: no array": (lambda: archive_of({"a.npy": b"xx"}), "is not a .npy file"),
    "npz: another member": (
        lambda: archive_of({"a.npy": b"xx", "b.txt": b""}), "is no",
    ),
    "npz: short": (
        lambda: archive_of({"a.npy": npy(b"{'descr': '<f4', 'fortran_order': False, "
                                         b"'shape': (9,), }") + bytes(8)}), "do not fill",
    ),
    "npz: a header that is code": (
        lambda: archive_of({"a.npy": npy(b"__import__('os').system('true')")}), "damaged header",
    ),
    "npz: a deep header": (lambda: archive_of({"a.npy": npy(b"(" * 9000)}), "damaged header"),
    "npz: a long header": (lambda: archive_of({"a.npy": npy(b" " * 60_000)}), "damaged header"),
    "npz: negative shape": (
        lambda: archive_of({"a.npy": npy(b"{'descr': '<f4', 'fortran_order': False, "
                                         b"'shape': (-1,), }")}), "damaged header",
    ),
}  # fmt: skip


def archive_of(members: dict[str, bytes]) -> bytes:
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def npy(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


@pytest.mark.parametrize("case", list(HOSTILE))
def test_a_hostile_file_is_refused(case: str, tmp_path: Path) -> None:
    make, message = HOSTILE[case]
    with pytest.raises(CodegenError, match=message) as caught:
        lower(read(tmp_path, make()))
    assert str(caught.value).startswith("w.pt: ")
    assert len(str(caught.value)) < 3000


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    for make in (lambda: archive(STATE), lambda: legacy(STATE), GOOD["safetensors"][0]):
        data = make()
        for end in range(0, len(data) - 1, 7):
            with pytest.raises(CodegenError):
                lower(read(tmp_path, data[:end]))
