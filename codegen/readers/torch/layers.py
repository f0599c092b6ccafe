"""From a class of `torch.nn`, its options and tensors to canonical layers.

Options have torch's names and the defaults of torch 2. Formulas: the documentation of `torch.nn`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from codegen.activations import Activation
from codegen.errors import LayerError
from codegen.layers.core import Dense
from codegen.layers.operations import GetItem
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
from codegen.readers.settings import Config, show
from codegen.readers.torch.description import unknown
from codegen.readers.torch.tensors import Stored

Some = TypeVar("Some", bound=Layer)
Builder = Callable[["Bound"], "Layer | tuple[Layer, ...]"]


@dataclass
class Bound:
    """A layer with what belongs to it: options, and tensors by their names without the prefix."""

    name: str
    class_name: str
    options: Config
    tensors: Mapping[str, Stored]
    rank: int  # of its input, with the batch axis
    live: bool = False  # axes are where torch has them; else time is before the channels
    allow_nonfinite: bool = False
    used: set[str] = field(default_factory=set)

    @property
    def channels_last(self) -> bool:
        """Whether channels are the last axis of what torch has them as the second of."""
        return not self.live and self.rank <= 3

    @property
    def channel_axis(self) -> int:
        """The axis of the channels, counted with the batch axis."""
        return -1 if self.channels_last else 1

    def has(self, name: str) -> bool:
        """Whether there is such a tensor."""
        return name in self.tensors

    def array(self, name: str, *shape: int | None) -> Array:
        """The numbers of a tensor of this shape; None stands for any length."""
        found = self.tensors.get(name)
        if found is None:
            there = ", ".join(sorted(self.tensors)[:12]) or "none"
            raise LayerError(f"it has no tensor {name!r}; found: {there}")
        self.used.add(name)
        fits = len(found.shape) == len(shape) and all(
            wanted in (None, length) for length, wanted in zip(found.shape, shape, strict=True)
        )
        if not fits:
            wanted_text = ", ".join("any" if n is None else str(n) for n in shape)
            raise LayerError(
                f"tensor {name!r} is of shape {list(found.shape)}, expected [{wanted_text}]"
            )
        if not found.is_float:
            raise LayerError(f"tensor {name!r} is of type {found.dtype}, expected floats")
        numbers = found.load()
        if not self.allow_nonfinite and not np.isfinite(numbers).all():
            raise LayerError(
                f"tensor {name!r} has values that are not finite; --allow-nonfinite takes them"
            )
        return numbers

    def optional(self, name: str, *shape: int | None) -> Array | None:
        """The same, None where the tensor is not there."""
        return self.array(name, *shape) if self.has(name) else None

    def agree(self, key: str, found: Any) -> None:
        """Refuse an option that says otherwise than the tensors do."""
        said = self.options.get(key, found)
        said = list(said) if isinstance(said, tuple) else said
        if said != found:
            raise LayerError(f"{key} is {show(said)}, its tensors say {show(found)}")

    def layer(self, kind: type[Some], name: str | None = None, **fields: Any) -> Some:
        """A canonical layer under this one's name and class."""
        return kind(name=name or self.name, class_name=self.class_name, **fields)


# ---- recurrent layers -----------------------------------------------------------------------

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


def _recurrent(kind: str) -> Builder:
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
        return tuple(found)

    return build


def _single_cell(kind: str) -> Builder:
    """GRUCell, LSTMCell or RNNCell, called once a time step."""

    def build(b: Bound) -> Layer:
        inputs = b.options.integer("input_size") if "input_size" in b.options else None
        cell = _cell(b, kind, "", inputs, b.name)
        return b.layer(Recurrent, cell=cell, return_sequences=True)

    return build


# ---- products -------------------------------------------------------------------------------


def _linear(b: Bound) -> Layer:
    weight = b.array("weight", None, None)
    units, inputs = weight.shape
    bias = b.optional("bias", units)
    b.agree("in_features", inputs)
    b.agree("out_features", units)
    b.agree("bias", bias is not None)
    return b.layer(Dense, kernel=weight.T, bias=bias)


def _last(b: Bound) -> Layer:
    if b.rank < 3:
        raise LayerError("its input has no time axis of which to take the last step")
    return b.layer(GetItem, items=(-1,))


# ---- the table ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """How a class is built: which options it knows, how many inputs, what becomes of the rank."""

    build: Builder
    options: tuple[str, ...] = ()
    has_weights: bool = True
    inputs: tuple[int, int] = (1, 1)
    rank: Callable[[int], int] = lambda rank: rank


_CELL = ("input_size", "hidden_size", "bias")
_STACK = (*_CELL, "num_layers", "batch_first", "dropout", "bidirectional")

KINDS: dict[str, Kind] = {
    "RNN": Kind(_recurrent("RNN"), (*_STACK, "nonlinearity")),
    "GRU": Kind(_recurrent("GRU"), _STACK),
    "LSTM": Kind(_recurrent("LSTM"), (*_STACK, "proj_size")),
    "RNNCell": Kind(_single_cell("RNN"), (*_CELL, "nonlinearity")),
    "GRUCell": Kind(_single_cell("GRU"), _CELL),
    "LSTMCell": Kind(_single_cell("LSTM"), _CELL),
    "Linear": Kind(_linear, ("in_features", "out_features", "bias")),
    "Last": Kind(_last, has_weights=False, rank=lambda rank: rank - 1),
}


def build(b: Bound, inputs: int) -> tuple[Layer, ...]:
    """The canonical layers that the class is, one after the other; LayerError where it is none."""
    kind = KINDS.get(b.class_name)
    if kind is None:
        close = difflib.get_close_matches(b.class_name, KINDS, 1)
        hint = f"did you mean {close[0]}?" if close else "docs/pytorch.md lists those that are"
        raise LayerError(f"the class is not supported; {hint}")
    for key in b.options:
        if key not in kind.options:
            raise LayerError(f"it has {unknown(key, kind.options)}")
    low, high = kind.inputs
    if not low <= inputs <= high:
        raise LayerError(f"it takes {inputs} inputs, expected {low}")
    found = kind.build(b)
    return found if isinstance(found, tuple) else (found,)
