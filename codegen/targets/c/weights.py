"""The constant arrays of a C header."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codegen.passes.layout import Packed
from codegen.program.derived import numbers_of
from codegen.program.ops import Array, Buffer
from codegen.targets.c.expressions import INTEGERS
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

    @property
    def bytes(self) -> int:
        """What it takes of memory."""
        sizes = {"int8_t": 1, "int16_t": 2, "uint16_t": 2, "double": 8}
        return self.size * sizes.get(self.type, 4)


def weights(header: Header) -> list[ConstArray]:
    """Every constant array, once the blocks have been printed."""
    halved = {
        call.packed
        for calls in header.packing.calls.values()
        for call in calls
        if any(m.buffer.parts for group in call.groups for m in group.mats)
    }
    result = []
    for packed in header.packing.arrays:
        note = packed.layout + (HALVED if packed in halved else "")
        result.append(const_array(header, header.const_names[packed], packed, note))
        if packed.scales is not None:
            result.append(_scales(header, packed, packed.scales[1]))
    for buffer in header.used.raw:
        shape = " x ".join(str(n) for n in buffer.shape) or "1"
        shape += HALVED if buffer.parts else ""
        shape += f"; q / 2^{buffer.fraction}" if buffer.fraction else ""
        name = header.const_names[buffer]
        if buffer.scales is not None and buffer.data is not None:
            result.append(const_array(header, name, buffer.data, shape))
            result.append(_scales(header, buffer, buffer.scales))
        else:
            result.append(const_array(header, name, numbers_of(buffer), shape))
    return result


def _scales(header: Header, key: Buffer | Packed, scales: Array) -> ConstArray:
    """The scales of an array of int8."""
    name = header.const_names[key]
    what = f"a scale for each row of {name}, in units"
    if header.integers:
        what = f"what the sum of each row of {name} is multiplied by"
    return const_array(header, header.scale_names[key], scales, what)


def const_array(header: Header, name: str, given: Array | Packed, note: str) -> ConstArray:
    """An array of weights, or of integers, under a comment."""
    kind = given.kind if isinstance(given, Packed) else given.dtype
    whole = INTEGERS.get(kind.name, "int32_t")
    real = header.real if kind.kind == "f" else whole
    return ConstArray(name, real, int(given.size), comment(note), _rows(header, given))


def _rows(header: Header, given: Array | Packed) -> Iterator[str]:
    data = given.data() if isinstance(given, Packed) else given
    yield from numbers.rows(data, header.dtype, header.suffix)


def too_large(arrays: Sequence[ConstArray]) -> str:
    """Why an AVR cannot take a file with these arrays, if it cannot."""
    for array in arrays:
        size = min(array.bytes, 4 * array.size)  # double has four bytes there
        if size > AVR_LARGEST:
            return f"{array.name} takes {size} bytes, more than AVR's 32767"
    return ""
