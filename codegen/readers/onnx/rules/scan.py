"""Scan: a body for each row.

Along the time axis of the model it is a layer, whose states are kept from step to step; along an
axis of known length it is written out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.operations import Operation
from codegen.layers.scanned import Scanned
from codegen.model import Array, Graph, Input, Node, Ref, Unsupported
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator, Result
from codegen.readers.onnx.rules.control import graph_of, refused, stacked
from codegen.readers.onnx.scope import MISSING, Scope
from codegen.readers.onnx.values import Operand, Refused, Value

if TYPE_CHECKING:
    from codegen.readers.onnx.assembly import Assembly


class _Scan:
    """One Scan: the axes and directions of what goes in and comes out by rows."""

    def __init__(self, c: Call) -> None:
        self.c, self.graph = c, graph_of(c, "body")
        count = c.attributes.integer("num_scan_inputs", low=1, high=len(c.operands))
        self.states = list(c.operands[: len(c.operands) - count])
        self.rows = list(c.operands[len(self.states) :])
        outputs = len(self.graph.output) - len(self.states)
        if len(self.graph.input) != len(c.operands) or outputs < 0:
            raise LayerError("its body has another number of inputs or outputs than it has states")
        self.axes = self._given("scan_input_axes", count)
        self.reverse = self._given("scan_input_directions", count)
        self.out_axes = self._given("scan_output_axes", outputs)
        self.out_reverse = self._given("scan_output_directions", outputs)
        self.names = [str(x.name) for x in self.graph.input]

    def _given(self, name: str, count: int) -> tuple[int, ...]:
        found = tuple(int(n) for n in self.c.attributes.get(name, (0,) * count))
        if len(found) != count:
            raise LayerError(f"{name} has {len(found)} numbers, expected {count}")
        return found

    def outputs(self) -> Result:
        """The states after all rows, then what each row gave."""
        lengths = {self._length(x, axis) for x, axis in zip(self.rows, self.axes, strict=True)}
        if any(isinstance(x, Value) and x.time for x in self.rows):
            return self._along_time()
        if len(lengths) != 1:
            raise LayerError(f"its inputs have {', '.join(map(str, lengths))} rows")
        return self._written_out(dims.fixed(lengths.pop()))

    def _length(self, x: Operand, axis: int) -> Dim:
        assert isinstance(x, (Value, np.ndarray))
        lengths: tuple[Dim, ...] = tuple(x.shape)
        return lengths[self.c.axis(axis, len(lengths))]

    def _written_out(self, count: int) -> Result:
        c, carried = self.c, self.states
        rows: list[list[Operand]] = [[] for _ in self.out_axes]
        body = c.assembly.body(self.graph)
        for number in range(count):
            slices = [
                self._row(x, axis, count - 1 - number if back else number)
                for x, axis, back in zip(self.rows, self.axes, self.reverse, strict=True)
            ]
            given = dict(zip(self.names, [*carried, *slices], strict=True))
            results = body.run(c.assembly, c.inside(given))
            if any(isinstance(x, Refused) for x in results):
                return refused(c, results)
            carried = results[: len(carried)]
            for row, x in zip(rows, results[len(carried) :], strict=True):
                row.append(x)
        for row, back in zip(rows, self.out_reverse, strict=True):
            row[:] = row[::-1] if back else row
        found = zip(rows, self.out_axes, strict=True)
        return [*carried, *(stacked(c, row, axis) for row, axis in found)]

    def _row(self, x: Operand, axis: int, number: int) -> Operand:
        """The part of an input at one place of its axis."""
        c = self.c
        if isinstance(x, np.ndarray):
            return np.asarray(np.take(x, number, axis))
        assert isinstance(x, Value)
        axis = c.axis(axis, x.rank)
        rest = [a for a in x.held if a != axis]
        ref = c.arranged(x, (axis, *rest))
        pick = c.aside(Operation, "row", rule="get_item", settings={"items": (number,)})
        shape = (*x.shape[:axis], *x.shape[axis + 1 :])
        return Value(c.add(pick, ref), shape, tuple(a - (a > axis) for a in rest), x.dtype)

    def _along_time(self) -> Result:
        """One layer whose states are kept from step to step."""
        c = self.c
        if any((*self.reverse, *self.out_reverse)) or any(self.out_axes):
            raise LayerError("it runs along time backwards, or its rows go to another axis")
        starts, rows = self._starts(), self._sequences()
        inner = replace(c.assembly, nodes=[])
        shapes = [tuple(x.shape) for x in starts]
        shapes += [tuple(dims.fixed(x.shape[a]) for a in _others(x)) for x in rows]
        inputs = [
            self._input(inner, name, shape) for name, shape in zip(self.names, shapes, strict=True)
        ]
        scope = _Outside(c.scope.opsets, c.scope, c.scope.prefix, c.scope.depth + 1)
        scope.names.update(dict(zip(self.names, inputs, strict=True)))
        results = inner.graph(self.graph, scope)
        c.assembly.walked = inner.walked
        _refuse(inner.nodes)
        ends = self._ends(replace(c, assembly=inner, name=f"{c.name}/end"), results, inputs)
        return self._layer(inner.nodes, starts, rows, inputs, ends)

    def _starts(self) -> list[Array]:
        """The states before the first row."""
        if not all(isinstance(x, np.ndarray) for x in self.states):
            raise LayerError("it runs along time from a state that is not a constant")
        return [self.c.checked(np.asarray(x), "initial state") for x in self.states]

    def _sequences(self) -> list[Value]:
        """The inputs, all of them along time."""
        found = [x for x in self.rows if isinstance(x, Value)]
        axes = zip(found, self.axes, strict=False)
        if len(found) < len(self.rows) or any(
            x.time_axis != self.c.axis(axis, x.rank) for x, axis in axes
        ):
            raise LayerError("it runs along time and along another axis")
        return found

    def _input(self, inner: Assembly, name: str, shape: tuple[int, ...]) -> Value:
        """A row, or a state, in the body."""
        held = tuple(a for a, n in enumerate(shape) if n != 1)
        own = tuple(shape[a] for a in held)
        layer = Input(name=f"{self.c.name}/{name}", class_name="Input", shape=own)
        return Value(inner.add(layer, ()), shape, held)

    def _ends(
        self, c: Call, results: Sequence[Operand], inputs: Sequence[Value]
    ) -> list[tuple[Value, Ref]]:
        """What comes out of the body, states held as they were before."""
        found = []
        for number, x in enumerate(results):
            y = x if isinstance(x, Value) else c.constant(np.asarray(x))
            is_state = number < len(self.states)
            if is_state and y.shape != inputs[number].shape:
                raise LayerError("a state has another shape after a row than before")
            found.append((y, c.arranged(y, inputs[number].held if is_state else y.needed)))
        return found

    def _layer(
        self,
        nodes: Sequence[Node],
        starts: Sequence[Array],
        rows: Sequence[Value],
        inputs: Sequence[Value],
        ends: Sequence[tuple[Value, Ref]],
    ) -> list[Value]:
        """The layer, its states, and the rows that come out of it."""
        c, count = self.c, len(starts)
        graph = Graph(
            tuple(nodes),
            tuple(x.ref.node for x in (*inputs[count:], *inputs[:count])),
            tuple(ref for _, ref in (*ends[count:], *ends[:count])),
        )
        held = tuple(
            start.reshape([start.shape[a] for a in x.held])
            for start, x in zip(starts, inputs, strict=False)
        )
        layer = c.layer(Scanned, graph=graph, starts=held)
        first = c.add(layer, *(c.arranged(x, x.needed) for x in rows))
        found = [
            Value(Ref(first.node, len(ends) - count + k), y.shape, inputs[k].held, y.dtype)
            for k, (y, _) in enumerate(ends[:count])
        ]
        steps = rows[0].shape[rows[0].held[0]]
        for k, (y, _) in enumerate(ends[count:]):
            after = (0, *(a + 1 for a in y.needed))
            ref = Ref(first.node, k)
            found.append(Value(ref, (steps, *y.shape), after, y.dtype, time=True))
        return found


def _others(x: Value) -> tuple[int, ...]:
    """The axes of a sequence but for time."""
    return tuple(a for a in range(x.rank) if a != x.time_axis)


def _refuse(nodes: Sequence[Node]) -> None:
    """One refusal for all that is refused in a body."""
    layers = [node.layer for node in nodes if isinstance(node.layer, Unsupported)]
    if layers:
        told = "; ".join(f"{x.name} ({x.class_name}): {x.message}" for x in layers)
        raise LayerError(f"in its body: {told}")


class _Outside(Scope):
    """The scope of a body that is a graph of its own: of what is outside it sees constants."""

    def find(self, name: str) -> Any:
        """What the name stands for."""
        if name in self.names:
            return self.names[name]
        found = MISSING if self.outer is None else self.outer.find(name)
        if isinstance(found, Value):
            raise LayerError(f"its body reads {name!r}, which is computed outside of it")
        return found


def _scan(c: Call) -> Result:
    if c.opset < 9:
        raise LayerError("Scan of opset 8 is not supported; 9 and later are")
    return _Scan(c).outputs()


TABLE = (Operator("Scan", _scan, note="along time, or over a number of rows that is known"),)
