"""The constants of a NumPy file as text, and the statements that make others of them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from codegen.model import Array
from codegen.program import dims
from codegen.program.derived import parts_of
from codegen.program.dims import Dim
from codegen.program.ops import Buffer, Mat
from codegen.targets.numpy.instructions import Packed
from codegen.targets.numpy.text import WIDTH, Module
from codegen.targets.numpy.views import view
from codegen.text import names, numbers


@dataclass(frozen=True)
class Weights:
    """How the constants of one file are written; `kind` is text or base64."""

    module: Module
    kind: str

    def constant(self, buffer: Buffer, name: str) -> dict[str, Any]:
        """The pieces of a constant of the model."""
        assert buffer.data is not None
        shape = tuple(dims.fixed(n) for n in buffer.shape or (buffer.size,))
        scaled = buffer.scales is not None
        note = "int8 times a scale for each row" if scaled else ""
        return {
            "name": name,
            "comment": names.comment(f"{buffer.name}: {_plain(shape)} {note}".rstrip()),
            "pieces": self._scaled(buffer, shape)
            if scaled
            else self.array(np.reshape(buffer.data, shape), buffer.dtype),
        }

    def _scaled(self, buffer: Buffer, shape: tuple[int, ...]) -> Iterator[str]:
        """Text that multiplies the rows of a constant of int8 by their scales."""
        assert buffer.data is not None
        assert buffer.scales is not None
        rows = np.reshape(buffer.data, (len(buffer.scales), -1))
        yield "" if rows.shape == shape else "("
        yield from self.array(rows, "int8")
        yield " * ("
        yield from self.array(buffer.scales[:, None])
        yield f" * {self.module.literal(buffer.unit)})"
        yield "" if rows.shape == shape else f").reshape{_plain(shape)}"

    def array(self, values: Array, dtype: str = "float32") -> Iterator[str]:
        """Text that makes the array, in pieces."""
        shape = _plain(values.shape)
        real = dtype == "float32"
        own = self.module.dtype if real else dtype
        tail = "" if real else f", np.{dtype}"
        lines = (
            numbers.base64_lines(values, own) if self.kind == "base64" else _decimals(values, own)
        )
        if values.size <= numbers.PER_LINE and self.kind == "text":
            row = "".join(lines)
            if len(row) <= WIDTH // 3:
                yield f'array({shape}, "{row.strip()}"{tail})'
                return
            lines = iter([row])
        yield f'array({shape}, """\n'
        yield from lines
        yield f'"""{tail})'

    def packed(self, packed: Packed, name: str) -> dict[str, Any]:
        """The statements that make a packed matrix."""
        pieces = packed.pieces
        comments = []
        if packed.notes:
            notes = names.comment(f"Rows: {', '.join(packed.notes)}.", 10**4)
            comments += textwrap.wrap(notes, WIDTH - 2)
        texts = [self._piece(p.mat, p.factor, p.shift, ".T") for p in pieces]
        lines = [f"{name} = {self.module.use('aligned')}({packed.rows}, {packed.columns})"]
        first = pieces[0].mat
        if len(pieces) == 1 and (packed.rows, packed.columns) == (first.columns, first.rows):
            return {"comments": comments, "lines": [*lines, f"{name}[...] = {texts[0]}"]}
        for piece, text in zip(pieces, texts, strict=True):
            rows, columns = dims.fixed(piece.mat.columns), dims.fixed(piece.mat.rows)
            row = str(piece.row) if rows == 1 and packed.ones == piece.row else None
            where = f"{row or _range(piece.row, rows)}, {_range(piece.column, columns)}"
            flat = self._piece(piece.mat, piece.factor, piece.shift, "", flat=True) if row else text
            lines.append(f"{name}[{where}] = {flat}")
        return {"comments": comments, "lines": lines}

    def composed(self, buffer: Buffer, name: str) -> dict[str, Any]:
        """The statements that make a constant of others, row by row."""
        rows = dims.fixed(buffer.shape[0])
        columns = dims.fixed(buffer.shape[1])
        shape = f"({rows}, {columns})" if columns > 1 else str(rows)
        lines = [f"{name} = np.zeros({shape}, {self.module.dtype})"]
        row = 0
        for part in parts_of(Mat(buffer, 0, rows, columns, columns)):
            if part.mat is not None:
                text = self._piece(part.mat, part.factor, part.shift, "", flat=columns == 1)
                lines.append(f"{name}[{_range(row, part.rows)}] = {text}")
            row += part.rows
        return {"comments": [], "lines": lines}

    def _piece(self, mat: Mat, factor: float, shift: float, suffix: str, flat: bool = False) -> str:
        base = self.module.constant(mat.buffer)
        spans: list[tuple[Dim, Dim]] = [(mat.rows, mat.row_stride)]
        if not flat:
            spans.append((mat.columns, mat.column_stride))
        text = f"{view(base, mat.offset, spans, self.module.use)}{suffix}"
        if factor != 1.0:
            text = f"{self.module.literal(factor)} * {text}"
        if shift != 0.0:
            text = f"{text} + {self.module.literal(shift)}"
        return text


def _decimals(values: Array, dtype: str) -> Iterator[str]:
    """Lines of numbers, many in a piece."""
    count = numbers.per_line(values)
    for part in numbers.blocks(values):
        texts = numbers.block_texts(part, dtype, special=lambda value, *_: str(float(value)))
        yield "".join(" ".join(line) + "\n" for line in numbers.lines(texts, count))


def _plain(shape: Sequence[int]) -> str:
    return f"({shape[0]},)" if len(shape) == 1 else f"({', '.join(str(n) for n in shape)})"


def _range(start: int, count: int) -> str:
    return f"{start}:{start + count}"
