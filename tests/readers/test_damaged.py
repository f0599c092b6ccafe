"""Good files with bytes changed: a model or one refusal, and the fuzzers for some seconds."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import codegen
from codegen.errors import CodegenError
from codegen.lowering import lower
from tests.fuzz import __main__ as fuzz
from tests.fuzz import every_byte
from tests.fuzz import outcome as fuzz_outcome
from tests.fuzz import settings as changed_settings
from tests.fuzz.outcome import SEEDS, damaged, mutated, outcome, seeds
from tests.readers import hostile

SECONDS = 4  # of guided fuzzing for each container; `make fuzz` takes as long as you like


@pytest.mark.parametrize("container", list(SEEDS))
def test_the_seeds_are_there_and_good(container: str, tmp_path: Path) -> None:
    assert len(seeds(container)) == len(SEEDS[container])
    assert [outcome(data, tmp_path) for data in seeds(container)] == ["converted"] * len(
        SEEDS[container]
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.parametrize("container", list(SEEDS))
def test_changed_bytes(container: str, tmp_path: Path, data: st.DataObject) -> None:
    if container == "hdf5":
        good = hostile.small().save(tmp_path / "m.h5").read_bytes()
    else:
        zipped = container == "zip"
        good = hostile.zipped()(tmp_path).read_bytes() if zipped else seeds(container)[0]
    changes = data.draw(
        st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), max_size=8)
    )
    found = bytearray(good)
    for at, value in changes:
        found[at] = value
    assert outcome(bytes(found), tmp_path, len(changes)) in {"converted", "refused"}


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.sampled_from(list(SEEDS)))
def test_damaged_files_of_real_frameworks(chance: random.Random, container: str) -> None:
    data = mutated(
        container, chance.choice(seeds(container)), chance, lambda part: damaged(part, chance)
    )
    with tempfile.TemporaryDirectory() as folder:
        assert outcome(data, Path(folder), chance.randrange(3)) in {"converted", "refused"}


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_changed_settings(seed: int) -> None:
    chance = random.Random(seed)
    data = changed_settings.changed(chance)
    with tempfile.TemporaryDirectory() as folder:
        assert outcome(data, Path(folder), chance.randrange(3)) in {"converted", "refused"}


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_changed_descriptions(seed: int) -> None:
    weights, text = changed_settings.described(random.Random(seed))
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "layers.json"
        config.write_text(text)
        with contextlib.suppress(CodegenError):
            lower(codegen.read(weights, config))


@pytest.mark.parametrize("kind", list(every_byte.FILES))
def test_every_byte(kind: str) -> None:
    """One change in many of those that `make fuzz` makes, beside no thread of another library."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        step = 197 if kind in {"hdf5", "zip", "members"} else 7
        found = pool.submit(every_byte.tried, kind, step).result()
    assert set(found) <= {"converted", "refused", "refused, alone"}
    assert found["converted"] > 0
    assert found["refused"] > 10


@pytest.mark.slow
@pytest.mark.parametrize("container", list(SEEDS))
def test_guided_by_coverage(container: str, tmp_path: Path) -> None:
    status, said = fuzz.run(container, SECONDS, 1, tmp_path)
    assert status == 0, said[-4000:]
    assert len(list(tmp_path.glob("corpus-*/*"))) > len(SEEDS[container])  # it got somewhere


def test_the_fuzzers_notice_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def faulty(*_: object) -> None:
        raise KeyError("units")

    def mute(*_: object) -> None:
        raise CodegenError("")

    good = seeds("zip")[0]
    monkeypatch.setattr(fuzz_outcome.codegen, "read", faulty)
    with pytest.raises(KeyError):
        outcome(good, tmp_path)
    monkeypatch.setattr(fuzz_outcome.codegen, "read", mute)
    with pytest.raises(AssertionError, match="says nothing"):
        outcome(good, tmp_path)
