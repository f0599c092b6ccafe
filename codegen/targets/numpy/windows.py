"""Where the inputs of products lie: side by side in one array, so that one product reads them all.

In the row `[reset h | 1 | x | h | 1 | h of the next layer]` each product of a GRU, and that of the
layer after it, finds what it reads without a gap, with a 1 for the bias. A vector that has a place
in a row is computed right there; only what stands elsewhere already is copied.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from codegen.program import dims
from codegen.program.ops import Affine, Buffer, Op, Vec, walk_ops, writes


@dataclass(eq=False)
class _Part:
    """A vector in a row, None for the 1; a copy is made before the op at position `copied`."""

    vec: Vec | None
    copied: int | None = None
    start: int = 0

    @property
    def size(self) -> int:
        return 1 if self.vec is None else dims.fixed(self.vec.size)


@dataclass(eq=False)
class _Row:
    """Parts side by side, by their places; a row grows at both ends."""

    name: str
    number: int
    places: dict[int, _Part] = field(default_factory=dict)
    first: int = 0
    stop: int = 0

    @property
    def parts(self) -> list[_Part]:
        return [self.places[place] for place in range(self.first, self.stop)]

    @property
    def outermost(self) -> list[Vec]:
        """The first and the last vector."""
        ends = (range(self.first, self.stop), range(self.stop - 1, self.first - 1, -1))
        found = ((self.places[place].vec for place in end) for end in ends)
        vecs = [next((vec for vec in one if vec is not None), None) for one in found]
        return [vec for vec in vecs if vec is not None]

    def grow(self, fresh: Sequence[_Part], at_end: bool) -> int:
        """Put the parts at an end; returns the place of the first."""
        if not at_end:
            self.first -= len(fresh)
        start = self.stop if at_end else self.first
        if at_end:
            self.stop += len(fresh)
        self.places.update(enumerate(fresh, start))
        return start


@dataclass(eq=False)
class _User:
    """A product with its row and its parts of it, in the order of its inputs, the 1 last."""

    name: str
    row: _Row
    parts: list[_Part]
    fresh: list[_Part]


@dataclass(frozen=True)
class Window:
    """What one product reads: a piece of a row."""

    vec: Vec
    starts: tuple[int, ...]  # where in it each input lies, and last the 1 where there is a bias
    copies: tuple[tuple[Vec, Vec], ...]  # from, to: what has to be copied before


@dataclass
class Windows:
    """The rows of a sequence of ops; `may_live` says what may have its only place in a row."""

    ops: Sequence[Op]
    may_live: Callable[[Vec], bool]
    _rows: list[_Row] = field(default_factory=list)
    _users: dict[int, _User] = field(default_factory=dict)
    _living: set[Buffer] = field(default_factory=set)
    _places: dict[Vec, dict[int, list[int]]] = field(default_factory=dict)  # by number of a row
    _ends: dict[Vec, set[int]] = field(default_factory=dict)  # rows of which it is the outermost
    _writes: dict[Buffer, list[int]] = field(default_factory=dict)  # positions of ops

    def __post_init__(self) -> None:
        for position, op in enumerate(self.ops):
            for inner in walk_ops((op,)):
                for vec in writes(inner):
                    self._writes.setdefault(vec.buffer, []).append(position)

    def add(self, op: Affine, position: int, one: bool, row_name: str, name: str) -> None:
        """Find room for the inputs of the op at this position, with a 1 where `one`.

        `row_name` is for a row that begins here, `name` for what the op reads.
        """
        inputs: list[Vec | None] = [v for _, v in op.products]
        wanted = [*inputs, None] if one else inputs
        distinct = len(set(inputs)) == len(inputs)
        found = self._shared(wanted, position) if distinct else None
        if found is None:
            parts = fresh = [self._part(v, position) for v in wanted]
            row, last = _Row(row_name, len(self._rows)), True
            self._rows.append(row)
        else:
            row, run, last = found
            present = [part.vec for part in run]
            fresh = [self._part(v, position) for v in wanted if v not in present]
            parts = sorted([*run, *fresh], key=lambda part: wanted.index(part.vec))
        for vec in row.outermost:
            self._ends[vec].discard(row.number)
        for place, part in enumerate(fresh, row.grow(fresh, last)):
            if part.vec is not None:
                self._places.setdefault(part.vec, {}).setdefault(row.number, []).append(place)
        for vec in row.outermost:
            self._ends.setdefault(vec, set()).add(row.number)
        self._users[id(op)] = _User(name, row, parts, fresh)

    def finish(self) -> tuple[dict[int, Window], dict[Buffer, tuple[Buffer, int]], dict[Vec, str]]:
        """The window of each op by id; where buffers live, by id; names of the windows."""
        homes: dict[Buffer, tuple[Buffer, int]] = {}
        buffers: dict[int, Vec] = {}
        for row in self._rows:
            size = 0
            for part in row.parts:
                part.start = size
                size += part.size
            buffer = Buffer(row.name, size, "window", "float32", None, (), (size,))
            buffers[id(row)] = buffer.vec()
            for part in row.parts:
                if part.vec is not None and part.copied is None:
                    homes[part.vec.buffer] = (buffer, part.start)
        windows: dict[int, Window] = {}
        names: dict[Vec, str] = {}
        for key, user in self._users.items():
            whole = buffers[id(user.row)]
            start = min(part.start for part in user.parts)
            stop = max(part.start + part.size for part in user.parts)
            copies = tuple(
                (part.vec, whole[part.start : part.start + part.size])
                for part in user.fresh
                if part.vec is not None and part.copied is not None
            )
            vec = whole[start:stop]
            names.setdefault(vec, user.name)
            starts = tuple(part.start - start for part in user.parts)
            windows[key] = Window(vec, starts, copies)
        return windows, homes, names

    def _part(self, vec: Vec | None, position: int) -> _Part:
        if vec is None:
            return _Part(None)
        if vec.buffer in self._living or not self.may_live(vec):
            return _Part(vec, position)
        self._living.add(vec.buffer)
        return _Part(vec)

    def _shared(
        self, wanted: Sequence[Vec | None], position: int
    ) -> tuple[_Row, list[_Part], bool] | None:
        """The row, the parts in it and whether they end it, where most can be shared.

        The parts have to hold all that is wanted, or lie where the row can grow.
        """
        best: tuple[_Row, list[_Part], bool] | None = None
        most = 0
        for number, start in self._starts(wanted):
            row = self._rows[number]
            for stop in range(start + 1, min(start + len(wanted), row.stop) + 1):
                run = [row.places[place] for place in range(start, stop)]
                vecs = [part.vec for part in run]
                if len(set(vecs)) < len(vecs) or vecs[-1] not in wanted:
                    break
                if not self._holds(run[-1], position):
                    break
                if row.first < start and stop < row.stop and len(run) < len(wanted):
                    continue
                size = sum(part.size for part in run)
                if size > most and vecs != [None]:
                    best, most = (row, run, stop == row.stop), size
        return best

    def _starts(self, wanted: Sequence[Vec | None]) -> list[tuple[int, int]]:
        """Rows and places where a run of wanted parts may begin, in their order.

        A row is of use where such a run ends it, or where it holds all that is wanted.
        """
        real = [vec for vec in wanted if vec is not None]
        holders: list[dict[int, list[int]]] = [self._places.get(vec, {}) for vec in real]
        holders.sort(key=len)
        numbers = set(holders[0]) if holders else set()
        for vec in real:
            numbers |= self._ends.get(vec, set())
        found: set[tuple[int, int]] = set()
        for number in numbers:
            places = self._rows[number].places
            for place in (place for held in holders for place in held.get(number, ())):
                found.add((number, place))
                if place - 1 in places and places[place - 1].vec is None:  # the 1 may come first
                    found.add((number, place - 1))
        return sorted(found)

    def _holds(self, part: _Part, position: int) -> bool:
        """Whether the part holds what the op at the position reads."""
        if part.vec is None or part.copied is None:
            return True
        positions = self._writes.get(part.vec.buffer, [])
        first = bisect_left(positions, part.copied)
        return first == len(positions) or positions[first] >= position
