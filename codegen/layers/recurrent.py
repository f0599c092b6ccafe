"""Recurrent layers: the cells' equations, and what Keras does around a cell.

Equations and gate orders: Keras' `SimpleRNNCell`, `GRUCell`, `LSTMCell` (Cho et al. 2014,
Hochreiter & Schmidhuber 1997). Row vectors: `x @ kernel`, gates side by side in the columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.errors import LayerError, NotStreamable
from codegen.model import Array, Layer
from codegen.program import dims
from codegen.program.activations import SIGMOID, Activation
from codegen.program.dims import Dim
from codegen.program.ops import At, Compare, Expr, Local, Number, Select, Vec, call
from codegen.program.tensor import values

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

TANH = Activation("tanh")


@dataclass(frozen=True, eq=False, kw_only=True)
class Cell(Layer):
    """What happens in one time step. `states` gives role and shape of each state, in order."""

    @property
    def states(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Role and shape of each state, in Keras' order."""
        raise NotImplementedError

    def placed(self, shape: tuple[Dim, ...]) -> Cell:
        """The cell for steps of this shape, on which the states of a convolution depend."""
        return self

    def advance(self, b: Builder, x: Tensor, states: tuple[Tensor, ...]) -> Tensor:
        """Emit one step: the states are replaced in place; returns the output."""
        raise NotImplementedError

    def lower(
        self, b: Builder, *inputs: Tensor, **keywords: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """One step from given states, of the cell as a layer by itself: output, then new states."""
        x, given = inputs[0], keywords.get("states", ())
        cell = self.placed(x.shape)
        if len(given) != len(cell.states):
            raise LayerError(f"it is called with {len(given)} states, expected {len(cell.states)}")
        if len(x.shape) != 1:
            raise LayerError(f"its input has {len(x.shape)} axes, expected 1")
        states = tuple(b.tensor(role, shape) for role, shape in cell.states)
        for state, start in zip(states, given, strict=True):
            check_start(state.shape, start.shape)
            b.copy(state.vec(), start.vec())
        with b.part("step"):
            y = cell.advance(b, x, states)
        sources = (x, *given)
        return tuple(b.like(one, *sources) for one in (y, *states))


def check_start(shape: tuple[Dim, ...], start: tuple[Dim, ...]) -> None:
    """Refuse a start of another shape than the state has."""
    if start != shape:
        raise LayerError(f"initial state of shape {start}, expected {shape}")


@dataclass(frozen=True, eq=False, kw_only=True)
class KernelCell(Cell):
    """A cell with a kernel and a recurrent kernel, whose columns are those of its gates in turn."""

    kernel: Array  # (inputs, gates * units)
    recurrent_kernel: Array  # (outputs, gates * units)
    bias: Array | None  # (gates * units,)
    activation: Activation = TANH

    @property
    def units(self) -> int:
        """Size of the state."""
        return int(self.recurrent_kernel.shape[0])

    @property
    def states(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The state h."""
        return (("h", (self.units,)),)

    def sums(self, b: Builder, role: str, x: Tensor, h: Vec) -> Vec:
        """Emit x K + b + h U."""
        out = b.temp(role, int(self.kernel.shape[1]))
        b.affine(
            out,
            b.vector("bias", self.bias),
            (b.weight("kernel", self.kernel.T), x.vec()),
            (b.weight("recurrent_kernel", self.recurrent_kernel.T), h),
        )
        return out


@dataclass(frozen=True, eq=False, kw_only=True)
class SimpleRNNCell(KernelCell):
    """h' = act(x K + b + h U)."""

    @property
    def describe(self) -> str:
        """Units and what differs from the usual."""
        return f"SimpleRNN({self.units}{_noted(self.activation, TANH, 'activation')})"

    def advance(self, b: Builder, x: Tensor, states: tuple[Tensor, ...]) -> Tensor:
        """Emit one step."""
        h = states[0].vec()
        a = self.sums(b, "a", x, h)
        b.copy(h, b.apply(self.activation, At(a), self.units, "activated"))
        return states[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class GRUCell(KernelCell):
    """z, r = gate(x K + b + h U); h' = z h + (1 - z) candidate.

    The candidate is act(x K + b + (r h) U) for reset_after=False, act(x K + b0 + r (h U + b1))
    for True: the bias is then (2, 3 * units), b0 and b1. Columns are those of z, r, candidate.
    """

    recurrent_activation: Activation = SIGMOID
    reset_after: bool = False

    @property
    def describe(self) -> str:
        """Units, where the reset gate acts, and what differs from the usual."""
        return (
            f"GRU({self.units}, reset_after={self.reset_after}"
            f", recurrent_activation={self.recurrent_activation}"
            f"{_noted(self.activation, TANH, 'activation')})"
        )

    def advance(self, b: Builder, x: Tensor, states: tuple[Tensor, ...]) -> Tensor:
        """Emit one step."""
        n, h = self.units, states[0].vec()
        K, U = self.kernel.T, self.recurrent_kernel.T
        gates_bias = candidate_bias = recurrent_bias = None
        if self.bias is not None and self.reset_after:
            gates_bias = self.bias[0, : 2 * n] + self.bias[1, : 2 * n]
            candidate_bias, recurrent_bias = self.bias[0, 2 * n :], self.bias[1, 2 * n :]
        elif self.bias is not None:
            gates_bias, candidate_bias = self.bias[: 2 * n], self.bias[2 * n :]

        gates = b.temp("gates", 2 * n)
        b.affine(
            gates,
            b.vector("gates_bias", gates_bias),
            (b.weight("gates_kernel", K[: 2 * n]), x.vec()),
            (b.weight("gates_recurrent_kernel", U[: 2 * n]), h),
        )
        gate = self.recurrent_activation.gate
        update = b.apply(gate, At(gates[:n]), n, "update")
        reset = b.apply(gate, At(gates[n:]), n, "reset")
        new_h = Local("update") * At(h) + (1.0 - Local("update")) * Local("candidate")

        candidate = b.temp("candidate", n)
        bias = b.vector("candidate_bias", candidate_bias)
        kernel = b.weight("candidate_kernel", K[2 * n :])
        recurrent_kernel = b.weight("candidate_recurrent_kernel", U[2 * n :])
        if self.reset_after:
            recurrent = b.temp("recurrent", n)
            b.affine(candidate, bias, (kernel, x.vec()))
            b.affine(
                recurrent,
                b.vector("candidate_recurrent_bias", recurrent_bias),
                (recurrent_kernel, h),
            )
            if self.activation.is_elementwise:
                pre = At(candidate) + Local("reset") * At(recurrent)
                act = self.activation(pre)
                b.elementwise((h, new_h), update=update, reset=reset, candidate=act)
                return states[0]
            b.elementwise((candidate, At(candidate) + Local("reset") * At(recurrent)), reset=reset)
        else:
            reset_h = b.temp("reset_h", n)
            b.elementwise((reset_h, Local("reset") * At(h)), reset=reset)
            b.affine(candidate, bias, (kernel, x.vec()), (recurrent_kernel, reset_h))
        act = b.apply(self.activation, At(candidate), n, "activated")
        b.elementwise((h, new_h), update=update, candidate=act)
        return states[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class LSTMCell(KernelCell):
    """c' = f c + i act(candidate); h' = o act(c').

    Columns are those of i, f, candidate, o. With a projection (Sak et al. 2014) h' is that times
    `projection`.
    """

    recurrent_activation: Activation = SIGMOID
    projection: Array | None = None  # (outputs, units); without one, outputs = units

    @property
    def units(self) -> int:
        """Size of the state c."""
        return int(self.kernel.shape[1]) // 4

    @property
    def states(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The states h and c."""
        return (("h", (int(self.recurrent_kernel.shape[0]),)), ("c", (self.units,)))

    @property
    def describe(self) -> str:
        """Units and what differs from the usual."""
        projected = "" if self.projection is None else f", projected to {len(self.projection)}"
        return (
            f"LSTM({self.units}{projected}, recurrent_activation={self.recurrent_activation}"
            f"{_noted(self.activation, TANH, 'activation')})"
        )

    def advance(self, b: Builder, x: Tensor, states: tuple[Tensor, ...]) -> Tensor:
        """Emit one step."""
        n = self.units
        h, c = states[0].vec(), states[1].vec()
        gates = self.sums(b, "gates", x, h)
        parts = [gates[k * n : (k + 1) * n] for k in range(4)]
        gate = self.recurrent_activation.gate
        input_gate = b.apply(gate, At(parts[0]), n, "input_gate")
        forget_gate = b.apply(gate, At(parts[1]), n, "forget_gate")
        candidate = b.apply(self.activation, At(parts[2]), n, "candidate")
        output_gate = b.apply(gate, At(parts[3]), n, "output_gate")
        new_c = Local("forget_gate") * At(c) + Local("input_gate") * Local("candidate")
        named = {"input_gate": input_gate, "forget_gate": forget_gate, "candidate": candidate}
        y = h if self.projection is None else b.temp("unprojected", n)
        if self.activation.is_elementwise:
            new_h = Local("output_gate") * self.activation(Local("cell"))
            b.elementwise(
                (c, Local("cell")), (y, new_h), **named, output_gate=output_gate, cell=new_c
            )
        else:
            b.elementwise((c, new_c), **named)
            act = b.apply(self.activation, At(c), n, "activated")
            b.elementwise((y, Local("output_gate") * act), output_gate=output_gate)
        if self.projection is not None:
            b.affine(h, None, (b.weight("projection", self.projection), y))
        return states[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class StackedCells(Cell):
    """Cells in which each feeds its output to the next within the same step.

    `last_first`: states go in and out of the model with the last cell's first (Keras 2.1).
    """

    cells: tuple[Cell, ...]
    last_first: bool = False

    @property
    def states(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """One group of states for each cell."""
        return tuple(
            (f"cell_{number}_{role}", shape)
            for number, cell in enumerate(self.cells)
            for role, shape in cell.states
        )

    @property
    def describe(self) -> str:
        """The cells in order."""
        return "[" + ", ".join(cell.describe for cell in self.cells) + "]"

    @property
    def inner(self) -> tuple[Layer, ...]:
        """The cells."""
        return self.cells

    def advance(self, b: Builder, x: Tensor, states: tuple[Tensor, ...]) -> Tensor:
        """Emit one step."""
        first = 0
        for number, cell in enumerate(self.cells):
            own = states[first : first + len(cell.states)]
            with b.part(f"cell_{number}"):
                x = cell.advance(b, x, own)
            first += len(own)
        return x


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrent(Layer):
    """A cell along the time axis: GRU, LSTM, SimpleRNN, RNN, ConvLSTM.

    `mask_rule` is what a masked step gives: "state" (the state h as it stands: Keras up to 2.2.4),
    "previous" (the previous output, zeros where there was none in this call), "zeros"
    (zero_output_for_mask) or "mirrored" (the same, unrolled from the end: the previous output, but
    zeros in row t of the output where step t of the input is masked, which is another step).
    """

    cell: Cell
    return_sequences: bool = False
    return_state: bool = False
    stateful: bool = False
    go_backwards: bool = False
    time_major: bool = False
    mask_rule: str = "previous"
    initial_once: bool = False  # stateful: initial_state counts only while the states are zero
    delay: float = 1.0  # steps that the states of the past are back, where they run along time

    @property
    def describe(self) -> str:
        """The cell and how it is run."""
        notes = [self.cell.describe]
        notes += [f"state of {self.delay:.6g} steps ago"] if self.delay != 1 else []
        notes += ["stateful"] if self.stateful else []
        notes += ["go_backwards"] if self.go_backwards else []
        notes += ["last step only"] if not self.return_sequences else []
        return ", ".join(notes)

    @property
    def is_stateful(self) -> bool:
        """As saved."""
        return self.stateful

    @property
    def inner(self) -> tuple[Layer, ...]:
        """The cell."""
        return (self.cell,)

    def lower(
        self, b: Builder, *inputs: Tensor, **keywords: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Outputs, then the final states with return_state."""
        x, initial = inputs[0], (*inputs[1:], *keywords.get("initial_state", ()))
        if keywords.get("constants"):
            raise LayerError("constants are not supported; concatenate them to the input")
        mask = b.mask_of(x, keywords)
        if b.step and b.has_time and not b.is_inner:
            if self.go_backwards:
                raise NotStreamable("it reads the sequence backwards")
            if initial and not b.starts and not self._starts_fixed(initial):
                raise NotStreamable("its initial state is another tensor of the model")
        if self.time_major:
            raise LayerError("time_major=True is not supported; save the model with False")
        y, states = self.run(b, x, mask, initial)
        out_mask = (mask or x.mask) if self.return_sequences else None
        y = replace(b.like(y, x, mask=out_mask), time=x.time and self.return_sequences)
        if not self.return_sequences:
            y = replace(y, last=x.time or x.last)
        if not self.return_state:
            return (y,)
        last = x.time or x.last
        return (y, *(replace(state, lead=x.lead, last=last) for state in states))

    def run(
        self,
        b: Builder,
        x: Tensor,
        mask: Tensor | None,
        initial: tuple[Tensor, ...],
        flip: bool = False,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The output (of the last step, without return_sequences) and the final states.

        With `flip` the sequence that comes out is turned around.
        """
        if not x.shape:
            raise LayerError("its input has no axis besides the batch axis, so no steps")
        placed = replace(self, cell=self.cell.placed(x.shape[1:]))
        return placed.run_placed(b, x, mask, initial, flip)

    def run_placed(
        self,
        b: Builder,
        x: Tensor,
        mask: Tensor | None,
        initial: tuple[Tensor, ...],
        flip: bool,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The same, once the cell knows the shape of its steps."""
        order = self._outside(range(len(self.cell.states)))
        if initial and len(initial) != len(order):
            raise LayerError(f"{len(initial)} initial states found, expected {len(order)}")
        fixed = bool(initial) and self._starts_fixed(initial)
        starts = {k: values(x) for k, x in zip(order, initial, strict=True)} if fixed else {}
        given = bool(initial) and not fixed
        states = tuple(
            b.tensor(role, shape)
            if given and b.is_inner
            else self._state(b, role, shape, starts.get(number))
            for number, (role, shape) in enumerate(self.cell.states)
        )
        outside = tuple(states[number] for number in order)
        lines: tuple[Tensor, ...] = ()
        if self.delay != 1 and x.time:
            if mask is not None or (initial and not fixed):
                what = "a mask" if mask is not None else "an initial state that is not a constant"
                raise LayerError(f"{what} does not go with a delayed state")
            lines = tuple(
                self._line(b, role, shape, starts.get(number))
                for number, (role, shape) in enumerate(self.cell.states)
            )
        if not fixed:
            self._start(b, outside, initial)
        previous = None
        if mask is not None and self.mask_rule == "zeros":
            previous = b.tensor("masked_output", self._output_shape())
        elif mask is not None and self.mask_rule != "state" and (self.stateful or initial):
            # Zeros at the start of every call, even where h is not zero; else h is as good.
            previous = b.state("previous", self._output_shape())

        count = x.shape[0]
        sequence: Tensor | None = None
        with b.loop(count, carried=True) as t:
            at = count - 1 - t if self.go_backwards else t
            kept = self._keep(b, states) if mask is not None else ()
            y = self.cell.advance(b, x.at(at), states)
            for state, line in zip(states, lines, strict=False):
                self._put_back(b, state, line)
            if mask is not None:
                y = self._masked(b, y, mask.row(at), states, kept, previous)
            if self.return_sequences:
                if count == 1:
                    sequence = y.reshape((1, *y.shape))
                else:
                    sequence = b.outer_tensor("output", (count, *y.shape))
                    row: Expr = At(y.vec())
                    if mask is not None and self.mask_rule == "mirrored":
                        row = Select(At(mask.row(t).every(y.size)), row, Number(0.0))
                    b.copy(sequence.row(count - 1 - t if flip else t), row)
        return (y if sequence is None else sequence), outside

    def _starts_fixed(self, initial: tuple[Tensor, ...]) -> bool:
        """Whether every call starts from the same numbers, as it else does from zeros."""
        return not self.stateful and all(values(x) is not None for x in initial)

    def _state(self, b: Builder, role: str, shape: tuple[int, ...], start: Array | None) -> Tensor:
        if start is not None:
            check_start(shape, start.shape)
        return b.state(role, shape, self.stateful, start)

    def _line(self, b: Builder, role: str, shape: tuple[int, ...], start: Array | None) -> Tensor:
        """The states that steps of the past have computed, as many as `_put_back` needs."""
        rows = math.floor(self.delay) + (0 if self.delay.is_integer() else 1)
        initial = None if start is None else np.repeat(start[None], rows, axis=0)
        return b.state(f"{role}_line", (rows, *shape), self.stateful, initial, line=True)

    def _put_back(self, b: Builder, state: Tensor, line: Tensor) -> None:
        """Keep the state that the step has computed; the next one starts from an older one.

        With d = n + f the next step sees (1 - f) of the state n steps before it and f of the one
        before that, as the layers of RTNeural do at another sample rate.
        """
        b.shift(line, state.vec())
        part = self.delay % 1
        old = At(line.row(0))
        b.copy(state.vec(), old if part == 0 else part * old + (1 - part) * At(line.row(1)))

    def _start(self, b: Builder, states: tuple[Tensor, ...], initial: tuple[Tensor, ...]) -> None:
        """Set the states to the given ones; where `initial_once`, only if all of them are zero."""
        carried = None
        if initial and self.stateful and self.initial_once:
            for number, state in zip(self._outside(range(len(states))), states, strict=True):
                differs = Compare("!=", At(state.row(dims.symbol("unit"))), Number(0.0))
                found = b.temp(f"carried_{self.cell.states[number][0]}", 1)
                b.reduce(found, "max", (("unit", state.size),), differs)
                if carried is not None:
                    b.copy(found, call("max", At(carried), At(found)))
                carried = found
        for state, start in zip(states, initial, strict=False):
            check_start(state.shape, start.shape)
            value: Expr = At(start.vec())
            if carried is not None:
                value = Select(At(carried.every(state.size)), At(state.vec()), value)
            b.copy(state.vec(), value)

    def _outside(self, states: range) -> tuple[int, ...]:
        """The numbers of the states in the order in which the model passes them around."""
        if not (isinstance(self.cell, StackedCells) and self.cell.last_first):
            return tuple(states)
        groups, first = [], 0
        for cell in self.cell.cells:
            groups.append(states[first : first + len(cell.states)])
            first += len(cell.states)
        return tuple(number for group in reversed(groups) for number in group)

    def _output_shape(self) -> tuple[int, ...]:
        cell = self.cell
        while isinstance(cell, StackedCells):
            cell = cell.cells[-1]
        return cell.states[0][1]

    def _keep(self, b: Builder, states: tuple[Tensor, ...]) -> tuple[Vec, ...]:
        """Copies of the states, to go back to where the step is masked."""
        roles = [role for role, _ in self.cell.states]
        kept = tuple(
            b.temp(f"kept_{role}", state.size) for role, state in zip(roles, states, strict=True)
        )
        for copy, state in zip(kept, states, strict=True):
            b.copy(copy, state.vec())
        return kept

    def _masked(
        self,
        b: Builder,
        y: Tensor,
        counts: Vec,
        states: tuple[Tensor, ...],
        kept: tuple[Vec, ...],
        previous: Tensor | None,
    ) -> Tensor:
        """Undo the step where `counts` is 0; returns what the layer puts out."""
        if previous is not None:
            otherwise = Number(0.0) if self.mask_rule == "zeros" else At(previous.vec())
            chosen = Select(At(counts.every(y.size)), At(y.vec()), otherwise)
            b.copy(previous.vec(), chosen)
        for state, copy in zip(states, kept, strict=True):
            here = Select(At(counts.every(state.size)), At(state.vec()), At(copy))
            b.copy(state.vec(), here)
        return y if previous is None else previous


@dataclass(frozen=True, eq=False, kw_only=True)
class Bidirectional(Layer):
    """Two recurrent layers over the same input in opposite directions; outputs merged.

    With return_sequences the output of `backward` is turned around before, as Keras does (to the
    order of the input's steps, unless it is `forward` that has go_backwards).
    `stateful_carried`: the era carries a stateful layer's states between predict calls.
    """

    forward: Recurrent
    backward: Recurrent
    merge_mode: str | None  # concat, sum, mul, ave, or None for two outputs
    return_sequences: bool = False
    return_state: bool = False
    stateful_carried: bool = False

    @property
    def describe(self) -> str:
        """Both directions and the merge mode."""
        backward = self.backward.cell.describe
        same = backward == self.forward.cell.describe
        both = self.forward.cell.describe + ("" if same else f" and {backward}")
        last = "" if self.return_sequences else ", last step only"
        return f"Bidirectional({both}, merge_mode={self.merge_mode}){last}"

    @property
    def is_stateful(self) -> bool:
        """Whether a state is carried between predict calls."""
        return self.stateful_carried

    @property
    def inner(self) -> tuple[Layer, ...]:
        """Both directions."""
        return (self.forward, self.backward)

    def lower(
        self, b: Builder, *inputs: Tensor, **keywords: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """The merged output (or two), then forward and backward states with return_state."""
        x, initial = inputs[0], (*inputs[1:], *keywords.get("initial_state", ()))
        b.needs_whole(x, "its backward half reads the sequence from the end")
        mask = b.mask_of(x, keywords)
        split = len(self.forward.cell.states) if initial else 0
        results = []
        for part, layer, start, flip in (
            ("forward", self.forward, initial[:split], False),
            ("backward", self.backward, initial[split:], True),
        ):
            carried = replace(layer, stateful=layer.stateful and self.stateful_carried)
            with b.part(part):
                results.append(carried.run(b, x, mask, start, flip))
        (left, left_states), (right, right_states) = results
        states = (*left_states, *right_states) if self.return_state else ()
        out_mask = (mask or x.mask) if self.return_sequences else None

        def finish(y: Tensor) -> Tensor:
            return replace(b.like(y, x, mask=out_mask), time=x.time and self.return_sequences)

        if self.merge_mode is None:
            return (finish(left), finish(right), *states)
        axes, n, m = left.shape[:-1], left.shape[-1], right.shape[-1]
        size = n + m if self.merge_mode == "concat" else n
        if self.merge_mode != "concat" and n != m:
            raise LayerError(f"merge_mode {self.merge_mode} of {n} and {m} units")
        out = b.tensor("output", (*axes, size))
        with b.each(axes, counter="t") as at:
            y, p, q = out.row(*at), left.row(*at), right.row(*at)
            if self.merge_mode == "concat":
                b.copy(y[:n], p)
                b.copy(y[n:], q)
            elif self.merge_mode == "sum":
                b.copy(y, At(p) + At(q))
            elif self.merge_mode == "mul":
                b.copy(y, At(p) * At(q))
            elif self.merge_mode == "ave":
                b.copy(y, 0.5 * (At(p) + At(q)))
            else:
                raise LayerError(f"merge_mode {self.merge_mode!r} is not supported")
        return (finish(out), *states)


def gates_note(activation: Activation, recurrent_activation: Activation) -> str:
    """The activations of a gated cell, for a heading."""
    recurrent = f", recurrent_activation={recurrent_activation}"
    return recurrent + _noted(activation, TANH, "activation")


def _noted(found: Activation, usual: Activation, name: str) -> str:
    return "" if found == usual else f", {name}={found}"
