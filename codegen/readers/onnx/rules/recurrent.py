"""GRU, LSTM and RNN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from codegen.activations import SIGMOID, Activation
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
from codegen.layers.reshaping import Reshape
from codegen.model import Array, Ref
from codegen.program import dims
from codegen.readers.onnx.call import Call
from codegen.readers.onnx.operator import Operator
from codegen.readers.onnx.values import Value

DIRECTIONS = ("forward", "reverse", "bidirectional")


@dataclass(frozen=True)
class _Part:
    """What belongs to one direction."""

    kernel: Array  # (inputs, gates * units), gates as ONNX has them
    recurrent: Array  # (units, gates * units)
    bias: Array | None  # (2, gates * units): of the input, of the state
    activations: tuple[Activation, ...]


Cells = Callable[[Call, _Part], Cell]


def _gates(array: Array, order: tuple[int, ...]) -> Array:
    """Gates side by side in the last axis, in another order."""
    parts = np.split(array, len(order), axis=-1)
    return np.concatenate([parts[k] for k in order], axis=-1)


def _gru(c: Call, part: _Part) -> Cell:
    after = c.attributes.integer("linear_before_reset", 0, 0, 1) == 1
    bias = part.bias if part.bias is None or after else part.bias.sum(0)
    gate, act = part.activations
    return GRUCell(
        name=c.name,
        class_name=c.op,
        kernel=part.kernel,
        recurrent_kernel=part.recurrent,
        bias=bias,
        activation=act,
        recurrent_activation=gate,
        reset_after=after,
    )


def _lstm(c: Call, part: _Part) -> Cell:
    order = (0, 2, 3, 1)  # ONNX has i, o, f, c
    gate, act, out = part.activations
    if act != out:
        raise LayerError("its last two activations differ")
    return LSTMCell(
        name=c.name,
        class_name=c.op,
        kernel=_gates(part.kernel, order),
        recurrent_kernel=_gates(part.recurrent, order),
        bias=None if part.bias is None else _gates(part.bias.sum(0), order),
        activation=act,
        recurrent_activation=gate,
    )


def _rnn(c: Call, part: _Part) -> Cell:
    return SimpleRNNCell(
        name=c.name,
        class_name=c.op,
        kernel=part.kernel,
        recurrent_kernel=part.recurrent,
        bias=None if part.bias is None else part.bias.sum(0),
        activation=part.activations[0],
    )


def _activations(c: Call, default: tuple[Activation, ...], turns: int) -> list[Activation]:
    given = c.attributes.get("activations")
    c.attributes.get("activation_alpha")
    c.attributes.get("activation_beta")
    if given is None:
        return [*default] * turns
    names = {"sigmoid": SIGMOID, "tanh": TANH, "relu": Activation("relu")}
    if len(given) != len(default) * turns:
        raise LayerError(f"{len(given)} activations, expected {len(default) * turns}")
    wrong = [name for name in given if name.lower() not in names]
    if wrong:
        raise LayerError(f"activation {wrong[0]!r} is not supported")
    return [names[name.lower()] for name in given]


def _recurrent(c: Call, cells: Cells, gates: int, default: tuple[Activation, ...]) -> list[Value]:
    x = c.value(0)
    if x.rank != 3:
        raise LayerError(f"its input has {x.rank} axes, expected 3")
    units = c.attributes.integer("hidden_size")
    direction = c.attributes.text("direction", "forward", DIRECTIONS)
    turns = 2 if direction == "bidirectional" else 1
    along, batch = (1, 0) if c.attributes.integer("layout", 0, 0, 1) else (0, 1)
    inputs = dims.fixed(x.shape[2])
    kernel = c.weights(1, "weights (W)", turns, gates * units, inputs)
    recurrent = c.weights(2, "recurrent weights (R)", turns, gates * units, units)
    bias = c.weights(3, "bias (B)", turns, 2 * gates * units) if c.has(3) else None
    acts = _activations(c, default, turns)
    parts = [
        _Part(
            np.ascontiguousarray(kernel[k].T),
            np.ascontiguousarray(recurrent[k].T),
            None if bias is None else bias[k].reshape(2, -1),
            tuple(acts[k * len(default) : (k + 1) * len(default)]),
        )
        for k in range(turns)
    ]
    if x.shape[batch] != 1:
        raise LayerError(f"its batch axis has length {x.shape[batch]}, expected 1")
    ref = c.arranged(x, (along, 2))
    made = [cells(c, part) for part in parts]
    name = c.assembly.unique(c.name)
    layers = [
        Recurrent(
            name=name,
            class_name=c.op,
            cell=cell,
            return_sequences=True,
            return_state=True,
            go_backwards=direction == "reverse" or number == 1,
        )
        for number, cell in enumerate(made)
    ]
    roles = len(made[0].states)
    starts: list[Ref] = []
    if c.has(5):
        given = c.value(5)
        starts = [c.arranged(given, (2,))]
    if turns == 2:
        both = Bidirectional(
            name=name,
            class_name=c.op,
            forward=layers[0],
            backward=layers[1],
            merge_mode="concat",
            return_sequences=True,
            return_state=True,
        )
        y = c.add(both, ref, *starts)
    else:
        y = c.add(layers[0], ref, *starts)
    states = [
        [Ref(y.node, 1 + turn * roles + role) for turn in range(turns)] for role in range(roles)
    ]
    if direction == "reverse":
        y = c.add(c.aside(Operation, "flip", rule="flip", settings={"axis": 1}), y)
    shape = list(x.shape[:2])
    whole = (shape[0], turns, 1, units) if along == 0 else (1, shape[1], turns, units)
    held = (along, 3) if turns == 1 else (along, 1 if along == 0 else 2, 3)
    if turns == 2:
        length = -1 if x.time else dims.fixed(x.shape[along])
        y = c.add(c.aside(Reshape, "directions", shape=(length, turns, units)), y)
    results = [Value(y, whole, held, x.dtype, x.time)]
    for role in range(roles):
        ends = states[role]
        if turns == 2:
            raise LayerError("states")
        one = (turns, 1, units) if along == 0 else (1, turns, units)
        results.append(Value(ends[0], one, (2,), x.dtype))
    return results[: len(c.wanted)]


def _row(name: str, cells: Cells, gates: int, default: tuple[Activation, ...]) -> Operator:
    return Operator(name, lambda c: _recurrent(c, cells, gates, default))


TABLE = (
    _row("GRU", _gru, 3, (SIGMOID, TANH)),
    _row("LSTM", _lstm, 4, (SIGMOID, TANH, TANH)),
    _row("RNN", _rnn, 1, (TANH,)),
)
