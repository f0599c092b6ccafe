"""NumPy instructions: whole-array operations on views, still free of names and text.

Operands are `Vec`s, read along the axes of the loops that were turned into array axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from codegen.program import dims
from codegen.program.derived import parts_of
from codegen.program.dims import Dim
from codegen.program.ops import At, Expr, Mat, Vec


@dataclass(frozen=True)
class Axis:
    """A loop counter that became an axis of the arrays."""

    counter: str
    count: Dim


Axes: TypeAlias = tuple[Axis, ...]
SHARES = "shares by "  # a softmax of integers, before the table that it takes
# An operand is an At, Number, Index or Count: no other expression is left.


@dataclass(frozen=True)
class Ufunc:
    """`out = function(operands)` for each element; `copy` and `choose` are functions too."""

    function: str
    operands: tuple[Expr, ...]
    out: Vec
    axes: Axes
    name: str = ""  # what the value is called in the program


@dataclass(frozen=True)
class Fold:
    """`out = sum | max | min` of `operand` over the last axis (`over` none) or the axes `over`."""

    kind: str
    operand: Vec
    over: Axes
    out: Vec
    axes: Axes


@dataclass(frozen=True)
class Product:
    """`out = matrix @ x`, added to what is in `out` with `add`.

    A `fixed` matrix is constant in all iterations. `inputs` are vectors that live inside `x`.
    """

    matrix: Packed | Mat
    x: Vec
    out: Vec
    axes: Axes
    add: bool = False
    fixed: bool = True
    inputs: tuple[Vec, ...] = ()


@dataclass(frozen=True)
class Lookup:
    """`out = table[index]`."""

    table: Mat
    index: Vec
    out: Vec
    axes: Axes


@dataclass(frozen=True)
class Repeat:
    """A Python loop."""

    counter: str
    count: Dim
    body: tuple[Instruction, ...]
    axes: Axes


@dataclass(frozen=True)
class After:
    """A condition on the number of steps seen."""

    after: int
    body: tuple[Instruction, ...]


Instruction: TypeAlias = "Ufunc | Fold | Product | Lookup | Repeat | After"


@dataclass(frozen=True)
class Piece:
    """A part of a packed matrix, from `row` and `column` on: `factor * mat + shift`."""

    row: int
    column: int
    mat: Mat
    factor: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True)
class Packed:
    """A matrix made of constants when the generated file is imported, zero elsewhere."""

    name: str
    rows: int
    columns: int
    pieces: tuple[Piece, ...]
    note: str = field(default="", compare=False)  # what its columns are multiplied by


def packed(name: str, mats: Sequence[tuple[Mat, int]], note: str = "") -> Packed:
    """The matrices side by side, each from its column on."""
    pieces: list[Piece] = []
    for mat, column in mats:
        row = 0
        for part in parts_of(mat):
            if part.mat is not None:
                pieces.append(Piece(row, column, part.mat, part.factor, part.shift))
            row += part.rows
    columns = max(column + dims.fixed(mat.columns) for mat, column in mats)
    return Packed(name, dims.fixed(mats[0][0].rows), columns, tuple(pieces), note)


# ---- where vectors lie ---------------------------------------------------------------------


def is_full(vec: Vec, axes: Axes, size: Dim) -> bool:
    """Whether every element along the axes is an element of its own, so it can be written."""
    if vec.size != size or (vec.stride == 0 and size != 1):
        return False
    spans: list[tuple[Dim, Dim]] = [(size, vec.stride)]
    for axis in axes:
        slope = dims.slope(vec.offset, axis.counter)
        if slope == 0:
            return False
        spans.append((axis.count, slope))
    known = [(abs(s), n) for n, s in spans if isinstance(s, int)]
    free = [(s, n) for n, s in spans if not isinstance(s, int)]
    extent: Dim = 1
    ordered: list[tuple[Dim, Dim]] = [*sorted(known, key=lambda span: span[0]), *free]
    for stride, count in ordered:
        # Each axis must step over all that the axes inside it cover.
        steps_over = isinstance(stride, int) and isinstance(extent, int) and stride >= extent
        if stride != extent and not steps_over:
            return False
        extent = count * stride
    return True


def is_whole(vec: Vec, axes: Axes) -> bool:
    """Whether the vector with its axes is all of an array, in order."""
    extent, offset = vec.size, vec.offset
    for axis in reversed(axes):
        if dims.slope(offset, axis.counter) != extent:
            return False
        offset = dims.substitute(offset, {axis.counter: 0})
        extent = extent * axis.count
    return vec.stride == 1 and offset == 0 and extent == vec.buffer.size


def overlap(left: Vec, right: Vec) -> bool:
    """Whether the two may share an element, in any iterations of the loops around them."""
    if left.buffer is not right.buffer:
        return False
    distance = right.offset - left.offset
    if not isinstance(distance, int):
        return True
    if distance < 0:
        left, right, distance = right, left, -distance
    if not (isinstance(left.size, int) and isinstance(right.size, int)):
        return True
    left_extent = (left.size - 1) * left.stride + 1
    right_extent = (right.size - 1) * right.stride + 1
    if distance < left_extent:
        return True
    counters = dims.symbols(left.offset)
    slopes = [abs_slope(left.offset, c) for c in counters]
    return any(s is None or distance + right_extent > s for s in slopes)


def abs_slope(dim: Dim, counter: str) -> int | None:
    """The absolute slope in one counter where it is a plain number."""
    slope = dims.factor_of(dim, counter)
    return abs(slope) if slope and not isinstance(dim, int) else None


def vectors(instruction: Instruction) -> tuple[list[Vec], list[Vec]]:
    """What an instruction reads and writes."""
    if isinstance(instruction, Ufunc):
        return [o.vec for o in instruction.operands if isinstance(o, At)], [instruction.out]
    if isinstance(instruction, Fold):
        return [instruction.operand], [instruction.out]
    if isinstance(instruction, Product):
        found = [instruction.x, *instruction.inputs]
        if isinstance(instruction.matrix, Mat) and not instruction.fixed:
            found.append(instruction.matrix.buffer.vec())
        return [*found, instruction.out] if instruction.add else found, [instruction.out]
    if isinstance(instruction, Lookup):
        return [instruction.index], [instruction.out]
    read: list[Vec] = []
    written: list[Vec] = []
    for inner in instruction.body:
        r, w = vectors(inner)
        read += [v.buffer.vec() for v in r]
        written += [v.buffer.vec() for v in w]
    return read, written
