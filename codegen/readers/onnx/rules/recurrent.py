"""GRU, LSTM and RNN: both directions, both layouts, every activation.

Gates are z, r, h and i, o, f, c in ONNX. `clip` bounds the sums before the activations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.operations import Operation
from codegen.layers.recurrent import (
    TANH,
    Bidirectional,
    Cell,
    GRUCell,
    LSTMCell,
    Recurrent,
    SimpleRNNCell,
)
from codegen.layers.recurrent_cells import BatchCell, PeepholeLSTMCell
from codegen.layers.reshaping import Reshape
from codegen.layers.wrappers import TimeDistributed
from codegen.model import Array, Graph, Input, Layer, Node, Ref
from codegen.program import dims
from codegen.program.activations import SIGMOID, Activation
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator
from codegen.readers.onnx.values import Operand, Value
from codegen.readers.settings import show

DIRECTIONS = ("forward", "reverse", "bidirectional")
# The activations by their names in lower case: their name here, and the defaults of alpha and
# beta; None where there is no default.
ACTIVATIONS: dict[str, tuple[str, tuple[float | None, ...]]] = {
    "relu": ("relu", ()),
    "tanh": ("tanh", ()),
    "sigmoid": ("sigmoid", ()),
    "softsign": ("softsign", ()),
    "softplus": ("softplus", ()),
    "leakyrelu": ("leaky_relu", (0.01,)),
    "thresholdedrelu": ("thresholded_relu", (1.0,)),
    "elu": ("elu", (1.0,)),
    "hardsigmoid": ("clipped_line", (0.2, 0.5)),
    "affine": ("affine", (None, None)),
    "scaledtanh": ("scaled_tanh", (None, None)),
}
OLD_EXPORT = (
    "linear_before_reset is 0, which is not what a GRU of PyTorch computes: exporters with an old "
    "onnxscript write it wrongly; export the model again with onnxscript 0.7 or later, or with "
    "dynamo=False"
)


@dataclass(frozen=True)
class _Part:
    """What belongs to one direction."""

    kernel: Array  # (inputs, gates * units), gates as ONNX has them
    recurrent: Array  # (units, gates * units)
    bias: Array | None  # (2, gates * units): of the input, of the state
    peepholes: Array | None  # (3, units): of i, o, f
    activations: tuple[Activation, ...]
    limit: float | None

    @property
    def limited(self) -> tuple[Activation, ...]:
        """The activations of sums."""
        return tuple(replace(act, limit=self.limit) for act in self.activations)


Cells = Callable[[Call, _Part], Cell]


def _gates(array: Array, order: tuple[int, ...]) -> Array:
    """Gates side by side in the last axis, in another order."""
    parts = np.split(array, len(order), axis=-1)
    return np.concatenate([parts[k] for k in order], axis=-1)


def _gru(c: Call, part: _Part) -> Cell:
    after = c.attributes.integer("linear_before_reset", 0, 0, 1) == 1
    if not after and c.assembly.file.writer.startswith("PyTorch"):
        raise LayerError(OLD_EXPORT)
    gate, act = part.limited
    return GRUCell(
        name=c.name,
        class_name=c.op,
        kernel=part.kernel,
        recurrent_kernel=part.recurrent,
        bias=part.bias if part.bias is None or after else part.bias.sum(0),
        activation=act,
        recurrent_activation=gate,
        reset_after=after,
    )


def _lstm(c: Call, part: _Part) -> Cell:
    order = (0, 2, 3, 1)
    coupled = c.attributes.integer("input_forget", 0, 0, 1) == 1
    gate, act, _ = part.limited
    fields: dict[str, Any] = {
        "name": c.name,
        "class_name": c.op,
        "kernel": _gates(part.kernel, order),
        "recurrent_kernel": _gates(part.recurrent, order),
        "bias": None if part.bias is None else _gates(part.bias.sum(0), order),
        "activation": act,
        "recurrent_activation": gate,
    }
    output = part.activations[2]  # of the cell, which is not clipped
    if part.peepholes is None and not coupled and act == output:
        return LSTMCell(**fields)
    peepholes = None if part.peepholes is None else part.peepholes[[0, 2, 1]]
    return PeepholeLSTMCell(
        **fields, peepholes=peepholes, output_activation=output, coupled=coupled
    )


def _rnn(c: Call, part: _Part) -> Cell:
    return SimpleRNNCell(
        name=c.name,
        class_name=c.op,
        kernel=part.kernel,
        recurrent_kernel=part.recurrent,
        bias=None if part.bias is None else part.bias.sum(0),
        activation=part.limited[0],
    )


def _activations(c: Call, default: tuple[Activation, ...], turns: int) -> list[Activation]:
    """Those of all directions; alpha and beta are given for those that take one, in their order."""
    names = c.attributes.get("activations")
    alphas = list(c.attributes.get("activation_alpha", ()))
    betas = list(c.attributes.get("activation_beta", ()))
    if names is None:
        return [*default] * turns
    if len(names) != len(default) * turns:
        raise LayerError(f"{len(names)} activations, expected {len(default) * turns}")
    found = []
    for name in names:
        if str(name).lower() not in ACTIVATIONS:
            raise LayerError(f"activation {show(name)} is not known")
        own, defaults = ACTIVATIONS[str(name).lower()]
        numbers = []
        for number, (given, value) in enumerate(zip((alphas, betas), defaults, strict=False)):
            if not given and value is None:
                raise LayerError(f"{name} without {('alpha', 'beta')[number]}")
            numbers.append(float(given.pop(0)) if given else float(value or 0.0))
        found.append(Activation(own, tuple(numbers)))
    return found


class _Node:
    """One recurrent node: its axes, and what is the same for all three kinds."""

    def __init__(self, c: Call, gates: int, default: tuple[Activation, ...]) -> None:
        self.c, self.x = c, c.value(0)
        if self.x.rank != 3:
            raise LayerError(f"its input has {self.x.rank} axes, expected 3")
        self.direction = c.attributes.text("direction", "forward", DIRECTIONS)
        self.turns = 2 if self.direction == "bidirectional" else 1
        self.is_turned = c.attributes.integer("layout", 0, 0, 1) == 1
        self.along, self.batch = (1, 0) if self.is_turned else (0, 1)
        # Along frequencies, say, with each step of time as a row of the batch.
        self.each = self.x.time_axis == self.batch
        self.rows = 1 if self.each else dims.fixed(self.x.shape[self.batch])
        if self.x.time and not self.each and self.x.time_axis != self.along:
            raise LayerError("its features lie along the time axis; --axes tells which one that is")
        units = c.attributes.integer("hidden_size", 0, 0)
        recurrent = c.weights(2, "recurrent weights (R)", self.turns, None, None)
        self.units = units or recurrent.shape[2]
        self.parts = self._parts(gates, default)

    def _parts(self, gates: int, default: tuple[Activation, ...]) -> list[_Part]:
        c, turns, units = self.c, self.turns, self.units
        kernel = c.weights(1, "weights (W)", turns, gates * units, dims.fixed(self.x.shape[2]))
        recurrent = c.weights(2, "recurrent weights (R)", turns, gates * units, units)
        bias = c.weights(3, "bias (B)", turns, 2 * gates * units) if c.has(3) else None
        peepholes = c.weights(7, "peepholes (P)", turns, 3 * units) if c.has(7) else None
        limit = c.attributes.get("clip")
        if limit is not None and not limit > 0:
            raise LayerError(f"clip is {limit}, expected a number above 0")
        acts = _activations(c, default, turns)
        return [
            _Part(
                np.ascontiguousarray(kernel[k].T),
                np.ascontiguousarray(recurrent[k].T),
                None if bias is None else bias[k].reshape(2, -1),
                None if peepholes is None else peepholes[k].reshape(3, -1),
                tuple(acts[k * len(default) : (k + 1) * len(default)]),
                limit,
            )
            for k in range(turns)
        ]

    # ---- what goes in -------------------------------------------------------------------------

    def sequence(self) -> tuple[Ref, int]:
        """The input by steps, as far as `sequence_lens` counts them; how many are left out."""
        c = self.c
        held = (self.along, *((self.batch,) if self.rows != 1 else ()), 2)
        ref = c.arranged(self.x, held)
        lengths = c.maybe(4, "sequence_lens")
        steps = self.x.shape[self.along]
        if lengths is None or all(n == steps for n in lengths.ravel()):
            return ref, 0
        counts = {n for n in lengths.ravel().tolist() if isinstance(n, int)}
        if len(counts) != 1 or not isinstance(steps, int) or not 0 < min(counts) < steps:
            raise LayerError(f"its sequence_lens is {show(lengths.tolist())} for {steps} steps")
        count = min(counts)
        cut = c.aside(Operation, "start", rule="get_item", settings={"items": ((0, count, None),)})
        return c.add(cut, ref), steps - count

    def starts(self, roles: int) -> tuple[Ref, ...]:
        """The initial states by direction; empty where all of them are zeros."""
        given = [self._given(role) for role in range(roles)]
        zeros = [isinstance(x, np.ndarray) and not x.any() for x in given]
        if all(x is None or zero for x, zero in zip(given, zeros, strict=True)):
            return ()
        return tuple(self._start(x, turn) for turn in range(self.turns) for x in given)

    def _given(self, role: int) -> Operand:
        c, number = self.c, 5 + role
        if not c.has(number):
            return None
        found = c.operands[number]
        shape = self._state_shape()
        if not isinstance(found, Value):
            found = c.weights(number, "initial state", *(None,) * 3)
        if tuple(found.shape) != shape:
            raise LayerError(f"its initial state is of shape {[*found.shape]}, expected {[*shape]}")
        return found

    def _start(self, x: Operand, turn: int) -> Ref:
        """The initial state of one direction, a row for each of the batch where there are more."""
        c = self.c
        axis = 1 if self.is_turned else 0
        rows = (1 - axis,) if self.rows != 1 else ()
        if isinstance(x, Value):
            if self.turns == 1:
                return c.arranged(x, (*rows, 2))
            ref = c.arranged(x, (axis, *rows, 2))
            pick = c.aside(Operation, "start", rule="get_item", settings={"items": (turn,)})
            return c.add(pick, ref)
        array = np.zeros(self._state_shape(), np.float32) if x is None else x
        assert isinstance(array, np.ndarray)
        own: Array = np.take(array, turn, axis)
        return c.constant_ref(own if self.rows != 1 else own.reshape(self.units))

    def _state_shape(self) -> tuple[int, ...]:
        first = (self.rows, self.turns) if self.is_turned else (self.turns, self.rows)
        return (*first, self.units)

    # ---- what comes out -----------------------------------------------------------------------

    def layer(self, cells: Cells) -> tuple[Layer, int]:
        """The layer, and the number of states of a direction."""
        made = [cells(self.c, part) for part in self.parts]
        if self.rows != 1:
            made = [
                BatchCell(name=cell.name, class_name=cell.class_name, cell=cell, rows=self.rows)
                for cell in made
            ]
        name = self.c.assembly.unique(self.c.name)
        layers = [
            Recurrent(
                name=name,
                class_name=self.c.op,
                cell=cell,
                return_sequences=self.c.wanted[0],
                return_state=True,
                go_backwards=self.direction == "reverse" or number == 1,
            )
            for number, cell in enumerate(made)
        ]
        if self.turns == 1:
            return layers[0], len(made[0].states)
        both = Bidirectional(
            name=name,
            class_name=self.c.op,
            forward=layers[0],
            backward=layers[1],
            merge_mode=None,
            return_sequences=self.c.wanted[0],
            return_state=True,
        )
        return both, len(made[0].states)

    def outputs(self, cells: Cells) -> list[Operand]:
        """Y, Y_h and Y_c, of which those that nothing reads are None."""
        c = self.c
        if self.each:
            return [self._of_each_step(cells)]
        layer, roles = self.layer(cells)
        ref, left_out = self.sequence()
        starts = self.starts(roles)
        keywords = {"initial_state": starts} if starts else {}
        first = c.add(layer, ref, **keywords)
        results: list[Operand] = [self._whole(first, left_out) if c.wanted[0] else None]
        for role in range(roles):
            wanted = len(c.wanted) > role + 1 and c.wanted[role + 1]
            ends = [Ref(first.node, self.turns + turn * roles + role) for turn in range(self.turns)]
            results.append(self._ends(ends) if wanted else None)
        return results

    def _of_each_step(self, cells: Cells) -> Value:
        """Y where the batch axis is the time axis: the layer from its start, for each step."""
        c, x = self.c, self.x
        if any(c.wanted[1:]) or c.has(4) or self.starts(len(cells(c, self.parts[0]).states)):
            raise LayerError(
                "its batch axis is the time axis, where only Y is supported, from zeros on"
            )
        layer, _ = self.layer(cells)
        if isinstance(layer, Bidirectional):
            layer = replace(layer, merge_mode="concat")
        assert isinstance(layer, (Recurrent, Bidirectional))
        inside = [
            Node(Input(name=f"{c.name}/row", class_name="Input", shape=self._row_shape())),
            Node(replace(layer, return_state=False), (Ref(0),)),
        ]
        if self.direction == "reverse":
            flip = c.aside(Operation, "flip", rule="flip", settings={"axis": 1})
            inside.append(Node(flip, (Ref(1),)))
        graph = Graph(tuple(inside), (0,), (Ref(len(inside) - 1),))
        y = c.add(c.layer(TimeDistributed, graph=graph), c.arranged(x, (self.batch, self.along, 2)))
        steps, rows = x.shape[self.batch], dims.fixed(x.shape[self.along])
        if self.turns == 2:
            shape = (-1, rows, 2, self.units)
            y = c.add(c.aside(Reshape, "directions", shape=shape), y)
        if self.is_turned:
            return Value(
                y, (steps, rows, self.turns, self.units), self._held(0, 1, 2), x.dtype, time=True
            )
        whole = (rows, self.turns, steps, self.units)
        return Value(y, whole, self._held(2, 0, 1), x.dtype, time=True)

    def _held(self, *axes: int) -> tuple[int, ...]:
        """Time, rows, directions (the last of `axes`, where there are two) and units."""
        return (*axes, 3) if self.turns == 2 else (*axes[:2], 3)

    def _row_shape(self) -> tuple[int, int]:
        return dims.fixed(self.x.shape[self.along]), dims.fixed(self.x.shape[2])

    def _whole(self, first: Ref, left_out: int) -> Value:
        """All steps of all directions."""
        c, x = self.c, self.x
        parts = [Ref(first.node, turn) for turn in range(self.turns)]
        if self.direction == "reverse":
            flip = c.aside(Operation, "flip", rule="flip", settings={"axis": 1})
            parts = [c.add(flip, *parts)]
        rows = (2 if self.is_turned is False else 0,) if self.rows != 1 else ()
        directions = 2 if self.is_turned else 1
        held = (self.along, *rows, 3)
        ref = parts[0]
        if self.turns == 2:
            # Side by side as rows of (directions, units), a batch before its directions.
            ref = c.add(c.aside(Operation, "join", rule="stack", settings={"axis": -2}), *parts)
            held = (self.along, *rows, directions, 3)
        if left_out:
            pairs = ((0, left_out), *((0, 0),) * (len(held) - 1))
            ref = c.add(c.aside(Operation, "rest", rule="pad", settings={"padding": pairs}), ref)
        steps = x.shape[self.along]
        shape = (
            (self.rows, steps, self.turns, self.units)
            if self.is_turned
            else (steps, self.turns, self.rows, self.units)
        )
        return Value(ref, shape, held, x.dtype, x.time)

    def _ends(self, ends: Sequence[Ref]) -> Value:
        """A state after the last step, of all directions."""
        c = self.c
        axis = 1 if self.is_turned else 0
        rows = (1 - axis,) if self.rows != 1 else ()
        ref, held = ends[0], (*rows, 2)
        if self.turns == 2:
            ref = c.add(c.aside(Operation, "join", rule="stack", settings={"axis": -2}), *ends)
            held = (*rows, axis, 2)
        return Value(ref, self._state_shape(), held, self.x.dtype)


def _row(name: str, cells: Cells, gates: int, default: tuple[Activation, ...]) -> Operator:
    return Operator(name, lambda c: _Node(c, gates, default).outputs(cells))


TABLE = (
    _row("GRU", _gru, 3, (SIGMOID, TANH)),
    _row("LSTM", _lstm, 4, (SIGMOID, TANH, TANH)),
    _row("RNN", _rnn, 1, (TANH,)),
)
