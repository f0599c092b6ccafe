"""What files that compute with integers hold, whatever their language."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.lowered import Lowered
from codegen.program.ops import Port


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
