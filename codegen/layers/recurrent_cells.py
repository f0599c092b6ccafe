"""Cells that Keras has not: an LSTM whose gates see its state, and cells for a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from codegen.layers.recurrent import TANH, Cell, LSTMCell
from codegen.model import Array, Layer
from codegen.program.activations import Activation
from codegen.program.ops import At, Expr, Local

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class PeepholeLSTMCell(LSTMCell):
    """c' = f c + i act(candidate); h' = o output(c').

    With peepholes (Gers & Schmidhuber 2000) the sums of i and f have p c besides, that of o p c'.
    Where `coupled`, f = 1 - i.
    """

    peepholes: Array | None = None  # (3, units): of i, f, o
    output_activation: Activation = TANH
    coupled: bool = False

    @property
    def describe(self) -> str:
        """Units and what differs from the usual."""
        notes = [super().describe]
        notes += [] if self.peepholes is None else ["peepholes"]
        notes += ["forget gate 1 - input gate"] if self.coupled else []
        if self.output_activation != self.activation:
            notes.append(f"{self.output_activation} of the cell")
        return ", ".join(notes)

    def advance(self, b: Builder, x: Tensor, states: tuple[Tensor, ...]) -> Tensor:
        """Emit one step."""
        n = self.units
        h, c = states[0].vec(), states[1].vec()
        gates = self.sums(b, "gates", x, h)
        sums: list[Expr] = [At(gates[k * n : (k + 1) * n]) for k in range(4)]
        last = sums[3]
        if self.peepholes is not None:
            table = b.const("peepholes", self.peepholes)
            sums[0] = sums[0] + At(table.row(0)) * At(c)
            sums[1] = sums[1] + At(table.row(1)) * At(c)
            last = last + At(table.row(2)) * Local("cell")
        gate = self.recurrent_activation.gate
        forget = 1.0 - Local("input_gate") if self.coupled else gate(sums[1])
        b.elementwise(
            (c, Local("cell")),
            (h, Local("output_gate") * self.output_activation(Local("cell"))),
            input_gate=gate(sums[0]),
            forget_gate=forget,
            candidate=self.activation(sums[2]),
            cell=Local("forget_gate") * At(c) + Local("input_gate") * Local("candidate"),
            output_gate=gate(last),
        )
        return states[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class BatchCell(Cell):
    """A cell for each row of its input, with a state for each."""

    cell: Cell
    rows: int

    @property
    def states(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The states of all rows."""
        return tuple((role, (self.rows, *shape)) for role, shape in self.cell.states)

    @property
    def describe(self) -> str:
        """The cell and the number of rows."""
        return f"{self.cell.describe}, {self.rows} in parallel"

    @property
    def inner(self) -> tuple[Layer, ...]:
        """The cell."""
        return (self.cell,)

    def advance(self, b: Builder, x: Tensor, states: tuple[Tensor, ...]) -> Tensor:
        """Emit one step of every row."""
        with b.loop(self.rows, counter="row") as row:
            self.cell.advance(b, x.at(row), tuple(state.at(row) for state in states))
        return states[0]
