"""Programs of integers written by hand: what every target has to compute to the last bit.

    lowered = PROGRAMS["gru"](seed=1)
    reference = Reference(lowered, machine=Integers(batch))

Each is written twice from one text, as a step and as the whole sequence. Weights come from the
seed; `extreme` ones are the largest that a row can hold. The ranges are such that nothing leaves
its type, which the machine asserts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from codegen.layers.core import Dense
from codegen.lowered import Lowered
from codegen.lowering import lower
from codegen.model import Array
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.integers import ONE, fits
from codegen.program.ops import (
    Affine,
    At,
    Block,
    Buffer,
    Compare,
    Count,
    Elementwise,
    Expr,
    Gather,
    Index,
    Local,
    Loop,
    Mat,
    Number,
    Op,
    Operand,
    Port,
    Program,
    Reduce,
    Select,
    Shift,
    Softmax,
    State,
    Table,
    Vec,
    When,
    call,
    expr,
)
from tests.support.models import chain

LOW, HIGH = -ONE, ONE - 1
STEPS = dims.symbol("steps")


def sigmoid_table() -> Array:
    """sigmoid(i / 32) 2^15 for i up to 384."""
    return np.floor(ONE / (1 + np.exp(-np.arange(385) / 32)) + 0.5).clip(0, HIGH)


def tanh_table() -> Array:
    """tanh(i / 32) 2^15 for i up to 256."""
    return np.floor(np.tanh(np.arange(257) / 32) * ONE + 0.5).clip(0, HIGH)


def exp_table() -> Array:
    """exp(-i / 16) 32767 for i up to 192."""
    return np.floor(np.exp(-np.arange(193) / 16) * HIGH + 0.5)


@dataclass(frozen=True)
class Rows:
    """A sequence of rows of integers; it begins `lead` steps after the first."""

    buffer: Buffer
    count: Dim
    size: int
    lead: int = 0

    def row(self, number: Dim) -> Vec:
        """One row."""
        return Vec(self.buffer, number * self.size, self.size)


@dataclass
class Kept:
    """What the step and the whole program have in common."""

    random: np.random.Generator
    extreme: bool
    buffers: dict[str, Buffer] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)


class Hand:
    """Writes one program: that of a step, or that of the whole sequence."""

    def __init__(self, kept: Kept, whole: bool) -> None:
        self.kept, self.whole = kept, whole
        self.rows: Dim = STEPS if whole else 1
        self.lead = 0
        self.blocks: list[Block] = []
        self.inputs: list[Port] = []
        self.outputs: list[Port] = []
        self.checks: list[tuple[Dim, str, Dim]] = []
        self._ops: list[list[Op]] = [[]]
        self._scope: list[str] = []
        self._name = ""

    # ---- structure ----------------------------------------------------------------------------

    @contextmanager
    def block(self, name: str, title: str) -> Iterator[None]:
        """The ops of a layer, which run once the rows before them are there."""
        self._name, self._ops = name, [[]]
        yield
        ops = tuple(self._ops.pop())
        self.blocks.append(Block(name, f"{name}: {title}", ops))

    @contextmanager
    def once(self, lead: int) -> Iterator[None]:
        """Ops of a step that run once so many steps have gone by."""
        if self.whole or not lead:
            yield
            return
        self._ops.append([])
        yield
        body = tuple(self._ops.pop())
        self.emit(When(lead, body))

    @contextmanager
    def each(self, count: Dim, carried: bool = False, counter: str = "t") -> Iterator[Dim]:
        """A loop, or its body alone for one row."""
        if count == 1:
            yield 0
            return
        self._ops.append([])
        self._scope.append(counter)
        yield dims.symbol(counter)
        self._scope.pop()
        body = tuple(self._ops.pop())
        self.emit(Loop(counter, count, body, carried))

    def emit(self, op: Op) -> None:
        """Append an op."""
        self._ops[-1].append(op)

    # ---- buffers ------------------------------------------------------------------------------

    def temp(self, role: str, size: int, dtype: str = "int32", fraction: int = 16) -> Vec:
        """Scratch for a vector."""
        name, scope = f"{self._name}_{role}", tuple(self._scope)
        shape = (size,)
        return Buffer(name, size, "temp", dtype, None, scope, shape, fraction=fraction).vec()

    def sequence(
        self, role: str, count: Dim, size: int, lead: int = 0, dtype: str = "int16"
    ) -> Rows:
        """Scratch for rows; it is made outside of loops."""
        shape = (count, size)
        buffer = Buffer(
            f"{self._name}_{role}", count * size, "temp", dtype, None, (), shape, fraction=15
        )
        return Rows(buffer, count, size, lead)

    def state(
        self,
        role: str,
        shape: tuple[int, ...],
        dtype: str,
        fraction: int,
        carried: bool = False,
        initial: Array | None = None,
        line: bool = False,
    ) -> Vec:
        """A state, the same in both programs."""
        name = f"{self._name}_{role}"
        if name not in self.kept.states:
            size = int(np.prod(shape))
            buffer = Buffer(name, size, "state", dtype, None, (), shape, fraction=fraction)
            state = State(buffer, shape, self._name, role, carried, initial, line)
            self.kept.states[name] = state
        return self.kept.states[name].buffer.vec()

    def _const(self, role: str, make: Callable[[], Buffer]) -> Buffer:
        name = role if role in TABLES else f"{self._name}_{role}"
        if name not in self.kept.buffers:
            self.kept.buffers[name] = replace(make(), name=name)
        return self.kept.buffers[name]

    def vector(
        self, role: str, data: Callable[[], Array], dtype: str = "int32", fraction: int = 16
    ) -> Vec:
        """A constant vector."""

        def make() -> Buffer:
            values = np.asarray(data()).astype(dtype)
            return Buffer(
                "", values.size, "const", dtype, values, (), values.shape, fraction=fraction
            )

        return self._const(role, make).vec()

    def bias(self, role: str, size: int, largest: float = 0.5) -> Vec:
        """Random numbers with 16 bits of fraction."""
        random = self.kept.random
        return self.vector(role, lambda: np.rint(random.uniform(-largest, largest, size) * 65536))

    def table(self, role: str) -> Vec:
        """One of `TABLES`."""
        return self.vector(role, TABLES[role], "int16", 15)

    def weights(
        self, role: str, rows: int, columns: int, fraction: int = 15, dtype: str = "int8"
    ) -> tuple[Mat, int]:
        """A matrix and the shift that brings its products to 16 bits of fraction."""
        buffer = self._const(role, lambda: self._drawn(rows, columns, dtype))
        # A row's step is 2^-14 of its scale; times the fraction of the vector, in 16 bits.
        return Mat(buffer, 0, rows, columns, columns), _shift(fraction, dtype)

    def _drawn(self, rows: int, columns: int, dtype: str) -> Buffer:
        random = self.kept.random
        limit = min(127 if dtype == "int8" else 32767, (1 << 16) // columns - 1)
        if self.kept.extreme:
            data = limit * random.choice([-1, 1], (rows, columns))
            scales = np.full(rows, 32767)
        else:
            data = np.rint(random.uniform(-limit, limit, (rows, columns)))
            scales = random.integers(4000, 32768, rows)
        scales = np.minimum(scales * 127 // limit if limit < 127 else scales, 32767)
        values = data.astype(dtype)
        return Buffer(
            "",
            rows * columns,
            "const",
            dtype,
            values.reshape(-1),
            (),
            values.shape,
            scales=scales.astype(np.uint16),
        )

    # ---- ops ----------------------------------------------------------------------------------

    def affine(self, out: Vec, bias: Vec | None, *products: tuple[tuple[Mat, int], Vec]) -> None:
        """`out = bias + sum of matrix @ vector`."""
        pairs = tuple((mat, vec) for (mat, _), vec in products)
        self.emit(Affine(out, bias, pairs, tuple(shift for (_, shift), _ in products)))

    def store(self, *stores: tuple[Vec, Operand], **local: Operand) -> None:
        """An expression for each vector; keywords are locals."""
        named = tuple((name, expr(value)) for name, value in local.items())
        size = stores[0][0].size
        self.emit(Elementwise(size, named, tuple((vec, expr(e)) for vec, e in stores)))

    def sigmoid(self, value: Operand) -> Expr:
        """Of 16 bits of fraction, in 15."""
        return Table(self.table("sigmoid"), 11, expr(value), ONE)

    def tanh(self, value: Operand) -> Expr:
        """Of 16 bits of fraction, in 15."""
        return Table(self.table("tanh"), 11, expr(value), 0)

    # ---- ports --------------------------------------------------------------------------------

    def input(self, name: str, size: int, fraction: int, io: str, time: bool = True) -> Rows:
        """An input of numbers as rows of int16."""
        rows: Dim = self.rows if time else 1
        shape: tuple[Dim, ...] = (rows, size) if self.whole and time else (size,)
        dtype = "float32" if io == "float" else "int16"
        more = fraction if io == "int16" else 0
        held = (rows, size) if time else shape
        buffer = Buffer(name, rows * size, "input", dtype, None, (), held, fraction=more)
        self.inputs.append(Port(name, buffer, shape, time))
        if io == "int16":
            return Rows(buffer, rows, size)
        with self.block(name, "input"):
            found = self.sequence("fixed", rows, size)
            fixed = call("fixed", buffer.vec(), float(1 << fraction), LOW, HIGH)
            self.store((found.buffer.vec(), fixed))
        return found

    def indices(self, name: str) -> Rows:
        """An input of whole numbers."""
        shape: tuple[Dim, ...] = (self.rows,) if self.whole else ()
        buffer = Buffer(name, self.rows, "input", "int32", None, (), (self.rows,))
        self.inputs.append(Port(name, buffer, shape, True))
        return Rows(buffer, self.rows, 1)

    def output(self, name: str, y: Rows, fraction: int, io: str, last: bool = False) -> None:
        """Rows, or the last of them, as they go to the caller."""
        source = y.row(y.count - 1) if last else Vec(y.buffer, 0, y.count * y.size)
        time = not last and (y.count == self.rows or y.count != 1)
        held: tuple[Dim, ...] = (y.count, y.size) if time else (y.size,)
        shape = held if self.whole else (y.size,)
        dtype = "float32" if io == "float" else "int16"
        more = fraction if io == "int16" else 0
        buffer = Buffer(name, source.size, "output", dtype, None, (), held, fraction=more)
        self.outputs.append(Port(name, buffer, shape, time))
        with self.block(f"output_{name}", "output"), self.once(y.lead):
            value = call("real", source, 2.0**-fraction) if io == "float" else _int16(At(source))
            self.store((buffer.vec(), value))

    # ---- the program --------------------------------------------------------------------------

    def program(self) -> Program:
        """All of it."""
        used = {port.buffer for port in (*self.inputs, *self.outputs)}
        lengths = any(dims.symbols(buffer.size) for buffer in used)
        return Program(
            "net",
            tuple(self.inputs),
            tuple(self.outputs),
            tuple(self.kept.states.values()),
            tuple(self.blocks),
            ("steps",) if lengths else (),
            tuple(self.checks),
            integers=True,
        )


TABLES: dict[str, Callable[[], Array]] = {
    "sigmoid": sigmoid_table,
    "tanh": tanh_table,
    "exp": exp_table,
}


def _shift(fraction: int, dtype: str) -> int:
    """Rows hold up to 127 (or 2^16 over columns) steps of up to 32767 / 2^15 / 127."""
    return max(1, fraction - (8 if dtype == "int8" else 6))


def _int16(value: Expr) -> Expr:
    return call("saturated", value)


# ---- layers -----------------------------------------------------------------------------------


def gru(
    h: Hand,
    name: str,
    x: Rows,
    units: int,
    reset_after: bool = False,
    backwards: bool = False,
    mask: Rows | None = None,
    carried: bool = False,
    dtype: str = "int8",
    initial: Array | None = None,
) -> Rows:
    """As h' = h + (1 - z) (c - h), h with 30 bits of fraction, what products read with 15."""
    n = units
    with h.block(name, f"GRU({units}, reset_after={reset_after})"):
        state = h.state("h", (n,), "int32", 30, carried, initial)
        y = h.sequence("output", x.count, n, x.lead)
        kernel = partial(h.weights, columns=x.size, dtype=dtype)
        recurrent_kernel = partial(h.weights, columns=n, dtype=dtype)
        with h.once(x.lead), h.each(x.count, carried=True) as t:
            at = x.count - 1 - t if backwards else t
            h15 = h.temp("h15", n, "int16", 15)
            h.store((h15, _int16(call("shifted", state, 15))))
            gates = h.temp("gates", 2 * n)
            h.affine(
                gates,
                h.bias("gates_bias", 2 * n),
                (kernel("gates_kernel", 2 * n), x.row(at)),
                (recurrent_kernel("gates_recurrent_kernel", 2 * n), h15),
            )
            reset, update = h.sigmoid(gates[n:]), h.sigmoid(gates[:n])
            candidate = h.temp("candidate", n)
            bias = h.bias("candidate_bias", n)
            products = (kernel("candidate_kernel", n), x.row(at))
            own = recurrent_kernel("candidate_recurrent_kernel", n)
            if reset_after:
                recurrent = h.temp("recurrent", n)
                h.affine(candidate, bias, products)
                h.affine(recurrent, h.bias("recurrent_bias", n), (own, h15))
                before = At(candidate) + call("scaled", recurrent, Local("reset"))
            else:
                reset_h = h.temp("reset_h", n, "int16", 15)
                h.store((reset_h, call("shifted", Local("reset") * At(h15), 15)), reset=reset)
                h.affine(candidate, bias, products, (own, reset_h))
                before = At(candidate)
            new: Expr = At(state) + (ONE - Local("update")) * (Local("candidate") - At(h15))
            if mask is not None:
                new = Select(At(mask.row(at).every(n)), new, At(state))
            local = {"reset": reset} if reset_after else {}
            h.store((state, new), update=update, **local, candidate=h.tanh(before))
            h.store((y.row(t), _int16(call("shifted", state, 15))))
    return y


def lstm(h: Hand, name: str, x: Rows, units: int, dtype: str = "int8", wide: int = 2) -> Rows:
    """The cell state has 30 - `wide` bits of fraction, h 15."""
    n = units
    with h.block(name, f"LSTM({units})"):
        state = h.state("h", (n,), "int16", 15)
        cell = h.state("c", (n,), "int32", 30 - wide)
        y = h.sequence("output", x.count, n, x.lead)
        with h.once(x.lead), h.each(x.count, carried=True) as t:
            gates = h.temp("gates", 4 * n)
            h.affine(
                gates,
                h.bias("bias", 4 * n, 1.0),
                (h.weights("kernel", 4 * n, x.size, dtype=dtype), x.row(t)),
                (h.weights("recurrent_kernel", 4 * n, n, dtype=dtype), state),
            )
            parts = [gates[k * n : (k + 1) * n] for k in range(4)]
            new_c = call(
                "limited",
                At(cell)
                + call("shifted", Local("input_gate") * Local("candidate"), wide)
                - (ONE - Local("forget_gate")) * _int16(call("shifted", cell, 15)),
                -(1 << 30),
                (1 << 30) - 1,
            )
            narrow = _int16(call("shifted", Local("cell"), 15)) * float(1 << (wide + 1))
            new_h = call("shifted", Local("output_gate") * h.tanh(narrow), 15)
            h.store(
                (cell, Local("cell")),
                (state, _int16(new_h)),
                input_gate=h.sigmoid(parts[0]),
                forget_gate=h.sigmoid(parts[1]),
                candidate=h.tanh(parts[2]),
                output_gate=h.sigmoid(parts[3]),
                cell=new_c,
            )
            h.store((y.row(t), At(state)))
    return y


def simple_rnn(h: Hand, name: str, x: Rows, units: int, clipped: bool = False) -> Rows:
    """As h' = tanh(W x + U h + b); `clipped` takes half of the sum from -1 to 1 in place of it."""
    with h.block(name, f"SimpleRNN({units})"):
        state = h.state("h", (units,), "int16", 15)
        y = h.sequence("output", x.count, units, x.lead)
        with h.once(x.lead), h.each(x.count, carried=True) as t:
            total = h.temp("total", units)
            h.affine(
                total,
                h.bias("bias", units),
                (h.weights("kernel", units, x.size), x.row(t)),
                (h.weights("recurrent_kernel", units, units), state),
            )
            half = call("saturated", call("shifted", total, 2))
            h.store((state, half if clipped else h.tanh(total)))
            h.store((y.row(t), At(state)))
    return y


def dense(h: Hand, name: str, x: Rows, units: int, activation: str = "relu") -> Rows:
    """Linear, relu, absolute, or of `hard_sigmoid`, within a range of its own."""
    with h.block(name, f"Dense({units}, {activation})"):
        y = h.sequence("output", x.count, units, x.lead)
        bias = h.bias("bias", units)
        kernel = h.weights("kernel", units, x.size)
        with h.once(x.lead), h.each(x.count, counter="row") as t:
            total = h.temp("total", units)
            h.affine(total, bias, (kernel, x.row(t)))
            value: Expr = At(total)
            if activation == "relu":
                value = call("max", total, 0)
            elif activation == "abs":
                value = call("abs", total)
            elif activation == "hard_sigmoid":
                inside = call("min", call("max", total, -163840), 163840)
                value = call("shifted", inside * 6554.0, 15) + 32768.0
            h.store((y.row(t), call("limited", call("shifted", value, 2), LOW, HIGH)))
    return y


def softmax(h: Hand, name: str, x: Rows, units: int) -> Rows:
    """Probabilities with 15 bits of fraction: one of them may be 2^15."""
    with h.block(name, f"Dense({units}, softmax)"):
        y = h.sequence("output", x.count, units, x.lead, "int32")
        bias, kernel = h.bias("bias", units, 3.0), h.weights("kernel", units, x.size)
        with h.once(x.lead), h.each(x.count, counter="row") as t:
            total = h.temp("total", units)
            h.affine(total, bias, (kernel, x.row(t)))
            h.emit(Softmax(y.row(t), total, False, h.table("exp"), 12))
    return y


def embedding(h: Hand, name: str, index: Rows, rows: int, units: int) -> Rows:
    """Rows of a table, with 15 bits of fraction."""
    with h.block(name, f"Embedding({rows}, {units})"):
        y = h.sequence("output", index.count, units, index.lead)
        table, _ = h.weights("table", rows, units)
        with h.each(index.count, counter="row") as t:
            h.emit(Gather(y.row(t), table, index.row(t), 8))
    return y


def masked(h: Hand, name: str, index: Rows) -> Rows:
    """1 where the index is not 0."""
    with h.block(name, "mask"):
        y = h.sequence("mask", index.count, 1)
        differs = Compare("!=", At(Vec(index.buffer, 0, index.count)), Number(0.0))
        h.store((y.buffer.vec(), differs))
    return y


def conv(h: Hand, name: str, x: Rows, filters: int, dilation: int = 1, causal: bool = True) -> Rows:
    """Conv1D of three taps with tanh; its rows of the past are a line of int16."""
    n, history = x.size, 2 * dilation
    with h.block(name, f"Conv1D({filters}, dilation {dilation})"):
        line = h.state("line", (history, n), "int16", 15, line=True)
        bias, kernel = h.bias("bias", filters), h.weights("kernel", filters, 3 * n)
        taps = [(_columns(kernel, k * n, n), k * dilation) for k in range(3)]
        lead = x.lead + (0 if causal else history)
        if not h.whole:
            y = h.sequence("output", 1, filters, lead)
            total = h.temp("total", filters)
            with h.once(lead):
                rows = [Vec(line.buffer, k * n, n) for _, k in taps[:2]]
                pairs = zip(taps, (*rows, x.row(0)), strict=True)
                h.affine(total, bias, *((mat, row) for (mat, _), row in pairs))
                h.store((y.row(0), h.tanh(total)))
            with h.once(x.lead):
                h.emit(Shift(line.buffer, x.row(0)))
            return y
        rows_there = x
        if causal:
            rows_there = h.sequence("padded", x.count + history, n)
            flat = rows_there.buffer.vec()
            h.store((flat[: history * n], 0))
            h.store((flat[history * n :], At(x.buffer.vec())))
        count = rows_there.count - history
        h.checks.append((count, ">=", 1))
        y = h.sequence("output", count, filters, lead)
        with h.each(count) as t:
            total = h.temp("total", filters)
            h.affine(total, bias, *((mat, rows_there.row(t + k)) for mat, k in taps))
            h.store((y.row(t), h.tanh(total)))
        known = dims.minimum(x.count, history)
        last = Vec(x.buffer, (x.count - known) * n, known * n)
        h.store((line[(history - known) * n :], At(last)))
    return y


def _columns(weights: tuple[Mat, int], first: int, count: int) -> tuple[Mat, int]:
    mat, shift = weights
    return replace(mat, offset=mat.offset + first, columns=count), shift


def groups(h: Hand, name: str, x: Rows, number: int, filters: int) -> Rows:
    """A product for each group of numbers; where its weights are depends on a counter."""
    part = x.size // number
    with h.block(name, f"Dense({filters}) for each of {number} groups"):
        y = h.sequence("output", x.count, number * filters, x.lead)
        kernel, shift = h.weights("kernel", number * filters, part)
        with h.once(x.lead), h.each(x.count) as t, h.each(number, counter="group") as g:
            total = h.temp("total", filters)
            start = g * (filters * part)
            own = replace(kernel, offset=start, rows=filters)
            given = Vec(x.buffer, t * x.size + g, part, number)
            h.affine(total, None, ((own, shift), given))
            row = Vec(y.buffer, t * y.size + g * filters, filters)
            h.store((row, _int16(call("floor_shift", total, 1))))
    return y


def pooled(h: Hand, name: str, x: Rows, kind: str) -> Rows:
    """The largest, the smallest, or the average of each four neighbours of a row."""
    size = x.size // 4
    with h.block(name, f"{kind} of 4"):
        y = h.sequence("output", x.count, size, x.lead)
        with h.once(x.lead), h.each(x.count, counter="row") as t:
            k = dims.symbol("k")
            value = At(Vec(x.buffer, t * x.size + k, size, 4))
            if kind != "sum":
                h.emit(Reduce(y.row(t), kind, (("k", 4),), value))
            else:
                total = h.temp("total", size)
                h.emit(Reduce(total, "sum", (("k", 4),), value))
                h.store((y.row(t), call("shifted", total, 2)))
    return y


def over_time(h: Hand, name: str, x: Rows, kind: str) -> Rows:
    """The largest or the smallest of all rows."""
    with h.block(name, f"{kind} over time"):
        y = h.sequence("output", 1, x.size)
        rows = At(x.row(dims.symbol("t")))
        h.emit(Reduce(y.row(0), kind, (("t", x.count),), rows))
    return y


def ramp(h: Hand, name: str, x: Rows, rows: bool = False) -> Rows:
    """7 for each number of an element less x, and less the number of the row."""
    with h.block(name, "Position"):
        y = h.sequence("output", x.count, x.size, x.lead)
        with h.once(x.lead), h.each(x.count, counter="row") as t:
            moved = At(x.row(t)) - Index() * 7.0
            moved = moved + Count(t) if rows else moved
            h.store((y.row(t), call("limited", -moved, LOW, HIGH)))
    return y


def together(h: Hand, name: str, a: Rows, b: Rows) -> Rows:
    """Products a b side by side with sums a + b, of two sequences of one width."""
    n = a.size
    with h.block(name, "Concatenate"):
        y = h.sequence("output", a.count, 2 * n, max(a.lead, b.lead))
        with h.once(y.lead), h.each(a.count, counter="row") as t:
            left, right = At(a.row(t)), At(b.row(t if b.count == a.count else 0))
            row = y.row(t)
            h.store((row[:n], call("saturated", call("shifted", left * right, 15))))
            h.store((row[n:], call("saturated", left + right)))
    return y


# ---- programs -----------------------------------------------------------------------------------

Write = Callable[[Hand, str], None]


def written(write: Write, seed: int, extreme: bool, io: str, steps: bool = True) -> Lowered:
    """Both programs from one text; `steps` False where there is only the whole sequence."""
    kept = Kept(np.random.default_rng(seed), extreme)
    hands = [Hand(kept, whole) for whole in ((False, True) if steps else (True,))]
    for hand in hands:
        write(hand, io)
    programs = [hand.program() for hand in hands]
    for buffer in kept.buffers.values():
        assert buffer.data is not None
        assert fits(buffer.data, buffer.dtype)
    kernel = np.zeros((3, 2), np.float32)
    layer = Dense(name="dense", class_name="Dense", kernel=kernel, bias=None)
    base = lower(chain([layer], (None, 3), "net"))
    return replace(
        base,
        whole=programs[-1],
        step=programs[0] if steps else None,
        reason=None if steps else "layer 'reduce': it needs the whole sequence",
        warmup=hands[0].lead if steps else 0,
    )


def _end(h: Hand, y: Rows, io: str, fraction: int = 15, last: bool = False) -> None:
    h.output("y", y, fraction, io, last)
    h.lead = max(h.lead, y.lead)


def _gru(h: Hand, io: str, reset_after: bool = False, dtype: str = "int8") -> None:
    x = h.input("x", 3, 13, io)
    y = gru(h, "gru", x, 8, reset_after, dtype=dtype)
    _end(h, dense(h, "dense", y, 2, "linear"), io, 14)


def _stack(h: Hand, io: str) -> None:
    x = h.input("x", 3, 12, io)
    start = np.random.default_rng(5).integers(-(1 << 30), 1 << 30, 6)
    y = gru(h, "gru_1", x, 6, carried=True, initial=start)
    y = gru(h, "gru_2", y, 5, reset_after=True)
    _end(h, softmax(h, "dense", y, 3), io)


def _lstm(h: Hand, io: str, dtype: str = "int8") -> None:
    y = lstm(h, "lstm", h.input("x", 2, 14, io), 7, dtype)
    _end(h, dense(h, "dense", y, 1, "relu"), io, 14)


def _rnn(h: Hand, io: str) -> None:
    y = simple_rnn(h, "rnn", h.input("x", 3, 13, io), 6)
    _end(h, dense(h, "dense", y, 4, "hard_sigmoid"), io)


def _clipped(h: Hand, io: str) -> None:
    """Without a table: small enough for a board with 16 KB."""
    _end(h, simple_rnn(h, "rnn", h.input("x", 3, 13, io), 4, clipped=True), io)


def _embedding(h: Hand, io: str) -> None:
    index = h.indices("x")
    y = embedding(h, "embedding", index, 9, 5)
    _end(h, gru(h, "gru", y, 6, mask=masked(h, "mask", index)), io)


def _rings(h: Hand, io: str) -> None:
    x = h.input("x", 2, 14, io)
    y = conv(h, "conv_2", conv(h, "conv_1", x, 5), 4, dilation=3)
    _end(h, dense(h, "dense", y, 2, "abs"), io)


def _warmup(h: Hand, io: str) -> None:
    x = h.input("x", 2, 14, io)
    y = conv(h, "conv", x, 5, causal=False)
    _end(h, softmax(h, "dense", gru(h, "gru", y, 4), 3), io)


def _pooling(h: Hand, io: str) -> None:
    y = dense(h, "dense", h.input("x", 3, 13, io), 16, "linear")
    y = groups(h, "groups", y, 4, 4)
    kinds = [pooled(h, f"pool_{kind}", y, kind) for kind in ("max", "min", "sum")]
    _end(h, ramp(h, "ramp", together(h, "together", *kinds[1:])), io)


def _several(h: Hand, io: str) -> None:
    """Two inputs beside a vector that has no time axis, two outputs."""
    index, x = h.indices("x_0"), h.input("x_1", 5, 15, io)
    given = h.input("x_2", 5, 13, io, time=False)
    a = together(h, "together", embedding(h, "embedding", index, 7, 5), x)
    y = lstm(h, "lstm", together(h, "mixed", x, given), 4)
    h.output("y_0", dense(h, "dense", y, 3, "linear"), 15, io)
    h.output("y_1", softmax(h, "softmax", a, 4), 15, io)


def _backwards(h: Hand, io: str) -> None:
    x = h.input("x", 3, 13, io)
    y = together(h, "both", gru(h, "forward", x, 5), gru(h, "backward", x, 5, True, backwards=True))
    _end(h, over_time(h, "pool", ramp(h, "ramp", y, rows=True), "max"), io)


def _last(h: Hand, io: str) -> None:
    _end(h, lstm(h, "lstm", h.input("x", 2, 13, io), 5), io, last=True)


def _random(h: Hand, io: str, seed: int) -> None:
    """A stack of a few layers, drawn from the seed."""
    random = np.random.default_rng([seed, 7])
    y = h.input("x", int(random.integers(1, 6)), int(random.integers(10, 16)), io)
    for number in range(int(random.integers(1, 5))):
        name, units = f"layer_{number}", int(random.integers(1, 10))
        kind = int(random.integers(8))
        if kind == 0:
            y = gru(h, name, y, units, reset_after=bool(random.integers(2)))
        elif kind == 1:
            dtype = str(random.choice(["int8", "int16"]))
            y = lstm(h, name, y, units, dtype, int(random.integers(1, 5)))
        elif kind == 2:
            y = simple_rnn(h, name, y, units)
        elif kind == 3:
            y = conv(h, name, y, units, int(random.integers(1, 5)))
        elif kind == 4:
            activation = str(random.choice(["relu", "abs", "linear", "hard_sigmoid"]))
            y = dense(h, name, y, units, activation)
        elif kind == 5:
            y = groups(h, name, dense(h, f"{name}_wide", y, 2 * units), 2, 3)
        elif kind == 6:
            kinds = str(random.choice(["max", "min", "sum"]))
            y = pooled(h, name, dense(h, f"{name}_wide", y, 4 * units), kinds)
        else:
            y = ramp(h, name, together(h, f"{name}_twice", y, y))
    if random.integers(2):
        y = softmax(h, "softmax", y, int(random.integers(2, 6)))
    _end(h, y, io)


def _made(write: Write, steps: bool = True) -> Callable[..., Lowered]:
    def made(seed: int = 1, extreme: bool = False, io: str = "float") -> Lowered:
        return written(write, seed, extreme, io, steps)

    return made


PROGRAMS: dict[str, Callable[..., Lowered]] = {
    "gru": _made(_gru),
    "gru_reset_after": _made(partial(_gru, reset_after=True)),
    "gru_int16": _made(partial(_gru, dtype="int16")),
    "stack": _made(_stack),
    "lstm": _made(_lstm),
    "lstm_int16": _made(partial(_lstm, dtype="int16")),
    "simple_rnn": _made(_rnn),
    "clipped": _made(_clipped),
    "embedding": _made(_embedding),
    "rings": _made(_rings),
    "warmup": _made(_warmup),
    "pooling": _made(_pooling),
    "several": _made(_several),
    "backwards": _made(_backwards, steps=False),
    "last": _made(_last),
}


def random_program(seed: int, io: str = "float") -> Lowered:
    """A stack of layers of any kind; every third has the largest weights that there are."""
    return written(partial(_random, seed=seed), seed, seed % 3 == 0, io)


def inputs(lowered: Lowered, steps: int, seed: int = 0, batch: int | None = None) -> list[Array]:
    """Whole inputs, some of which are far outside of every range; indices begin at 0."""
    random: Any = np.random.default_rng([seed, 3])
    program = lowered.whole
    found = []
    for port in program.inputs:
        shape: Sequence[int] = [n if isinstance(n, int) else steps for n in port.shape]
        shape = shape if batch is None else (batch, *shape)
        if port.buffer.dtype == "int32":
            found.append(random.integers(0, program.looked_up[port.buffer], shape))
        elif port.buffer.dtype == "int16":
            found.append(random.integers(LOW, HIGH + 1, shape))
        else:
            x = random.normal(0, 1.5, shape)
            far = random.random(shape) < 0.02
            x = np.where(far, random.choice([1e9, -1e9, np.nan, np.inf, -np.inf], shape), x)
            found.append(x.astype(np.float32))
    return found
