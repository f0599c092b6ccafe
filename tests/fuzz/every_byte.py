"""Every byte of the smallest good files, changed in turn to several values.

One process reads many files, since a child for each takes long. What ends it (the HDF5 library
hangs or crashes, memory runs out, or a fault of ours) is then read as a user would have it read.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import resource
import signal
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from unittest import mock

import codegen.readers
from tests.fuzz.outcome import outcome, packed
from tests.readers import audio_files, hostile, torch_files

SECONDS = 5  # of CPU time for one file; a good one takes a hundredth of one
MEMORY = 2 << 30
CHANGES: tuple[Callable[[int], int], ...] = (
    lambda byte: byte ^ 1,
    lambda byte: byte ^ 0x80,
    lambda byte: 0,
    lambda byte: 255,
    lambda byte: byte + 1,
)


def hdf5(folder: Path) -> Iterator[bytes]:
    """A changed `.h5` file of one layer with one weight."""
    layer = hostile.dense("d", 1, 1, use_bias=False)
    layer["_arrays"] = layer["_arrays"][:1]
    yield from changed(hostile.Sequential([layer]).save(folder / "m.h5").read_bytes())


def archive(folder: Path) -> Iterator[bytes]:
    """A changed `.keras` file."""
    yield from changed(hostile.zipped()(folder).read_bytes())


def members(folder: Path) -> Iterator[bytes]:
    """A `.keras` file with a changed member: in a changed file the checksums show most changes."""
    with zipfile.ZipFile(io.BytesIO(hostile.zipped()(folder).read_bytes())) as file:
        parts = [(name, file.read(name)) for name in file.namelist()]
    for number, (name, data) in enumerate(parts):
        for found in changed(data):
            yield packed([*parts[:number], (name, found), *parts[number + 1 :]])


_STATE = {"fc.weight": torch_files.tensor([[1.0, 2.0]]), "fc.bias": torch_files.tensor([0.5])}


def pickled(folder: Path) -> Iterator[bytes]:
    """A state dict of torch whose pickle is changed."""
    data = torch_files.Writer().pickle(_STATE)
    for found in changed(data):
        yield torch_files.archive(_STATE, {"model/data.pkl": found})


def legacy(folder: Path) -> Iterator[bytes]:
    """A changed state dict of torch before 1.6."""
    yield from changed(torch_files.legacy(_STATE))


def safetensors(folder: Path) -> Iterator[bytes]:
    """A changed safetensors file."""
    entries = {
        "fc.weight": torch_files.entry([1, 2], 0, 8),
        "fc.bias": torch_files.entry([1], 8, 12),
    }
    yield from changed(torch_files.safetensors(entries, bytes(12)))


def npz(folder: Path) -> Iterator[bytes]:
    """A NumPy archive in which a member is changed."""
    good = torch_files.npz(**{name: found.array for name, found in _STATE.items()})
    with zipfile.ZipFile(io.BytesIO(good)) as file:
        parts = [(name, file.read(name)) for name in file.namelist()]
    for found in changed(parts[0][1]):
        yield packed([(parts[0][0], found), *parts[1:]])


def plain(folder: Path) -> Iterator[bytes]:
    """A changed state dict in JSON."""
    state = {name: found.array.tolist() for name, found in _STATE.items()}
    yield from changed(json.dumps({"epoch": 1, "state_dict": state}).encode())


def audio(folder: Path) -> Iterator[bytes]:
    """A changed JSON file of each audio tool."""
    draw = audio_files.Draw(0)
    aida = audio_files.rtneural(1, audio_files.dense(draw, 1, 1, "tanh"), in_skip=1, in_gain=3)
    linear = audio_files.nam("Linear", {"receptive_field": 2, "bias": True}, [0.5, 1.0, 2.0])
    for good in (aida, audio_files.guitarml("RNN", hidden=1), linear):
        yield from changed(json.dumps(good).encode())


FILES = {
    "hdf5": hdf5,
    "zip": archive,
    "members": members,
    "pickle": pickled,
    "legacy": legacy,
    "safetensors": safetensors,
    "npz": npz,
    "json": plain,
    "audio": audio,
}


def changed(good: bytes) -> Iterator[bytes]:
    """The file with each byte changed in turn."""
    for place, before in enumerate(good):
        for value in dict.fromkeys(change(before) % 256 for change in CHANGES):
            if value != before:
                yield good[:place] + bytes([value]) + good[place + 1 :]


def tried(kind: str, step: int = 1) -> Counter[str]:
    """How often each outcome came, of one file in `step`; what is no good outcome is raised."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = itertools.islice(FILES[kind](folder), 0, None, step)
        while part := list(itertools.islice(files, 1000)):
            while part:
                results = _together(part, folder)
                found.update(results)
                part = part[len(results) :]
                if part:  # its first one ended the process
                    found[f"{outcome(part.pop(0), folder)}, alone"] += 1
    return found


def _together(files: Iterable[bytes], folder: Path) -> list[str]:
    """The outcomes of the files up to one that ends the process."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _child(files, folder, send)
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as file:
        marks = file.read().decode()
    os.waitpid(child, 0)
    return [{"c": "converted", "r": "refused"}[mark] for mark in marks]


def _child(files: Iterable[bytes], folder: Path, send: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with mock.patch.object(codegen.readers, "rehearse"):
        known: set[bytes] = set()
        for number, data in enumerate(files):
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)  # its signal ends the process
            result = outcome(data, folder, number, known)
            os.write(send, result[:1].encode())
