"""Tensors of a file by name: shape and type are known before a number is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from codegen.errors import ReadError
from codegen.model import Array

MAX_TENSORS = 100_000
MAX_NAME = 1_000  # characters

# Element types by torch's names, as they are stored; bfloat16 as its bits.
STORED = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "bfloat16": "u2",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint64": "u8",
    "uint32": "u4",
    "uint16": "u2",
    "uint8": "u1",
    "bool": "u1",
}
FLOATS = ("float64", "float32", "float16", "bfloat16")


def stored_type(dtype: str, order: str = "<") -> np.dtype[np.generic]:
    """How elements of a type lie in the file; `order` is that of the bytes."""
    return np.dtype(order + STORED[dtype])


def as_numbers(raw: Array, dtype: str) -> Array:
    """Elements as they were stored, as numbers: half types as float32."""
    if dtype == "bfloat16":
        wide = raw.astype(np.uint32) << np.uint32(16)
        return np.asarray(wide.view(np.float32))
    if dtype == "float16":
        return raw.astype(np.float32)
    return raw.astype(raw.dtype.newbyteorder("="))


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor of the file, not read yet."""

    shape: tuple[int, ...]
    dtype: str  # one of STORED, or what else the file says, which is not a weight
    load: Callable[[], Array]

    @property
    def is_float(self) -> bool:
        """Whether it can be a weight."""
        return self.dtype in FLOATS

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


@dataclass(frozen=True, eq=False)
class Weights:
    """What a file of weights holds."""

    tensors: Mapping[str, Stored]
    format: str
    writer: str
    aside: tuple[str, ...] = field(default=())  # names in a checkpoint that are not weights


def checked(tensors: Mapping[str, Stored], label: str) -> dict[str, Stored]:
    """The tensors, without the prefix that a wrapper of the whole model gave all of them."""
    if not tensors:
        raise ReadError(f"{label}: holds no tensors")
    if len(tensors) > MAX_TENSORS:
        raise ReadError(f"{label}: holds {len(tensors)} tensors")
    long = [name for name in tensors if len(name) > MAX_NAME]
    if long:
        raise ReadError(f"{label}: the name {long[0][:80]!r}... is too long")
    for prefix in ("module.", "_orig_mod.", "module."):  # DataParallel, torch.compile
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): found for name, found in tensors.items()}
    return _without_norms(tensors)


def _without_norms(tensors: Mapping[str, Stored]) -> dict[str, Stored]:
    """The tensors with the weights that torch's weight_norm makes, in place of what it stores.

    weight = direction * length / norm of the direction, over all axes along which the length is 1.
    """
    found: dict[str, Stored] = {}
    taken: set[str] = set()
    for name, tensor in tensors.items():
        plain, other = _weight_of(name)
        direction = tensors.get(other)
        if plain and plain not in tensors and direction and _is_length(tensor, direction):
            found[plain] = _product(tensor, direction)
            taken.add(other)
        else:
            found[name] = tensor
    return {name: tensor for name, tensor in found.items() if name not in taken}


def _weight_of(name: str) -> tuple[str, str]:
    """The weight that a tensor is the length of, and its direction; "" where it is none."""
    if name.endswith("_g"):
        return name[:-2], f"{name[:-2]}_v"
    match = re.fullmatch(r"((?:.*\.)?)parametrizations\.(\w+)\.original0", name)
    return (match[1] + match[2], f"{name[:-1]}1") if match else ("", "")


def _is_length(length: Stored, direction: Stored) -> bool:
    if len(length.shape) != len(direction.shape) or len(length.shape) < 2:
        return False
    fits = all(n in (1, m) for n, m in zip(length.shape, direction.shape, strict=True))
    return fits and length.is_float and direction.is_float


def _product(length: Stored, direction: Stored) -> Stored:
    axes = tuple(k for k, n in enumerate(length.shape) if n != direction.shape[k] or n == 1)

    def load() -> Array:
        v = direction.load()
        wide = v.astype(np.float64)
        norm = np.sqrt(np.sum(wide * wide, axis=axes, keepdims=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(wide * (length.load() / norm)).astype(v.dtype)

    return Stored(direction.shape, direction.dtype, load)


def size(shape: tuple[int, ...], dtype: str, label: str) -> int:
    """Bytes of a tensor as it is stored; refused where the type is not known."""
    if dtype not in STORED:
        raise ReadError(f"{label} is of type {dtype}, which is not a weight")
    total = stored_type(dtype).itemsize
    for length in shape:
        total *= length
    return total
