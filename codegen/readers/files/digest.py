"""The SHA-256 over the files of a model, by which a generated file names it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from codegen.errors import ReadError
from codegen.readers.settings import MAX_TEXT


class Digest:
    """Files are added in a fixed order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, path: Path) -> None:
        """Count a whole file."""
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    self._hash.update(block)
        except OSError as error:
            raise ReadError(f"{path.name}: cannot be read ({error.strerror})") from None

    def text(self, path: Path, counted: bool = True) -> bytes:
        """The content of a file of text, which is counted too."""
        try:
            if not path.is_file():
                raise ReadError(f"{path.name}: no such file")
            if path.stat().st_size > MAX_TEXT:
                raise ReadError(f"{path.name}: too large for a configuration")
            data = path.read_bytes()
        except OSError as error:
            raise ReadError(f"{path.name}: cannot be read ({error.strerror})") from None
        if counted:
            self._hash.update(data)
        return data

    @property
    def short(self) -> str:
        """Its first 16 hexadecimal digits."""
        return self._hash.hexdigest()[:16]
