"""Arrays of an ONNX file in every encoding, of which none is larger than its bytes say."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from onnx import TensorProto

from codegen.errors import ReadError
from codegen.model import Array
from codegen.readers.files.limits import Budget
from codegen.readers.settings import show

MAX_AXES = 32
_PLAIN: dict[int, str] = {
    TensorProto.FLOAT: "<f4",
    TensorProto.DOUBLE: "<f8",
    TensorProto.FLOAT16: "<f2",
    TensorProto.INT8: "<i1",
    TensorProto.INT16: "<i2",
    TensorProto.INT32: "<i4",
    TensorProto.INT64: "<i8",
    TensorProto.UINT8: "<u1",
    TensorProto.UINT16: "<u2",
    TensorProto.UINT32: "<u4",
    TensorProto.UINT64: "<u8",
    TensorProto.BOOL: "?",
}
_BITS16 = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
# The field that holds numbers one by one, by type.
_FIELDS: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
}


def type_name(kind: int) -> str:
    """The name of an element type, as NumPy has it; a ReadError for one that is not read."""
    if kind == TensorProto.BFLOAT16:
        return "float32"
    if kind not in _PLAIN:
        known = kind in TensorProto.DataType.values()
        raise ReadError(f"numbers of type {TensorProto.DataType.Name(kind) if known else kind}")
    return str(np.dtype(_PLAIN[kind]).name)


class Tensors:
    """Reads the tensors of one file; what lies beside it is looked for in `folder` only."""

    def __init__(self, label: str, folder: Path, budget: Budget) -> None:
        self._label, self._folder, self._budget = label, folder, budget
        self.files: dict[Path, None] = {}  # those that have been read, in their order

    def array(self, tensor: Any) -> Array:
        """The numbers of a TensorProto; a ReadError names the tensor."""
        name = show(str(tensor.name))
        try:
            found = self._array(tensor)
        except ReadError as error:
            raise ReadError(f"{self._label}: tensor {name}: {error}") from None
        return found

    def sparse(self, tensor: Any) -> Array:
        """The numbers of a SparseTensorProto, with its zeros."""
        shape = self._shape(tensor.dims)
        values, places = self.array(tensor.values), self.array(tensor.indices)
        where = f"{self._label}: tensor {show(str(tensor.values.name))}"
        self._budget.take(math.prod(shape) * values.itemsize, where)
        fits = places.dtype == np.int64 and len(places) == len(values)
        if places.ndim == 2 and places.shape[1:] == (len(shape),) and fits and len(places):
            fits = bool(((places >= 0) & (places < np.array(shape))).all())
            places = np.ravel_multi_index(tuple(places.T), shape) if fits else places
        if values.ndim != 1 or not fits or places.ndim != 1:
            raise ReadError(f"{where}: its indices do not fit its shape {list(shape)}")
        if places.size and not (places.min() >= 0 and places.max() < math.prod(shape)):
            raise ReadError(f"{where}: its indices do not fit its shape {list(shape)}")
        dense = np.zeros(math.prod(shape), values.dtype)
        dense[places] = values
        return dense.reshape(shape)

    def _shape(self, dims: Any) -> tuple[int, ...]:
        shape = tuple(int(n) for n in dims)
        if len(shape) > MAX_AXES or any(n < 0 for n in shape):
            raise ReadError(f"its shape is {show(list(shape))}")
        return shape

    def _array(self, tensor: Any) -> Array:
        kind, shape = tensor.data_type, self._shape(tensor.dims)
        type_name(kind)
        count = math.prod(shape)
        stored = np.dtype("<u2" if kind in _BITS16 else _PLAIN[kind])
        self._budget.take(count * stored.itemsize, "it")
        if tensor.HasField("segment"):
            raise ReadError("it is stored in segments, which is not read")
        if tensor.data_location == TensorProto.EXTERNAL:
            raw = self._beside(tensor, count * stored.itemsize)
        elif tensor.HasField("raw_data"):
            raw = bytes(tensor.raw_data)
        else:
            return self._one_by_one(tensor, kind, count).reshape(shape)
        if len(raw) != count * stored.itemsize:
            raise ReadError(
                f"it has {len(raw):,} bytes, its shape {show(list(shape))} needs "
                f"{count * stored.itemsize:,}"
            )
        return _meant(np.frombuffer(raw, stored), kind).reshape(shape)

    def _one_by_one(self, tensor: Any, kind: int, count: int) -> Array:
        values = getattr(tensor, _FIELDS.get(kind, "int32_data"))
        if len(values) != count:
            raise ReadError(f"it has {len(values):,} numbers, its shape needs {count:,}")
        found = np.array(values)
        if kind in _BITS16:
            return _meant(found.astype(np.uint16), kind)
        return found.astype(np.dtype(_PLAIN[kind]).newbyteorder("="))

    def _beside(self, tensor: Any, size: int) -> bytes:
        """The bytes of a tensor in a file next to the model."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        plain = PurePosixPath(location), PureWindowsPath(location)
        inside = location and not any(
            p.is_absolute() or p.drive or ".." in p.parts or "\0" in location for p in plain
        )
        if not inside:
            raise ReadError(f"it lies in {show(location)}, which is no path beside the model")
        path = self._folder / location
        try:
            if not path.resolve().is_relative_to(self._folder.resolve()):
                raise ReadError(f"it lies in {show(location)}, which leads out of its folder")
            if not path.is_file():
                raise ReadError(f"it lies in {show(location)}, which is not there")
            offset, length = int(entries.get("offset", "0")), int(entries.get("length", str(size)))
            if offset < 0 or length != size or offset + length > path.stat().st_size:
                raise ReadError(f"bytes {offset} to {offset + length} of {show(location)}")
            with path.open("rb") as file:
                file.seek(offset)
                data: bytes = file.read(length)
        except (OSError, ValueError, RuntimeError) as error:
            raise ReadError(f"it lies in {show(location)}, which cannot be read") from error
        self.files[path] = None
        return data


def _meant(stored: Array, kind: int) -> Array:
    """The numbers that the stored bits mean, half types as they are in float32."""
    if kind == TensorProto.FLOAT16:
        return stored.astype(np.uint16).view(np.float16)
    if kind == TensorProto.BFLOAT16:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(stored.dtype.newbyteorder("="))
