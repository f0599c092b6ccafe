"""RNN, GRU and LSTM of any depth, in one direction or both, and their single cells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from codegen.errors import LayerError
from codegen.layers.recurrent import (
    TANH,
    Bidirectional,
    Cell,
    GRUCell,
    LSTMCell,
    Recurrent,
    SimpleRNNCell,
)
from codegen.model import Array, Layer
from codegen.program.activations import Activation
from codegen.readers.torch.layers.bound import Bound, Builder, Kind

# Gates in the order of the rows, and in that of the canonical layers' columns.
ROWS = {"RNN": ("h",), "GRU": ("r", "z", "n"), "LSTM": ("i", "f", "g", "o")}
COLUMNS = {"RNN": ("h",), "GRU": ("z", "r", "n"), "LSTM": ("i", "f", "g", "o")}


def gates(kind: str, rows: Array) -> Array:
    """Rows of torch's gates in canonical order; first axis: gates times units."""
    parts = dict(zip(ROWS[kind], np.split(rows, len(ROWS[kind])), strict=True))
    return np.concatenate([parts[gate] for gate in COLUMNS[kind]])


def _cell(b: Bound, kind: str, suffix: str, inputs: int | None, name: str) -> Cell:
    """One direction of one layer."""
    count = len(ROWS[kind])
    w = b.array(f"weight_ih{suffix}", None, inputs)
    rows = int(w.shape[0])
    if rows % count:
        raise LayerError(f"weight_ih{suffix} has {rows} rows, expected a multiple of {count}")
    units = rows // count
    b.agree("hidden_size", units)
    projection = b.optional(f"weight_hr{suffix}", None, units) if kind == "LSTM" else None
    outputs = units if projection is None else int(projection.shape[0])
    b.agree("proj_size", 0 if projection is None else outputs)
    u = b.array(f"weight_hh{suffix}", rows, outputs)
    both: tuple[Array, Array] | None = None
    if b.has(f"bias_ih{suffix}") or b.has(f"bias_hh{suffix}"):
        both = (b.array(f"bias_ih{suffix}", rows), b.array(f"bias_hh{suffix}", rows))
    b.agree("bias", both is not None)
    fields: dict[str, Any] = {
        "kernel": gates(kind, w).T,
        "recurrent_kernel": gates(kind, u).T,
        "bias": None if both is None else gates(kind, both[0] + both[1]),
    }
    if kind == "GRU":
        if both is not None:
            fields["bias"] = np.stack([gates(kind, bias) for bias in both])
        return b.layer(GRUCell, name, reset_after=True, **fields)
    if kind == "LSTM":
        return b.layer(LSTMCell, name, projection=projection, **fields)
    said = b.options.text("nonlinearity", "tanh", ("tanh", "relu"))
    activation = TANH if said == "tanh" else Activation("relu")
    return b.layer(SimpleRNNCell, name, activation=activation, **fields)


def _width(cell: Cell) -> int:
    return cell.states[0][1][0]


def _stack(kind: str) -> Builder:
    """RNN, GRU or LSTM of any number of layers, in one direction or both."""

    def build(b: Bound) -> tuple[Layer, ...]:
        depth = 0
        while b.has(f"weight_ih_l{depth}"):
            depth += 1
        if not depth:
            b.array("weight_ih_l0", None, None)
        directions = ("", "_reverse") if b.has("weight_ih_l0_reverse") else ("",)
        b.agree("num_layers", depth)
        b.agree("bidirectional", len(directions) == 2)
        found: list[Layer] = []
        inputs = b.options.integer("input_size") if "input_size" in b.options else None
        for number in range(depth):
            name = b.name if depth == 1 else f"{b.name}/l{number}"
            runs = []
            for suffix in directions:
                cell = _cell(b, kind, f"_l{number}{suffix}", inputs, name)
                backwards = suffix != ""
                runs.append(
                    b.layer(
                        Recurrent, name, cell=cell, return_sequences=True, go_backwards=backwards
                    )
                )
            inputs = sum(_width(run.cell) for run in runs)
            if len(runs) == 1:
                found.append(runs[0])
                continue
            found.append(
                b.layer(
                    Bidirectional,
                    name,
                    forward=runs[0],
                    backward=runs[1],
                    merge_mode="concat",
                    return_sequences=True,
                )
            )
        b.turned = False
        if b.options.flag("final", False):
            b.rank -= 1
            last = found[-1]
            assert isinstance(last, (Recurrent, Bidirectional))
            found[-1] = _final(last)
        return tuple(found)

    return build


def _final(layer: Recurrent | Bidirectional) -> Layer:
    """The layer giving its final states h, those of both directions side by side."""
    if isinstance(layer, Recurrent):
        return replace(layer, return_sequences=False)
    return replace(
        layer,
        forward=replace(layer.forward, return_sequences=False),
        backward=replace(layer.backward, return_sequences=False),
        return_sequences=False,
    )


def _single_cell(kind: str) -> Builder:
    """GRUCell, LSTMCell or RNNCell, called once a time step."""

    def build(b: Bound) -> Layer:
        inputs = b.options.integer("input_size") if "input_size" in b.options else None
        cell = _cell(b, kind, "", inputs, b.name)
        b.turned = False
        return b.layer(Recurrent, cell=cell, return_sequences=True)

    return build


_CELL = ("input_size", "hidden_size", "bias")
_STACK = (*_CELL, "num_layers", "batch_first", "dropout", "bidirectional", "final")

KINDS: dict[str, Kind] = {
    "RNN": Kind(_stack("RNN"), (*_STACK, "nonlinearity")),
    "GRU": Kind(_stack("GRU"), _STACK),
    "LSTM": Kind(_stack("LSTM"), (*_STACK, "proj_size")),
    "RNNCell": Kind(_single_cell("RNN"), (*_CELL, "nonlinearity")),
    "GRUCell": Kind(_single_cell("GRU"), _CELL),
    "LSTMCell": Kind(_single_cell("LSTM"), _CELL),
}
