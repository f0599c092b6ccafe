"""Zip archives read with suspicion: members by exact name, into memory, within limits."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codegen.errors import CodegenError, ReadError

MAX_MEMBERS = 10_000
MAX_RATIO = 1_000


class Archive:
    """An open archive; nothing of it is ever unpacked to disk."""

    def __init__(self, file: zipfile.ZipFile, label: str) -> None:
        self._file = file
        self._label = label
        infos = file.infolist()
        if len(infos) > MAX_MEMBERS:
            raise ReadError(f"{label}: the archive has {len(infos)} members")
        for info in infos:  # Python 3.12 and later would take another name from an extra field
            info.filename = info.orig_filename.split("\0")[0]
        self.names = [info.filename for info in infos]
        self._infos = {info.filename: info for info in infos}

    def size(self, name: str, limit: int) -> int:
        """Bytes that the member declares; refused where it is not to be read."""
        info = self._infos[name]
        if self.names.count(name) > 1:
            raise ReadError(f"{self._label}: the archive has {name} twice")
        if info.flag_bits & 1:
            raise ReadError(f"{self._label}: member {name} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ReadError(
                f"{self._label}: member {name} uses a compression method that is not supported"
            )
        if info.file_size > limit:
            raise ReadError(
                f"{self._label}: member {name} takes {info.file_size / 2**20:.0f} MiB, more than "
                "the limit (--max-bytes)"
            )
        if info.file_size > 65_536 + MAX_RATIO * info.compress_size:
            raise ReadError(
                f"{self._label}: member {name} is compressed more than {MAX_RATIO}-fold"
            )
        return info.file_size

    def read(self, name: str, limit: int) -> bytes:
        """The member's bytes, never more than its header declares."""
        size = self.size(name, limit)
        with guarded(self._label), self._file.open(self._infos[name]) as member:
            data = member.read(size + 1)
        if len(data) != size:
            raise ReadError(f"{self._label}: member {name} does not have the declared length")
        return data


@contextmanager
def guarded(label: str) -> Iterator[None]:
    """Turn whatever zipfile raises on a damaged archive into a ReadError."""
    try:
        yield
    except (CodegenError, MemoryError):
        raise
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as error:
        raise ReadError(f"{label}: damaged zip archive ({error})") from None
    except (NotImplementedError, RuntimeError) as error:
        raise ReadError(f"{label}: this zip archive cannot be read ({error})") from None
    except Exception as error:  # noqa: BLE001  # zipfile meets damaged headers with struct.error and others
        raise ReadError(f"{label}: damaged zip archive ({type(error).__name__})") from None


@contextmanager
def opened(path: Path, label: str) -> Iterator[Archive]:
    """The archive at `path`."""
    with guarded(label):
        file = zipfile.ZipFile(path)
    with file, guarded(label):
        yield Archive(file, label)
