"""Files as PyTorch writes them, made without PyTorch: any value, any lie.

data = archive({"weight": tensor(np.ones((2, 3)))})
"""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage"}


@dataclass(frozen=True)
class Global:
    """A name that unpickling would import."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """What unpickling would call, on what."""

    function: Global
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor; what is given wins over what follows from the array."""

    array: Array
    key: str | None = None
    storage: str | None = None
    count: int | None = None
    offset: int = 0
    shape: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None


def tensor(array: Any, **lies: Any) -> Tensor:
    """A tensor of float32."""
    return Tensor(np.asarray(array, np.float32), **lies)


@dataclass
class Writer:
    """One pickle of protocol 2, and the storages that its tensors name."""

    old: bool = False  # persistent ids of the form before 1.6, with a sixth entry
    storages: dict[str, Array] = field(default_factory=dict)

    def pickle(self, value: Any) -> bytes:
        """The bytes."""
        return b"\x80\x02" + self._value(value) + b"."

    def _value(self, value: Any) -> bytes:
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, Global):
            return f"c{value.module}\n{value.name}\n".encode()
        if isinstance(value, Call):
            return self._value(value.function) + self._value(value.arguments) + b"R"
        if isinstance(value, dict):
            items = b"".join(self._value(k) + self._value(v) for k, v in value.items())
            return b"}(" + items + b"u"
        if isinstance(value, list):
            return b"](" + b"".join(map(self._value, value)) + b"e"
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self._value, value)) + b"t"
        if value is None:
            return b"N"
        if isinstance(value, bool):
            return b"\x88" if value else b"\x89"
        if isinstance(value, int):
            digits = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(digits)]) + digits
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        data = value.encode()
        return b"X" + struct.pack("<I", len(data)) + data

    def _tensor(self, value: Tensor) -> bytes:
        array = np.ascontiguousarray(value.array)
        key = value.key or str(len(self.storages))
        self.storages.setdefault(key, array)
        kind = value.storage or STORAGES[array.dtype.str[1:]]
        count = array.size if value.count is None else value.count
        found = ("storage", Global("torch", kind), key, "cpu", count)
        shape = array.shape if value.shape is None else value.shape
        strides = tuple(n // array.itemsize for n in array.strides)
        strides = strides if value.strides is None else value.strides
        rebuild = self._value(Global("torch._utils", "_rebuild_tensor_v2"))
        storage = self._value((*found, None) if self.old else found) + b"Q"
        rest = (value.offset, shape, strides, False, {})
        return rebuild + b"(" + storage + b"".join(map(self._value, rest)) + b"tR"


def archive(value: Any, more: dict[str, bytes] | None = None, root: str = "model") -> bytes:
    """The zip of torch 1.6 and later; `more` adds members or replaces them."""
    writer = Writer()
    members = {f"{root}/data.pkl": writer.pickle(value)}
    members |= {f"{root}/data/{key}": array.tobytes() for key, array in writer.storages.items()}
    members[f"{root}/version"] = b"3\n"
    members |= more or {}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


MAGIC = 0x1950A86A20F9469CFC6C


def legacy(value: Any, **lies: Any) -> bytes:
    """The five pickles of torch before 1.6, then the storages."""
    writer = Writer(old=True)
    body = writer.pickle(value)
    keys = list(writer.storages)
    parts = {"magic": MAGIC, "version": 1001, "system": {"little_endian": True}, "keys": keys}
    parts |= lies
    pickles = [writer.pickle(parts[key]) for key in ("magic", "version", "system")]
    data = b"".join(pickles) + body + writer.pickle(parts["keys"])
    for array in writer.storages.values():
        data += struct.pack("<q", parts.get("count", array.size)) + array.tobytes()
    return data


def safetensors(entries: dict[str, Any], data: bytes, length: int | None = None) -> bytes:
    """A header of these entries, then the numbers."""
    import json

    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(shape: list[int], first: int, last: int, dtype: str = "F32") -> dict[str, Any]:
    """An entry of a safetensors header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


def npz(**arrays: Any) -> bytes:
    """A NumPy archive."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
