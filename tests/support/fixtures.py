"""The models that real frameworks saved, with what they predicted.

tests/fixtures/ERA/CASE/ of every Keras, tests/fixtures/torch/ERA/CASE/ of PyTorch.

HDF5 files are nearly empty where the weights are few, so `model.h5` is committed as `model.h5.gz`,
an eighth of its size; to import this module is to unpack what is not unpacked yet.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FIXTURES = Path(__file__).parents[1] / "fixtures"
MODELS = ("model.h5", "model.keras", "model")  # the last is a folder: a .keras file unpacked
WEIGHTS = ("weights.h5", "model.weights.h5", "model.weights.json")
TORCH = FIXTURES / "torch"
# `make quick` sets it: a few models of two releases in place of all.
QUICK = bool(os.environ.get("QUICK"))
QUICK_ERAS = ("keras215", "keras3_15")
TORCH_WEIGHTS = ("weights.pt", "weights.safetensors", "weights.npz")


def unpack(folder: Path) -> None:
    """Put the file that each `*.h5.gz` below `folder` holds beside it, unless it is there already.

    A file is as old as the one it came from, so that one that has changed is unpacked again.
    Tests that run side by side may all do this: each file is there whole or not at all.
    """
    for packed in sorted(folder.glob("*/*/*.h5.gz")):
        path = packed.with_suffix("")
        made = packed.stat().st_mtime_ns
        if not path.exists() or path.stat().st_mtime_ns != made:
            part = path.with_suffix(f".{os.getpid()}")
            part.write_bytes(gzip.decompress(packed.read_bytes()))
            os.utime(part, ns=(made, made))
            part.replace(path)


unpack(FIXTURES)


@dataclass(frozen=True)
class Call:
    """One call of predict: inputs and outputs, batch first (time first in `time_major`).

    `reset`: the states were reset just before it. No outputs: only the files are of interest.
    """

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    reset: bool


@dataclass(frozen=True)
class Case:
    """One recorded model."""

    era: str
    name: str
    folder: Path
    keras_version: str
    what: str
    layers: tuple[str, ...]
    batch: int | None
    stateful: bool
    meta: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.era}/{self.name}"

    @property
    def models(self) -> tuple[Path, ...]:
        """The whole models, one or two."""
        return tuple(path for path in (self.folder / name for name in MODELS) if path.exists())

    @property
    def weights(self) -> tuple[Path, ...]:
        """The weights-only files, which go with `config`."""
        names = (*WEIGHTS, *TORCH_WEIGHTS)
        return tuple(path for path in (self.folder / name for name in names) if path.exists())

    @property
    def config(self) -> Path | None:
        """What `to_json` wrote, where it was kept, or the LAYERS.json."""
        paths = (self.folder / name for name in ("config.json", "layers.json"))
        return next((path for path in paths if path.exists()), None)

    @property
    def sources(self) -> tuple[tuple[Path, Path | None], ...]:
        """Every way to read the model: (file, config or None)."""
        whole = [(path, None) for path in self.models]
        return (*whole, *((path, self.config) for path in self.weights if self.config))

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """The recorded calls in order; a stateful model carries its states from each to the next.

        Empty where the file is kept only to be read or refused.
        """
        path = self.folder / "io.npz"
        if not path.exists():
            return ()
        with np.load(path) as stored:
            found: dict[tuple[str, int], dict[int, Array]] = {}
            for key in stored.files:
                match = re.fullmatch(r"(in|out)_(\d+)_(\d+)", key)
                if match is None:
                    raise ValueError(f"{self}: io.npz holds {key!r}")
                found.setdefault((match[1], int(match[2])), {})[int(match[3])] = stored[key]
        return tuple(
            Call(
                inputs=tuple(array for _, array in sorted(found["in", number].items())),
                outputs=tuple(array for _, array in sorted(found.get(("out", number), {}).items())),
                reset=bool(call["reset"]),
            )
            for number, call in enumerate(self.meta["calls"])
        )


def quick_cases() -> list[Case]:
    """A few models of two releases that have every layer which those releases recorded.

    Of the models that have most layers that are in none before, the first by name.
    """
    found: list[Case] = []
    for era in QUICK_ERAS:
        left = list(cases(era))
        missing = {layer for case in left for layer in case.layers}
        while missing:
            best = max(left, key=lambda case: len(missing.intersection(case.layers)))
            missing.difference_update(best.layers)
            left.remove(best)
            found.append(best)
    return found


def torch_cases() -> Iterator[Case]:
    """Every recorded model of PyTorch."""
    return cases(root=TORCH)


def cases(*eras: str, root: Path = FIXTURES) -> Iterator[Case]:
    """Every recorded model of Keras, or those of the named eras, in the order of their names."""
    for path in sorted(root.glob("*/*/meta.json")):
        folder = path.parent
        if eras and folder.parent.name not in eras:
            continue
        meta = json.loads(path.read_text(encoding="utf-8"))
        yield Case(
            era=folder.parent.name,
            name=folder.name,
            folder=folder,
            keras_version=meta.get("keras_version", ""),
            what=meta["what"],
            layers=tuple(meta["layers"]),
            batch=meta["batch"],
            stateful=meta["stateful"],
            meta=meta,
        )
