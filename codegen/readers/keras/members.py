"""The three members of a `.keras` zip, by exact name."""

from __future__ import annotations

from pathlib import Path

from codegen.errors import ReadError
from codegen.readers.files import archive
from codegen.readers.settings import MAX_TEXT

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")


def read_members(path: Path, label: str, max_bytes: int) -> dict[str, bytes]:
    """The members of `MEMBERS` that are there."""
    # HDF5 adds its own bookkeeping to the numbers.
    limits = dict.fromkeys(MEMBERS, MAX_TEXT)
    limits["model.weights.h5"] = max_bytes + max_bytes // 4 + 2**24
    with archive.opened(path, label) as found:
        there = [name for name in dict.fromkeys(found.names) if name in MEMBERS]
        for name in there:
            found.size(name, limits[name])
        if "config.json" not in there:
            raise ReadError(_no_config(found.names, label))
        if "model.weights.h5" not in there:
            kinds = [name for name in found.names if name.startswith("model.weights")]
            other = kinds[0] if kinds else "no weights"
            raise ReadError(f"{label}: expected the member model.weights.h5, found {other}")
        return {name: found.read(name, limits[name]) for name in there}


def _no_config(names: list[str], label: str) -> str:
    if any(name.endswith("saved_model.pb") for name in names):
        return f"{label}: a zipped SavedModel; save the model again as .h5 or .keras"
    return f"{label}: a zip archive without config.json, so no Keras model"
