"""What the numbers were measured on: processor, system, versions; no names of hosts or people."""

from __future__ import annotations

import ctypes
import datetime as dt
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "numpy", "keras", "tf_keras", "tensorflow-cpu", "onnx", "onnxruntime", "ai-edge-litert",
    "emx-onnx-cgen", "numba",
)  # fmt: skip


def _first_line(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.splitlines()[0].strip()


def _cpu() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = re.search(r"model name\s*:\s*(.*)", text)
    return found[1] if found else platform.machine()


def vector_instructions() -> str:
    """The vector instructions."""
    words = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    return " ".join(w for w in ("sse2", "avx", "avx2", "fma", "avx512f") if w in words)


def _caches() -> dict[str, str]:
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (
            (index / name).read_text(encoding="utf-8").strip() for name in ("level", "type", "size")
        )
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def _system() -> str:
    for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system()


def blas_kernel() -> str | None:
    """The kernel that numpy's OpenBLAS chose."""
    import numpy as np

    for library in (Path(np.__file__).parents[1] / "numpy.libs").glob("libscipy_openblas*"):
        function = getattr(ctypes.CDLL(str(library)), "scipy_openblas_get_corename64_", None)
        if function is not None:
            function.restype = ctypes.c_char_p
            return str(function().decode())
    return None


def load() -> float:
    """How busy the machine is: the mean number of running programs of the last minute."""
    return round(os.getloadavg()[0], 1)


def describe() -> dict[str, object]:
    """For the results file."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    compilers = {name: _first_line(name, "--version") for name in ("gcc", "g++", "clang")}
    return {
        "date": dt.datetime.now(dt.timezone.utc).date().isoformat(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "caches": _caches(),
        "vector_instructions": vector_instructions(),
        "system": _system(),
        "python": platform.python_version(),
        "compilers": {name: line for name, line in compilers.items() if line},
        "packages": versions,
        "openblas_kernel": blas_kernel(),
        "load_average": load(),
    }
