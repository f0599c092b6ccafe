"""A setting that nobody reads is refused, and so is one of the wrong type, whatever the layer."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest

from codegen.errors import CodegenError
from codegen.lowering import lower
from codegen.readers.keras import reader
from codegen.readers.keras.reader import Reader
from codegen.readers.keras.table import ALIASES, TABLE, check_dtype, check_read
from codegen.readers.options import Options
from codegen.readers.settings import Config
from tests.readers.hostile import DENSE3, Sequential, dense, good_members, gru, zipped
from tests.support.fixtures import Case, cases

REAL = reader.parse


def read(case: Case) -> None:
    path, separate = case.sources[0]
    lower(Reader(path, separate, Options()).model())


def configuration(case: Case) -> str:
    """The text of the configuration in the first file of a case."""
    path, separate = case.sources[0]
    if separate is not None:
        return separate.read_text("utf-8")
    if path.is_dir():
        return (path / "config.json").read_text("utf-8")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return archive.read("config.json").decode()
    with h5py.File(path) as file:
        return str(file.attrs["model_config"])


def smallest() -> dict[str, Case]:
    """For each class of the table the fixture with the shortest configuration that has it."""
    found: dict[str, Case] = {}
    names_of_layers = {*TABLE, *(old for old, new in ALIASES.items() if new in TABLE)}
    eras = ("tf215", "keras3_15", "keras122")
    texts = [(configuration(case), case) for case in cases(*eras)]
    for text, case in sorted(texts, key=lambda one: len(one[0])):
        layers = re.sub(r'"module": "keras\.src\.ops[^"]*", "class_name": "\w+"', "", text)
        names = set(re.findall(r'"class_name": "(\w+)"', layers)) & names_of_layers
        if names - found.keys():
            try:
                read(case)
            except CodegenError:
                continue
            found = {**dict.fromkeys(names, case), **found}
    return found


CASES = smallest()


def entries(value: Any, class_name: str) -> Iterator[dict[str, Any]]:
    """The settings of every layer of the class."""
    if isinstance(value, dict):
        if value.get("class_name") == class_name and isinstance(value.get("config"), dict):
            yield value["config"]
        for one in value.values():
            yield from entries(one, class_name)
    elif isinstance(value, list):
        for one in value:
            yield from entries(one, class_name)


def changed(monkeypatch: pytest.MonkeyPatch, class_name: str, **settings: Any) -> None:
    """Every configuration read from now on has these settings in layers of the class."""

    def parse(text: bytes | str, label: str) -> dict[str, Any]:
        value = REAL(text, label)
        for own in entries(value, class_name):
            own.update(settings)
        return value

    monkeypatch.setattr(reader, "parse", parse)


def test_there_is_a_fixture_of_nearly_every_class() -> None:
    missing = set(TABLE) - set(CASES)
    assert len(missing) < 25, missing


@pytest.mark.parametrize("class_name", sorted(CASES))
def test_an_unknown_setting(class_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come from a newer Keras, and change what the layer computes."""
    case = CASES[class_name]
    read(case)
    changed(monkeypatch, class_name, unheard_of=None)
    read(case)
    for value in (1, False, "x"):
        changed(monkeypatch, class_name, unheard_of=value)
        with pytest.raises(CodegenError, match=r"setting unheard_of=.* is unknown"):
            read(case)


@pytest.mark.parametrize("class_name", sorted(CASES))
def test_settings_of_every_layer(class_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in (
        ("name", ["x"]),
        ("name", 5),
        ("dtype", "float31"),
        ("dtype", ["float32"]),
        ("dtype", {"class_name": "Own", "module": "evil", "config": {"name": "float32"}}),
        ("trainable", "no"),
        ("trainable", None),
    ):
        changed(monkeypatch, class_name, **{key: value})
        with pytest.raises(CodegenError, match=f"{key} is "):
            read(CASES[class_name])


WRONG = ["x", 3.7, [], {}, [["q"]]]
FREE = {  # settings that count for nothing here, or where some of these are right
    *("name", "dtype", "trainable", "batch_input_shape", "build_input_shape"),
    *("query_shape", "key_shape", "value_shape", "output_shape", "concat_axis", "dot_axes"),
}


@pytest.mark.parametrize("class_name", sorted(CASES))
def test_a_wrong_type_of_any_setting(class_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a model or a refusal, and text or a list is never taken for a number."""
    path, separate = CASES[class_name].sources[0]
    found: dict[str, Any] = {}
    monkeypatch.setattr(reader, "parse", lambda *args: found.setdefault("all", REAL(*args)))
    lower(Reader(path, separate, Options()).model())
    own = next(entries(found["all"], class_name), {})
    for key, good in own.items():
        for value in WRONG:
            if isinstance(value, type(good)) or good is None:
                continue
            changed(monkeypatch, class_name, **{key: value})
            try:
                read(CASES[class_name])
            except CodegenError:
                continue
            is_number = isinstance(good, (int, float, list)) and isinstance(value, (int, float))
            assert is_number or key in FREE or not _counts(key), (key, good, value)


def _counts(key: str) -> bool:
    """Whether a prediction may depend on the setting."""
    try:
        check_read(Config({key: 1}))
    except CodegenError:
        return True
    return False


def test_types_to_compute_in() -> None:
    """The policies that the releases of Keras have written."""
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    by_part = {
        "class_name": "DTypePolicyMap",
        "config": {"default_policy": policy, "policy_map": {}},
    }
    for good in (
        None,
        "float16",
        "bfloat16",
        "float64",
        "mixed_bfloat16",
        policy,
        by_part,
        "infer",
    ):
        check_dtype(Config({"dtype": good}), whole=False)
    for bad in ("", "int32", "complex64", "string", 5, {}, {**policy, "config": {}}):
        with pytest.raises(CodegenError, match="dtype is "):
            check_dtype(Config({"dtype": bad}), whole=False)
    check_dtype(Config({"dtype": "int32"}), whole=True)
    int8 = {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}
    for bad in ("int8_from_float32", int8, {**by_part, "config": {"policy_map": {"a": int8}}}):
        with pytest.raises(CodegenError, match=r"it is quantised .*int8"):
            check_dtype(Config({"dtype": bad}), whole=True)
    nameless = {"class_name": "QuantizedDTypePolicy", "config": {}}
    with pytest.raises(CodegenError, match=r"it is quantised, which"):
        check_dtype(Config({"dtype": nameless}), whole=True)


def test_two_layers_of_one_name(tmp_path: Path) -> None:
    path = Sequential([dense("same", 2, 2), gru("g", 2, 2), dense("same", 2, 2)]).save(
        tmp_path / "m.h5"
    )
    with pytest.raises(CodegenError, match='two of its layers have the same name, "same"'):
        lower(Reader(path, None, Options()).model())
    layers = DENSE3["config"]["layers"]  # type: ignore[index]
    twice = json.dumps({**DENSE3, "config": {"name": "s", "layers": [*layers, layers[1]]}})
    members = {**dict(good_members()), "config.json": twice.encode()}
    with pytest.raises(CodegenError, match='two of its layers have the same name, "d"'):
        lower(Reader(zipped(*members.items())(tmp_path), None, Options()).model())
