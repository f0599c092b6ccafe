"""Where the inputs of products lie: side by side in one array, so that one product reads them all.

In the row `[reset h | x | 1 | h]` both products of a GRU find what they read without a gap, with
a 1 for the bias; so does a layer that reads h alone. A vector that lives in a row is computed right
there; what lives elsewhere is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import TypeAlias

from codegen.program import dims
from codegen.program.derived import column, parts_of
from codegen.program.ops import Affine, Buffer, Mat, Op, Vec, walk_ops, writes

Parts: TypeAlias = "tuple[Vec | None, ...]"  # None is the 1
Place: TypeAlias = tuple[Buffer, int]  # a row, and where in it


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
    for mat, first in mats:
        row = 0
        for part in parts_of(mat):
            if part.mat is not None:
                pieces.append(Piece(row, first, part.mat, part.factor, part.shift))
            row += part.rows
    columns = max(first + dims.fixed(mat.columns) for mat, first in mats)
    return Packed(name, dims.fixed(mats[0][0].rows), columns, tuple(pieces), note)


@dataclass(frozen=True)
class Window:
    """What one product reads: a piece of a row."""

    vec: Vec
    starts: tuple[int, ...]  # where in it each input lies, and last the 1 where there is a bias
    copies: tuple[tuple[Vec, Vec], ...]  # from, to: what has to be copied before

    def matrix(self, op: Affine, stem: str) -> Packed:
        """The matrix that this is multiplied by; a bias is a column of it where there is a 1."""
        mats = [mat for mat, _ in op.products]
        read = [f"{x.buffer.name} ({dims.text(x.size)})" for _, x in op.products]
        if op.bias is not None and len(self.starts) > len(mats):
            mats.append(column(op.bias))
            read.append("1")
        parts = sorted(zip(self.starts, mats, read, strict=True), key=lambda part: part[0])
        note = f"Columns for {', '.join(text for *_, text in parts)}."
        return packed(f"{stem}_matrix", [(mat, start) for start, mat, _ in parts], note)


@dataclass
class Rows:
    """The rows of a file, and the buffers that live in them.

    A product of the same matrices has the same place in every method, with the states there.
    """

    homes: dict[Buffer, Place] = field(default_factory=dict)
    known: dict[object, list[tuple[Place, ...]]] = field(default_factory=dict)  # by matrices
    ones: dict[Buffer, int] = field(default_factory=dict)  # where in each row the 1 is

    def next_method(self) -> None:
        """Of what lives in rows, only states are in the next method."""
        self.homes = {b: place for b, place in self.homes.items() if b.kind == "state"}

    def lay_out(
        self,
        name: str,
        ops: Sequence[Op],
        inputs: Callable[[Affine], Parts],
        may_live: Callable[[Vec], bool],
    ) -> dict[int, Window]:
        """The windows of products by id; `inputs` are what one reads in a row, if it does."""
        found = [(n, op, inputs(op)) for n, op in enumerate(ops) if isinstance(op, Affine)]
        products = [(n, op, parts) for n, op, parts in found if parts]
        windows: dict[int, Window] = {}
        filled: dict[Place, tuple[Vec, int]] = {}  # by what, and before which op
        for number, (position, op, parts) in enumerate(products):
            places = self._again(op, parts) or self._piece(parts)
            if places is None:
                users = [(op, parts)]
                for later, other, more in products[number + 1 : number + 2]:
                    shared = [part for part in parts if part in more]
                    if _can_share(parts, more) and not _change(ops[position:later], shared):
                        users.append((other, more))
                stem = op.out.buffer.name.rpartition("_")[0]
                self._row(f"{stem if stem.startswith(name) else name}_inputs", users)
                places = self.known[_key(op, parts)][-1]
            copies: list[tuple[Vec, Vec]] = []
            for part, place in sorted(zip(parts, places, strict=True), key=lambda pair: pair[1][1]):
                if part is None or self._home(part) == place:
                    continue
                known, since = filled.get(place, (None, 0))
                if may_live(part) and self._home(part) is None:
                    self.homes[part.buffer] = place
                elif known != part or _change(ops[since:position], [part]):
                    copies.append((part, place[0].vec()[place[1] : place[1] + part.size]))
                    filled[place] = part, position
            row, begin = min(places, key=lambda place: place[1])
            end = max(start + _size(part) for part, (_, start) in zip(parts, places, strict=True))
            starts = tuple(start - begin for _, start in places)
            windows[id(op)] = Window(row.vec()[begin:end], starts, tuple(_together(copies)))
        return windows

    def _again(self, op: Affine, parts: Parts) -> tuple[Place, ...] | None:
        """Where another product of the same matrices reads, if nothing else lives there."""
        living = {place: buffer for buffer, place in self.homes.items()}
        for places in self.known.get(_key(op, parts), ()):
            pairs = zip(parts, places, strict=True)
            if all(
                part is None or living.get(at, part.buffer) is part.buffer for part, at in pairs
            ):
                return places
        return None

    def _piece(self, wanted: Parts) -> tuple[Place, ...] | None:
        """Where all that is wanted lives, side by side in one row."""
        homes = [self._home(v) for v in wanted if v is not None]
        rows = {place[0] for place in homes if place}
        if None in homes or len(rows) != 1 or len(set(wanted)) < len(wanted):
            return None
        (row,) = rows
        if None in wanted and row not in self.ones:
            return None
        found = tuple((v and self._home(v)) or (row, self.ones[row]) for v in wanted)
        spans = sorted(
            (start, start + _size(v)) for v, (_, start) in zip(wanted, found, strict=True)
        )
        return None if any(end != start for (_, end), (start, _) in pairwise(spans)) else found

    def _row(self, name: str, users: Sequence[tuple[Affine, Parts]]) -> None:
        """A row for one product or two: what the second reads alone, what both do, the first."""
        (_, parts), *rest = users
        for _, last in rest:
            shared = [part for part in parts if part in last]
            alone = (tuple(part for part in one if part not in shared) for one in (last, parts))
            parts = (*next(alone), *shared, *next(alone))
        starts = [0, *accumulate(map(_size, parts))]
        row = Buffer(name, starts[-1], "row", shape=(starts[-1],))
        if None in parts:
            self.ones[row] = starts[parts.index(None)]
        for op, own in users:
            numbers = range(len(parts)) if own is parts else [parts.index(part) for part in own]
            places = tuple((row, starts[k]) for k in numbers)
            self.known.setdefault(_key(op, own), []).append(places)

    def _home(self, vec: Vec) -> Place | None:
        """Where a whole buffer lives."""
        return self.homes.get(vec.buffer) if vec == vec.buffer.vec() else None


def _key(op: Affine, parts: Parts) -> object:
    return tuple(mat for mat, _ in op.products), op.bias, len(parts)


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


def _size(part: Vec | None) -> int:
    return 1 if part is None else dims.fixed(part.size)


def _can_share(first: Parts, second: Parts) -> bool:
    """Whether products have vectors in common, and read none twice."""
    twice = len(set(first)) < len(first) or len(set(second)) < len(second)
    return not twice and any(part in second for part in first if part is not None)


def _change(ops: Sequence[Op], parts: Sequence[Vec | None]) -> bool:
    """Whether the ops write what a product reads."""
    written = {vec.buffer for op in walk_ops(tuple(ops)) for vec in writes(op)}
    return any(part.buffer in written for part in parts if part is not None)
