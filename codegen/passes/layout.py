"""Where C keeps weights and scratch.

Weights stand in the order in which the kernels read them:

- `columns` (host): one row for each input with the weights of all outputs side by side, as Keras
  stores kernels; outputs narrower than four keep one row for each output.
- `blocks` (mcu): bias, kernel and recurrent kernel of one Affine in one array. For eight outputs
  at once their bias, then for each input their eight weights; each of the last outputs % 8 stands
  whole: bias, then its weights.

Weights of int8 stand in arrays of their own, without bias: the scales of their rows are in another.
In columns, four inputs stand side by side: words of four weights are what vectors are made of.

In programs of integers each product has its array, since each is rounded by itself. For hosts it
has one row for each output. For `mcu` four outputs stand side by side: four weights of each for
four inputs, then one weight of each for every input that is left; each of the last outputs % 4
stands whole. Four weights of int8 stand in the order 0, 2, 1, 3: instructions of Cortex-M4 make two
pairs of int16 of them, 0 and 1 of its first and third byte, 2 and 3 of the others.

Temps whose lives do not overlap share their place in one array.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codegen.program import dims
from codegen.program.derived import column, int8_of, is_int8, matrix, scales_of
from codegen.program.ops import (
    Affine,
    Array,
    Buffer,
    Loop,
    Mat,
    Op,
    Program,
    Vec,
    When,
    reads,
    walk_ops,
    writes,
)

# ---- weights ------------------------------------------------------------------------------------

NARROW = 4
BLOCK = 8
WORD = 4  # inputs side by side
LARGEST_SHIFT = 16  # that kernels of integers take
FOUR = 4  # outputs, and inputs, of integers side by side


@dataclass(frozen=True, eq=False)
class Packed:
    """One array of weights, with a comment that tells its layout.

    The weights of all `mats` side by side, in blocks after the `bias`. Those of int8 have `scales`,
    one for each row, which all mats then share.
    """

    name: str
    layout: str
    mats: tuple[Mat, ...]
    bias: Vec | None
    in_blocks: bool
    scales: tuple[float, Array] | None = None  # see `derived.scales_of`

    @property
    def size(self) -> int:
        """The number of weights, with zeros that fill up words."""
        rows, columns = _shape(self.mats)
        if self._in_words:
            return rows * WORD * -(-columns // WORD)
        return rows * (columns + (self.bias is not None))

    @property
    def kind(self) -> np.dtype[Any]:
        """The type of the weights, if it is not that of the file."""
        return np.dtype("float32" if self.scales is None else "int8")

    @property
    def _in_words(self) -> bool:
        return self.scales is not None and not self.in_blocks and _shape(self.mats)[0] >= NARROW

    def data(self) -> Array:
        """The weights in their order, made anew at each call: they may be large."""
        parts = [matrix(mat) if self.scales is None else int8_of(mat) for mat in self.mats]
        if self.bias is not None:
            parts.insert(0, matrix(column(self.bias)))
        rows, _ = _shape(self.mats)
        if not self.in_blocks:
            table: Array = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
            if self._in_words:
                words: Array = np.zeros((rows, self.size // rows // WORD, WORD), np.int8)
                words.reshape(rows, -1)[:, : table.shape[1]] = table
                return np.swapaxes(words, 0, 1)
            return table if rows < NARROW else table.T
        data = np.empty(self.size, np.result_type(*parts))
        columns, whole = self.size // rows, rows - rows % BLOCK
        blocks = data[: whole * columns].reshape(-1, columns, BLOCK)
        rest = data[whole * columns :].reshape(-1, columns)
        start = 0
        for part in parts:
            stop = start + part.shape[1]
            blocks[:, start:stop] = part[:whole].reshape(-1, BLOCK, stop - start).swapaxes(1, 2)
            rest[:, start:stop] = part[whole:]
            start = stop
        return data


@dataclass(frozen=True, eq=False)
class PackedIntegers(Packed):
    """The weights of one product of integers."""

    @property
    def size(self) -> int:
        """The number of weights."""
        rows, columns = _shape(self.mats)
        return rows * columns

    @property
    def kind(self) -> np.dtype[Any]:
        """Their type."""
        return np.dtype(self.mats[0].buffer.dtype)

    def data(self) -> Array:
        """The weights in their order."""
        table = int8_of(self.mats[0])
        if not self.in_blocks:
            return table
        rows, columns = table.shape
        order = (0, 2, 1, 3) if self.kind.itemsize == 1 else (0, 1, 2, 3)
        whole, left = rows - rows % FOUR, columns - columns % FOUR
        blocks = table[:whole].reshape(whole // FOUR, FOUR, columns)
        fours = blocks[:, :, :left].reshape(len(blocks), FOUR, left // FOUR, FOUR)[..., order]
        parts = (
            fours.swapaxes(1, 2).reshape(len(blocks), FOUR * left),
            blocks[:, :, left:].swapaxes(1, 2).reshape(len(blocks), FOUR * (columns - left)),
        )
        return np.concatenate([np.concatenate(parts, axis=1).ravel(), table[whole:].ravel()])


@dataclass(frozen=True, eq=False)
class Group:
    """Products whose vectors follow each other in memory: one longer vector, read from `x` on."""

    mats: tuple[Mat, ...]
    x: Vec

    @property
    def columns(self) -> int:
        """Length of the vector."""
        return sum(_int(mat.columns) for mat in self.mats)


@dataclass(frozen=True, eq=False)
class Call:
    """One kernel call: `groups` (two at most) with the weights in `packed`."""

    packed: Packed
    groups: tuple[Group, ...]
    with_bias: bool
    shift: int = 0  # of a product of integers


@dataclass(frozen=True, eq=False)
class Packing:
    """Calls for each Affine that a kernel computes, by id; the const buffers left as they are."""

    calls: dict[int, tuple[Call, ...]]
    arrays: tuple[Packed, ...]


def pack(program: Program, layout: str, is_ring: Callable[[Buffer], bool]) -> Packing:
    """Pack every matrix for which that costs no weight twice; other Affines are left out."""
    affines = [op for op in walk_ops(program.ops) if isinstance(op, Affine)]
    chosen = {id(op): op for op in affines if _is_plain(op)}
    while True:
        calls, arrays, spent = _arrange(list(chosen.values()), layout, is_ring)
        raw = {
            vec.buffer
            for op in walk_ops(program.ops)
            for vec in reads(op)
            if vec.buffer.kind == "const"
            and not (id(op) in chosen and (isinstance(vec, Mat)))
            and not (isinstance(op, Affine) and vec is op.bias)
        }
        bad = {
            key
            for key, op in chosen.items()
            for mat, _ in op.products
            if mat.buffer in raw or spent[mat.buffer] > _int(mat.buffer.size)
        }
        if not bad:
            return Packing(calls, tuple(arrays))
        for key in bad:
            del chosen[key]


def _is_plain(op: Affine) -> bool:
    """Whether everything about the op is known and contiguous."""
    if op.out.stride != 1 or not isinstance(op.out.size, int) or not op.products:
        return False
    if max(op.shifts, default=0) > LARGEST_SHIFT:
        return False
    types = ("int32", "int16") if op.shifts else ("float32", "float32")  # of results and vectors
    if op.out.buffer.dtype != types[0]:
        return False
    for mat, x in op.products:
        sizes = (mat.offset, mat.rows, mat.columns, x.size)
        if mat.buffer.kind != "const" or not all(isinstance(n, int) for n in sizes):
            return False
        if x.stride != 1 or x.buffer.kind == "const" or x.buffer.dtype != types[1]:
            return False
        if mat.rows != op.out.size or mat.columns != x.size:
            return False
    return True


def _groups(op: Affine, is_ring: Callable[[Buffer], bool]) -> list[Group]:
    groups: list[Group] = []
    for mat, x in op.products:
        if groups:
            last = groups[-1]
            follows = last.x.buffer is x.buffer and last.x.offset + last.columns == x.offset
            if follows and not is_ring(x.buffer) and _same_scales(last.mats[0], mat):
                groups[-1] = Group((*last.mats, mat), last.x)
                continue
        groups.append(Group((mat,), x))
    return groups


def _arrange(
    ops: list[Affine], layout: str, is_ring: Callable[[Buffer], bool]
) -> tuple[dict[int, tuple[Call, ...]], list[Packed], dict[Buffer, int]]:
    """Kernel calls of the ops, the arrays they read, and how often each buffer's weights occur."""
    calls: dict[int, tuple[Call, ...]] = {}
    made: dict[object, Packed] = {}
    spent: dict[Buffer, int] = {}
    for op in ops:
        rows = _int(op.out.size)
        if op.shifts:
            calls[id(op)] = tuple(_integer_calls(op, layout, made, spent))
            continue
        groups = _groups(op, is_ring)
        found: list[Call] = []
        scaled = is_int8(op.products[0][0])  # then all of them are
        if layout == "columns" or scaled:
            parts: list[tuple[tuple[Group, ...], bool]] = [((g,), False) for g in groups]
        else:
            bias = op.bias is not None and _is_const(op.bias)
            parts = [(tuple(groups[:2]), bias)]
            parts += [(tuple(groups[k : k + 2]), False) for k in range(2, len(groups), 2)]
        for part, with_bias in parts:
            mats = tuple(mat for g in part for mat in g.mats)
            key = (tuple(_key(m) for m in mats), with_bias and op.bias and _vec_key(op.bias), rows)
            packed = made.get(key)
            if packed is None:
                for mat in mats:
                    count = _int(mat.rows) * _int(mat.columns)
                    spent[mat.buffer] = spent.get(mat.buffer, 0) + count
                name = mats[0].buffer.name
                if layout == "columns":
                    packed = _columns(name, mats, scales_of(mats[0]) if scaled else None)
                else:
                    packed = _blocks(name, mats, op.bias if with_bias else None, part[0].columns)
                    packed = replace(packed, scales=scales_of(mats[0])) if scaled else packed
                made[key] = packed
            found.append(Call(packed, part, with_bias))
        calls[id(op)] = tuple(found)
    return calls, list(made.values()), spent


def _integer_calls(
    op: Affine, layout: str, made: dict[object, Packed], spent: dict[Buffer, int]
) -> Iterator[Call]:
    """The kernel calls of an op of integers, one for each product."""
    for (mat, x), shift in zip(op.products, op.shifts, strict=True):
        packed = made.get(_key(mat))
        if packed is None:
            rows, columns = _shape((mat,))
            spent[mat.buffer] = spent.get(mat.buffer, 0) + rows * columns
            in_blocks = layout == "blocks"
            how = f"{rows} x {columns}, one row for each output"
            if in_blocks and rows >= FOUR:
                how = f"weights of {rows} outputs from {columns} inputs, four outputs side by side"
            packed = PackedIntegers(mat.buffer.name, how, (mat,), None, in_blocks, scales_of(mat))
            made[_key(mat)] = packed
        yield Call(packed, (Group((mat,), x),), with_bias=False, shift=shift)


def _columns(name: str, mats: tuple[Mat, ...], scales: tuple[float, Array] | None) -> Packed:
    rows, columns = _shape(mats)
    if rows < NARROW:
        layout = f"{rows} x {columns}, one row for each output"
    elif scales is not None:
        layout = f"{columns} x {rows}, four inputs side by side for each output"
    else:
        layout = f"{columns} x {rows}, one row for each input"
    return Packed(name, layout, mats, None, in_blocks=False, scales=scales)


def _blocks(name: str, mats: tuple[Mat, ...], bias: Vec | None, split: int) -> Packed:
    rows, columns = _shape(mats)
    what = "" if bias is None else "bias and "
    of = f"{columns}" if split == columns else f"{split} + {columns - split}"
    layout = f"{what}weights of {rows} outputs from {of} inputs, eight outputs side by side"
    if rows < BLOCK:
        layout = f"{what}weights of {rows} outputs from {of} inputs, one output after the other"
    base = name.removesuffix("_kernel") + "_weights" if bias is not None else name
    return Packed(base, layout, mats, bias, in_blocks=True)


def _same_scales(one: Mat, other: Mat) -> bool:
    """Whether the rows of both have the same scales, or none."""
    if not (is_int8(one) and is_int8(other)):
        return not is_int8(one) and not is_int8(other)
    (unit, scales), (other_unit, other_scales) = scales_of(one), scales_of(other)
    return unit == other_unit and np.array_equal(scales, other_scales)


def _shape(mats: tuple[Mat, ...]) -> tuple[int, int]:
    """Rows and columns of matrices side by side."""
    return _int(mats[0].rows), sum(_int(mat.columns) for mat in mats)


def _is_const(vec: Vec) -> bool:
    return vec.buffer.kind == "const" and isinstance(vec.offset, int)


def _key(mat: Mat) -> object:
    offset = (mat.offset, mat.rows, mat.columns, mat.row_stride, mat.column_stride)
    return (mat.buffer, *offset)


def _vec_key(vec: Vec) -> object:
    return (vec.buffer, vec.offset, vec.size, vec.stride)


def _int(dim: object) -> int:
    assert isinstance(dim, int)
    return dim


# ---- scratch ------------------------------------------------------------------------------------

ALIGN = 4  # elements; 16 bytes suit every vector unit


@dataclass
class _Life:
    buffer: Buffer
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """Where each temp stands in one array per dtype, and how long the arrays are."""

    offsets: Mapping[Buffer, int]
    sizes: Mapping[str, int]


def plan(program: Program, lengths: Mapping[str, int]) -> Plan:
    """Places for all temps, with room for the given lengths (the largest that may come)."""
    lives = _lives(program.ops)
    offsets: dict[Buffer, int] = {}
    sizes: dict[str, int] = {}
    for dtype in ("float32", "int32", "int16"):
        wanted = [
            (max(1, dims.value(life.buffer.size, lengths)), life)
            for life in lives
            if life.buffer.dtype == dtype
        ]
        sizes[dtype] = 0
        # The largest first, each at the lowest place that nothing alive at the same time takes.
        alive: dict[int, list[tuple[int, int]]] = {}  # by number of an op: places taken then
        begun: dict[int, list[tuple[int, int]]] = {}  # those of what is first touched there
        for size, life in sorted(wanted, key=lambda pair: (-pair[0], pair[1].first)):
            later = (begun.get(k, ()) for k in range(life.first + 1, life.last + 1))
            taken = sorted([*alive.get(life.first, ()), *itertools.chain.from_iterable(later)])
            place = 0
            for start, end in taken:
                if place + size <= start:
                    break
                place = max(place, -(-end // ALIGN) * ALIGN)
            begun.setdefault(life.first, []).append((place, place + size))
            for k in range(life.first, life.last + 1):
                alive.setdefault(k, []).append((place, place + size))
            offsets[life.buffer] = place
            sizes[dtype] = max(sizes[dtype], place + size)
    return Plan(offsets, sizes)


def _lives(ops: tuple[Op, ...]) -> list[_Life]:
    """For each temp the first and last op that touches it, ops numbered in order.

    A temp that belongs outside a loop and is used inside it lives through the whole loop.
    """
    found: dict[Buffer, _Life] = {}
    position = 0

    def touch(buffer: Buffer, first: int, last: int) -> None:
        life = found.setdefault(buffer, _Life(buffer, first, last))
        life.first, life.last = min(life.first, first), max(life.last, last)

    def walk(body: tuple[Op, ...]) -> set[Buffer]:
        nonlocal position
        touched: set[Buffer] = set()
        for op in body:
            start = position
            position += 1
            if isinstance(op, (Loop, When)):
                inside = walk(op.body)
                for buffer in inside if isinstance(op, Loop) else ():
                    assert isinstance(op, Loop)
                    if op.counter not in buffer.scope:
                        touch(buffer, start, position)
                touched |= inside
                position += 1
                continue
            for vec in (*reads(op), *writes(op)):
                if vec.buffer.kind == "temp":
                    touch(vec.buffer, start, start)
                    touched.add(vec.buffer)
        return touched

    walk(ops)
    return sorted(found.values(), key=lambda life: (life.first, life.buffer.name))
