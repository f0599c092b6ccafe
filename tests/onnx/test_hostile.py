"""Files that are damaged or hostile: refused in words, before anything large is made."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import codegen
from codegen.errors import CodegenError, ReadError, UnsupportedError
from codegen.lowered import Reference
from codegen.lowering import lower
from codegen.readers.onnx.reader import read as read_here
from codegen.readers.options import Options
from tests.support.onnx_models import make, model, saved

X = {"x": (1, 3)}
RELU = make("Relu", ["x"], ["y"])


def written(folder: Path, proto: Any) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def branch(depth: int) -> Any:
    """A graph of Ifs in Ifs."""
    node = make("Identity", ["x"], [f"y{depth}"])
    for level in range(depth, 0, -1):
        out = helper.make_tensor_value_info(f"y{level}", TensorProto.FLOAT, None)
        graph = helper.make_graph([node], "branch", [], [out])
        node = make("If", ["true"], [f"y{level - 1}"], then_branch=graph)
    return node


def with_tensor(**fields: Any) -> Any:
    """X + w, where w is stored as these fields say."""
    found = model([make("Add", ["x", "w"], ["y"])], X, ["y"])
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3])
    for key, value in fields.items():
        if key == "external_data":
            tensor.data_location = TensorProto.EXTERNAL
            for name, text in value.items():
                tensor.external_data.add(key=name, value=text)
        elif isinstance(value, list):
            del getattr(tensor, key)[:]
            getattr(tensor, key).extend(value)
        else:
            setattr(tensor, key, value)
    found.graph.initializer.append(tensor)
    return found


def recursive() -> Any:
    """A function that calls itself."""
    call = make("f", ["a"], ["b"], domain="own")
    imports = [helper.make_opsetid("own", 1), helper.make_opsetid("", 17)]
    function = helper.make_function("own", "f", ["a"], ["b"], [call], imports)
    return model([make("f", ["x"], ["y"], domain="own")], X, ["y"], functions=[function])


def doubling() -> Any:
    """Functions each of which calls the one before twice: 2 to the power of 30 nodes."""
    imports = [helper.make_opsetid("own", 1), helper.make_opsetid("", 17)]
    found = []
    for level in range(30):
        kind, domain = ("Relu", "") if level == 0 else (f"f{level - 1}", "own")
        body = [make(kind, ["a"], ["c"], domain=domain), make(kind, ["c"], ["b"], domain=domain)]
        found.append(helper.make_function("own", f"f{level}", ["a"], ["b"], body, imports))
    return model([make("f29", ["x"], ["y"], domain="own")], X, ["y"], functions=found)


def ints(*numbers: int) -> dict[str, Any]:
    return {"n": np.array(numbers, np.int64)}


TRUE = {"true": np.array(True)}
FLOATS = {"raw_data": np.ones(3, np.float32).tobytes()}
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no nodes": (lambda: model([], X, []), "has no nodes"),
    "a name that is missing": (
        lambda: model([make("Relu", ["z"], ["y"])], X, ["y"]), '"z", which no node'),
    "an output that is missing": (lambda: model([RELU], X, ["z"]), 'an output is "z"'),
    "a circle": (
        lambda: model([make("Add", ["x", "b"], ["a"]), make("Relu", ["a"], ["b"])], X, ["b"]),
        "go round in a circle"),
    "the same output twice": (lambda: model([RELU, RELU], X, ["y"]), 'two nodes give "y"'),
    "an old opset": (lambda: model([RELU], X, ["y"], opset=6), "opset.* 6, expected 7"),
    "an opset to come": (lambda: model([RELU], X, ["y"], opset=999), "newer onnx package"),
    "deep branches": (lambda: model([branch(28)], X, ["y0"], TRUE), "more than 24 deep"),
    "a function of itself": (recursive, "more than 24 deep"),
    "functions that double": (doubling, "more than 20,000 nodes|more than 24 deep"),
    "bytes that are missing": (lambda: with_tensor(raw_data=b"123"), "has 3 bytes.*needs 12"),
    "numbers that are missing": (lambda: with_tensor(float_data=[1.0]), "1 numbers.*needs 3"),
    "a shape of 2**62": (
        lambda: with_tensor(dims=[1 << 31, 1 << 31], raw_data=b"1234"), "more than"),
    "a negative length": (lambda: with_tensor(dims=[-3], raw_data=b""), "its shape is"),
    "an unknown type": (lambda: with_tensor(data_type=99, raw_data=b""), "type 99"),
    "numbers in complex": (
        lambda: with_tensor(data_type=TensorProto.COMPLEX64, raw_data=b"1" * 24), "COMPLEX64"),
    "a path upwards": (
        lambda: with_tensor(external_data={"location": "../w.bin"}), "no path beside the model"),
    "a path from the root": (
        lambda: with_tensor(external_data={"location": "/etc/passwd"}), "no path beside"),
    "a drive": (
        lambda: with_tensor(external_data={"location": "C:\\w.bin"}), "no path beside"),
    "a file that is missing": (
        lambda: with_tensor(external_data={"location": "no.bin"}), "which is not there"),
    "a place behind the end": (
        lambda: with_tensor(external_data={"location": "w.bin", "offset": "8"}), "bytes 8 to 20"),
    "a place before the start": (
        lambda: with_tensor(external_data={"location": "w.bin", "offset": "-4"}), "bytes -4"),
    "a place that is no number": (
        lambda: with_tensor(external_data={"location": "w.bin", "offset": "x"}), "cannot be read"),
    "a link": (
        lambda: with_tensor(external_data={"location": "link.bin"}), "leads out of its folder"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_model_is_refused(name: str, tmp_path: Path) -> None:
    proto, message = REFUSED[name]
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "w.bin").write_bytes(FLOATS["raw_data"])
    (tmp_path / "outside.bin").write_bytes(FLOATS["raw_data"])
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(ReadError, match=f"^model\\.onnx: .*({message})"):
        codegen.read(written(folder, proto()))


GROWING: dict[str, tuple[Callable[[], Any], str]] = {
    "ConstantOfShape": (
        lambda: model([make("ConstantOfShape", ["n"], ["c"]), make("Add", ["x", "c"], ["y"])],
                      X, ["y"], ints(1 << 20, 1 << 20)), "gives an array of shape"),
    "Range": (
        lambda: model([make("Range", ["zero", "n", "one"], ["c"]), make("Add", ["x", "c"], ["y"])],
                      X, ["y"], {"zero": np.array(0), "n": np.array(1 << 40), "one": np.array(1)}),
        "gives an array of shape"),
    "Expand": (
        lambda: model([make("Expand", ["one", "n"], ["c"]), make("Add", ["x", "c"], ["y"])],
                      X, ["y"], {"one": np.ones(1, np.float32), **ints(1 << 30, 1 << 30)}),
        "gives an array of shape"),
    "Expand of an input": (
        lambda: model([make("Expand", ["x", "n"], ["y"])], X, ["y"], ints(1 << 20, 1 << 20, 3)),
        "'y'.*: 3,298,534,883,328 numbers beside"),
    "a sum that doubles": (
        lambda: model([make("Concat", [f"x{n or ''}"] * 2, [f"x{n + 1}"], axis=1)
                       for n in range(40)], X, ["x40"]), "beside .* before, at most 67,108,864"),
    "a large input": (
        lambda: model([make("MatMul", ["x", "x"], ["y"])], {"x": (1 << 20, 1 << 20)}, ["y"]),
        "'x'.*: 1,099,511,627,776 numbers beside 0"),
    "an input too many": (
        lambda: model([make("Relu", ["x", "x"], ["y"])], X, ["y"]), "has 2 inputs, expected 1$"),
    "an input too few": (
        lambda: model([make("Add", ["x"], ["y"])], X, ["y"]), "has 1 inputs, expected 2$"),
    "an input that is left out": (
        lambda: model([make("Add", ["x", ""], ["y"])], X, ["y"]), "its input B is left out"),
    **{
        f"a scale of {scale}": (
            lambda scale=scale: model(
                [make("Resize", ["x", "", "s"], ["y"])], X, ["y"],
                {"s": np.array([1, scale], np.float32)}), "scale .* of axis 1")
        for scale in (np.nan, np.inf, 0, -1)
    },
    "sizes of other axes": (
        lambda: model([make("Resize", ["x", "", "", "n"], ["y"])], X, ["y"], ints(1, 3, 3)),
        "3 sizes for 2 axes"),
    "many axes": (
        lambda: model([make("Unsqueeze", ["x", "n"], ["y"])], X, ["y"], ints(*range(60))),
        "gives 62 axes, at most 16"),
    "a random number": (
        lambda: model([make("RandomNormal", [], ["c"], shape=[3]), make("Add", ["x", "c"], ["y"])],
                      X, ["y"]), "its numbers are random"),
    "an attribute that is unknown": (
        lambda: model([make("Relu", ["x"], ["y"], slope=0.5)], X, ["y"]),
        'attribute "slope" is not known'),
    "an operator of others": (
        lambda: model([make("Fancy", ["x"], ["y"], domain="com.else")], X, ["y"]),
        "an operator of com.else"),
    "an operator that is none": (
        lambda: model([make("Nothing", ["x"], ["y"])], X, ["y"]), "has no such operator"),
    "a product that does not fit": (
        lambda: model([make("MatMul", ["x", "w"], ["y"])], X, ["y"],
                      {"w": np.ones((4, 2), np.float32)}), r"a product of \(1, 3\) and \(4, 2\)"),
    "weights that are not finite": (
        lambda: model([make("MatMul", ["x", "w"], ["y"])], X, ["y"],
                      {"w": np.full((3, 2), np.nan, np.float32)}), "not finite; --allow-nonfinite"),
}  # fmt: skip


@pytest.mark.parametrize("name", GROWING)
def test_a_node_that_cannot_be_is_named(name: str, tmp_path: Path) -> None:
    proto, message = GROWING[name]
    with pytest.raises(UnsupportedError, match=message):
        lower(codegen.read(written(tmp_path, proto())))


def test_every_node_that_is_not_supported_is_listed_at_once(tmp_path: Path) -> None:
    nodes = [
        make("Det", ["x"], ["a"], name="/first/Det"),
        make("Relu", ["a"], ["b"]),
        make("NonZero", ["b"], ["c"], name="/second/NonZero"),
        make("Relu", ["c"], ["y"]),
    ]
    with pytest.raises(UnsupportedError) as caught:
        lower(codegen.read(saved(tmp_path, nodes, X, ["y"])))
    assert [(p.layer, p.class_name) for p in caught.value.problems] == [
        ("first/Det", "Det"), ("second/NonZero", "NonZero"),
    ]  # fmt: skip


def test_every_changed_byte_ends_in_words(tmp_path: Path) -> None:
    """The reader itself, without the child process that reads a file first."""
    gru = make("GRU", ["x", "W", "R"], ["", "h"], hidden_size=1, linear_before_reset=1)
    arrays = {"W": np.ones((1, 3, 2), np.float32), "R": np.ones((1, 3, 1), np.float32)}
    nodes = [gru, make("Reshape", ["h", "n"], ["y"])]
    path = saved(tmp_path, nodes, {"x": ("T", 1, 2)}, ["y"], {**arrays, **ints(1, -1)})
    data = path.read_bytes()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x01 << (place % 8)
        path.write_bytes(bytes(changed))
        with contextlib.suppress(CodegenError):
            lower(read_here(path, Options()))
    for end in range(0, len(data), 7):
        path.write_bytes(data[:end])
        with pytest.raises(CodegenError):
            lower(read_here(path, Options()))


@pytest.mark.parametrize("size", range(8))
def test_a_file_of_few_bytes_is_refused(size: int, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(written(tmp_path, model([RELU], X, ["y"])).read_bytes()[:size])
    with pytest.raises(ReadError, match=r"^model\.onnx: "):
        codegen.read(path)


def test_a_file_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, [make("Add", ["x", "w"], ["y"])], X, ["y"],
                 {"w": np.zeros(3, np.float32)})  # fmt: skip
    with pytest.raises(ReadError, match="--max-bytes"):
        codegen.read(path, max_bytes=8)


def test_without_the_package_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, [RELU], X, ["y"])
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ReadError, match=r"^model\.onnx: .*pip install rnn-codegen\[onnx\]$"):
        codegen.read(path)


ENCODINGS: dict[str, Callable[[], Any]] = {
    "raw": lambda: numpy_helper.from_array(np.array([1, -2, 3], np.float32), "w"),
    "numbers": lambda: helper.make_tensor("w", TensorProto.FLOAT, [3], [1, -2, 3]),
    "half": lambda: numpy_helper.from_array(np.array([1, -2, 3], np.float16), "h"),
    "half as bits": lambda: helper.make_tensor(
        "h", TensorProto.FLOAT16, [3], np.array([1, -2, 3], np.float16)),
    "bfloat16": lambda: TensorProto(
        name="h", data_type=TensorProto.BFLOAT16, dims=[3], int32_data=[0x3F80, 0xC000, 0x4040]),
    "double": lambda: helper.make_tensor("h", TensorProto.DOUBLE, [3], [1, -2, 3]),
    "int8": lambda: helper.make_tensor("h", TensorProto.INT8, [3], [1, -2, 3]),
    "int16": lambda: helper.make_tensor("h", TensorProto.INT16, [3], [1, -2, 3]),
    "int64": lambda: helper.make_tensor("h", TensorProto.INT64, [3], [1, -2, 3]),
}  # fmt: skip


@pytest.mark.parametrize("name", [*ENCODINGS, "external", "sparse"])
def test_tensors_in_every_encoding(name: str, tmp_path: Path) -> None:
    nodes = [make("Cast", ["h"], ["w"], to=TensorProto.FLOAT), make("Add", ["x", "w"], ["y"])]
    proto = model(nodes, {"x": (1, 3)}, ["y"])
    if name == "external":
        (tmp_path / "w.bin").write_bytes(b"1234" + np.array([1, -2, 3], np.float32).tobytes())
        proto = with_tensor(external_data={"location": "w.bin", "offset": "4", "length": "12"})
    elif name == "sparse":
        del proto.graph.node[0]
        proto.graph.sparse_initializer.append(helper.make_sparse_tensor(
            helper.make_tensor("w", TensorProto.FLOAT, [3], [1, -2, 3]),
            helper.make_tensor("places", TensorProto.INT64, [3], [0, 1, 2]), [3],
        ))  # fmt: skip
    else:
        tensor = ENCODINGS[name]()
        if tensor.name == "w":
            del proto.graph.node[0]
        proto.graph.initializer.append(tensor)

    lowered = lower(codegen.read(written(tmp_path, proto)))
    (y,) = Reference(lowered).predict(np.array([[0.5, 0.5, 0.5]]))
    assert y.tolist() == [[1.5, -1.5, 3.5]]
