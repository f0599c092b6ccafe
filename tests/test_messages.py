"""Whatever a file or a caller says is visible and short wherever it is printed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hypothesis
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import strategies as st

import codegen
from codegen.commands.main import main
from codegen.errors import (
    LONGEST_LINE,
    LONGEST_WORD,
    CodegenError,
    Problem,
    UnsupportedError,
    visible,
)
from tests.readers.hostile import Sequential, dense, gru, keras3_weights, zipped

ODD = {
    "long word": "x" * 10_000,
    "long sentence": "ab " * 5_000,
    "terminal": "\x1b[31mred\x07\x9b",
    "directions": "a\u202eb\u2066c\u200fd",
    "lines": "a\nError: all is well\r\n\u2028b\x85c",
    "no text": "\udcff\ue000\U000e0001",
}
SHORT = {key: text for key, text in ODD.items() if len(text) < 200}  # where a file may be called so


def fine(text: str) -> None:
    """Every line is short and holds nothing but visible characters."""
    for line in text.split("\n"):
        assert line.isprintable(), ascii(line)
        assert len(line) <= LONGEST_LINE + 50  # with what is printed around it
        assert not re.search(rf"\S{{{LONGEST_WORD + 50},}}", line)


def run(*words: str | Path) -> Result:
    found = CliRunner().invoke(main, [str(word) for word in words])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    fine(found.output)
    return found


def said(text: str) -> str:
    """A part of `text` that has to be seen in a message."""
    return visible(text)[:20]


@hypothesis.given(
    st.text(st.characters(codec=None), max_size=300) | st.sampled_from([*ODD.values()])
)
def test_visible_text_is_short_and_stays_as_it_is(text: str) -> None:
    fine(visible(text))
    assert visible(visible(text)) == visible(text)
    words = text.split(" ")
    if text.isprintable() and len(text) <= LONGEST_LINE and max(map(len, words)) <= LONGEST_WORD:
        assert visible(text) == text


def test_both_ends_are_kept() -> None:
    for text in (f"layer {'x' * 10_000} end", f"layer {'x y' * 10_000} end"):
        assert visible(text).startswith("layer x")
        assert visible(text).endswith(" end")
        assert " ... " in visible(text) or "..." in visible(text)


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_every_error(text: str) -> None:
    fine(str(CodegenError(text)))
    assert str(CodegenError(text, text)).count("\n") == 1
    problem = Problem(text, text, text)
    fine(str(UnsupportedError(text, (problem, problem))))
    assert str(UnsupportedError(text, (problem, problem))).count("\n") == 2


def config_of(change: Callable[[dict[str, Any]], object]) -> str:
    config = Sequential([gru("g", 2, 3), dense("d", 3, 2)]).config()
    change(config)
    return json.dumps(config)


def _first(key: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda config: config["config"][0].__setitem__(key, value)


def _setting(key: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda config: config["config"][0]["config"].__setitem__(key, value)


SAYS: dict[str, Callable[[Any], Callable[[dict[str, Any]], object]]] = {
    "class": lambda text: _first("class_name", text),
    "module": lambda text: _first("module", text),
    "version": lambda text: lambda config: config.__setitem__("keras_version", text),
    **{
        key: lambda text, key=key: _setting(key, text)
        for key in ("name", "activation", "units", "dtype", "batch_input_shape", "unheard_of")
    },
}


@pytest.mark.parametrize("place", SAYS)
@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_what_a_configuration_says(text: str, place: str, tmp_path: Path) -> None:
    path = Sequential([gru("g", 2, 3), dense("d", 3, 2)], version="").save(
        tmp_path / "m.h5", config_of(SAYS[place](text))
    )
    for command in (("inspect",), ("inspect", "--json"), ("explain",)):
        run(*command, path)
    out = tmp_path / "o.h"
    run("convert", path, "-o", out)
    if out.exists():  # a name: it is no reason to refuse anything
        run("verify", path, out)
        run("check", out)


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_what_a_container_says(text: str, tmp_path: Path) -> None:
    name = text.encode("utf-8", "replace").replace(b"\0", b"").decode()
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group(name)
        group["w"] = np.zeros((2, 2), "f4")
        group["l"] = h5py.SoftLink("/elsewhere")
    run("inspect", path)
    with h5py.File(path, "r+") as file:
        del file[name]["l"]
        file.attrs["layer_names"] = np.array([name.encode()])
        file[name].attrs["weight_names"] = np.array([b"gone"])
    assert said(name.replace("/", " ").split()[0]) in run("inspect", path).output
    members = (("config.json", b"{}"), ("model.weights.h5", keras3_weights()))
    path = zipped(("metadata.json", json.dumps({"keras_version": text}).encode()), *members)(
        tmp_path
    )
    assert "keras_version is " in run("inspect", path).output


def test_a_version_of_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    Sequential([gru("g", 2, 3)]).save(path)
    with h5py.File(path, "r+", libver="latest") as file:
        del file.attrs["keras_version"]
        file.attrs.create("keras_version", "2.1.5" + "." * 5_000_000)
    found = run("inspect", "--json", path)
    assert found.exit_code == 1
    assert "keras_version is" in found.stderr


@pytest.mark.parametrize("text", SHORT.values(), ids=SHORT)
def test_what_a_caller_says(text: str, tmp_path: Path) -> None:
    odd = tmp_path / f"{text.encode('utf-8', 'replace').decode().replace('/', '')}.h5"
    Sequential([gru("g", 2, 3)]).save(odd)
    assert run("convert", odd, "-o", odd.with_suffix(".h")).exit_code == 0
    for words in (
        ("inspect", odd),
        ("inspect", "--json", odd),
        ("explain", odd),
        ("verify", odd, odd.with_suffix(".h")),
        ("check", odd.with_suffix(".h")),
    ):
        assert run(*words).exit_code in (0, 1)  # no banner can hold some of these names
    for words in (
        ("inspect", f"{text}.h5"),
        ("convert", odd, "-o", odd / text / "o.h"),
        ("convert", odd, "-o", odd),
        ("convert", odd, "-o", f"o{text}"),
        ("convert", odd, "-o", "o.h", "--name", text),
        ("convert", odd, "-o", "o.h", "--target", text),
        ("convert", odd, "-o", "o.h", "--config", text),
        ("convert", odd, "-o", "o.h", "--custom", text),
        ("convert", odd, "-o", "o.h", "--keras-version", text),
        ("convert", odd, "-o", "o.h", "--max-bytes", text),
        ("convert", odd, "-o", "o.h", f"--{text}"),
        ("convert", odd, "-o", odd / text, "--package", "arduino"),
        ("verify", odd, odd.with_suffix(".h"), "--data", text),
        ("verify", odd, f"{text}.py"),
        ("check", f"{text}.py"),
        (text,),
        ("inspect", text, text),
    ):
        assert run(*words).exit_code in (1, 2)
    with pytest.raises(CodegenError) as caught:
        codegen.read(text + "\ud800")
    fine(str(caught.value))
