"""NumPy archives: a member NAME.npy for each tensor, which never holds objects."""

from __future__ import annotations

import ast

import numpy as np

from codegen.errors import ReadError
from codegen.model import Array
from codegen.readers.files.archive import Archive
from codegen.readers.files.limits import Budget
from codegen.readers.torch.tensors import STORED, Stored, Weights, as_numbers, checked, size

SUFFIX = ".npy"
MAX_HEADER = 10_000
_NAMES = {kind: name for name, kind in STORED.items() if name not in ("bfloat16", "bool")}


def read(archive: Archive, label: str, budget: Budget) -> Weights:
    """The arrays of an open archive."""
    tensors: dict[str, Stored] = {}
    for member in archive.names:
        if not member.endswith(SUFFIX):
            raise ReadError(f"{label}: member {member!r} is not an array")
        name = member[: -len(SUFFIX)]
        where = f"{label}: array {name!r}"
        budget.take(archive.size(member, budget.limit + MAX_HEADER), where)
        data = archive.read(member, budget.limit + MAX_HEADER)
        tensors[name] = _stored(data, where)
    return Weights(checked(tensors, label), "npz", "")


def _stored(data: bytes, where: str) -> Stored:
    """One array of the bytes of its member. Format: NEP 1 and `numpy/lib/format.py`."""
    if data[:6] != b"\x93NUMPY" or data[6:7] not in (b"\x01", b"\x02", b"\x03"):
        raise ReadError(f"{where} is not a .npy file")
    wide = 2 if data[6] == 1 else 4
    length = int.from_bytes(data[8 : 8 + wide], "little")
    start = 8 + wide + length
    if length > MAX_HEADER or start > len(data):
        raise ReadError(f"{where}: damaged header")
    try:
        header = ast.literal_eval(data[8 + wide : start].decode("latin-1").strip())
        descr, turned, shape = header["descr"], header["fortran_order"], header["shape"]
        good = isinstance(descr, str) and isinstance(turned, bool) and isinstance(shape, tuple)
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        raise ReadError(f"{where}: damaged header") from None
    if not good or len(shape) > 16 or not all(type(n) is int and 0 <= n < 2**48 for n in shape):
        raise ReadError(f"{where}: damaged header")
    kind = descr[1:] if descr[:1] in "<>|=" else descr
    dtype = "bool" if kind == "b1" else _NAMES.get(kind, descr)
    if size(shape, dtype, where) != len(data) - start:
        raise ReadError(f"{where}: its numbers do not fill its shape {shape}")

    def load() -> Array:
        raw = np.frombuffer(data, np.dtype(descr), -1, start)
        flat = as_numbers(raw, dtype)
        return np.reshape(flat, shape, order="F" if turned else "C")

    return Stored(shape, dtype, load)
