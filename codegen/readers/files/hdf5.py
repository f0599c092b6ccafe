"""HDF5 files read with suspicion: hard links only, plain numbers only, sizes checked beforehand.

Nothing here follows a soft or external link, opens external storage or a virtual dataset, or
loads a filter. Every dataset that will be read is first announced to the file's `Budget`, so that
the sum of all declared sizes is known before the first number is read.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from codegen.errors import CodegenError, ReadError
from codegen.model import Array
from codegen.readers.files.limits import Budget

MAX_DEPTH = 64  # groups inside groups: a nested model takes two or three
MAX_GROUPS = 200_000
MAX_NAMES = 65_536  # texts in one attribute
MAX_CHUNKS = 1_000  # `weight_names0`, `weight_names1`, ...
MAX_ATTRIBUTE = 64 * 2**20
MAX_RATIO = 1_000  # bytes read for one byte stored
FILTERS = {
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
}


@contextmanager
def guarded(label: str) -> Iterator[None]:
    """Turn whatever the HDF5 library raises on a damaged file into a ReadError."""
    try:
        yield
    except (CodegenError, MemoryError):
        raise
    except RecursionError:
        raise ReadError(f"{label}: groups are nested too deeply") from None
    except Exception as error:  # noqa: BLE001  # h5py raises nearly every built-in class on damaged files
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ReadError(f"{label}: damaged or not a readable HDF5 file ({reason})") from None


@dataclass(frozen=True, eq=False)
class Stored:
    """An array in the file, not read yet."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    dataset: h5py.Dataset
    label: str
    bfloat16: bool = False

    def load(self) -> Array:
        """The numbers: half types as float32, the others in their own type."""
        with guarded(self.label):
            data = np.empty(self.shape, self.dtype)
            if data.size:
                self.dataset.read_direct(data)
        if self.bfloat16:
            wide = data.view("<u2").astype(np.uint32) << np.uint32(16)
            return np.asarray(wide.view(np.float32).reshape(self.shape))
        if self.dtype.kind == "f" and self.dtype.itemsize == 2:
            return data.astype(np.float32)
        return data.astype(self.dtype.newbyteorder("="), copy=False)


class Group:
    """A group of an open file."""

    def __init__(self, group: h5py.Group, label: str, budget: Budget) -> None:
        self._group = group
        self._label = label
        self._budget = budget

    def _link(self, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
        """The member behind a hard link, None where there is none."""
        link = group.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            kind = "an external" if isinstance(link, h5py.ExternalLink) else "a soft"
            where = f"{self._label}: {_path(group, name)!r}"
            raise ReadError(f"{where} is {kind} link, which is never followed")
        member = group.get(name)
        if not isinstance(member, (h5py.Group, h5py.Dataset)):
            where = f"{self._label}: {_path(group, name)!r}"
            raise ReadError(f"{where} is neither a group nor an array")
        return member

    def _find(self, path: str) -> h5py.Group | h5py.Dataset | None:
        parts = [part for part in path.split("/") if part and part != "."]
        if len(parts) > MAX_DEPTH:
            where = f"{self._label}: {_path(self._group, path)!r}"
            raise ReadError(f"{where}: groups are nested too deeply")
        member: h5py.Group | h5py.Dataset | None = self._group
        with guarded(self._label):
            for part in parts:
                if not isinstance(member, h5py.Group):
                    return None
                member = self._link(member, part)
        return member

    def group(self, path: str) -> Group | None:
        """The group at `path`, None where there is none."""
        member = self._find(path)
        return Group(member, self._label, self._budget) if isinstance(member, h5py.Group) else None

    def array(self, path: str) -> Stored | None:
        """The array at `path`, counted in the budget; None where there is none."""
        member = self._find(path)
        return self._stored(member, path) if isinstance(member, h5py.Dataset) else None

    def members(self) -> list[str]:
        """Names of all members."""
        with guarded(self._label):
            if len(self._group) > MAX_GROUPS:
                where = f"{self._label}: {self._group.name!r}"
                raise ReadError(f"{where} has more than {MAX_GROUPS} members")
            return sorted(name for name in self._group if isinstance(name, str))

    def _stored(self, dataset: h5py.Dataset, path: str) -> Stored:
        where = f"{self._label}: array {_path(self._group, path)!r}"
        with guarded(where):
            plist = dataset.id.get_create_plist()
            if plist.get_layout() == h5py.h5d.VIRTUAL:
                raise ReadError(f"{where} is virtual: its numbers are in other files")
            if plist.get_external_count():
                raise ReadError(f"{where} is stored in another file")
            for number in range(plist.get_nfilters()):
                if plist.get_filter(number)[0] not in FILTERS:
                    raise ReadError(f"{where} is compressed with a filter that is not supported")
            if dataset.shape is None:
                raise ReadError(f"{where} is empty")
            shape, dtype = dataset.shape, dataset.dtype
            bfloat16 = False
            if dtype == np.dtype("V2"):
                # Keras 3 says so in an attribute, 2.15 does not; no other type of two bytes is
                # written as plain bytes.
                bfloat16 = self._text(dataset.attrs, "dtype") in (None, "bfloat16")
            allowed = bfloat16 or dtype.kind in "iub" or (dtype.kind == "f" and dtype.itemsize <= 8)
            if not allowed or dtype.names or dtype.subdtype or h5py.check_dtype(enum=dtype):
                raise ReadError(f"{where} is of type {dtype}, which is not a weight")
            size = dtype.itemsize
            for length in shape:
                size *= int(length)
            self._budget.take(size, where)
            if plist.get_layout() == h5py.h5d.CHUNKED:
                chunk = dtype.itemsize
                for length in plist.get_chunk():
                    chunk *= int(length)
                if chunk > self._budget.limit:
                    raise ReadError(f"{where} is stored in chunks of {chunk} bytes")
            if size > 65_536 + MAX_RATIO * dataset.id.get_storage_size():
                raise ReadError(f"{where} declares {size} bytes, but nearly none are stored")
        return Stored(path, tuple(int(n) for n in shape), dtype, dataset, where, bfloat16)

    # ---- attributes ---------------------------------------------------------------------

    def _attribute(self, name: str) -> str:
        """The attribute as messages name it."""
        return f"{self._label}: attribute {name!r} of {self._group.name!r}"

    def has_attribute(self, name: str) -> bool:
        """Whether the attribute is there."""
        with guarded(self._label):
            return name in self._group.attrs

    def text(self, name: str) -> str | None:
        """An attribute that is one text, None where there is none."""
        with guarded(self._label):
            found = self._text(self._group.attrs, name)
            if found is None and name in self._group.attrs:
                raise ReadError(f"{self._attribute(name)} is not a string")
            return found

    def _text(self, attributes: h5py.AttributeManager, name: str) -> str | None:
        if name not in attributes:
            return None
        self._check_attribute(attributes, name, 1)
        value = attributes[name]
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        return _decoded(value)

    def _check_attribute(self, attributes: h5py.AttributeManager, name: str, count: int) -> None:
        found = attributes.get_id(name)
        total = 1
        for length in found.shape or ():
            total *= int(length)
        if total * found.dtype.itemsize > MAX_ATTRIBUTE:
            raise ReadError(f"{self._attribute(name)} is too large")
        if total > count:
            raise ReadError(f"{self._attribute(name)} has {total} items")

    def texts(self, name: str) -> list[str] | None:
        """A list of texts, also one that is split into `name0`, `name1`, ...; None without any.

        HDF5 keeps no more than 64 KiB in an attribute, so Keras splits longer lists.
        """
        with guarded(self._label):
            attributes = self._group.attrs
            if name in attributes:
                return self._list(attributes, name)
            if f"{name}0" not in attributes:
                return None
            result: list[str] = []
            for number in range(MAX_CHUNKS):
                if f"{name}{number}" not in attributes:
                    return result
                result += self._list(attributes, f"{name}{number}")
        raise ReadError(f"{self._attribute(name)} is split into too many parts")

    def _list(self, attributes: h5py.AttributeManager, name: str) -> list[str]:
        self._check_attribute(attributes, name, MAX_NAMES)
        value = np.asarray(attributes[name])
        if value.size == 0:  # stored as an empty list of floats
            return []
        texts = [_decoded(item) for item in value.reshape(-1)]
        if any(text is None for text in texts):
            raise ReadError(f"{self._attribute(name)} is not a list of strings")
        return [text for text in texts if text is not None]

    # ---- listing ------------------------------------------------------------------------

    def arrays(self) -> list[tuple[str, tuple[int, ...]]]:
        """Path and shape of every array below, none of them read."""
        found: list[tuple[str, tuple[int, ...]]] = []
        with guarded(self._label):
            stack: list[tuple[str, h5py.Group, int]] = [("", self._group, 0)]
            visited = 0
            while stack:
                path, group, depth = stack.pop()
                visited += len(group)
                if visited > MAX_GROUPS or depth > MAX_DEPTH:
                    where = f"{self._label}: {group.name!r}"
                    raise ReadError(f"{where}: too many or too deeply nested groups")
                for name in group:
                    member = self._link(group, name)
                    if isinstance(member, h5py.Group):
                        stack.append((f"{path}{name}/", member, depth + 1))
                    elif member is not None:
                        found.append((f"{path}{name}", member.shape or ()))
        return sorted(found)


def _path(group: h5py.Group, name: str) -> str:
    """Where a member is in its file."""
    return f"{(group.name or '').rstrip('/')}/{name}"


def _decoded(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else None


@contextmanager
def opened(source: Path | bytes, label: str, budget: Budget) -> Iterator[Group]:
    """The root group of a file, or of the bytes of one."""
    with guarded(label):
        file = h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r")
    try:
        yield Group(file, label, budget)
    finally:
        with guarded(label):
            file.close()
