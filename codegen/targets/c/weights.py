"""The constant arrays of a C header."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codegen.model import Array
from codegen.passes.layout import Packed
from codegen.program.derived import numbers_of
from codegen.targets.c.file import Header
from codegen.text import numbers
from codegen.text.names import comment

AVR_LARGEST = 32767  # bytes of one object

HALVED = "; sigmoid gates halved"


@dataclass(frozen=True)
class ConstArray:
    """A constant array of the file."""

    name: str
    type: str
    size: int
    comment: str
    rows: Iterator[str]  # its numbers, made when they are asked for


def weights(header: Header) -> list[ConstArray]:
    """Every constant array, once the blocks have been printed."""
    halved = {
        call.packed
        for calls in header.packing.calls.values()
        for call in calls
        if any(m.buffer.parts for group in call.groups for m in group.mats)
    }
    result = [
        const_array(
            header,
            header.const_names[packed],
            packed,
            packed.layout + (HALVED if packed in halved else ""),
        )
        for packed in header.packing.arrays
    ]
    for buffer in header.used.raw:
        data = numbers_of(buffer)
        shape = " x ".join(str(n) for n in buffer.shape) or "1"
        shape += HALVED if buffer.parts else ""
        kind = "int" if buffer.dtype == "int32" else "float"
        result.append(const_array(header, header.const_names[buffer], data, shape, kind))
    return result


def const_array(
    header: Header, name: str, given: Array | Packed, note: str, kind: str = "float"
) -> ConstArray:
    """An array of weights, or of integers with `kind` int, under a comment."""
    real = "int32_t" if kind == "int" else header.real
    return ConstArray(name, real, int(given.size), comment(note), _rows(header, given))


def _rows(header: Header, given: Array | Packed) -> Iterator[str]:
    data = given.data() if isinstance(given, Packed) else given
    yield from numbers.rows(data, header.dtype, header.suffix)


def too_large(arrays: Sequence[ConstArray]) -> str:
    """Why an AVR cannot take a file with these arrays, if it cannot."""
    for array in arrays:
        if array.size * 4 > AVR_LARGEST:
            return f"{array.name} takes {array.size * 4} bytes, more than AVR's 32767"
    return ""
