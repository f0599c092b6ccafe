"""The graph of a model as boxes and lines: ranks from inputs to outputs, each a row.

A line that passes a row goes through a place of its own there, so that it crosses no box.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from codegen.errors import visible
from codegen.lowered import LayerReport, Lowered
from codegen.model import Input, Model

BOX, HEIGHT = 236, 66  # pixels
ACROSS, DOWN = 24, 42  # between boxes
LANE = 26  # the width of a place that a line passes
MARGIN = 8
NAME, TEXT = 26, 38  # columns of the two kinds of text in a box
LINES = 2  # of what a layer is
MOST = 240  # boxes that are drawn
SWEEPS = 4  # over the rows, to put what belongs together below each other


@dataclass(frozen=True)
class Box:
    """One call of a layer; x and y are those of its upper left corner."""

    x: float
    y: float
    name: str
    lines: tuple[str, ...]
    about: str  # all of it, for who points at the box
    kind: str  # input, state (kept from step to step), or plain


@dataclass(frozen=True)
class Line:
    """From one box to another; `shape` stands beside the first line that leaves a box."""

    path: str
    shape: str
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    """All of it."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


@dataclass
class _Place:
    """Where a node is, or a line that passes (node None)."""

    node: int | None
    rank: int
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    x: float = 0.0

    @property
    def width(self) -> float:
        return LANE if self.node is None else BOX


def draw(lowered: Lowered) -> Drawing | None:
    """The drawing; None where there are too many boxes to look at."""
    graph = lowered.model.graph
    if len(graph.nodes) > MOST:
        return None
    edges = _edges(lowered.model)
    ranks = _ranks(len(graph.nodes), edges)
    places = [_Place(n, rank) for n, rank in enumerate(ranks)]
    routes = [_route(places, a, b) for a, b in edges]
    rows: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
    for number, place in enumerate(places):
        rows[place.rank].append(number)
    _order(places, rows)
    width = _spread(places, rows)
    reports = {report.name: report for report in lowered.layers}
    boxes, lines = [], []
    for number, node in enumerate(graph.nodes):
        report = reports.get(node.layer.name)
        about = report.describe if report is not None else node.layer.describe
        stateful = report is not None and _has_state(lowered, node.layer.name)
        kind = "state" if stateful else "input" if isinstance(node.layer, Input) else "plain"
        boxes.append(_box(places[number], node.layer.name, about, kind))
    told = set()
    for route in routes:
        source = graph.nodes[route[0]].layer.name
        shape = "" if route[0] in told or source not in reports else _shape(reports[source])
        told.add(route[0])
        lines.append(_line(places, route, shape))
    for number in dict.fromkeys(ref.node for ref in graph.outputs):
        name = graph.nodes[number].layer.name
        shape = _shape(reports[name]) if name in reports and number not in told else ""
        lines.append(_out(places[number], shape))
    height = len(rows) * (HEIGHT + DOWN) + 2 * MARGIN
    return Drawing(width, height, tuple(boxes), tuple(lines))


def _edges(model: Model) -> list[tuple[int, int]]:
    """Pairs of nodes, each once."""
    found: dict[tuple[int, int], None] = {}
    for number, node in enumerate(model.graph.nodes):
        refs = [*node.inputs, *(ref for given in node.keywords.values() for ref in given)]
        found.update(dict.fromkeys((ref.node, number) for ref in refs))
    return list(found)


def _ranks(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The row of each node: below all that it takes; what takes nothing, close to what uses it."""
    ranks = [0] * count
    for a, b in sorted(edges, key=lambda edge: edge[1]):  # nodes stand in the order of their calls
        ranks[b] = max(ranks[b], ranks[a] + 1)
    taking = {b for _, b in edges}
    for number in range(count):
        users = [ranks[b] for a, b in edges if a == number]
        if number not in taking and users:
            ranks[number] = max(0, min(users) - 1)
    return ranks


def _route(places: list[_Place], a: int, b: int) -> list[int]:
    """The places that a line goes through, one for each row; those between are made."""
    route = [a]
    for rank in range(places[a].rank + 1, places[b].rank):
        places.append(_Place(None, rank))
        route.append(len(places) - 1)
    route.append(b)
    for upper, lower in pairwise(route):
        places[upper].below.append(lower)
        places[lower].above.append(upper)
    return route


def _order(places: Sequence[_Place], rows: list[list[int]]) -> None:
    """Put each row in the order of the middles of what it is joined to."""

    def middle(number: int, others: Sequence[int], where: dict[int, int]) -> float:
        return sum(where[o] for o in others) / len(others) if others else where[number]

    for sweep in range(SWEEPS):
        where = {number: k for row in rows for k, number in enumerate(row)}
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            keys = {
                n: middle(n, places[n].above if sweep % 2 == 0 else places[n].below, where)
                for n in row
            }
            row.sort(key=lambda n: keys[n])
            where.update({number: k for k, number in enumerate(row)})


def _spread(places: Sequence[_Place], rows: Sequence[Sequence[int]]) -> float:
    """The x of every place, each row in the middle; returns the width of the drawing."""
    widths = [sum(places[n].width for n in row) + ACROSS * (len(row) - 1) for row in rows]
    widest = max(widths)
    for row, width in zip(rows, widths, strict=True):
        x = MARGIN + (widest - width) / 2
        for number in row:
            places[number].x = x
            x += places[number].width + ACROSS
    return widest + 2 * MARGIN


def _top(place: _Place) -> float:
    return MARGIN + place.rank * (HEIGHT + DOWN)


def _box(place: _Place, name: str, about: str, kind: str) -> Box:
    lines = textwrap.wrap(
        visible(about), TEXT, max_lines=LINES, placeholder="\N{HORIZONTAL ELLIPSIS}"
    )
    shown = tuple(fitting(line, TEXT) for line in lines)
    said = f"{visible(name)}: {visible(about)}"
    return Box(place.x, _top(place), fitting(visible(name), NAME), shown, said, kind)


def _line(places: Sequence[_Place], route: Sequence[int], shape: str) -> Line:
    start = places[route[0]]
    x, y = start.x + start.width / 2, _top(start) + HEIGHT
    path = f"M{x:g} {y:g}"
    for number in route[1:]:
        place = places[number]
        to, top = place.x + place.width / 2, _top(place)
        half = (y + top) / 2
        path += f"C{x:g} {half:g} {to:g} {half:g} {to:g} {top:g}"
        x, y = to, top
        if place.node is None:
            y += HEIGHT
            path += f"V{y:g}"
    return Line(path, shape, start.x + start.width / 2 + 8, _top(start) + HEIGHT + 14)


def _out(place: _Place, shape: str) -> Line:
    """What leaves the model."""
    x, y = place.x + place.width / 2, _top(place) + HEIGHT
    return Line(f"M{x:g} {y:g}v{DOWN - 12:g}", shape, x + 8, y + 14)


def _shape(report: LayerReport) -> str:
    shape = report.output_shape
    return " \N{MULTIPLICATION SIGN} ".join("T" if n is None else str(n) for n in shape)


def _has_state(lowered: Lowered, name: str) -> bool:
    program = lowered.step or lowered.whole
    return any(state.layer == name for state in program.states)


def fitting(text: str, columns: int) -> str:
    """The text, cut where it is wider; a wide character takes two columns."""
    used, kept = 0, ""
    for char in text:
        used += 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
        if used > columns:
            return kept[:-1] + "\N{HORIZONTAL ELLIPSIS}"
        kept += char
    return kept
