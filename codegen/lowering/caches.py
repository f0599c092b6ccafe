"""Caches that a graph joins with its newest rows, and cuts again, become delay lines.

Streaming convolutions are exported with the rows that they need again as an input: joined with the
new ones for the convolution, and cut to the last ones, which are an output. Where a state is just
that, the convolution keeps the rows itself: nothing is joined or cut, and of a long line only the
rows that the kernel meets are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codegen.layers.cached import CachedConvolution
from codegen.layers.convolution import Convolution
from codegen.layers.core import Identity
from codegen.layers.merging import Concatenate
from codegen.layers.operations import EVERYTHING, Operation
from codegen.layers.padding import ZeroPadding
from codegen.layers.reshaping import Permute
from codegen.layers.shared.windows import reach
from codegen.model import Graph, Layer, Model, Ref, State


@dataclass(frozen=True)
class _Cache:
    """A state that is the rows of one convolution: the numbers of its nodes."""

    state: int
    joined: int
    cut: int
    convolution: int
    layer: CachedConvolution


def as_lines(model: Model, replaced: Mapping[int, Layer]) -> tuple[Model, dict[int, Layer]]:
    """The model without such states; `replaced` has, for each new layer (by id), the one before."""
    graph, names = model.graph, dict(replaced)
    found = [cache for state in graph.states if (cache := _cache(graph, state)) is not None]
    if not found:
        return model, names
    nodes = list(graph.nodes)
    for one in found:
        join, conv = nodes[one.joined], nodes[one.convolution]
        same = Identity(name=join.layer.name, class_name=join.layer.class_name)
        nodes[one.joined] = replace(join, layer=same, inputs=join.inputs[1:])
        nodes[one.convolution] = replace(conv, layer=one.layer)
        for new, old in ((same, join.layer), (one.layer, conv.layer)):
            names[id(new)] = names.get(id(old), old)
    gone = dict.fromkeys(number for one in found for number in (one.state, one.cut))
    return replace(model, graph=replace(graph, nodes=tuple(nodes)).without(gone)), names


def _cache(graph: Graph, state: int) -> _Cache | None:
    """What the state is the cache of, None where it is anything else."""
    kept = graph.states[state]
    readers = graph.readers
    joins = readers[state]
    if len(joins) != 1 or kept.index or readers[kept.node] != [state]:
        return None
    join, cut = graph.nodes[joins[0]], graph.nodes[kept.node]
    if not isinstance(join.layer, Concatenate) or len(join.inputs) != 2:
        return None
    axis, source = join.layer.axis, graph.nodes[state].layer
    assert isinstance(source, State)
    others = [number for number in readers[joins[0]] if number != kept.node]
    fits = join.inputs[0] == Ref(state) and cut.inputs == (Ref(joins[0]),) and axis > 0
    if not fits or len(others) != 1:
        return None
    rows = source.shape[axis - 1] or 0
    new = _rows_dropped(cut.layer, axis - 1, rows)
    chain = _chain(graph, others[0])
    if new is None or chain is None or chain.order[0] != axis - 1:
        return None
    conv, geometry = chain.layer, chain.layer.geometry
    window, stride = reach(geometry.sizes[0], geometry.dilations[0]), geometry.strides[0]
    if (rows + new - window) // stride == 0:  # a single position, so any stride is the same
        stride = new
        conv = replace(conv, strides=(stride, *conv.strides[1:]))
    if (rows - window) // stride != -1 or new % stride:
        return None
    start = None
    if source.start is not None:
        start = np.pad(source.start.transpose(chain.order), chain.pads)
    layer = CachedConvolution(
        name=chain.layer.name,
        class_name=chain.layer.class_name,
        convolution=conv,
        rows=rows,
        start=start,
    )
    return _Cache(state, joins[0], kept.node, chain.convolution, layer)


def _rows_dropped(layer: Layer, axis: int, rows: int) -> int | None:
    """How many rows a slice leaves out before the last `rows`; None where it is any other."""
    if not isinstance(layer, Operation) or layer.rule != "get_item":
        return None
    items = tuple(layer.settings["items"])
    item: Any = items[axis] if axis < len(items) else EVERYTHING
    rest = items[:axis] + items[axis + 1 :]
    if any(one != EVERYTHING for one in rest) or not isinstance(item, tuple):
        return None
    start, stop, step = item
    if step not in (1, None) or start is None or start < 1 or stop not in (None, start + rows):
        return None
    return int(start)


@dataclass(frozen=True)
class _Chain:
    """A convolution, with the order of axes and the padding that it is given before."""

    convolution: int
    layer: Convolution
    order: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]


def _chain(graph: Graph, number: int) -> _Chain | None:
    """Permute and ZeroPadding, both of which may be missing, then the convolution."""
    order: tuple[int, ...] | None = None
    pads: tuple[tuple[int, int], ...] | None = None
    while True:
        layer = graph.nodes[number].layer
        if isinstance(layer, Convolution):
            rank = layer.kernel.ndim - 1
            plain = layer.padding == "valid" and not layer.channels_first
            found = order or tuple(range(rank))
            return _Chain(number, layer, found, pads or ((0, 0),) * rank) if plain else None
        if isinstance(layer, Permute) and order is None and pads is None:
            order = tuple(d - 1 for d in layer.dims)
        elif isinstance(layer, ZeroPadding) and pads is None:
            pads = (*layer.padding, (0, 0))
            if any(pads[0]) or layer.value or layer.channels_first:
                return None
        else:
            return None
        following = graph.readers[number]
        if len(following) != 1 or following[0] < 0:
            return None
        number = following[0]
