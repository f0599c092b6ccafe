"""Generated NumPy files under the NumPy that is installed; numpy_versions.py checks any other."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import numpy_versions


@pytest.mark.slow
def test_recorded_models_run_without_a_warning(tmp_path: Path) -> None:
    count = numpy_versions.write(tmp_path, ("float32",), every=5)
    assert count > 50
    passed, text = numpy_versions.run(tmp_path, sys.executable)
    assert passed, text
    assert text.startswith(f"{count} files")


def test_a_warning_is_told(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(numpy_versions.DRIVER)
    text = "import numpy\n\n\ndef selftest():\n    return numpy.log(numpy.zeros(1))[0]\n"
    (tmp_path / "model_0000.py").write_text(text)
    passed, said = numpy_versions.run(tmp_path, sys.executable)
    assert not passed
    assert "model_0000: RuntimeWarning: divide by zero" in said
