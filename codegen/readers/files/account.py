"""What is counted while a model is read: bytes, against a limit, and files, in a digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from codegen.errors import ReadError
from codegen.readers.settings import MAX_TEXT


class Budget:
    """How many bytes of numbers may still be read, over all files of a model."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int, where: str) -> None:
        """Count `size` bytes, or refuse; `where` names the file and the array in it."""
        self.used += size
        if self.used > self.limit:
            raise ReadError(
                f"{where} brings the weights to {self.used:,}, more than {self.limit:,} bytes; "
                "raise the limit (--max-bytes) if you trust the file"
            )


class Digest:
    """The SHA-256 over the files of a model, in a fixed order; generated files name it."""

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
