"""What one input leads to, and how inputs are made from good files."""

from __future__ import annotations

import copy
import io
import json
import pickle
import random
import signal
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import codegen
from codegen.errors import CodegenError
from codegen.readers import bare_weights
from codegen.readers.files import limits
from codegen.readers.options import Options
from codegen.readers.torch import propose
from codegen.targets import TARGETS
from tests.readers import audio_files, hostile
from tests.support.fixtures import FIXTURES

# Small files, each with something that the others lack.
SEEDS = {
    "hdf5": (
        "keras122/gru/model.h5",
        "keras215/stack_mixed/model.h5",
        "keras215/bidirectional_concat/model.h5",
        "tf24/nested_deep/model.h5",
        "keras3_15/gru/model.h5",
    ),
    "zip": (
        "keras3_15/gru/model.keras",
        "keras3_15/bidirectional_concat/model.keras",
        "keras3_15/multi_io/model.keras",
        "tf215/gru/model.keras",
    ),
    "torch_zip": (
        "torch/torch213/gru/weights.pt",
        "torch/torch213/checkpoint/weights.pt",
        "torch/torch213/checkpoint_training/weights.pt",
        "torch/torch213/views/weights.pt",
        "torch/torch213/bfloat16/weights.pt",
        "torch/torch113/double/weights.pt",
        "torch/torch181/data_parallel/weights.pt",
    ),
    "torch_legacy": (
        "torch/torch151/lstm/weights.pt",
        "torch/torch151/half/weights.pt",
        "torch/torch213/legacy/weights.pt",
    ),
    "safetensors": (
        "torch/torch213/safetensors/weights.safetensors",
        "torch/torch213/safetensors_bfloat16/weights.safetensors",
    ),
    "npz": ("torch/torch213/npz/weights.npz",),
    # Names of models that tests/readers/audio_files.py makes.
    "audio": (
        *("features and filters", "convolutions", "aida-x with a knob", "guitarml gru", "lstm"),
        *("convnet with batchnorm", "gated wavenet", "other activations", "films", "condition"),
    ),
}
ARCHIVES = ("zip", "torch_zip", "npz")
# As a model runs that is not run as it was trained.
RUNNING: tuple[dict[str, Any], ...] = ({}, {"prewarm": 3}, {"rate_ratio": 1.5, "prewarm": 1})
# What has no place where it stands.
WRONG: tuple[Any, ...] = (
    *("64", "x", -1, 0, 1.5, 2**40, 10**30, True, None, float("nan"), float("inf")),
    *([], {}, [[]], ["a"], [2**40], {"class_name": "x"}),
)
SECONDS = 200  # by the clock for one input, on a busy machine; a good one takes a hundredth

# The HDF5 library loops for ever on some damaged files, and the child that reads them is then given
# up. A good seed takes a tenth of this.
limits.SECONDS = 2


class HangError(Exception):
    """An input took too long."""


def seeds(container: str) -> list[bytes]:
    """Good files to start from."""
    if container == "audio":
        models = {**audio_files.small(), **audio_files.nam_models()}
        return [json.dumps(models[name]).encode() for name in SEEDS[container]]
    paths = [FIXTURES / name for name in SEEDS[container]]
    return [path.read_bytes() for path in paths if path.exists()]


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise HangError when it takes longer."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise HangError(f"no outcome within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(data: bytes, folder: Path, number: int = 0, known: set[bytes] | None = None) -> str:
    """`converted` or `refused`; anything else is raised, and is a fault of ours.

    With `known`, which collects the models that were converted, the self-test of a Python file
    must pass too, and a model is converted to each target once.
    """
    path = folder / "input.bin"
    path.write_bytes(data)
    target = tuple(TARGETS)[number % len(TARGETS)]
    options = {"max_steps": 64} if target == "c" else {}
    running = RUNNING[number // len(TARGETS) % len(RUNNING)]
    with limited(SECONDS), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = codegen.read(path, description(path, folder), **running)
            key = pickle.dumps((target, replace(model, digest="")))
            if known is not None and key in known:
                return "converted"
            text = codegen.generate(model, target, "fuzzed", **options)
        except CodegenError as error:
            message = str(error)
            assert message.strip(), "a refusal that says nothing"
            assert len(message) < 100_000, "a refusal that says too much"
            return "refused"
    if target in ("numpy", "python"):
        code = compile(text, "fuzzed.py", "exec", dont_inherit=True)
        if known is not None:
            names: dict[str, Any] = {"__name__": "fuzzed"}
            exec(code, names)  # noqa: S102
            found = names["selftest"]()  # True, or the largest error of what is allowed
            assert found is not False, "its self-test fails"
            assert found <= 1, f"its self-test fails: {found}"
    if known is not None:
        known.add(key)
    return "converted"


def description(path: Path, folder: Path) -> Path | None:
    """Weights alone are read with the layers that are proposed for them."""
    found = bare_weights(path, Options())
    if found is None:
        return None
    config = folder / "layers.json"
    config.write_text(propose.text(found.proposal))
    return config


# ---- mutation -----------------------------------------------------------------------------

Mutate = Callable[[bytes], bytes]


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, or the end cut off."""
    found = bytearray(data)
    if not found:
        return b""
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(len(found))
        flipped = found[at] ^ 1 << chance.randrange(8)
        found[at] = chance.choice((0, 255, chance.randrange(256), flipped))
    if chance.random() < 0.1:
        del found[chance.randrange(len(found)) :]
    return bytes(found)


def mutated(container: str, data: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    """A damaged file; of an archive mostly a member, since its checksum guards that otherwise."""
    if container in ARCHIVES and chance.random() < 0.8:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = [(name, archive.read(name)) for name in archive.namelist()[:8]]
        except Exception:  # noqa: BLE001  # what was damaged before need not be readable
            members = list(hostile.good_members()) if container == "zip" else []
        if not members:
            return mutate(data)
        which = chance.randrange(len(members))
        members[which] = (members[which][0], mutate(members[which][1]))
        return packed(members)
    if container == "audio" and chance.random() < 0.7:
        return misplaced(data, chance) or mutate(data)
    return mutate(data)


def misplaced(data: bytes, chance: random.Random) -> bytes | None:
    """JSON with some values replaced by others of it, or by what has no place there."""
    try:
        value = json.loads(data)
        for _ in range(chance.choice((1, 1, 2, 4))):
            every = list(places(value))
            *way, last = chance.choice(every)
            inner = value
            for key in way:
                inner = inner[key]
            other = value
            for key in chance.choice(every):
                other = other[key]
            inner[last] = copy.deepcopy(other if chance.random() < 0.3 else chance.choice(WRONG))
        return json.dumps(value).encode()
    except (ValueError, IndexError, RecursionError):  # what was damaged before need not be JSON
        return None


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values inside a value are; of many numbers, the first ones."""
    if not isinstance(value, (dict, list)):
        return
    few = isinstance(value, list) and bool(value) and isinstance(value[0], float)
    for key in (
        value if isinstance(value, dict) else range(min(len(value), 4) if few else len(value))
    ):
        yield (*above, key)
        yield from places(value[key], (*above, key))


def packed(members: Sequence[tuple[str, bytes]]) -> bytes:
    """An archive of these members."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in members:
                archive.writestr(zipfile.ZipInfo(name), content)  # of no date
    return buffer.getvalue()
