"""Which names stand for what is stored: scratch, and values that wait to be stored."""

from __future__ import annotations

from collections.abc import Mapping

from codegen.program.ops import At, Buffer, Elementwise, walk


def identity(buffer: Buffer) -> object:
    """What the name of a buffer stands for: scratch of step and predict may share one."""
    return ("temp", buffer.name) if buffer.kind == "temp" else buffer


def waiting(op: Elementwise) -> Mapping[int, str]:
    """The stores into what a later one still reads: their numbers, and names for their values."""
    names: dict[int, str] = {}
    for number, (vec, _) in enumerate(op.stores):
        later = [node for _, e in op.stores[number + 1 :] for node in walk(e)]
        if any(isinstance(node, At) and node.vec.buffer is vec.buffer for node in later):
            name = f"new_{vec.buffer.name.rsplit('_', 1)[-1]}"
            names[number] = f"new_{vec.buffer.name}" if name in names.values() else name
    return names
