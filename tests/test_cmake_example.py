"""The example of a CMake project around a generated header, built and run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.support.compilers import WARNINGS

EXAMPLES = Path(__file__).parents[1] / "generated_examples"


def run(*command: str | Path, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_it_builds_and_hears_what_keras_heard(compiler: str, tmp_path: Path) -> None:
    options = [f"-DCMAKE_C_COMPILER={compiler}", f"-DCMAKE_C_FLAGS={' '.join(WARNINGS)}"]
    build_type = "-DCMAKE_BUILD_TYPE=Release"
    generator = ["-G", "Unix Makefiles"]
    run("cmake", "-S", EXAMPLES / "cmake", "-B", tmp_path, *generator, build_type, *options)
    run("cmake", "--build", tmp_path)
    run("ctest", "--test-dir", tmp_path)
    with np.load(EXAMPLES / "seed" / "recorded.npz") as stored:
        x, y = stored["x"][:200], stored["y"][:200]
    lines = "\n".join(" ".join(f"{v:.9g}" for v in row) for row in x)
    said = np.array(run(tmp_path / "chirp", stdin=lines).split(), float)
    np.testing.assert_allclose(said, y[:, 1], atol=2e-6)
