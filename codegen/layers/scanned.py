"""A graph for each row of a sequence, which hands states on to the next row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from codegen.layers.shared.calls import carry, of_graph
from codegen.model import Array, Graph, Input, Layer

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class Scanned(Layer):
    """One run of a graph for each row of its inputs.

    The inputs of the graph are a row of each, then the states. Its outputs are those of one row,
    then the states for the next row.
    """

    graph: Graph
    starts: tuple[Array, ...]  # the states before the first row

    @property
    def describe(self) -> str:
        """What is inside."""
        names = [n.layer.describe for n in self.graph.nodes if n.inputs]
        return f"for each row: {', '.join(names)}"

    @property
    def inner(self) -> tuple[Layer, ...]:
        """The layers of the graph."""
        return self.graph.layers

    def lower(
        self, b: Builder, *inputs: Tensor, **keywords: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Its outputs, a row for each row, then the states after the last."""
        layers = [self.graph.nodes[number].layer for number in self.graph.inputs]
        shapes = [tuple(n or 1 for n in x.shape) for x in layers if isinstance(x, Input)]
        given, count = len(inputs), inputs[0].shape[0]
        for x in inputs[1:]:
            b.check(x.shape[0], "==", count)
        states = tuple(
            b.state(f"state_{number}", start.shape, initial=start if start.any() else None)
            for number, start in enumerate(self.starts)
        )
        results: list[Tensor] = []
        with b.loop(count, carried=True) as t:
            rows = [x.at(t).reshape(s) for x, s in zip(inputs, shapes[:given], strict=True)]
            found = of_graph(b, self.graph, (*rows, *states))
            split = len(found) - len(states)
            for number, y in enumerate(found[:split]):
                if count == 1 and y.buffer.kind == "temp":
                    results.append(y.reshape((1, *y.shape)))
                    continue
                out = b.outer_tensor(f"output_{number}", (count, *y.shape))
                b.copy(out.row(t), y.vec())
                results.append(out)
            carry(b, list(zip(states, found[split:], strict=True)))
        x = inputs[0]
        ends = (replace(s, lead=x.lead, last=x.time or x.last) for s in states)
        return (*(b.like(out, *inputs) for out in results), *ends)
