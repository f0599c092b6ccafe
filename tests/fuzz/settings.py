"""Good models with one value of their configuration replaced by what has no place there."""

from __future__ import annotations

import copy
import io
import json
import random
import zipfile
from functools import cache
from pathlib import Path

import h5py

from codegen.readers.torch.layers import KINDS
from tests.fuzz.outcome import FIXTURES, WRONG, packed, places
from tests.support.fixtures import torch_cases


@cache
def models() -> tuple[Path, ...]:
    """Files that real Kerases wrote."""
    return tuple(sorted((*FIXTURES.glob("*/*/model.h5"), *FIXTURES.glob("*/*/model.keras"))))


def changed(chance: random.Random) -> bytes:
    """Any of the whole models with any one value changed."""
    text = None
    while text is None:
        data = chance.choice(models()).read_bytes()
        text = _configuration(data)
    value = json.loads(text)
    place = chance.choice(list(places(value)))
    inner = value = copy.deepcopy(value)
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = chance.choice(WRONG)
    return _replaced(data, json.dumps(value))


def described(chance: random.Random) -> tuple[Path, str]:
    """Weights that PyTorch wrote, and their LAYERS.json with any one value or option changed."""
    case = chance.choice(tuple(torch_cases()))
    assert case.config is not None
    value = json.loads(case.config.read_text())
    options: tuple[str, ...] = ()
    if chance.random() < 0.5:
        layer = chance.choice(value["layers"])
        options = KINDS[layer["class"]].options
    if options:
        layer[chance.choice(options)] = chance.choice((*WRONG, 1, 2, 3, [2, 1], "same"))
    else:
        place = chance.choice(list(places(value)))
        inner = value
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = chance.choice(WRONG)
    return case.weights[0], json.dumps(value)


def _configuration(data: bytes) -> str | None:
    file = io.BytesIO(data)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            return archive.read("config.json").decode()
    if not data.startswith(b"\x89HDF"):
        return None
    with h5py.File(file) as root:
        text = root.attrs.get("model_config")
    return text.decode() if isinstance(text, bytes) else text


def _replaced(data: bytes, text: str) -> bytes:
    file = io.BytesIO(data)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            parts = [(name, archive.read(name)) for name in archive.namelist()]
        return packed([(n, text.encode() if n == "config.json" else part) for n, part in parts])
    with h5py.File(file, "r+") as root:
        del root.attrs["model_config"]
        root.attrs["model_config"] = text
    return file.getvalue()
