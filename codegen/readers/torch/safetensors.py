"""safetensors: a length, a JSON header that names every tensor, the numbers.

Source: the format's own description (`safetensors/README.md`): offsets count from the end of the
header and cover the data without gap or overlap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from codegen.errors import ReadError
from codegen.model import Array
from codegen.readers.files.limits import Budget
from codegen.readers.settings import MAX_TEXT, parse_object
from codegen.readers.torch.tensors import Stored, Weights, as_numbers, checked, size, stored_type

_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


def read(path: Path, label: str, budget: Budget) -> Weights:
    """The tensors of the file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_TEXT:
            raise ReadError(f"{label}: its header is longer than {MAX_TEXT >> 20} MiB")
        header = parse_object(file.read(length), f"{label}: its header")
    start = 8 + length
    there = path.stat().st_size - start
    entries: dict[str, tuple[str, tuple[int, ...], int, int]] = {}
    writer = ""
    for name, entry in header.items():
        if name == "__metadata__":
            said = entry.get("format") if isinstance(entry, dict) else None
            writer = "PyTorch" if said == "pt" else ""
            continue
        entries[name] = _entry(entry, f"{label}: tensor {name!r}")
    place = 0
    for name, (_, _, first, last) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if first != place:
            raise ReadError(f"{label}: tensor {name!r} overlaps another, or leaves a gap")
        place = last
    if place != there:
        raise ReadError(f"{label}: {there} bytes of numbers, its header says {place}")
    for name, (_, _, first, last) in entries.items():
        budget.take(last - first, f"{label}: tensor {name!r}")
    tensors = {
        name: Stored(shape, dtype, _loader(path, label, start + first, shape, dtype))
        for name, (dtype, shape, first, _) in entries.items()
    }
    return Weights(checked(tensors, label), "safetensors", writer)


def _entry(entry: Any, where: str) -> tuple[str, tuple[int, ...], int, int]:
    """Type, shape, first byte and end of a tensor."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ReadError(f"{where}: expected dtype, shape and data_offsets")
    said, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    for numbers in (shape, offsets):
        good = isinstance(numbers, list) and len(numbers) <= 16
        if not good or not all(type(n) is int and 0 <= n < 2**48 for n in numbers):
            raise ReadError(f"{where}: shape or data_offsets are not lengths")
    if len(offsets) != 2:
        raise ReadError(f"{where}: data_offsets are {len(offsets)} numbers")
    dtype = _TYPES.get(said, str(said)) if isinstance(said, str) else str(type(said))
    declared = size(tuple(shape), dtype, where)
    if declared != offsets[1] - offsets[0]:
        raise ReadError(f"{where} takes {declared} bytes, its place has {offsets[1] - offsets[0]}")
    return dtype, tuple(shape), offsets[0], offsets[1]


def _loader(path: Path, label: str, start: int, shape: tuple[int, ...], dtype: str) -> Any:
    def load() -> Array:
        kind = stored_type(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(count * kind.itemsize)
        if len(data) != count * kind.itemsize:
            raise ReadError(f"{label}: ends too early")
        return as_numbers(np.frombuffer(data, kind), dtype).reshape(shape)

    return load
