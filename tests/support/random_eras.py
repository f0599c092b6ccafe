"""The random models that each era drew and recorded: tests/fixtures/ERA/random.tar.xz.

An archive holds a folder for each model, with the file that Keras saved and what it predicted; see
tests/fixtures/make/random_models.py. REFUSED lists those that are refused, with the reasons given:
`python -m tests.support.random_eras > tests/fixtures/random_refused.json`.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

import codegen
from codegen.errors import CodegenError
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from tests.support.fixtures import FIXTURES, Array, Call

NAME = "random.tar.xz"
COUNT = 50  # models of each era
ERAS = sorted(path.parent.name for path in FIXTURES.glob(f"*/{NAME}"))
REFUSED = FIXTURES / "random_refused.json"
# "2.2.4-tf" is written by TensorFlow 1.13 to 2.1, which differ.
NEEDED = {"tf115": {"keras_version": "tf1.15"}, "tf21": {"keras_version": "tf2.1"}}


@dataclass(frozen=True)
class RandomModel:
    """One model of an era: its files by name, and the calls in order."""

    era: str
    number: int
    files: dict[str, bytes]

    def __str__(self) -> str:
        return f"{self.era}/{self.number:02}"

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """What Keras predicted, batch first."""
        stored = io.BytesIO(self.files["io.npy"])
        calls = []
        for call in json.loads(self.files["meta.json"])["calls"]:
            inputs = tuple(np.load(stored) for _ in range(call["inputs"]))
            outputs = tuple(np.load(stored) for _ in range(call["outputs"]))
            calls.append(Call(inputs, outputs, call["reset"]))
        return tuple(calls)

    def unpack(self, folder: Path) -> tuple[Path, Path | None]:
        """Write the model into the folder: the file to read, and its configuration if apart."""
        for name in self.files.keys() - {"io.npy", "meta.json"}:
            (folder / name).write_bytes(self.files[name])
        config = folder / "config.json"
        (model,) = (path for path in folder.iterdir() if path.name.startswith(("model", "weights")))
        return model, config if config.exists() else None

    def read(self) -> Lowered:
        """The model as the converter takes it; an UnsupportedError where it refuses it."""
        with tempfile.TemporaryDirectory() as folder:
            path, config = self.unpack(Path(folder))
            return lower(codegen.read(path, config, **NEEDED.get(self.era, {})))


@cache
def archive(path: Path) -> tuple[RandomModel, ...]:
    """The models of an archive in the order of their numbers."""
    files: dict[int, dict[str, bytes]] = {}
    with tarfile.open(path) as packed:
        for member in packed:
            number, name = member.name.split("/")
            stored = packed.extractfile(member)
            assert stored is not None
            files.setdefault(int(number), {})[name] = stored.read()
    era = path.parent.name
    return tuple(RandomModel(era, number, found) for number, found in sorted(files.items()))


def models(era: str) -> tuple[RandomModel, ...]:
    """The recorded models of an era."""
    return archive(FIXTURES / era / NAME)


def predicted(one: RandomModel, lowered: Lowered) -> list[list[Array]]:
    """The outputs of every call as the interpreter computes them; ValueError for a length."""
    reference = Reference(lowered, len(one.calls[0].inputs[0]))
    found = []
    for call in one.calls:
        if call.reset:
            reference.reset()
        found.append(list(reference.predict(*call.inputs)))
    return found


def reasons(error: Exception) -> list[str]:
    """Why a model is refused, without the name of the file, or a call of it."""
    lines = str(error).splitlines()
    return [line.strip() for line in lines[len(lines) > 1 :]]


def refused() -> dict[str, list[str]]:
    """The reasons for which each model that is refused was, by the name of the model."""
    found = {}
    for one in (one for era in ERAS for one in models(era)):
        try:
            predicted(one, one.read())
        except (CodegenError, ValueError) as error:
            found[str(one)] = reasons(error)
    return found


if __name__ == "__main__":
    print(json.dumps(refused(), indent=1))  # noqa: T201  # the table goes to standard output
