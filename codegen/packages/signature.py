"""The functions of a generated file as the templates of packages call them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from codegen.lowered import Lowered
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import Buffer, Port, Program, rows_looked_up
from codegen.targets.spine.integers import fractions
from codegen.targets.spine.outline import Outline, facts

# Of a type in C: its number in NumPy's C interface, its name in NumPy, and arrays in JavaScript.
KINDS = {
    "float": ("NPY_FLOAT32", "float32", "Float32Array"),
    "double": ("NPY_FLOAT64", "float64", "Float64Array"),
    "int32_t": ("NPY_INT32", "int32", "Int32Array"),
    "int16_t": ("NPY_INT16", "int16", "Int16Array"),
}


@dataclass(frozen=True)
class Tensor:
    """An input or output of a call, without the axis of a batch.

    `name` is x0, x1, ... or y0, y1, ..., `label` what users call it. `size` is the number of its
    values in macros of the C header, for a tensor of `step`. `shape` may depend on free lengths.
    An input that is looked up in tables of `rows` holds numbers below that; 0 for all others.
    """

    name: str
    label: str
    kind: str  # in C
    size: str
    shape: tuple[Dim, ...]
    rows: int

    @property
    def values(self) -> int:
        """How many values one of a fixed shape has."""
        return dims.fixed(dims.product(self.shape))

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.kind not in ("float", "double")

    @property
    def low(self) -> int:
        """The least whole number that an input takes; 0 where it takes any number."""
        return -(2**15) if self.kind == "int16_t" else 0

    @property
    def high(self) -> int:
        """The largest; -1 where it takes any number."""
        return 2**15 - 1 if self.kind == "int16_t" else self.rows - 1

    @property
    def reading(self) -> str:
        """What a sketch puts into it until a user does."""
        if self.kind == "int32_t":
            return "0"
        return f"({self.kind})analogRead(A0)" + ("" if self.whole else " / 1023")


@dataclass(frozen=True)
class Call:
    """What `step` or `predict` takes and gives."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All of them in the order of the arguments in C."""
        return (*self.inputs, *self.outputs)

    @property
    def arguments(self) -> str:
        """What follows the state in a call of step in C."""
        return ", ".join(tensor.name for tensor in self.tensors)

    @property
    def labels(self) -> str:
        """The arguments as users call them."""
        return ", ".join(tensor.label for tensor in self.inputs)


class Signature:
    """Calls, states and lengths of a model."""

    def __init__(self, lowered: Lowered, name: str, options: Mapping[str, Any]) -> None:
        self.lowered, self.upper = lowered, name.upper()
        self.outline = Outline(lowered, options)
        self.real = "double" if self.outline.dtype == "float64" else "float"
        self.state_kind = "int32_t" if lowered.whole.integers else self.real
        self.warmup, self.hop = lowered.warmup, lowered.hop
        self.most = int(options.get("max_steps") or 1)  # of steps, where there is no `step`
        self.lengths = lowered.whole.lengths
        self.facts = facts(lowered)
        self.fractions = fractions(lowered)  # of inputs and outputs that are integers

    @cached_property
    def step(self) -> Call | None:
        """One step, where there is one."""
        return None if self.lowered.step is None else self._call(self.lowered.step)

    @cached_property
    def whole(self) -> Call:
        """A whole input."""
        return self._call(self.lowered.whole)

    @property
    def states(self) -> list[tuple[int, ...]]:
        """The shapes of the states that get_state gives, without the number of steps seen."""
        return [state.shape for state in self.outline.states]

    @property
    def rank(self) -> int:
        """The largest number of axes of anything, 1 at least."""
        calls = [call for call in (self.step, self.whole) if call is not None]
        shapes = [tensor.shape for call in calls for tensor in call.tensors]
        return max(1, *(len(shape) for shape in (*shapes, *self.states)))

    # ---- lengths ----------------------------------------------------------------------------

    @property
    def counts(self) -> range:
        """Which of the free lengths `predict` in C takes: all that a step takes are the same."""
        return range(len(self.lengths[:1] if self.step else self.lengths))

    @property
    def wanted(self) -> str:
        """What `predict` expects of its lengths, for a message."""
        return " and ".join(f"{dims.text(a)} {b} {dims.text(c)}" for a, b, c in self.conditions)

    @property
    def tests(self) -> list[str]:
        """The same as conditions in C, of an array `n` of lengths."""
        return [f"{self._in_c(a)} {b} {self._in_c(c)}" for a, b, c in self.conditions]

    @cached_property
    def conditions(self) -> list[tuple[Dim, str, Dim]]:
        """What holds of the lengths that `predict` in C takes."""
        lengths = [dims.symbol(length) for length in self.lengths]
        found = [*self.outline.conditions(self.lowered.whole)]
        if self.step:
            if self.warmup and not found:
                found.append((lengths[0], ">=", self.warmup * self.hop + 1))
            found += [(lengths[0], "==", other) for other in lengths[1:]]
        else:
            found += [(length, "<=", self.most) for length in lengths]
        return list(dict.fromkeys(found)) or [(length, ">=", 1) for length in lengths]

    def axes(self, shape: Sequence[Dim]) -> str:
        """A shape as numbers in C: -1 - k stands for free length k."""
        free = {str(dims.symbol(length)): -1 - k for k, length in enumerate(self.lengths)}
        return ", ".join(str(n if isinstance(n, int) else free[str(n)]) for n in shape) or "0"

    def axes_in_c(self, shape: Sequence[Dim]) -> str:
        """A shape as expressions in C."""
        return ", ".join(self._in_c(n) for n in shape)

    def _in_c(self, dim: Dim) -> str:
        known = {length: f"n[{k}]" for k, length in enumerate(self.lengths)}
        return dims.text(dim, "floor_div({}, {})", "{}_of({}, {})", known)

    # ---- tensors ----------------------------------------------------------------------------

    @staticmethod
    def numpy_type(kind: str) -> str:
        """The number by which NumPy's C interface knows a type of C."""
        return KINDS[kind][0]

    @staticmethod
    def numpy_name(kind: str) -> str:
        """What NumPy calls a type of C."""
        return KINDS[kind][1]

    @staticmethod
    def javascript(kind: str) -> str:
        """The class of arrays of a type of C."""
        return KINDS[kind][2]

    def _call(self, program: Program) -> Call:
        whole = self.lowered.whole
        inputs = [
            self._tensor("x", k, *pair)
            for k, pair in enumerate(zip(program.inputs, whole.inputs, strict=True))
        ]
        outputs = [
            self._tensor("y", k, *pair)
            for k, pair in enumerate(zip(program.outputs, whole.outputs, strict=True))
        ]
        return Call(tuple(inputs), tuple(outputs))

    def _tensor(self, letter: str, number: int, port: Port, whole: Port) -> Tensor:
        programs = [p for p in (self.outline.whole, self.outline.step) if p is not None]
        rows = rows_looked_up(port.name, programs) if letter == "x" else None
        size = self._size("INPUT" if letter == "x" else "OUTPUT", number, port, whole)
        kind, shape, name = self._kind(port.buffer), tuple(port.shape), f"{letter}{number}"
        return Tensor(name, port.buffer.name, kind, size, shape, rows or 0)

    def _kind(self, buffer: Buffer) -> str:
        return {"int16": "int16_t", "int32": "int32_t"}.get(buffer.dtype, self.real)

    def _size(self, kind: str, number: int, port: Port, whole: Port) -> str:
        """The values of a tensor of step; "" where their number is not fixed."""
        row, count = _row(whole), port.buffer.size
        if not isinstance(row, int) or not isinstance(count, int):
            return ""
        macro, rows = f"{self.upper}_{kind}_{number}_SIZE", count // max(1, row)
        return macro if rows == 1 else f"{macro} * {rows}"


def _row(port: Port) -> Dim:
    """The values of one time step, or of the tensor where its length is fixed."""
    return dims.product(port.shape[1:] if varies(port.shape) else port.shape)


def varies(shape: Sequence[Dim]) -> bool:
    """Whether the first axis may have any length."""
    return bool(shape) and not isinstance(shape[0], int)
