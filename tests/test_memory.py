"""How much memory a conversion takes at most, and that it is no more than SECURITY.md says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.readers import files

# The highest that memory went to, in KiB: of this process and of the one that reads first.
PEAK = """
import resource, sys
from codegen.commands.main import main
main(sys.argv[1:], standalone_mode=False)
status = dict(line.split(":") for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
OPTIONS = {
    "c": ("out.h",),
    "c_mcu": ("out.h", "--profile", "mcu"),
    "numpy": ("out.py",),
    "numpy_base64": ("out.py", "--weights", "base64"),
    "python": ("out.py", "--target", "python"),
    "python_text": ("out.py", "--target", "python", "--weights", "text"),
}


def written(path: Path, wide: int, units: int) -> int:
    """A model with weights that are folded into others, and how many bytes they take."""
    config = files.sequential(
        files.dense("dense", wide),
        files.layer("BatchNormalization", "norm", axis=-1, epsilon=1e-3),
        files.gru("gru", units),
        shape=(None, wide),
    )
    norm = [(name, abs(files.array(wide))) for name in ("gamma", "beta", "mean", "variance")]
    layers = [
        ("dense", files.dense_weights(wide, wide)),
        ("norm", norm),
        ("gru", files.gru_weights(wide, units)),
    ]
    files.write_h5(path, config, layers)
    return sum(array.nbytes for _, weights in layers for _, array in weights)


def peaks(folder: Path, model: Path, *words: str) -> list[int]:
    command = [sys.executable, "-c", PEAK, "convert", str(model), "-o", *words]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return [1024 * int(word) for word in done.stdout.split()[-2:]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, int]:
    """A large and a tiny model, and the bytes of the weights of the large one."""
    folder = tmp_path_factory.mktemp("models")
    large, tiny = folder / "large.h5", folder / "tiny.h5"
    written(tiny, 8, 8)
    return large, tiny, written(large, 1000, 700)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_four_times_the_weights_at_most(
    tmp_path: Path, models: tuple[Path, Path, int], options: tuple[str, ...]
) -> None:
    """What a large model takes more than a tiny one, in the converting process and its child.

    A tiny model takes about 70 MB, so that 4 times the weights and 150 MB are more than all.
    """
    large, tiny, weights = models
    assert weights > 15e6
    base = peaks(tmp_path, tiny, *options)
    assert max(base) < 130e6
    for more, usual in zip(peaks(tmp_path, large, *options), base, strict=True):
        assert more - usual < 4 * weights
