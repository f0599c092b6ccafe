"""Which products are computed at once, and where their inputs lie.

Products that can read their inputs at the same time, some of them in common, become one: their
rows are stacked to one matrix, with zeros where one does not read an input. Its inputs lie side by
side in one array. In the row `[reset h | x | 1 | h]` both products of a GRU find what they read
without a gap, with a 1 for the bias; so does a layer that reads h alone. A vector that lives in a
row is computed right there; what lives elsewhere is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import TypeAlias

from codegen.program import dims
from codegen.program.derived import column, parts_of
from codegen.program.ops import (
    Affine,
    Buffer,
    Loop,
    Mat,
    Op,
    Part,
    Vec,
    When,
    reads,
    walk_ops,
    writes,
)
from codegen.text.names import common_words

Read: TypeAlias = "Vec | None"  # None is the 1
Place: TypeAlias = tuple[Buffer, int]  # a row, and where in it

# A zero costs a multiplication: so many are about as slow as the calls that a join saves.
MOST_ZEROS = 8192


@dataclass(frozen=True)
class Packed:
    """A matrix made of constants when the generated file is imported, zero elsewhere."""

    name: str = field(compare=False)
    rows: int
    columns: int
    pieces: tuple[tuple[int, int, Part], ...]  # each from its row and its column on
    note: str = field(default="", compare=False)  # what its columns are multiplied by


def packed(name: str, mats: Iterable[tuple[Mat, int, int]], note: str = "") -> Packed:
    """The matrices, each from its row and its column on."""
    pieces: list[tuple[int, int, Part]] = []
    rows = columns = 0
    for mat, first, left in mats:
        row = first
        for part in parts_of(mat):
            if part.mat is not None:
                pieces.append((row, left, part))
            row += part.rows
        rows, columns = max(rows, row), max(columns, left + dims.fixed(mat.columns))
    return Packed(name, rows, columns, tuple(pieces), note)


@dataclass(frozen=True)
class Window:
    """What is computed at once: `out = matrix vec`, of which products, and what they are called."""

    name: str
    vec: Vec  # a piece of a row
    copies: tuple[tuple[Vec, Vec], ...]  # from, to: what has to be copied before
    matrix: Packed
    out: Vec


class _Group:
    """Products that are computed at once, before the op at `position`, and all that they read."""

    def __init__(self, position: int, op: Affine, read: Sequence[Read]) -> None:
        self.position, self.ops, self.read = position, [(op, read)], read

    def takes(self, op: Affine, read: Sequence[Read], between: tuple[Op, ...]) -> bool:
        """Take a product that stands after the ops `between`, if it can be computed before them."""
        ops = [*self.ops, (op, read)]
        touched = {v.buffer for o in walk_ops(between) for v in (*reads(o), *writes(o))}
        scratch = all(o.out == o.out.buffer.vec() and o.out.buffer.kind == "temp" for o, _ in ops)
        if not scratch or op.out.buffer in touched or _change(between, read):
            return False
        every = [*self.read, *(x for x in read if x not in self.read)]
        zeros = sum(
            dims.fixed(one.out.size) * _size(x)
            for one, own in ops
            for x in every
            if x and x not in own
        )
        if zeros > MOST_ZEROS or not any(x in self.read for x in read if x):
            return False
        self.ops, self.read = ops, every
        return True

    @property
    def key(self) -> object:
        """What it is known by in another method."""
        return tuple((op.bias, *(mat for mat, _ in op.products)) for op, _ in self.ops)

    def matrix(self, name: str, starts: Mapping[Read, int]) -> Packed:
        """The matrix of all products, with the columns for what is read from `starts` on."""
        row = 0
        mats: list[tuple[Mat, int, int]] = []
        for op, read in self.ops:
            columns = [*(mat for mat, _ in op.products), *([column(op.bias)] if op.bias else [])]
            mats += [(mat, row, starts[x]) for mat, x in zip(columns, read, strict=False)]
            row += dims.fixed(op.out.size)
        texts = (
            f"{x.buffer.name} ({dims.text(x.size)})" if x else "1"
            for x in sorted(starts, key=starts.__getitem__)
        )
        note = f"Columns for {', '.join(texts)}."
        return packed(name, sorted(mats, key=lambda mat: mat[2]), note)


@dataclass
class Rows:
    """The rows of a file, and the buffers that live in them.

    Products of the same matrices have the same place in every method, with the states there.
    """

    homes: dict[Buffer, Place] = field(default_factory=dict)
    known: dict[object, list[tuple[Place, ...]]] = field(default_factory=dict)  # by matrices
    ones: dict[Buffer, int] = field(default_factory=dict)  # where in each row the 1 is
    copied: set[Place] = field(default_factory=set)  # where nothing lives that is computed there

    def next_method(self) -> None:
        """Of what lives in rows, only states are in the next method."""
        self.homes = {b: place for b, place in self.homes.items() if b.kind == "state"}
        self.copied = set()

    def lay_out(
        self,
        name: str,
        ops: tuple[Op, ...],
        read_by: Callable[[Affine], Sequence[Read]],
        may_live: Callable[[Vec], bool],
    ) -> dict[int, Window | None]:
        """What is computed in place of a product, by its id; None where an earlier one does.

        `read_by` is what a product reads in a row, if it does; `name` is that of the block.
        """
        groups: list[_Group] = []
        for position, op in enumerate(ops):
            if not isinstance(op, Affine) or not (read := read_by(op)):
                continue
            earlier = ((g, ops[g.position : position]) for g in reversed(groups))
            if not any(group.takes(op, read, between) for group, between in earlier):
                groups.append(_Group(position, op, read))
        groups = [group for group in groups if len(group.read) > 1 or len(group.ops) > 1]
        windows: dict[int, Window | None] = {}
        filled: dict[Place, tuple[Vec, int]] = {}  # by what, and before which op
        for number, group in enumerate(groups):
            first, _ = group.ops[0]
            places = self._again(group) or self._piece(group.read)
            if places is None:
                users = [group]
                for later in groups[number + 1 : number + 2]:
                    shared = [x for x in group.read if x and x in later.read]
                    if shared and not _change(ops[group.position : later.position], shared):
                        users.append(later)
                stem = first.out.buffer.name.rpartition("_")[0]
                places = self._row(f"{stem if stem.startswith(name) else name}_inputs", users)
            at = dict(zip(group.read, places, strict=True))
            copies: list[tuple[Vec, Vec]] = []
            for x, place in sorted(at.items(), key=lambda item: item[1][1]):
                if x is None or self._home(x) == place:
                    continue
                known, since = filled.get(place, (None, 0))
                between = ops[since : group.position]
                if may_live(x) and self._home(x) is None and place not in self.copied:
                    self.homes[x.buffer] = place
                elif known != x or _change(between, [x]) or _has_blocks(between):
                    copies.append((x, place[0].vec()[place[1] : place[1] + x.size]))
                    filled[place] = x, group.position
                    self.copied.add(place)
            row, begin = min(places, key=lambda place: place[1])
            end = max(start + _size(x) for x, (_, start) in at.items())
            out = first.out if len(group.ops) == 1 else self._stack([op for op, _ in group.ops])
            stem = out.buffer.name if out.buffer.kind == "temp" else name
            matrix = group.matrix(f"{stem}_matrix", {x: k - begin for x, (_, k) in at.items()})
            windows.update(dict.fromkeys(id(op) for op, _ in group.ops))
            copied = tuple(_together(copies))
            windows[id(first)] = Window(stem, row.vec()[begin:end], copied, matrix, out)
        return windows

    def _stack(self, ops: Sequence[Affine]) -> Vec:
        """An array in which the results of the products live one after the other."""
        names = [op.out.buffer.name for op in ops]
        name = f"{common_words(names) or names[0].split('_')[0]}_sums"
        starts = [0, *accumulate(dims.fixed(op.out.size) for op in ops)]
        sums = Buffer(name, starts[-1], "temp", shape=(starts[-1],))
        for op, start in zip(ops, starts, strict=False):
            self.homes[op.out.buffer] = (sums, start)
        return sums.vec()

    def _again(self, group: _Group) -> tuple[Place, ...] | None:
        """Where other products of the same matrices read, if nothing else lives there."""
        living = {place: buffer for buffer, place in self.homes.items()}
        for places in self.known.get(group.key, ()):
            pairs = [(x, place) for x, place in zip(group.read, places, strict=True) if x]
            if all(living.get(place, x.buffer) is x.buffer for x, place in pairs):
                return places
        return None

    def _piece(self, read: Sequence[Read]) -> tuple[Place, ...] | None:
        """Where all that is read lives, side by side in one row."""
        rows = {home and home[0] for home in (self._home(x) for x in read if x)}
        row = rows.pop()
        if row is None or rows or (None in read and row not in self.ones):
            return None
        found = tuple((x and self._home(x)) or (row, self.ones[row]) for x in read)
        spans = sorted((k, k + _size(x)) for x, (_, k) in zip(read, found, strict=True))
        return None if any(end != start for (_, end), (start, _) in pairwise(spans)) else found

    def _row(self, name: str, users: Sequence[_Group]) -> tuple[Place, ...]:
        """A row for one group or two: what the last reads alone, what both do, the first alone.

        Returns the places of the first.
        """
        first, last = users[0].read, users[-1].read
        shared = [x for x in first if x in last]
        every = [x for x in last if x not in shared] + shared
        every += [x for x in first if x not in shared]
        starts = [0, *accumulate(map(_size, every))]
        row = Buffer(name, starts[-1], "row", shape=(starts[-1],))
        if None in every:
            self.ones[row] = starts[every.index(None)]
        for group in users:
            places = tuple((row, starts[every.index(x)]) for x in group.read)
            self.known.setdefault(group.key, []).append(places)
        return self.known[users[0].key][-1]

    def _home(self, vec: Vec) -> Place | None:
        """Where a whole buffer lives."""
        return self.homes.get(vec.buffer) if vec == vec.buffer.vec() else None


def _together(copies: Iterable[tuple[Vec, Vec]]) -> list[tuple[Vec, Vec]]:
    """One copy for what lies side by side on both sides."""
    found: list[tuple[Vec, Vec]] = []
    for x, slot in copies:
        if found and _follows(x, found[-1][0]) and _follows(slot, found[-1][1]):
            first, place = found.pop()
            size = first.size + x.size
            found.append((replace(first, size=size), replace(place, size=size)))
        else:
            found.append((x, slot))
    return found


def _follows(second: Vec, first: Vec) -> bool:
    """Whether one vector begins where another ends."""
    one_by_one = second.stride == first.stride == 1 and second.buffer is first.buffer
    return one_by_one and second.offset == first.offset + first.size


def _size(x: Read) -> int:
    return 1 if x is None else dims.fixed(x.size)


def _has_blocks(ops: Sequence[Op]) -> bool:
    """Whether there are ops inside of others, whose products may fill a row with something else."""
    return any(isinstance(op, (Loop, When)) for op in ops)


def _change(ops: Sequence[Op], read: Sequence[Read]) -> bool:
    """Whether the ops write what a product reads."""
    written = {vec.buffer for op in walk_ops(tuple(ops)) for vec in writes(op)}
    return any(x.buffer in written for x in read if x)
