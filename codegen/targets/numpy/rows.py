"""Where the inputs of products lie: side by side in one array, so that one product reads them all.

In the row `[reset h | x | 1 | h]` both products of a GRU find what they read without a gap, with
a 1 for the bias; so does a layer that reads h alone. A vector that lives in a row is computed right
there; what lives elsewhere is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

from codegen.program import dims
from codegen.program.ops import Affine, Buffer, Op, Vec, walk_ops, writes

Parts = tuple["Vec | None", ...]  # None is the 1


@dataclass(frozen=True)
class Window:
    """What one product reads: a piece of a row."""

    vec: Vec
    starts: tuple[int, ...]  # where in it each input lies, and last the 1 where there is a bias
    copies: tuple[tuple[Vec, Vec], ...] = ()  # from, to: what has to be copied before


@dataclass
class Rows:
    """The rows of a method, and the buffers that live in them: each by its row and place.

    `other` are the rows of another method: one with the same parts serves both, with the states
    that live in it.
    """

    other: Rows | None = None
    homes: dict[Buffer, tuple[Buffer, int]] = field(default_factory=dict)
    parts: dict[Buffer, Parts] = field(default_factory=dict)

    def lay_out(
        self,
        name: str,
        ops: Sequence[Op],
        inputs: Callable[[Affine], Parts],
        may_live: Callable[[Vec], bool],
    ) -> dict[int, Window]:
        """The windows of products by id; `inputs` are what one reads in a row, if it does."""
        products = [(n, op) for n, op in enumerate(ops) if isinstance(op, Affine) and inputs(op)]
        windows: dict[int, Window] = {}
        while products:
            (position, op), *products = products
            first, stem = inputs(op), op.out.buffer.name.rpartition("_")[0]
            row = f"{stem if stem.startswith(name) else name}_inputs"
            if products and _can_share(first, second := inputs(products[0][1])):
                later, other = products[0]
                if not _change(ops[position:later], [part for part in first if part in second]):
                    windows.update(self._row(row, {id(op): first, id(other): second}, may_live))
                    products = products[1:]
                    continue
            found = self._piece(first)
            windows.update({id(op): found} if found else self._row(row, {id(op): first}, may_live))
        return windows

    def _piece(self, wanted: Parts) -> Window | None:
        """A piece of a row where all that is wanted lives, side by side."""
        places = [None if v is None else self._home(v) for v in wanted]
        rows = {place[0] for place in places if place}
        row = rows.pop() if rows else None
        if row is None or rows or len(set(wanted)) < len(wanted):
            return None
        one = next((s for part, s in zip(*self._laid(row), strict=False) if part is None), None)
        starts = [one if v is None else p and p[1] for v, p in zip(wanted, places, strict=True)]
        known = [start for start in starts if start is not None]
        ends = [start + _size(v) for v, start in zip(wanted, known, strict=False)]
        gaps = [b - a for (_, a), (b, _) in pairwise(sorted(zip(known, ends, strict=True)))]
        if len(known) < len(wanted) or any(gaps):
            return None
        begin = min(known)
        return Window(row.vec()[begin : max(ends)], tuple(start - begin for start in known))

    def _row(
        self, name: str, users: dict[int, Parts], may_live: Callable[[Vec], bool]
    ) -> dict[int, Window]:
        """A row for one product or two: what the second reads alone, what both do, the first."""
        parts, *rest = users.values()
        for last in rest:
            shared = [part for part in parts if part in last]
            alone = (tuple(part for part in one if part not in shared) for one in (last, parts))
            parts = (*next(alone), *shared, *next(alone))
        starts = [0, *accumulate(map(_size, parts))]
        row = self._known(parts, starts) or Buffer(name, starts[-1], "row", shape=(starts[-1],))
        self.parts[row] = parts
        copied: dict[int, tuple[Vec, Vec]] = {}  # by place
        for place, (part, start) in enumerate(zip(parts, starts, strict=False)):
            if part is None or self._home(part) == (row, start):
                continue
            if may_live(part) and self._home(part) is None:
                self.homes[part.buffer] = (row, start)
            else:
                copied[place] = (part, row.vec()[start : start + part.size])
        windows: dict[int, Window] = {}
        for key, own in users.items():
            places = [*range(len(parts))] if own is parts else [parts.index(p) for p in own]
            begin, end = starts[min(places)], starts[max(places) + 1]
            copies = tuple(copied.pop(place) for place in places if place in copied)
            inside = tuple(starts[place] - begin for place in places)
            windows[key] = Window(row.vec()[begin:end], inside, tuple(_together(copies)))
        return windows

    def _home(self, vec: Vec) -> tuple[Buffer, int] | None:
        """Where a whole buffer lives."""
        if vec != vec.buffer.vec():
            return None
        found = self.homes.get(vec.buffer)
        return found or (self.other.homes.get(vec.buffer) if self.other else None)

    def _laid(self, row: Buffer) -> tuple[Parts, list[int]]:
        parts = self.parts[row] if row in self.parts or not self.other else self.other.parts[row]
        return parts, [0, *accumulate(map(_size, parts))]

    def _known(self, parts: Parts, starts: Sequence[int]) -> Buffer | None:
        """A row of the other method for parts of these sizes, where all its states have a place."""
        homes = self.other.homes if self.other else {}
        for row in dict.fromkeys(homes[v.buffer][0] for v in parts if v and v.buffer in homes):
            others, places = self._laid(row)
            same = [a is None for a in parts] == [b is None for b in others] and starts == places
            pairs = zip(parts, others, starts, strict=False)
            if same and not any(
                b and b.buffer.kind == "state" and a != b and homes.get(b.buffer) == (row, start)
                for a, b, start in pairs
            ):
                return row
        return None


def _together(copies: Iterable[tuple[Vec, Vec]]) -> list[tuple[Vec, Vec]]:
    """One copy for what lies side by side on both sides."""
    found: list[tuple[Vec, Vec]] = []
    for pair in copies:
        if found and all(_follows(b, a) for a, b in zip(found[-1], pair, strict=True)):
            source, slot = (
                replace(a, size=a.size + b.size) for a, b in zip(found.pop(), pair, strict=True)
            )
            found.append((source, slot))
        else:
            found.append(pair)
    return found


def _follows(second: Vec, first: Vec) -> bool:
    end = first.offset + first.size
    return (
        second.buffer is first.buffer
        and second.stride == first.stride == 1
        and second.offset == end
    )


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
