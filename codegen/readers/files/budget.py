"""How many bytes of numbers a model may have, counted before they are read."""

from __future__ import annotations

from codegen.errors import ReadError


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
                "raise the limit (--max-bytes) if the file is to be trusted"
            )
