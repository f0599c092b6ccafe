"""A convolution inside a recurrent layer: ConvLSTM1D and 2D."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from codegen.errors import LayerError
from codegen.layers.convolution import convolve
from codegen.layers.recurrent import TANH, Cell, Recurrent, gates_note
from codegen.layers.shared.axes import transpose
from codegen.layers.shared.windows import Geometry, padding_of, part_of, reach
from codegen.model import Array
from codegen.program import dims
from codegen.program.activations import SIGMOID, Activation
from codegen.program.dims import Dim
from codegen.program.ops import At, Local

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvLSTMCell(Cell):
    """An LSTM cell whose products are convolutions over the axes of one step's tensor."""

    kernel: Array  # (size, [size,] inputs, 4 * filters), channels i, f, candidate, o
    recurrent_kernel: Array  # (size, [size,] filters, 4 * filters)
    bias: Array | None  # (4 * filters,)
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str = "valid"
    activation: Activation = TANH
    recurrent_activation: Activation = SIGMOID
    spatial: tuple[int, ...] = ()  # shape of the states without channels, once the input is known

    @property
    def geometry(self) -> Geometry:
        """The window over the input."""
        return Geometry(self.kernel.shape[:-2], self.strides, self.dilations, self.padding)

    @property
    def states(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The states h and c."""
        shape = (*self.spatial, int(self.recurrent_kernel.shape[-2]))
        return (("h", shape), ("c", shape))

    @property
    def describe(self) -> str:
        """Filters, window and activations."""
        filters = self.recurrent_kernel.shape[-2]
        note = gates_note(self.activation, self.recurrent_activation)
        return f"{self.class_name}({filters}, {self.geometry}{note})"

    def placed(self, shape: tuple[Dim, ...]) -> Cell:
        """The cell for inputs of this shape."""
        sizes = self.geometry.sizes
        if len(shape) != len(sizes) + 1:
            raise LayerError(f"its steps have {len(shape)} axes, expected {len(sizes) + 1}")
        spatial = []
        parts = zip(shape, sizes, self.strides, self.dilations, strict=False)
        for length, size, stride, dilation in parts:
            before, after = padding_of(self.padding, length, size, stride, dilation)
            rows = dims.fixed(length + before + after)
            spatial.append((rows - reach(size, dilation)) // stride + 1)
            if spatial[-1] < 1:
                raise LayerError(f"its window of {size} is longer than its input of {length}")
        return replace(self, spatial=tuple(spatial))

    def advance(self, b: Builder, x: Tensor, states: Tensors) -> Tensor:
        """Emit one step."""
        filters = int(self.recurrent_kernel.shape[-2])
        h, c = states
        given = convolve(b, x, self.geometry, self.kernel, self.bias, role="input_")
        ones = (1,) * len(self.spatial)
        around = Geometry(self.recurrent_kernel.shape[:-2], ones, ones, "same")
        kept = convolve(b, h, around, self.recurrent_kernel, None, role="recurrent_")
        with b.each(self.spatial, "place") as at:
            parts = [
                At(part_of(given.row(*at), k, filters)) + At(part_of(kept.row(*at), k, filters))
                for k in range(4)
            ]
            gate = self.recurrent_activation.gate
            input_gate = b.apply(gate, parts[0], filters, "input_gate")
            forget_gate = b.apply(gate, parts[1], filters, "forget_gate")
            candidate = b.apply(self.activation, parts[2], filters, "candidate")
            output_gate = b.apply(gate, parts[3], filters, "output_gate")
            here_h, here_c = h.row(*at), c.row(*at)
            new_c = Local("forget_gate") * At(here_c) + Local("input_gate") * Local("candidate")
            named = {"input_gate": input_gate, "forget_gate": forget_gate, "candidate": candidate}
            if self.activation.is_elementwise:
                new_h = Local("output_gate") * self.activation(Local("cell"))
                b.elementwise(
                    (here_c, Local("cell")),
                    (here_h, new_h),
                    **named,
                    output_gate=output_gate,
                    cell=new_c,
                )
            else:
                b.elementwise((here_c, new_c), **named)
                act = b.apply(self.activation, At(here_c), filters, "activated")
                b.elementwise((here_h, Local("output_gate") * act), output_gate=output_gate)
        return h


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvRecurrent(Recurrent):
    """ConvLSTM1D, ConvLSTM2D; with channels_first every step is transposed before and after."""

    channels_first: bool = False

    def run(
        self,
        b: Builder,
        x: Tensor,
        mask: Tensor | None,
        initial: Tensors,
        flip: bool = False,
    ) -> tuple[Tensor, Tensors]:
        """As any recurrent layer."""
        if not self.channels_first:
            return super().run(b, x, mask, initial, flip)
        if initial:
            raise LayerError("an initial state with data_format='channels_first' is not supported")
        assert isinstance(self.cell, ConvLSTMCell)
        for activation in (self.cell.activation, self.cell.recurrent_activation):
            if not activation.is_elementwise:  # Keras' runs along the last axis of a step
                raise LayerError(
                    f"activation {activation} with data_format='channels_first' is not supported; "
                    "data_format='channels_last' is"
                )
        rank = len(x.shape)
        given = b.like(transpose(b, x, (0, *range(2, rank), 1)), x)
        y, states = super().run(b, given, mask, (), flip)
        return _channels_first(b, y, rank), tuple(_channels_first(b, h, rank) for h in states)


def _channels_first(b: Builder, y: Tensor, rank: int) -> Tensor:
    """A step or, with as many axes as `rank`, a sequence of steps, whose channels are last."""
    steps = tuple(range(len(y.shape) - rank + 1))
    return transpose(b, y, (*steps, len(y.shape) - 1, *range(len(steps), len(y.shape) - 1)))
