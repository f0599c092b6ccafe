from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.fixtures import FIXTURES, Case, cases

CASES = list(cases())


def test_every_folder_is_a_case() -> None:
    found = (path for path in FIXTURES.glob("*/*") if path.is_dir())
    folders = {path for path in found if path.parent.name not in ("make", "torch")}
    assert {case.folder for case in CASES} == folders
    assert len({case.era for case in CASES}) >= 5


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_is_whole(case: Case) -> None:
    assert case.era == case.meta["era"]
    assert case.what
    assert case.sources
    assert len(case.calls) in {0, len(case.meta["calls"])}
    assert len({len(call.outputs) for call in case.calls}) <= 1
    for call in case.calls:
        assert call.inputs
        assert all(np.isfinite(array).all() for array in (*call.inputs, *call.outputs))
        if "time_major" not in case.what:
            assert {len(x) for x in call.inputs} == {case.batch}


def test_what_is_stored_is_small() -> None:
    unpacked = {path.with_suffix("") for path in FIXTURES.glob("*/*/*.h5.gz")}
    stored = {path for path in FIXTURES.rglob("*") if path.is_file() and path.suffix != ".py"}
    assert sum(path.stat().st_size for path in stored - unpacked) < 11_000_000


def test_every_hdf5_file_is_stored_packed() -> None:
    assert [path for path in FIXTURES.glob("*/*/*.h5") if not Path(f"{path}.gz").exists()] == []


def test_some_eras_can_be_asked_for() -> None:
    assert {case.era for case in cases("keras215")} == {"keras215"}
    assert not list(cases("keras000"))
