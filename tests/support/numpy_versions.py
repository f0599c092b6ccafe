"""Whether generated NumPy files run, without a warning, under some NumPy.

    python -m tests.support.numpy_versions PYTHON...

writes the NumPy file of every recorded model into a temporary folder and runs all of them in each
PYTHON, which needs nothing but a NumPy. For the oldest one:

    python3.6 -m venv old && old/bin/pip install numpy==1.13.3
    python -m tests.support.numpy_versions old/bin/python
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.support import recorded
from tests.support.integer_programs import PROGRAMS
from tests.support.targets import rendered

DTYPES = ("float32", "float64")

# Runs in Python 3.6. The import of NumPy itself may warn; the files may not.
DRIVER = """\
import glob
import importlib
import os
import sys
import warnings

import numpy

files = sorted(path[:-3] for path in glob.glob("model_*.py"))
warnings.simplefilter("error")
for name in files:
    try:
        module = importlib.import_module(name)
        error = module.selftest()
        assert error <= 1, "self-test: %s" % error
        if os.path.exists(name + ".npz"):
            with numpy.load(name + ".npz") as saved:
                x = [saved["arr_%d" % n] for n in range(len(saved.files))]
            model = module.Model(batch=len(x[0]))
            model.predict(*x)
            model.set_state(model.get_state())
    except Exception as error:
        sys.exit("%s: %s: %s" % (name, type(error).__name__, error))
print("%d files, NumPy %s, Python %d.%d" % ((len(files), numpy.__version__) + sys.version_info[:2]))
"""


def write(folder: Path, dtypes: Sequence[str] = DTYPES, every: int = 1) -> int:
    """Put the files of all recorded models (or each n-th), their inputs and `main.py` there.

    The files of all programs of integers are there too.
    """
    models = [(case, n) for case in recorded.KEPT for n in range(len(case.models))]
    names = (folder / f"model_{count:04}" for count in itertools.count())
    for case, number in models[::every]:
        for dtype in dtypes:
            name = next(names)
            text = rendered(recorded.read(case, number), "numpy", dtype=dtype)
            name.with_suffix(".py").write_text(text)
            np.savez(name.with_suffix(".npz"), *case.calls[0].inputs)
    for made in PROGRAMS.values():
        for io in ("float", "int16"):
            text = rendered(made(io=io), "numpy")
            next(names).with_suffix(".py").write_text(text)
    (folder / "main.py").write_text(DRIVER)
    return len(models[::every]) * len(dtypes) + 2 * len(PROGRAMS)


def run(folder: Path, python: str) -> tuple[bool, str]:
    """Whether all files pass in this Python, and what it said."""
    command = [python, "-B", "main.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def main(pythons: Sequence[str]) -> int:
    """The exit status: 0 where every file passes in all of these."""
    status = 0
    with tempfile.TemporaryDirectory() as name:
        write(Path(name))
        for python in pythons:
            passed, text = run(Path(name), str(Path(python).absolute()))
            print(text)  # noqa: T201
            status = status if passed else 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
