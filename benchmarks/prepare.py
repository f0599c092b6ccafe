"""Make everything that is timed, in a work folder outside the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks import onnx_models
from benchmarks.c import eigen, handwritten, wrappers
from benchmarks.networks import INPUT, NETWORKS, Case, Network, load, paths

REPOSITORY = Path(__file__).parents[1]


def work_folder() -> Path:
    """Where models, sources and libraries go: RNN_BENCH_WORK, or a cache folder."""
    given = os.environ.get("RNN_BENCH_WORK")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else cache / "rnn-codegen-bench" / "build"


def models(networks: tuple[Network, ...] = NETWORKS) -> list[Case]:
    """The networks with their weights; Keras runs in a process of its own."""
    folder = work_folder() / "models"
    missing = [n.key for n in networks if not all(p.exists() for p in paths(n, folder))]
    if missing:
        command = [sys.executable, "-m", "benchmarks.workloads", str(folder), *missing]
        subprocess.run(command, check=True, cwd=REPOSITORY)
    return [load(network, folder) for network in networks]


def write_if_new(path: Path, text: str) -> None:
    """Keep the file's time where nothing changes."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def convert(case: Case, out: Path, *options: str) -> None:
    """Run the generator as a user does."""
    command = [sys.executable, "-m", "codegen", "convert", str(case.model), "-o", str(out)]
    done = subprocess.run([*command, *options], cwd=REPOSITORY, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.decode())


def onnx(case: Case, *, sequence: bool = False) -> Path:
    """The model as ONNX, for one step or for a whole sequence."""
    folder = work_folder() / "onnx"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{case.network.name}{'_sequence' if sequence else ''}.onnx"
    onnx_models.write(case, path, len(case.x) if sequence else 1, states=not sequence)
    return path


def litert(case: Case) -> Path:
    """The model as LiteRT takes it, converted in a process of its own."""
    folder = work_folder() / "litert"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{case.network.name}.tflite"
    if not path.exists():
        script = (
            "import sys; from pathlib import Path; from benchmarks import litert_models, networks;"
            "litert_models.write(networks.load(networks.BY_KEY[sys.argv[1]], Path(sys.argv[2])),"
            " Path(sys.argv[3]))"
        )
        arguments = [case.network.key, str(work_folder() / "models"), str(path)]
        command = [sys.executable, "-c", script, *arguments]
        subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True)
    return path


def c_folder(case: Case) -> Path:
    """Where the C sources of a network go."""
    folder = work_folder() / "c" / case.network.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def ours_source(case: Case, *options: str, variant: str = "") -> Path:
    """Our header and the file around it, in a folder of their own."""
    folder = c_folder(case) / f"ours{variant}"
    folder.mkdir(exist_ok=True)
    header = folder / f"{case.network.name}.h"
    convert(case, header, *options)
    write_if_new(folder / "ours.c", wrappers.ours(case.network, header.name))
    return folder / "ours.c"


def samples(case: Case) -> Path:
    """The inputs of a network as data to calibrate with."""
    path = c_folder(case) / "samples.npz"
    if not path.exists():
        np.savez(path, **{INPUT: case.x})
    return path


def emx_command(model: Path, out: Path) -> list[str]:
    """All weights in the source, no heap, `restrict`: its fastest form."""
    program = Path(sys.executable).with_name("emx-onnx-cgen")
    options = "--large-weight-threshold 0 --large-temp-threshold 0 --restrict-arrays".split()
    return [str(program), "compile", *options, "--model-name", "model", str(model), str(out)]


def emx_source(case: Case) -> Path:
    """The file that emx-onnx-cgen writes, with our loop at its end."""
    raw = c_folder(case) / "emx_raw.c"
    subprocess.run(emx_command(onnx(case), raw), check=True, capture_output=True)
    text = raw.read_text(encoding="utf-8")
    path = c_folder(case) / "emx.c"
    write_if_new(path, text + wrappers.emx(case.network, text))
    return path


def handwritten_source(case: Case) -> Path:
    """Plain C."""
    path = c_folder(case) / "handwritten.c"
    write_if_new(path, handwritten.source(case))
    return path


def eigen_source(case: Case) -> Path:
    """C++ with Eigen."""
    path = c_folder(case) / "eigen.cpp"
    write_if_new(path, eigen.source(case))
    return path
