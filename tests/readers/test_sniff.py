"""What a file is, where its first bytes do not tell all."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import pytest

import codegen
from codegen.lowering import lower
from codegen.readers import sniff
from tests.support.fixtures import FIXTURES


@pytest.mark.parametrize("start", [512, 1024, 4096])
def test_weights_at_a_round_place_leave_a_zip_a_zip(start: int, tmp_path: Path) -> None:
    """Keras stores members as they are, so HDF5 begins where the length of config.json says."""
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(FIXTURES / "keras3_15" / "gru_last" / "model.keras") as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    weights = members.pop("model.weights.h5")
    with zipfile.ZipFile(path, "w") as file:
        header = 30 + len("model.weights.h5")
        file.writestr("padding", bytes(start - header - 30 - len("padding")))
        file.writestr("model.weights.h5", weights)
        for name, content in members.items():
            file.writestr(name, content)
    assert h5py.is_hdf5(path)
    assert sniff.kind(path, path.name) == sniff.ZIP
    assert lower(codegen.read(path)).step is not None


def test_a_block_before_hdf5_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    stored = FIXTURES / "keras215" / "gru" / "model.h5"
    with h5py.File(path, "w", userblock_size=1024) as file, h5py.File(stored) as source:
        for name in source:
            source.copy(name, file)
        for name, value in source.attrs.items():
            file.attrs[name] = value
    with path.open("r+b") as raw:
        raw.write(b"a note of the user's own")
    assert sniff.kind(path, path.name) == sniff.HDF5
    assert lower(codegen.read(path)).step is not None
