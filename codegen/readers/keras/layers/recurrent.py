"""Recurrent layers, their cells, and Bidirectional, of every era."""

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
    StackedCells,
)
from codegen.model import Array, Layer
from codegen.program.activations import SIGMOID
from codegen.readers.keras.era import Era
from codegen.readers.keras.items import (
    Bound,
    Context,
    Kind,
    Maker,
    Parts,
    Slot,
    check_shape,
    random,
    sections,
    snake_case,
    variables,
)
from codegen.readers.settings import Config, show

GRU_GATES = ("z", "r", "h")
LSTM_GATES = ("i", "c", "f", "o")  # the order in which Keras 1 stores one array per gate
LSTM_COLUMNS = ("i", "f", "c", "o")
RANDOM = random("dropout", "recurrent_dropout", "dropout_W", "dropout_U")  # the last two: Keras 1

# ---- variables ----------------------------------------------------------------------------


def _gates(*gates: str) -> Any:
    """Slots of a cell: fused, or one array per gate where Keras 1 computed gate by gate."""

    def slots(config: Config, context: Context) -> tuple[Slot, ...]:
        if context.era.is_keras1:
            if not gates or config.get("consume_less", "cpu") == "gpu":
                return variables("kernel", "recurrent_kernel", "bias")
            return variables(*(f"{kind}_{gate}" for gate in gates for kind in "WUb"))
        bias = ["bias"] if config.flag("use_bias", True) else []
        return variables("kernel", "recurrent_kernel", *bias)

    return slots


def _cudnn(config: Config, context: Context) -> tuple[Slot, ...]:
    return variables("kernel", "recurrent_kernel", "bias")


def _units(b: Bound) -> int:
    return b.config.integer("output_dim" if b.era.is_keras1 else "units")


def _fused(b: Bound, columns: tuple[str, ...]) -> tuple[Array, Array, Array | None]:
    """Kernel, recurrent kernel and bias with the gates side by side."""
    n, gates = _units(b), len(columns)
    if b.has(f"W_{columns[0]}"):
        inputs = b.weight(f"W_{columns[0]}", None, n).shape[0]
        kernel = np.concatenate([b.weight(f"W_{g}", inputs, n) for g in columns], 1)
        recurrent = np.concatenate([b.weight(f"U_{g}", n, n) for g in columns], 1)
        return kernel, recurrent, np.concatenate([b.weight(f"b_{g}", n) for g in columns])
    kernel = b.weight("kernel", None, gates * n)
    recurrent = b.weight("recurrent_kernel", n, gates * n)
    return kernel, recurrent, b.optional("bias")


def _from_cudnn(kernel: Array, recurrent: Array, units: int) -> tuple[Array, Array]:
    """CuDNN keeps each gate's matrices transposed."""
    gates = kernel.shape[1] // units
    parts = np.split(kernel, gates, 1)
    plain = [part.T.reshape(part.shape, order="F") for part in parts]
    return (
        np.concatenate(plain, 1),
        np.concatenate([part.T for part in np.split(recurrent, gates, 1)], 1),
    )


# ---- cells --------------------------------------------------------------------------------


def _simple_cell(b: Bound) -> Layer:
    n = _units(b)
    kernel, recurrent, bias = _fused(b, ("h",))
    if bias is not None:
        check_shape("bias", bias.shape, (n,))
    return b.layer(
        SimpleRNNCell,
        kernel=kernel,
        recurrent_kernel=recurrent,
        bias=bias,
        activation=b.activation(default="tanh"),
    )


def _gru_cell(b: Bound) -> Layer:
    n = _units(b)
    kernel, recurrent, bias = _fused(b, GRU_GATES)
    cudnn = b.item.class_name.startswith("CuDNN")
    if bias is not None and bias.shape == (6 * n,):  # written by CuDNNGRU
        kernel, recurrent = _from_cudnn(kernel, recurrent, n)
        bias = bias.reshape(2, 3 * n)
    if cudnn:
        reset_after = True
    elif "reset_after" in b.config:
        reset_after = b.config.flag("reset_after")
    else:
        reset_after = (bias is not None and bias.ndim == 2) or b.era.reset_after
    if bias is not None:
        check_shape("bias", bias.shape, (2, 3 * n) if reset_after else (3 * n,))
    return b.layer(
        GRUCell,
        kernel=kernel,
        recurrent_kernel=recurrent,
        bias=bias,
        activation=b.activation(default="tanh"),
        recurrent_activation=_gate_activation(b, cudnn),
        reset_after=reset_after,
    )


def _lstm_cell(b: Bound) -> Layer:
    n = _units(b)
    kernel, recurrent, bias = _fused(b, LSTM_COLUMNS)
    if bias is not None and bias.shape == (8 * n,):  # written by CuDNNLSTM
        kernel, recurrent = _from_cudnn(kernel, recurrent, n)
        bias = bias[: 4 * n] + bias[4 * n :]
    if bias is not None:
        check_shape("bias", bias.shape, (4 * n,))
    return b.layer(
        LSTMCell,
        kernel=kernel,
        recurrent_kernel=recurrent,
        bias=bias,
        activation=b.activation(default="tanh"),
        recurrent_activation=_gate_activation(b, b.item.class_name.startswith("CuDNN")),
    )


def _gate_activation(b: Bound, cudnn: bool) -> Any:
    if cudnn:
        return b.activation("recurrent_activation", "sigmoid")
    key = "inner_activation" if b.era.is_keras1 else "recurrent_activation"
    return b.activation(key, b.era.recurrent_activation)


def _stacked_parts(config: Config, make: Maker) -> Parts:
    counts: dict[str, int] = {}
    parts = []
    for entry in sections(config, "cells"):
        part = make(entry)
        stem = snake_case(str(part.entry.get("class_name")).rsplit(">", 1)[-1])
        number = counts[stem] = counts.get(stem, -1) + 1
        parts.append((f"cells/{stem}_{number}" if number else f"cells/{stem}", part))
    if not parts:
        raise LayerError("its list of cells is empty")
    return tuple(parts)


def _stacked_cells(b: Bound) -> Layer:
    cells = tuple(_cell(part) for part in b.every_part())
    return b.layer(
        StackedCells,
        cells=cells,
        last_first=b.era.last_cell_first or b.config.flag("reverse_state_order", False),
    )


def _cell(layer: Layer) -> Cell:
    if not isinstance(layer, Cell):
        raise LayerError(f"its cell is of class {layer.class_name}, which is not a supported cell")
    return layer


# ---- layers -------------------------------------------------------------------------------


def _own_cell(class_name: str) -> Any:
    """The cell of GRU and the like, whose settings are those of the layer."""

    def parts(config: Config, make: Maker) -> Parts:
        return (("cell", make({"class_name": class_name, "config": config.plain}, inside=True)),)

    return parts


def _given_cell(config: Config, make: Maker) -> Parts:
    cell = config.get("cell")
    if isinstance(cell, list):  # RNN([cell, cell])
        cell = {"class_name": "StackedRNNCells", "config": {"cells": cell}}
    if not isinstance(cell, dict):
        raise LayerError(f"cell is {show(cell)}, expected an object")
    return (("cell", make(cell)),)


def _recurrent(b: Bound) -> Layer:
    config = b.config
    unroll = config.flag("unroll", False)
    zeros = config.flag("zero_output_for_mask", False)
    cell = _cell(b.part("cell"))
    rule = b.era.mask_rule(unroll, zeros, _is_fused(config, cell)) if b.masked else "previous"
    return b.layer(
        Recurrent,
        cell=cell,
        return_sequences=config.flag("return_sequences", False),
        return_state=config.flag("return_state", False),
        stateful=config.flag("stateful", False),
        go_backwards=config.flag("go_backwards", False),
        time_major=config.flag("time_major", False),
        mask_rule=_unrolled(rule, config),
    )


def _is_fused(config: Config, cell: Cell) -> bool:
    """Whether cuDNN computes a GRU or LSTM of these settings too."""
    usual = (
        isinstance(cell, (GRUCell, LSTMCell))
        and cell.bias is not None
        and (cell.activation, cell.recurrent_activation) == (TANH, SIGMOID)
        and not (isinstance(cell, GRUCell) and not cell.reset_after)
    )
    own = "cell" not in config and not config.flag("unroll", False)
    return usual and own and not config.get("recurrent_dropout")


def _unrolled(rule: str, config: Config) -> str:
    """The rule for masked steps of an unrolled layer: read from the end, Keras turns no mask."""
    turned = all(config.flag(k, False) for k in ("unroll", "go_backwards", "return_sequences"))
    return "mirrored" if rule == "zeros" and turned else rule


def _bidirectional_parts(config: Config, make: Maker) -> Parts:
    forward = config.section("layer")
    inner = forward.section("config")
    if config.get("backward_layer") is not None:
        backward: Any = config.section("backward_layer")
    else:
        name = inner.get("name")
        turned = not inner.flag("go_backwards", False)
        changed = {"go_backwards": turned, "name": f"backward_{name}"}
        backward = {**forward, "name": None, "config": {**inner, **changed}}
    return (
        ("forward_layer", make(dict(forward))),
        ("backward_layer", make(dict(backward))),
    )


def _bidirectional(b: Bound) -> Layer:
    forward, backward = b.part("forward_layer"), b.part("backward_layer")
    if not isinstance(forward, Recurrent) or not isinstance(backward, Recurrent):
        wrong = backward if isinstance(forward, Recurrent) else forward
        raise LayerError(f"it wraps a {wrong.class_name}, expected a recurrent layer")
    if forward.go_backwards == backward.go_backwards:
        raise LayerError("its two layers read in the same direction, which is not supported")
    if forward.return_sequences != backward.return_sequences:
        raise LayerError("return_sequences differs between its forward and backward layers")
    if backward.time_major and backward.return_sequences and not b.era.bidirectional_turns_time:
        raise LayerError(
            "with time_major=True, TensorFlow before 2.3 reversed the batch instead of time, which "
            "mixes samples; save the model with time_major=False"
        )
    mode = b.config.get("merge_mode", "concat")
    if mode is not None:
        mode = b.config.text("merge_mode", "concat", ("concat", "sum", "mul", "ave"))
    parts = dict(b.item.parts)

    def ruled(layer: Recurrent, key: str) -> Recurrent:
        if not b.masked:
            return layer
        config = parts[key].config
        fused = _is_fused(config, layer.cell)
        unroll = config.flag("unroll", False)
        rule = b.era.bidirectional_mask_rule(unroll, layer.return_sequences, fused)
        return replace(layer, mask_rule=_unrolled(rule, config))

    stateful = forward.stateful or backward.stateful
    return b.layer(
        Bidirectional,
        forward=ruled(forward, "forward_layer"),
        backward=ruled(backward, "backward_layer"),
        merge_mode=mode,
        return_sequences=forward.return_sequences,
        return_state=forward.return_state,
        stateful_carried=stateful and b.era.bidirectional_carries,
    )


def started(layer: Layer, era: Era) -> Layer:
    """A recurrent layer that is called with an initial state, as the era takes it."""
    if isinstance(layer, Recurrent):
        return _started(layer, era)
    if isinstance(layer, Bidirectional):
        forward, backward = _started(layer.forward, era), _started(layer.backward, era)
        return replace(layer, forward=forward, backward=backward)
    return layer


def _started(layer: Recurrent, era: Era) -> Recurrent:
    return replace(layer, initial_once=era.initial_state_once) if layer.stateful else layer


def layer_kind(build: Any, parts: Any, state_rank: int = 2) -> Kind:
    """A recurrent layer; what is random in training is inside it."""
    return Kind(
        build,
        parts=parts,
        mask="recurrent",
        inputs=(1, 256),  # the states of the start may follow the sequence
        call=("sequences", "initial_state", "mask", "training"),
        keywords=("mask", "initial_state", "constants"),
        state_rank=state_rank,
    )


def _cell_kind(build: Any, slots: Any) -> Kind:
    """A cell, which may be called as a layer, too."""
    call = ("inputs", "states", "training")
    return Kind(build, slots, mask="stop", call=call, keywords=("states",), training=RANDOM)


KINDS = {
    "SimpleRNNCell": _cell_kind(_simple_cell, _gates()),
    "GRUCell": _cell_kind(_gru_cell, _gates(*GRU_GATES)),
    "LSTMCell": _cell_kind(_lstm_cell, _gates(*LSTM_GATES)),
    "CuDNNGRUCell": Kind(_gru_cell, _cudnn),  # names of our own: the layers have no cell
    "CuDNNLSTMCell": Kind(_lstm_cell, _cudnn),
    "StackedRNNCells": Kind(
        _stacked_cells,
        parts=_stacked_parts,
        mask="stop",
        call=("inputs", "states", "training"),
        keywords=("states",),
    ),
    "SimpleRNN": layer_kind(_recurrent, _own_cell("SimpleRNNCell")),
    "GRU": layer_kind(_recurrent, _own_cell("GRUCell")),
    "LSTM": layer_kind(_recurrent, _own_cell("LSTMCell")),
    "CuDNNGRU": layer_kind(_recurrent, _own_cell("CuDNNGRUCell")),
    "CuDNNLSTM": layer_kind(_recurrent, _own_cell("CuDNNLSTMCell")),
    "RNN": layer_kind(_recurrent, _given_cell),
    "Bidirectional": layer_kind(_bidirectional, _bidirectional_parts),
}
