"""The constants of a plain Python file as text: bytes, or numbers to read and compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from codegen.model import Array
from codegen.program.derived import matrix
from codegen.targets.python.file import File, Table
from codegen.text.numbers import block_texts, blocks, lines

BYTES_A_LINE = {"float32": 20, "float64": 16}  # a byte takes up to four columns


@dataclass(frozen=True)
class Weights:
    """How the constants of one file are written."""

    file: File
    dtype: str
    as_text: bool

    def table(self, table: Table) -> dict[str, Any]:
        """The pieces of one constant."""
        as_bytes = self._as_bytes(table)
        # The numbers stand in one literal, as bytes or as a tuple.
        start, end = ("(", ")") if as_bytes else ("array(FLOAT, (", "))")
        if table.is_whole:
            start, end = "(", ")"
        elif table.kind == "vector":
            start, end = ("vector(", ")") if as_bytes else ("vector((", "))")
        elif table.kind == "matrix" and not self.file.small:
            start, end = f"matrix({table.shape[0]}, {start}", f"{end})"
        return {
            "name": table.name,
            "note": table.note,
            "opening": start,
            "closing": end,
            "pieces": self._rows(table, self._bytes if as_bytes else self._numbers),
        }

    def _rows(self, table: Table, write: Callable[[Array], list[str]]) -> Iterator[str]:
        """The lines of each row; a row never shares a line with the next."""
        parts = [matrix(part) for part in table.parts]
        for row in range(table.shape[0]):
            whole = np.concatenate([part[row] for part in parts])
            for values in blocks(whole):
                yield "".join(f"    {line}\n" for line in write(values))

    def _as_bytes(self, table: Table) -> bool:
        if table.is_whole:
            return False
        if not self.as_text:
            return True
        return not all(np.isfinite(matrix(part)).all() for part in table.parts)

    def _bytes(self, row: Array) -> list[str]:
        data = row.astype("<f8" if self.dtype == "float64" else "<f4").tobytes()
        size = len(data) if self.file.small else BYTES_A_LINE[self.dtype]
        parts = (data[k : k + size] for k in range(0, len(data), size))
        return [f'b"{escaped(part, self.file.small)}"' for part in parts]

    def _numbers(self, row: Array) -> list[str]:
        return [", ".join(line) + "," for line in lines(block_texts(row, self.dtype))]


SHORT_ESCAPES = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x22: '\\"', 0x5C: "\\\\"}

_ESCAPES = {
    byte: SHORT_ESCAPES.get(byte, f"\\x{byte:02x}")
    for byte in range(256)
    if byte in SHORT_ESCAPES or not 0x20 <= byte < 0x7F
}


def escaped(data: bytes, short: bool = False) -> str:
    """The inside of a bytes literal in double quotes; `short`: octal where that is shorter."""
    if not short:
        return data.decode("latin-1").translate(_ESCAPES)
    parts = []
    for k, byte in enumerate(data):
        follower = data[k + 1] if k + 1 < len(data) else 0
        if byte in SHORT_ESCAPES:
            parts.append(SHORT_ESCAPES[byte])
        elif 0x20 <= byte < 0x7F:
            parts.append(chr(byte))
        elif byte < 0x40 and not 0x30 <= follower <= 0x37:
            parts.append(f"\\{byte:o}")
        else:
            parts.append(f"\\x{byte:02x}")
    return "".join(parts)
