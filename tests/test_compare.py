"""compare: two generated files of one model on the same inputs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from codegen.commands.main import main
from tests.support.fixtures import FIXTURES, cases

SEED = Path(__file__).parents[1] / "generated_examples" / "seed" / "seed.h5"
assert cases()  # which unpacks the models
GRU = FIXTURES / "keras3_15" / "gru" / "model.keras"
BOTH_WAYS = FIXTURES / "keras3_15" / "bidirectional_concat" / "model.keras"
HOPS = FIXTURES / "keras3_15" / "conv_pool_gru" / "model.keras"
WARM = FIXTURES / "keras3_15" / "conv_valid_gru" / "model.keras"


def run(*words: object) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def made(folder: Path, model: Path, out: str, *options: str) -> Path:
    beside = folder / model.name
    if not beside.exists():
        shutil.copy(model, beside)
    found = run("convert", beside, "-o", folder / out, *options)
    assert found.exit_code == 0, found.output
    return folder / out


@pytest.mark.parametrize("model", [GRU, BOTH_WAYS, WARM], ids=["step", "predict", "warm-up"])
def test_files_of_two_targets_agree(model: Path, tmp_path: Path) -> None:
    first = made(tmp_path, model, "a.py", "--target", "python")
    for out, options in (("b.py", ()), ("c.js", ("--weights", "base64"))):
        second = made(tmp_path, model, out, *options)
        found = run("compare", first, second, "--steps", 9, "--tolerance", "1e-6", "--json")
        assert found.exit_code == 0, found.output
        report = json.loads(found.stdout)
        assert 0 < report["steps"] <= 9
        assert report["largest"] < 1e-6
        assert len(report["outputs"]) == 1


def test_rounded_weights_are_off_and_a_tolerance_says_so(tmp_path: Path) -> None:
    first = made(tmp_path, SEED, "a.h")
    second = made(tmp_path, SEED, "b.py", "--quantize", "weights")
    found = run("compare", first, second, "--steps", 30)
    assert found.exit_code == 0
    assert re.search(r"largest error \d.*, rms .*, \d of 30 decisions changed", found.output)
    assert run("compare", first, second, "--steps", 30, "--tolerance", "0.1").exit_code == 0
    assert run("compare", first, second, "--steps", 30, "--tolerance", "1e-6").exit_code == 1


def test_data_of_ones_own(tmp_path: Path) -> None:
    first, second = made(tmp_path, GRU, "a.py"), made(tmp_path, GRU, "b.js")
    np.savez(tmp_path / "x.npz", np.ones((5, 3)))
    found = run("compare", first, second, "--data", tmp_path / "x.npz", "--json")
    assert json.loads(found.stdout)["steps"] == 5
    np.savez(tmp_path / "bad.npz", np.ones((5, 2)))
    found = run("compare", first, second, "--data", tmp_path / "bad.npz")
    assert found.exit_code == 1
    assert "expected (any, 3)" in found.output


def test_data_of_a_model_that_takes_several_rows_a_step(tmp_path: Path) -> None:
    first = made(tmp_path, HOPS, "a.py")
    np.savez(tmp_path / "x.npz", np.random.default_rng(0).normal(size=(13, 3)))
    integers = ("--quantize", "int16", "--calibration", str(tmp_path / "x.npz"))
    second = made(tmp_path, HOPS, "b.js", *integers)
    for words in ((), ("--data", tmp_path / "x.npz")):
        found = run("compare", first, second, *words, "--json")
        assert found.exit_code == 0, found.output
        for out in (first, second):
            found = run("verify", tmp_path / "model.keras", out, *words)
            assert found.exit_code == 0, found.output
        found = run("verify", tmp_path / "model.keras", first, "--against", "keras", *words)
        assert found.exit_code == 0, found.output


def test_the_model_is_found_or_named(tmp_path: Path) -> None:
    first, second = made(tmp_path, GRU, "a.py"), made(tmp_path, GRU, "b.js")
    (tmp_path / GRU.name).unlink()
    found = run("compare", first, second)
    assert found.exit_code == 1
    assert "give its path with --model" in found.output
    assert run("compare", first, second, "--model", GRU).exit_code == 0


def test_files_of_other_models_are_refused(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    first = made(folders[0], GRU, "a.py")
    second = made(folders[1], BOTH_WAYS, "b.py")
    found = run("compare", first, second)
    assert found.exit_code == 1
    assert "made from two models" in found.output


def test_code_of_a_banner_is_not_run(tmp_path: Path) -> None:
    first, second = made(tmp_path, GRU, "a.py"), made(tmp_path, GRU, "b.py")
    text = second.read_text().replace("-o b.py", "-o b.py --custom GRU=evil:function")
    second.write_text(text)
    found = run("compare", first, second)
    assert found.exit_code == 1
    assert "give the same --custom here" in found.output
