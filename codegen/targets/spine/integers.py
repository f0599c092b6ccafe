"""What files that compute with integers hold, whatever their language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from codegen.lowered import Lowered
from codegen.program.ops import Buffer, Port, Program, map_buffers, temps


@dataclass(frozen=True)
class Curve:
    """A function of integers between the numbers of a table, as `Table` defines it."""

    name: str
    table: str
    size: int
    shift: int
    mirror: int | None

    @property
    def top(self) -> int:
        """The largest number that is looked up."""
        return ((self.size - 1) << self.shift) - 1

    @property
    def step(self) -> float:
        """What numbers are multiplied by to count in the distance of two of the table."""
        return float(2.0**-self.shift)

    @property
    def mask(self) -> int:
        """The bits of a number between two of the table."""
        return (1 << self.shift) - 1

    @property
    def half(self) -> int:
        """What rounds."""
        return 1 << (self.shift - 1)

    @property
    def settings(self) -> str:
        """What the kernel of a small board takes."""
        return f"{self.table}, {self.top}, {self.shift}"

    @property
    def mirrored(self) -> str:
        """What the function is of numbers below zero, in words."""
        if self.mirror is None:
            return ""
        return f"; of -q {f'{self.mirror} less that' if self.mirror else 'minus that'}"

    @property
    def negative(self) -> str:
        """The result for a number below zero."""
        return f"{self.mirror} - found" if self.mirror else "-found"


def apart(program: Program) -> Program:
    """Scratch buffers of one name get names of their own, for languages that tell them by these."""
    taken: dict[str, int] = {}
    renamed: dict[Buffer, Buffer] = {}
    for buffer in temps(program):
        taken[buffer.name] = count = taken.get(buffer.name, 0) + 1
        if count > 1:
            renamed[buffer] = replace(buffer, name=f"{buffer.name}_{count}")
    if not renamed:
        return program
    return program.map_blocks(lambda block: map_buffers(block.ops, lambda b: renamed.get(b, b)))


def fractions(lowered: Lowered) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Bits of fraction of the inputs and of the outputs that are int16, None where all are floats.

    An integer that is an index has none.
    """
    whole = lowered.whole
    if not any(port.buffer.dtype == "int16" for port in (*whole.inputs, *whole.outputs)):
        return None

    def each(ports: Sequence[Port]) -> tuple[int, ...]:
        return tuple(port.buffer.fraction for port in ports)

    return each(whole.inputs), each(whole.outputs)
