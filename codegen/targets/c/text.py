"""C text: lengths and offsets, lines and their indentation, and what the text needs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from codegen.program.dims import Compound, Dim, Symbol
from codegen.program.ops import Buffer
from codegen.targets.spine.expressions import ATOM, PRODUCT, SUM

# Functions that are called through a hook macro; the others are plain helpers of the file.
HOOKS = ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "erf", "pow")


@dataclass
class Used:
    """What the statements need: helper functions, kernels, library headers."""

    functions: set[str] = field(default_factory=set)  # named as in program.FUNCTIONS
    kernels: set[str] = field(default_factory=set)
    raw: dict[Buffer, None] = field(default_factory=dict)  # constants that are read as they are
    buffers: set[Buffer] = field(default_factory=set)  # all that are read or written
    state: bool = False  # whether the state structure is
    math: bool = False  # whether a function or a macro of <math.h> is


def ring_row(offset: Dim, size: int) -> tuple[Dim, int]:
    """Row and place inside the row of an offset in a delay line; ValueError where it is neither."""
    if isinstance(offset, int):
        return offset // size, offset % size
    if any(factor % size for _, factor in offset.terms):
        raise ValueError("not a whole row")
    inner = offset.constant % size
    return (offset - inner) // size, inner


def dim_text(
    dim: Dim, symbols: Mapping[str, str], prefix: str, used: Used | None, macro: bool = False
) -> tuple[str, int]:
    """A dim as C, and how strongly it binds; `macro`: an expression that holds no function call."""
    if isinstance(dim, int):
        return str(dim), ATOM if dim >= 0 else PRODUCT
    parts: list[str] = []
    for atom, factor in dim.terms:
        if isinstance(atom, Symbol):
            body = symbols.get(atom.name, atom.name)
        else:
            body = _compound(atom, symbols, prefix, used, macro)
        if abs(factor) != 1:
            body = f"{body} * {abs(factor)}"
        sign = "-" if factor < 0 else "+"
        parts.append(f"{sign} {body}" if parts else (f"-{body}" if factor < 0 else body))
    if dim.constant:
        parts.append(f"{'-' if dim.constant < 0 else '+'} {abs(dim.constant)}")
    if len(parts) > 1:
        return " ".join(parts), SUM
    _, factor = dim.terms[0]
    return parts[0], ATOM if factor == 1 else PRODUCT


def _compound(
    atom: Compound, symbols: Mapping[str, str], prefix: str, used: Used | None, macro: bool
) -> str:
    (left, low), (right, high) = (
        dim_text(d, symbols, prefix, used, macro) for d in (atom.left, atom.right)
    )
    if atom.operator == "*":
        left = left if low >= PRODUCT else f"({left})"
        right = right if high >= ATOM else f"({right})"
        return f"({left} * {right})"
    if macro:  # must stand where only macros may: no helper functions
        if atom.operator == "//":
            return f"(({left}) >= 0 ? ({left}) / {right} : -(({right} - 1 - ({left})) / {right}))"
        sign = ">" if atom.operator == "max" else "<"
        return f"(({left}) {sign} ({right}) ? ({left}) : ({right}))"
    assert used is not None
    if atom.operator == "//":
        if _is_natural(atom.left):
            left = left if low >= PRODUCT else f"({left})"
            return f"({left} / {right})"
        used.kernels.add("floor_div")
        return f"{prefix}_floor_div({left}, {right})"
    used.kernels.add(f"{atom.operator}_length")
    return f"{prefix}_{atom.operator}_length({left}, {right})"


def _is_natural(dim: Dim) -> bool:
    """Whether no part of it can be negative (symbols are counters and lengths)."""
    if isinstance(dim, int):
        return dim >= 0
    return dim.constant >= 0 and all(f > 0 and isinstance(a, Symbol) for a, f in dim.terms)


def indent(text: str, by: str = "    ") -> str:
    """Every line that is not empty, moved right."""
    return textwrap.indent(text, by)


def body_of(lines: Sequence[str]) -> str:
    """The lines of a function's body."""
    return "".join(f"    {line}\n" if line else "\n" for line in lines)
