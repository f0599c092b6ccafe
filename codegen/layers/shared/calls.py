"""Calls of layers: their operands, a graph of them inside a wrapper, and what states become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import LayerError
from codegen.model import Graph, Input, Layer
from codegen.program.ops import At
from codegen.program.tensor import Tensor, values

if TYPE_CHECKING:
    from codegen.program.builder import Builder

Keywords = Mapping[str, tuple[Tensor, ...]]


def settled(
    layer: Layer, inputs: Sequence[Tensor], keywords: Keywords
) -> tuple[list[Tensor], dict[str, tuple[Tensor, ...]]]:
    """The operands of one call, constants without their batch axis."""
    ranks = {len(x.shape) for x in inputs if not x.stored}
    rank = max(ranks, default=0)
    if layer.aligns and len(ranks) > 1:
        raise LayerError(
            f"its operands have {min(ranks) + 1} and {rank + 1} axes. They are aligned at "
            "the last, where the batch axis of one meets another axis; use expand_dims before it"
        )

    def operand(x: Tensor, key: str = "") -> Tensor:
        if not x.stored:
            return x
        axes = len(x.shape)
        if layer.aligns and not key:
            batched = axes > rank
            if axes > rank + 1:
                raise LayerError(
                    f"its constant of shape {x.shape} has more axes than what it meets"
                )
        else:  # Keras takes an attention mask for all samples, too
            batched = not (key == "attention_mask" and axes == 2)
        found = values(x)
        if key.endswith("mask") and found is not None and not np.isin(found, (0.0, 1.0)).all():
            raise LayerError(f"its {key} is a constant that holds more than true and false")
        return _sample(x) if batched else replace(x, stored=False)

    return (
        [operand(x) for x in inputs],
        {key: tuple(operand(x, key) for x in xs) for key, xs in keywords.items()},
    )


def _sample(x: Tensor) -> Tensor:
    """A constant as each sample of the batch meets it."""
    found = values(x)
    if found is None or not found.ndim:
        raise LayerError("its constant is a number, which has no batch axis")
    if len(found) > 1 and (found != found[:1]).any():
        raise LayerError(
            f"its constant of shape {found.shape} differs from sample to sample; one with a batch "
            "axis of 1 is supported"
        )
    return replace(x.at(0), stored=False)


def of_graph(b: Builder, graph: Graph, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The outputs of a graph inside the block of a wrapper."""
    given = dict(zip(graph.inputs, inputs, strict=True))
    values: list[tuple[Tensor, ...]] = []
    calls: dict[int, int] = {}
    for number, node in enumerate(graph.nodes):
        if isinstance(node.layer, Input):
            values.append((given[number],))
            continue
        call = calls[id(node.layer)] = calls.get(id(node.layer), -1) + 1
        arguments = [values[ref.node][ref.index] for ref in node.inputs]
        keywords = {
            key: tuple(values[ref.node][ref.index] for ref in refs)
            for key, refs in node.keywords.items()
        }
        name = node.layer.name.rsplit("/", 1)[-1]
        part = name if call == 0 else f"{name}_{call + 1}"
        with b.part(part, inner=True, of=(node.layer.name, call)):
            given_to, named = settled(node.layer, arguments, keywords)
            values.append(node.unmasked(node.layer.lower(b, *given_to, **named)))
    return tuple(values[ref.node][ref.index] for ref in graph.outputs)


def carry(b: Builder, following: list[tuple[Tensor, Tensor]]) -> None:
    """Replace states by what they become; all of them are read before one is written."""
    states = {state.buffer for state, _ in following}
    stores = []
    for number, (state, y) in enumerate(following):
        if state.size != y.size:
            raise LayerError(f"a state of shape {state.shape} becomes one of {y.shape}")
        value = y.vec()
        if y.buffer in states and y.buffer is not state.buffer:
            value = b.temp(f"next_{number}", y.size)
            b.copy(value, y.vec())
        if y.buffer is not state.buffer:
            stores.append((state.vec(), value))
    for target, value in stores:
        b.copy(target, At(value))
