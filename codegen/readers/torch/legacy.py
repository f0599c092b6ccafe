"""State dicts as torch before 1.6 saved them: five pickles in a row, then the storages.

The pickles: a magic number, the version, facts of the system, the object, the keys of the
storages. Then for each key, in the order of the list: the number of elements (int64), the elements.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

from codegen.errors import ReadError
from codegen.model import Array
from codegen.readers.files.limits import Budget
from codegen.readers.torch import state_dict
from codegen.readers.torch.pickles import Interpreter, Storage, TensorRef
from codegen.readers.torch.tensors import STORED, Weights, stored_type

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001


def read(path: Path, label: str, budget: Budget) -> Weights:
    """The state dict in the file."""
    with path.open("rb") as file:
        magic, version, system, value, keys = (Interpreter(file, label).load() for _ in range(5))
        if magic != MAGIC or version != VERSION:
            raise ReadError(f"{label}: a pickle of another version of torch ({version!r})")
        order = "<" if not isinstance(system, dict) or system.get("little_endian", True) else ">"
        types = _types(value)
        places = _places(file, keys, types, order, label)

    def block(storage: Storage) -> Array:
        if storage.key not in places:
            raise ReadError(f"{label}: storage {storage.key!r} is not in the file")
        start, count = places[storage.key]
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(count * stored_type(storage.dtype).itemsize)
        return state_dict.elements(data, storage, order, label)

    return state_dict.weights(value, "torch_legacy", label, budget, block)


def _types(value: Any) -> dict[str, str]:
    """The element type of each storage, found wherever a tensor stands."""
    found: dict[str, str] = {}
    seen: set[int] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, TensorRef):
            item = item.storage
        if isinstance(item, Storage):
            found[item.key] = item.dtype
        elif isinstance(item, (dict, list, tuple)) and id(item) not in seen:
            seen.add(id(item))
            stack.extend(item.values() if isinstance(item, dict) else item)
    return found


def _places(
    file: BinaryIO, keys: Any, types: dict[str, str], order: str, label: str
) -> dict[str, tuple[int, int]]:
    """Where the elements of each storage start, and how many there are."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ReadError(f"{label}: damaged list of storages")
    end = os.fstat(file.fileno()).st_size
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        dtype = types.get(key)
        if dtype is None or dtype not in STORED:
            raise ReadError(f"{label}: storage {key!r} is of type {dtype}")
        head = file.read(8)
        count = int.from_bytes(head, "little" if order == "<" else "big", signed=True)
        place = file.tell()
        following = place + count * stored_type(dtype).itemsize
        if len(head) != 8 or count < 0 or following > end:
            raise ReadError(f"{label}: storage {key!r} is longer than the file")
        places[key] = place, count
        file.seek(following)
    return places
