"""A graph that runs once a step and hands its states on to the next run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from codegen.model import Array, Graph, Input, Layer

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class Stepped(Layer):
    """One run of a graph for each step of its inputs; `starts` are its states before the first.

    The inputs of the graph are those of one step, then the states. Its outputs are those of one
    step, then the states for the next. They are kept from one predict to the next.
    """

    graph: Graph
    states: tuple[str, ...]  # their names
    starts: tuple[Array | None, ...] = ()  # None for zeros; empty where all are

    @property
    def describe(self) -> str:
        """What is inside."""
        names = [n.layer.describe for n in self.graph.nodes if n.inputs]
        return f"one run a step of {', '.join(names)}"

    @property
    def is_stateful(self) -> bool:
        """Always: that is what it is for."""
        return True

    @property
    def inner(self) -> tuple[Layer, ...]:
        """The layers of the graph."""
        return self.graph.layers

    def lower(
        self, b: Builder, *inputs: Tensor, **keywords: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Its outputs, a row for each step."""
        shapes = [_shape(self.graph, number) for number in self.graph.inputs]
        given, count = len(inputs), inputs[0].shape[0]
        for x in inputs[1:]:
            b.check(x.shape[0], "==", count)
        starts = self.starts or (None,) * len(self.states)
        states = tuple(
            b.state(name, shape, carried=True, initial=start)
            for name, shape, start in zip(self.states, shapes[given:], starts, strict=True)
        )
        results: list[Tensor] = []
        with b.loop(count, carried=True) as t:
            rows = [x.at(t).reshape(s) for x, s in zip(inputs, shapes[:given], strict=True)]
            found = b.graph(self.graph, (*rows, *states))
            split = len(found) - len(states)
            for number, y in enumerate(found[:split]):
                if count == 1 and y.buffer.kind == "temp":
                    results.append(y.reshape((1, *y.shape)))
                    continue
                out = b.outer_tensor(f"output_{number}", (count, *y.shape))
                b.copy(out.row(t), y.vec())
                results.append(out)
            self._carry(b, states, found[split:])
        return tuple(b.like(out, *inputs) for out in results)

    def _carry(self, b: Builder, states: tuple[Tensor, ...], found: tuple[Tensor, ...]) -> None:
        """Replace the states; all of them are read before one is written."""
        kept = {state.buffer for state in states}
        fresh = list(found)
        for number, y in enumerate(found):
            if y.buffer in kept and y.buffer is not states[number].buffer:
                fresh[number] = b.tensor(f"next_{number}", y.shape)
                b.copy(fresh[number].vec(), y.vec())
        for state, y in zip(states, fresh, strict=True):
            b.copy(state.vec(), replace(y, stored=False).vec())


def _shape(graph: Graph, number: int) -> tuple[int, ...]:
    layer = graph.nodes[number].layer
    assert isinstance(layer, Input)
    return tuple(n for n in layer.shape if n is not None)
