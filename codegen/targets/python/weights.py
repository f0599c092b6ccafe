"""The constants of a plain Python file as text: bytes, or numbers to read and compare."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codegen.program import dims
from codegen.program.derived import int8_of, matrix, scales_of
from codegen.program.ops import Array, Mat, first_row, matrix_of
from codegen.targets.python.file import File, Table, product_of
from codegen.text.numbers import block_texts, blocks, lines, number, per_line

CODES = {"int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i"}  # of arrays
BYTES_A_LINE = {"float32": 20, "float64": 16}  # a byte takes up to four columns
SMALL_LINE = 97  # columns between the quote and the backslash


@dataclass(frozen=True)
class Weights:
    """How the constants of one file are written."""

    file: File
    dtype: str
    as_text: bool

    def table(self, table: Table) -> dict[str, Any]:
        """The pieces of one constant."""
        if self.file.integers:
            return self._of_integers(table)
        if table.is_scaled:
            return self._scaled(table)
        as_bytes = self._as_bytes(table)
        # The numbers stand in one literal, as bytes or as a tuple.
        start, end = ("(", ")") if as_bytes else ("array(FLOAT, (", "))")
        if table.is_whole:
            start, end = "(", ")"
        elif table.kind == "vector":
            start, end = ("vector(", ")") if as_bytes else ("vector((", "))")
        elif table.kind == "matrix" and not self.file.small:
            start, end = f"matrix({table.shape[0]}, {start}", f"{end})"
        rows = _rows([matrix(part) for part in table.parts])
        return self._pieces(table, start, end, self._lines(rows, as_bytes, "    "))

    def _scaled(self, table: Table) -> dict[str, Any]:
        """The pieces of a constant of int8: each part of a product with the scales of its rows."""
        if table.kind == "matrix" and self.file.small:
            return self._pieces(table, "(", ")", self._arguments(table.parts, packed=True))
        if table.kind == "matrix":
            rows = table.shape[0]
            start, end = f"matrix({rows}, beside({rows},", "))"
            return self._pieces(table, start, end, self._arguments(table.parts, packed=False))
        (part,) = table.parts
        whole = part.buffer.scales is not None and table.kind == "vector"
        rows = len(part.buffer.scales) if whole else table.shape[0]  # type: ignore[arg-type]
        columns = table.shape[0] * table.shape[1] // rows
        start, end = ("vector(scaled(", "))") if table.kind == "vector" else ("scaled(", ")")
        mat = replace(part, rows=rows, columns=columns, row_stride=columns)
        return self._pieces(table, start, end, self._int8(mat, packed=False))

    def _of_integers(self, table: Table) -> dict[str, Any]:
        """The pieces of a constant of integers; the letter in front is their type."""
        (mat,) = table.parts
        numbers = matrix_of(mat).astype(mat.buffer.dtype)
        if table.kind in ("vector", "curve", "bias"):
            start, end = self._packed(numbers)
            if self.file.small and table.kind == "vector":  # what products read
                numbers = numbers.astype(np.int32)
                start, end = self._packed(numbers)
            elif self.file.small:  # what is read byte by byte, or where it is needed
                numbers = _bytes_of(numbers)
                start, end = self._as_they_are()
            rows = _rows([numbers.reshape(1, -1)])
            return self._pieces(table, start, end, self._lines(rows, not self.as_text, "    "))
        assert mat.buffer.scales is not None, table
        first = dims.fixed(first_row(mat))
        scales = mat.buffer.scales[first : first + dims.fixed(mat.rows)]
        return self._pieces(table, "(", ")", self._scaled_integers(table, numbers, scales))

    def _scaled_integers(self, table: Table, numbers: Array, scales: Array) -> Iterator[str]:
        """The parts of a matrix: what multiplies it, its numbers and scales, and the shift."""
        start, end = self._packed(numbers)
        if self.file.small:
            if table.kind == "kernel":
                yield f"    {product_of(table.parts[0].buffer)},\n"
                size = numbers.dtype.itemsize  # a kernel reads numbers without a sign
                numbers = (numbers.astype(np.int32) + (1 << (8 * size - 1))).astype(f"<u{size}")
            else:
                yield f'    "{CODES[numbers.dtype.name]}",\n'
            start, end = self._as_they_are()
            numbers, scales = _bytes_of(numbers), _bytes_of(scales)
        elif table.kind == "kernel":
            start, end = f"matrix({len(numbers)}, {start}", f"{end})"
        yield f"    {start}\n"
        yield from self._lines(_rows([numbers]), not self.as_text, "        ")
        yield f"    {end},\n"
        if not self.file.small:
            start, end = self._packed(scales)
        yield f"    {start}\n"
        yield from self._lines(_rows([scales.reshape(1, -1)]), not self.as_text, "        ")
        yield f"    {end},\n"
        yield f"    {table.shift},\n"

    def _as_they_are(self) -> tuple[str, str]:
        """What stands before and after bytes."""
        return ("bytes((", "))") if self.as_text else ("(", ")")

    def _packed(self, numbers: Array) -> tuple[str, str]:
        """What stands before and after the numbers of one type."""
        function = "array" if self.file.small else "unpacked"
        return f'{function}("{CODES[numbers.dtype.name]}", (', "))"

    def _pieces(self, table: Table, start: str, end: str, pieces: Iterator[str]) -> dict[str, Any]:
        return {
            "name": table.name,
            "note": table.note,
            "opening": start,
            "closing": end,
            "pieces": pieces,
        }

    def _arguments(self, parts: Sequence[Mat], packed: bool) -> Iterator[str]:
        """Bias and parts, each in brackets of its own. `packed`: bytes that stay as they are."""
        bias, *rest = parts
        yield from self._floats(matrix(bias).T, packed)
        for part in rest:
            if packed:
                yield from self._int8(part, packed)
            else:
                yield "    scaled(\n"
                yield from (textwrap.indent(piece, "    ") for piece in self._int8(part, packed))
                yield "    ),\n"

    def _int8(self, mat: Mat, packed: bool) -> Iterator[str]:
        """The unit of the scales of a matrix, these, and its numbers, as three arguments."""
        unit, scales = scales_of(mat)
        yield f"    {number(unit, self.dtype)},\n"
        for values in (scales[None], int8_of(mat)):
            yield "    (\n"
            yield from self._lines(_rows([values]), packed or not self.as_text, "        ")
            yield "    ),\n"

    def _floats(self, row: Array, packed: bool) -> Iterator[str]:
        """A row of floats, as an argument."""
        yield "    (\n" if packed else "    array(FLOAT, (\n"
        as_bytes = packed or not self.as_text
        yield from self._lines(_rows([row]), as_bytes, "        ")
        yield "    ),\n" if packed else "    )),\n"

    def _lines(self, rows: Iterator[Array], as_bytes: bool, indent: str) -> Iterator[str]:
        """The lines of each row; a row never shares a line with the next.

        Where memory is small they begin at column 0: every byte of the file counts.
        """
        write = self._bytes if as_bytes else self._numbers
        indent = "" if self.file.small else indent
        for values in rows:
            yield "".join(f"{indent}{line}\n" for line in write(values))

    def _as_bytes(self, table: Table) -> bool:
        if table.is_whole:
            return False
        if not self.as_text:
            return True
        return not all(np.isfinite(matrix(part)).all() for part in table.parts)

    def _bytes(self, row: Array) -> list[str]:
        real = "<f8" if self.dtype == "float64" else "<f4"
        kind = row.dtype.newbyteorder("<") if row.dtype.kind in "iu" else real
        data = row.astype(kind).tobytes()
        if self.file.small:  # one literal: another one in each line takes longer to import
            return ['b"' + "\\\n".join(filled(data)) + '"']
        size = BYTES_A_LINE[self.dtype]
        return [f'b"{escaped(data[k : k + size])}"' for k in range(0, len(data), size)]

    def _numbers(self, row: Array) -> list[str]:
        texts = block_texts(row, self.dtype)
        return [", ".join(line) + "," for line in lines(texts, per_line(row))]


def _rows(parts: Sequence[Array]) -> Iterator[Array]:
    """The rows of matrices side by side, each in parts that are not too large."""
    for row in range(len(parts[0])):
        yield from blocks(np.concatenate([part[row] for part in parts]))


def _bytes_of(numbers: Array) -> Array:
    """The bytes of integers, little-endian, in one row: one literal takes less time to import."""
    kind = numbers.dtype.newbyteorder("<")
    return np.frombuffer(numbers.astype(kind).tobytes(), np.uint8).reshape(1, -1)


SHORT_ESCAPES = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x22: '\\"', 0x5C: "\\\\"}

_ESCAPES = {
    byte: SHORT_ESCAPES.get(byte, f"\\x{byte:02x}")
    for byte in range(256)
    if byte in SHORT_ESCAPES or not 0x20 <= byte < 0x7F
}
_OCTAL = {byte: f"\\{byte:o}" for byte in _ESCAPES.keys() - SHORT_ESCAPES.keys() if byte < 0x40}


def escaped(data: bytes) -> str:
    """The inside of a bytes literal in double quotes."""
    return data.decode("latin-1").translate(_ESCAPES)


def filled(data: bytes) -> Iterator[str]:
    """The inside of a bytes literal as few lines, in octal where that is shorter."""
    line = ""
    for byte, follower in zip(data, data[1:] + b" ", strict=False):
        octal = "" if 0x30 <= follower <= 0x37 else _OCTAL.get(byte, "")
        part = octal or _ESCAPES.get(byte, chr(byte))
        if len(line) + len(part) > SMALL_LINE:
            yield line
            line = ""
        line += part
    yield line
