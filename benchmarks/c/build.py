"""Compile the competitors, each by every compiler with every set of flags."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np

from benchmarks.networks import Case

NATIVE = "-O3 -march=native"
FLAGS = ("-O2", "-O3", "-O3 -march=haswell", NATIVE, f"{NATIVE} -ffast-math")
EIGEN = Path("/usr/include/eigen3")


def compilers() -> list[str]:
    """Those that are there."""
    return [name for name in ("gcc", "clang") if shutil.which(name)]


def command(compiler: str, source: Path) -> list[str]:
    """The compiler for a C or a C++ file. Warnings of Eigen's templates say nothing."""
    if source.suffix == ".cpp":
        plus = {"gcc": "g++", "clang": "clang++"}[compiler]
        return [plus, "-std=c++17", "-DNDEBUG", "-w", "-isystem", str(EIGEN)]
    return [compiler]


def compile_library(source: Path, compiler: str, flags: str, *extra: str) -> Path:
    """A shared library; kept as long as source and command stay the same."""
    words = [*command(compiler, source), *flags.split(), *extra, "-fPIC", "-shared"]
    known = hashlib.sha256(" ".join(words).encode() + source.read_bytes())
    for header in sorted(source.parent.glob("*.h")):
        known.update(header.read_bytes())
    library = source.with_name(f"{source.stem}-{known.hexdigest()[:16]}.so")
    if not library.exists():
        fresh = library.with_suffix(".tmp")
        subprocess.run([*words, str(source), "-o", str(fresh), "-lm"], check=True)
        fresh.rename(library)
    return library


def text_size(library: Path) -> int | None:
    """Bytes of code of a library, as `size` counts them (.text with .rodata)."""
    try:
        done = subprocess.run(["size", str(library)], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return int(done.stdout.splitlines()[1].split()[0])


class Compiled:
    """A loaded library that walks over the recorded input."""

    def __init__(self, library: Path, case: Case) -> None:
        self.library = ctypes.CDLL(str(library))
        self.x = np.ascontiguousarray(case.x)
        self.y = np.zeros_like(case.y)
        pointer = ctypes.POINTER(ctypes.c_float)
        self.arguments = (self.x.ctypes.data_as(pointer), self.y.ctypes.data_as(pointer))

    def run(self, steps: int) -> None:
        """That many steps."""
        self.library.bench_run(steps, len(self.x), *self.arguments)

    def error(self, case: Case) -> float:
        """Largest difference from Keras over the whole sequence, from zero state."""
        self.library.bench_reset()
        self.run(len(self.x))
        return float(np.abs(self.y - case.y).max())
