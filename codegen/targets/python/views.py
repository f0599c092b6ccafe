"""What stands in the body of a method, as texts: one view for each op and each layer.

`templates/python/ops.j2` puts them in place; the class of a view names its macro.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Assign:
    """A name becomes a new list."""

    note: str
    name: str
    value: str


@dataclass(frozen=True)
class Store:
    """A list goes into a buffer from `at` on."""

    note: str
    buffer: str
    at: str
    value: str


@dataclass(frozen=True)
class Each:
    """Lines for every value of the index, or once where there is no index."""

    note: str
    index: str  # "" for a single element
    count: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Product:
    """A product with a matrix that is not a constant, row by row."""

    note: str
    values: tuple[tuple[str, str], ...]  # names and vectors
    index: str
    count: str
    start: str
    terms: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class Fold:
    """A Reduce: `total` goes through `update` for all counters, for each element."""

    index: str
    count: str
    start: str
    update: str
    counters: tuple[tuple[str, str], ...]
    target: str


@dataclass(frozen=True)
class Append:
    """A Shift: a row goes where the oldest row of the ring stands."""

    line: str
    oldest: str
    owner: str
    value: str
    row: str
    size: str


@dataclass(frozen=True)
class Repeat:
    """A Loop."""

    counter: str
    count: str
    body: tuple[View, ...]


@dataclass(frozen=True)
class Once:
    """A When."""

    after: int
    body: tuple[View, ...]


View = Assign | Store | Each | Product | Fold | Append | Repeat | Once


@dataclass(frozen=True)
class BlockView:
    """A layer: its heading and its ops."""

    title: str
    names: tuple[tuple[str, str], ...]  # local names and the attributes that they stand for
    body: tuple[View, ...]
