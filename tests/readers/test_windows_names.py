r"""Weights whose groups Keras named on Windows: `layers\gru\cell/vars/0`."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import codegen
from codegen.errors import ReadError
from codegen.lowered import Reference
from codegen.lowering import lower
from tests.support.fixtures import Case, cases

ERAS = ("tf212", "tf215", "keras3_0")
WORDS = ("gru", "bidirectional", "attention", "nested", "stacked", "time_distributed_dense")
SOME = [
    case
    for case in cases(*ERAS)
    if any(word in case.name for word in WORDS) and (case.folder / "model.keras").exists()
]


def on_windows(data: bytes) -> bytes:
    """The same weights, all groups but `vars` joined into one name each."""
    out = io.BytesIO()
    with h5py.File(io.BytesIO(data)) as old, h5py.File(out, "w") as new:

        def visit(name: str, member: h5py.Group | h5py.Dataset) -> None:
            outer, _, last = name.rpartition("/")
            if last == "vars" and len(member):
                place = outer.replace("/", "\\")
                old.copy(name, new.require_group(place) if place else new, "vars")

        old.visititems(visit)
    return out.getvalue()


def rewritten(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(folder / path.name, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, on_windows(data) if name.endswith(".h5") else data)
    return folder / path.name


def worst(model: codegen.model.Model, case: Case) -> float:
    reference = Reference(lower(model), len(case.calls[0].inputs[0]))
    call = case.calls[0]
    found = reference.predict(*call.inputs)
    return max(float(np.abs(a - b).max()) for a, b in zip(found, call.outputs, strict=True))


def test_every_era_is_there() -> None:
    assert {case.era for case in SOME} == set(ERAS)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_the_weights_of_a_model(case: Case, tmp_path: Path) -> None:
    path = case.folder / "model.keras"
    assert worst(codegen.read(rewritten(path, tmp_path)), case) < 2e-5


def test_weights_alone(tmp_path: Path) -> None:
    case = next(case for case in cases("keras3_0") if case.name == "weights_json_gru")
    path, config = case.sources[-1]
    copy = tmp_path / "w.weights.h5"
    copy.write_bytes(on_windows(path.read_bytes()))
    assert worst(codegen.read(copy, config), case) < 2e-5
    with pytest.raises(ReadError, match=r"layers\\gru") as caught:
        codegen.read(copy)
    assert "optimizer" not in str(caught.value)


def test_groups_of_both_kinds_are_refused(tmp_path: Path) -> None:
    case = SOME[0]
    path = case.folder / "model.keras"
    both = tmp_path / path.name
    shutil.copy(path, both)
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    stream = io.BytesIO(members["model.weights.h5"])
    with h5py.File(stream, "r+") as file:
        file.create_group("layers\\gru\\cell").create_group("vars")
    members["model.weights.h5"] = stream.getvalue()
    with zipfile.ZipFile(both, "w") as new:
        for name, data in members.items():
            new.writestr(name, data)
    with pytest.raises(ReadError, match="has groups of two kinds"):
        codegen.read(both)
