"""The constants of a NumPy file as text, and the statements that make others of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from codegen.passes.fold_gates import NOTE
from codegen.program import dims
from codegen.program.ops import Array, Buffer, Mat, Part
from codegen.targets.numpy.rows import Packed
from codegen.targets.numpy.scope import Module
from codegen.targets.numpy.views import shape_text, view
from codegen.targets.spine.lines import WIDTH
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
        values, note = np.reshape(buffer.data, shape), ""
        if self.module.integers:
            pieces = self._whole(values, buffer.unit)
        elif buffer.scales is not None:
            pieces, note = self._scaled(buffer, shape), "int8 times a scale for each row"
        else:
            pieces = self.array(values, buffer.dtype)
        told = f"{buffer.name}: {shape_text(shape, '')} {note}".rstrip()
        return {"name": name, "comment": names.comment(told), "pieces": pieces}

    def _whole(self, values: Array, unit: float) -> Iterator[str]:
        """Text that makes float64 of whole numbers, times a unit."""
        if values.dtype.kind == "f":
            yield from self.array(values)
            return
        small = values.dtype.name if values.dtype.itemsize < 4 else "int32"
        yield from self.array(values, small)
        yield f".astype({self.module.use('float64')})"
        yield "" if unit == 1.0 else f" * {unit!r}"

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
        yield "" if rows.shape == shape else f").reshape({shape_text(shape, '')})"

    def array(self, values: Array, dtype: str = "float32") -> Iterator[str]:
        """Text that makes the array, in pieces."""
        shape = shape_text(values.shape, "")
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
        halved = any(part.factor == 0.5 for *_, part in packed.pieces)
        notes = [names.comment(packed.note, 10**4), *([NOTE] if halved else [])]
        lines = [f"{name} = {self.module.use('matrix')}({packed.rows}, {packed.columns})"]
        for row, left, part in packed.pieces:
            assert part.mat is not None, part
            rows = _range(row, part.rows, packed.rows)
            columns = _range(left, dims.fixed(part.mat.columns), packed.columns)
            lines.append(f"{name}[{rows}, {columns}] = {self._piece(part.mat, part)}")
        return {"comments": [note for note in notes if note], "lines": lines}

    def _piece(self, mat: Mat, part: Part) -> str:
        base = self.module.constant(mat.buffer)
        spans = [(mat.rows, mat.row_stride), (mat.columns, mat.column_stride)]
        if (mat.columns == 1 and base.shape[-1] != 1) or len(base.shape) == 1:
            text = f"{view(base, mat.offset, spans[:1], self.module.use)}[:, None]"
        else:
            text = f"{view(base, mat.offset, spans, self.module.use)}"
        text = text if part.factor == 1.0 else f"{self.module.literal(part.factor)} * {text}"
        return text if part.shift == 0.0 else f"{text} + {self.module.literal(part.shift)}"


def _decimals(values: Array, dtype: str) -> Iterator[str]:
    """Lines of numbers, many in a piece."""
    count = numbers.per_line(values)
    for part in numbers.blocks(values):
        texts = numbers.block_texts(part, dtype, special=lambda value, *_: str(float(value)))
        yield "".join(" ".join(line) + "\n" for line in numbers.lines(texts, count))


def _range(start: int, count: int, length: int) -> str:
    return ":" if count == length else f"{start}:{start + count}"
