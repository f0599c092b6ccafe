"""A number that float32 has not is refused by the name of its layer, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import codegen
from codegen.commands.main import main
from codegen.errors import NumberError, UnsupportedError
from codegen.targets import TARGETS
from codegen.text.numbers import number
from tests.readers.hostile import Entry, Sequential, dense, gru


def wide(path: Path, value: float) -> Path:
    """A model of float64 with one number of a kernel replaced."""
    entries = [gru("g", 2, 3), dense("d", 3, 2)]
    for entry in entries:
        entry["_arrays"] = [array.astype("f8") for array in entry["_arrays"]]
    entries[1]["_arrays"][0][0, 0] = value
    return Sequential(entries).save(path)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("value", [1e300, -1e300, 3.5e38])
def test_a_weight(target: str, value: float, tmp_path: Path) -> None:
    path = wide(tmp_path / "m.h5", value)
    with pytest.raises(
        UnsupportedError, match=r"layer 'd' \(Dense\): .*'d_kernel'.*--dtype float64"
    ):
        codegen.generate(codegen.read(path), target, dtype="float32")
    assert repr(value).replace("+", "") in codegen.generate(
        codegen.read(path), "python", weights="text"
    )
    out = tmp_path / f"o{TARGETS[target].suffixes[0]}"
    words = ["convert", str(path), "-o", str(out), "--target", target, "--dtype", "float32"]
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 1
    assert "layer 'd' (Dense)" in found.stderr
    assert sorted(tmp_path.iterdir()) == [path]


def test_the_largest_float32_fits(tmp_path: Path) -> None:
    path = wide(tmp_path / "m.h5", float(np.finfo(np.float32).max))
    assert "3.4028235e38" in codegen.generate(codegen.read(path), "c", dtype="float32")


def plain(class_name: str, **config: Any) -> Entry:
    return {"class_name": class_name, "config": {"name": "r", **config}}


@pytest.mark.parametrize(
    "entry",
    [
        plain("Rescaling", scale=1e299, offset=0.0),
        plain("Rescaling", scale=1.0, offset=-1e39),
        plain("LeakyReLU", alpha=1e39),
        plain("ReLU", max_value=1e39),
        plain("ThresholdedReLU", theta=1e39),
        plain("Masking", mask_value=1e39),
        plain("LayerNormalization", epsilon=1e300, scale=False, center=False),
    ],
    ids=lambda entry: str(entry["class_name"]),
)
def test_a_setting(entry: Entry, tmp_path: Path) -> None:
    path = Sequential([gru("g", 2, 3), entry]).save(tmp_path / "m.h5")
    wanted = rf"layer 'r' \({entry['class_name']}\): a constant .* more than float32 holds"
    for options in ({}, {"dtype": "float64"}):
        with pytest.raises(UnsupportedError, match=wanted):
            codegen.generate(codegen.read(path), "numpy", **options)
    found = CliRunner().invoke(main, ["inspect", "--json", str(path)])
    assert '"supported": false' in found.stdout


def test_no_number_is_printed_as_infinity() -> None:
    with pytest.raises(NumberError, match="too large for float32"):
        number(1e39)
