"""The pass: programs of floats become programs of integers.

Every buffer gets a type and a fraction from its range (`ranges.py`): what products alone read is
int16, what else there is int32; a state that an op computes from itself has all the bits of int32.
The ops stay what they are, with expressions of integers; where a product reads what is int32, a
copy of 16 bits comes before it. Integers' bounds are followed exactly (`fixed.py`) until nothing
changes any more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codegen.errors import Problem, UnsupportedError
from codegen.integers import fixed
from codegen.integers.expressions import (
    CannotFit,
    Compiler,
    Tables,
    Unsupported,
    constant,
    sum_of,
)
from codegen.integers.fixed import MOST, SHORT, Fixed, exponent, with_fraction
from codegen.integers.ranges import NOTHING, Range, Ranges, affine_range, largest
from codegen.integers.split import buffers_of, free_name
from codegen.integers.weights import rounded
from codegen.passes.quantise_weights import in_rows
from codegen.program import dims
from codegen.program.derived import numbers_of
from codegen.program.ops import (
    Affine,
    Array,
    At,
    Block,
    Buffer,
    Call,
    Elementwise,
    Expr,
    Gather,
    Local,
    Loop,
    Mat,
    Number,
    Op,
    Port,
    Program,
    Reduce,
    Shift,
    Softmax,
    State,
    Vec,
    When,
    reads,
    walk_ops,
    writes,
)

SUM = 16  # bits of fraction of a sum of products
STATE = 30  # bits of a state and its fraction, beside the sign
SCRATCH = 29
PLAIN = 22  # bits of fraction of a number that a constant begins
PROBABILITY = 15
LARGEST = 40  # bits of the largest number that a fraction below 0 makes room for
ROUNDS = 8  # until what still grows is held within its format


class NoRange(Unsupported):
    """No bound is known for what an op computes."""


@dataclass(frozen=True)
class Made:
    """The programs of integers, the buffers that calibration bounds, and rows with larger steps."""

    programs: tuple[Program, ...]
    limited: tuple[Buffer, ...]
    wider_rows: int


def convert(
    programs: Sequence[Program],
    ranges: Ranges,
    weights: str,
    io: str,
    warmup: int,
    source: str,
    classes: Mapping[str, str],
) -> Made:
    """The programs in integers; UnsupportedError lists every layer that has no such arithmetic.

    `weights` is int8 or int16, `io` float or int16: what inputs and outputs are.
    """
    conversion = _Conversion(programs, ranges, weights, io, warmup)
    for number in range(2 * ROUNDS):
        if number == ROUNDS:
            conversion.held = set(conversion.changed)
        found = conversion.run()
        if conversion.problems:
            problems = tuple(
                Problem(
                    name, classes.get(name, "output"), f"{text}; --quantize weights keeps floats"
                )
                for name, text in conversion.problems.items()
            )
            raise UnsupportedError(source, problems)
        if not conversion.changed:
            break
    assert not conversion.changed
    limited = tuple(b for b in ranges.pinned if b in conversion.stored)
    return Made(found, limited, conversion.wider_rows)


class _Conversion:
    def __init__(
        self,
        programs: Sequence[Program],
        ranges: Ranges,
        weights: str,
        io: str,
        warmup: int,
    ) -> None:
        self.programs, self.ranges, self.io, self.warmup = programs, ranges, io, warmup
        self.weights = weights
        self.rows = in_rows(programs)
        self.recurrent = {
            vec.buffer
            for program in programs
            for op in walk_ops(program.ops)
            if isinstance(op, Elementwise)
            for vec in writes(op)
            if any(v.buffer is vec.buffer for v in reads(op))
        }
        self.short = _only_multiplied(programs, self.recurrent)
        self.whole = ranges.whole
        self.tables = Tables()
        self.buffers: dict[Buffer, Buffer] = {}
        self.bounds: dict[Buffer, tuple[int, int]] = {}  # of the new buffers
        self.matrices: dict[Buffer, tuple[Buffer, int]] = {}
        self.constants: dict[tuple[Buffer, int, str], Buffer] = {}
        self.temps: dict[object, Buffer] = {}
        self.stored: set[Buffer] = set()
        self.states: dict[Buffer, State] = {}
        self.problems: dict[str, str] = {}
        self.changed: set[Buffer] = set()  # whose bounds have grown in this round
        self.held: set[Buffer] = set()  # that would grow without end, and are kept in their format
        self.block = ""
        self.scope: tuple[str, ...] = ()
        self.names = {buffer.name for program in programs for buffer in buffers_of(program)}
        self.place = 0  # of the next scratch buffer, the same in every round
        for program in programs:
            for state in program.states:
                self._state(state)

    @property
    def wider_rows(self) -> int:
        """How many rows of weights took a larger step so that their sums fit."""
        return sum(wider for _, wider in self.matrices.values())

    def run(self) -> tuple[Program, ...]:
        """All programs, once."""
        self.changed, self.place = set(), 0
        return tuple(self._program(program) for program in self.programs)

    # ---- programs ----------------------------------------------------------------------------

    def _program(self, program: Program) -> Program:
        first: list[Op] = []
        last: list[Op] = []
        inputs = tuple(self._input(port, first) for port in program.inputs)
        blocks = []
        for block in program.blocks:
            self.block = block.name
            blocks.append(replace(block, ops=tuple(self._ops(block.ops))))
        self.block = "output"
        outputs = tuple(self._output(port, last) for port in program.outputs)
        if first:
            blocks.insert(0, Block("inputs", "inputs as integers", tuple(first)))
        if last:
            late = program.lengths == () and self.warmup
            ops = (When(self.warmup, tuple(last)),) if late else tuple(last)
            kind = "floats" if self.io == "float" else "int16"
            blocks.append(Block("outputs", f"outputs as {kind}", ops))
        states = tuple(self.states[state.buffer] for state in program.states)
        return replace(
            program,
            inputs=inputs,
            outputs=outputs,
            states=states,
            blocks=tuple(blocks),
            integers=True,
        )

    def _input(self, port: Port, ops: list[Op]) -> Port:
        old = port.buffer
        if old.dtype == "int32":
            self.buffers[old] = old
            self.bounds[old] = (-MOST - 1, MOST)
            return port
        most = largest(self.ranges.of[old])
        fraction = 15 - exponent(most)
        if most > 1 and most * 2.0**fraction == SHORT:  # a whole number, which has to stay one
            fraction -= 1
        low, high = (
            max(-SHORT, math.floor(self.ranges.of[old][0] * 2.0**fraction + 0.5)),
            min(SHORT - 1, math.floor(self.ranges.of[old][1] * 2.0**fraction + 0.5)),
        )
        if old not in self.buffers:
            kind = "input" if self.io == "int16" else "temp"
            name = old.name if self.io == "int16" else free_name(f"{old.name}_q", self.names)
            self.buffers[old] = replace(old, name=name, kind=kind, dtype="int16", fraction=fraction)
            self.bounds[self.buffers[old]] = (-SHORT, SHORT - 1) if kind == "input" else (low, high)
        new = self.buffers[old]
        if self.io == "int16":
            return replace(port, buffer=new)
        x = Call(
            "fixed",
            (At(old.vec()), Number(2.0**fraction), Number(float(low)), Number(float(high))),
        )
        ops.append(Elementwise(old.size, (), ((new.vec(), x),)))
        return port

    def _output(self, port: Port, ops: list[Op]) -> Port:
        old = port.buffer
        if old.dtype == "int32" or old not in self.buffers:
            return port
        new = self.buffers[old]
        if self.io == "float":
            y = Call("real", (At(new.vec()), Number(2.0**-new.fraction)))
            ops.append(Elementwise(old.size, (), ((old.vec(), y),)))
            return port
        key = ("output", old)
        one = self.ranges.pinned.get(old, self.ranges.of[old])
        if key not in self.temps:
            fraction = 15 - exponent(largest(one))
            self.temps[key] = replace(old, dtype="int16", fraction=fraction)
        out = self.temps[key]
        found = with_fraction(self._read(old.vec()), out.fraction)
        found = fixed.clipped(found, -SHORT, SHORT - 1)
        ops.append(Elementwise(old.size, (), ((out.vec(), found.node),)))
        return replace(port, buffer=out)

    def _state(self, state: State) -> None:
        old = state.buffer
        if old in self.states:
            return
        one = self.ranges.of.get(old, NOTHING)
        if old in self.whole:
            new = replace(old, dtype="int32", fraction=0)
        elif old in self.recurrent:
            fraction = min(STATE, STATE - exponent(largest(one)))
            new = replace(old, dtype="int32", fraction=fraction)
        else:
            new = replace(old, dtype="int16", fraction=min(30, 15 - exponent(largest(one))))
        self.buffers[old] = new
        initial = None
        if state.initial is not None:
            initial = np.floor(np.asarray(state.initial, np.float64) * 2.0**new.fraction + 0.5)
            most = SHORT - 1 if new.dtype == "int16" else MOST
            initial = np.clip(initial, -most - 1, most).astype(np.int64)
        low = high = 0
        if initial is not None and initial.size:
            low, high = int(initial.min()), int(initial.max())
        self.bounds[new] = (low, high)
        self.states[old] = replace(state, buffer=new, initial=initial)

    # ---- ops -----------------------------------------------------------------------------------

    def _ops(self, ops: Sequence[Op]) -> list[Op]:
        found: list[Op] = []
        copies: dict[tuple[Vec, int], Vec] = {}
        for op in ops:
            if isinstance(op, (Loop, When)):
                inner = self.scope
                if isinstance(op, Loop):
                    self.scope = (*inner, op.counter)
                found.append(replace(op, body=tuple(self._ops(op.body))))
                self.scope = inner
            else:
                try:
                    found += self._op(op, copies)
                except NoRange as problem:
                    if not self.problems:  # else it follows from another
                        self.problems[self.block] = f"integers have no {problem}"
                except Unsupported as problem:
                    self.problems.setdefault(self.block, f"integers have no {problem}")
                except CannotFit as problem:
                    self.problems.setdefault(self.block, f"int32 does not hold {problem}")
            written = {v.buffer for inner in walk_ops((op,)) for v in writes(inner)}
            copies = {key: vec for key, vec in copies.items() if key[0].buffer not in written}
        return found

    def _op(self, op: Op, copies: dict[tuple[Vec, int], Vec]) -> Iterator[Op]:
        match op:
            case Affine():
                yield from self._affine(op, copies)
            case Elementwise():
                yield self._elementwise(op)
            case Reduce():
                yield from self._reduce(op)
            case Softmax():
                yield from self._softmax(op)
            case Gather():
                yield from self._gather(op)
            case Shift():
                self._format(op.line, None)
                line = self.buffers[op.line]
                before, x = self._operand(op.x, copies, line.fraction)
                yield from before
                self._bound(line, self.bounds[x.buffer])
                yield Shift(line, x)
            case _:
                raise NotImplementedError(op)

    def _affine(self, op: Affine, copies: dict[tuple[Vec, int], Vec]) -> Iterator[Op]:
        operands: list[tuple[Mat, Vec, Buffer]] = []
        for mat, vec in op.products:
            if mat.buffer not in self.rows:
                raise Unsupported(
                    "product of two matrices that are computed, or of weights that lie otherwise "
                    "than in rows"
                )
            if mat.buffer not in self.matrices:
                made = rounded(mat.buffer, self.rows[mat.buffer], self.weights)
                if not math.isfinite(made[0].unit):
                    raise Unsupported(f"weights that are not finite ({mat.buffer.name!r})")
                self.matrices[mat.buffer] = made
            before, x = self._operand(vec, copies)
            yield from before
            operands.append((mat, x, self.matrices[mat.buffer][0]))
        most = max(exponent(largest(self._range_of_sum(op))), exponent(self._most_of_bias(op)))
        wanted = min(SUM - min(0, most), SCRATCH - most)
        for _, x, matrix in operands:
            wanted = min(wanted, matrix.fraction + x.buffer.fraction - 17)
            wanted = max(wanted, matrix.fraction + x.buffer.fraction - 47)
        old = op.out.buffer
        self._format(old, wanted, most)
        new = self.buffers[old]
        products = tuple((replace(mat, buffer=matrix), x) for mat, x, matrix in operands)

        def shifts(fraction: int) -> tuple[int, ...]:
            return tuple(
                matrix.fraction + x.buffer.fraction - fraction - 16 for _, x, matrix in operands
            )

        if not all(1 <= n <= 31 for n in shifts(wanted)):
            raise CannotFit("the sum of products of so different sizes")
        direct = new.dtype == "int32" and old not in self.ranges.pinned
        direct = direct and all(1 <= n <= 31 for n in shifts(new.fraction))
        fraction = new.fraction if direct else wanted
        bias, rest = None, None
        low = high = 0
        if op.bias is not None and op.bias.buffer.kind == "const":
            constants = self._constant(op.bias.buffer, fraction, "int32")
            bias = replace(op.bias, buffer=constants)
            low, high = self.bounds[constants]
        elif op.bias is not None:
            rest = op.bias
        for n, (_, x, matrix) in zip(shifts(fraction), operands, strict=True):
            one = _largest_product(matrix, self.rows_of(matrix), self.bounds[x.buffer], n)
            low, high = low - one, high + one
        if max(-low, high) > MOST:
            raise CannotFit("the sum of its products")
        out = replace(op.out, buffer=new)
        if direct and rest is None:
            self._bound(new, (low, high))
            yield Affine(out, bias, products, shifts(fraction))
            return
        total = self._scratch("sum", op.out.size, "int32", fraction)
        self.bounds[total] = (low, high)
        yield Affine(total.vec(), bias, products, shifts(fraction))
        found = Fixed(At(total.vec()), fraction, low, high)
        if rest is not None:
            found = fixed.add(found, self._read(rest))
        yield self._stored(op.out, found)

    def rows_of(self, matrix: Buffer) -> int:
        """Numbers in a row of a matrix of integers."""
        assert matrix.scales is not None
        return dims.fixed(matrix.size) // len(matrix.scales)

    def _range_of_sum(self, op: Affine) -> Range:
        return affine_range(op, self._range)

    def _most_of_bias(self, op: Affine) -> float:
        if op.bias is None or op.bias.buffer.kind != "const":
            return 0.0
        return float(np.max(np.abs(np.asarray(numbers_of(op.bias.buffer), np.float64)), initial=0))

    def _range(self, buffer: Buffer) -> Range:
        if buffer.kind == "const":
            data = np.asarray(numbers_of(buffer), np.float64)
            return float(data.min()), float(data.max())
        return self.ranges.of.get(buffer, NOTHING)

    def _elementwise(self, op: Elementwise) -> Op:
        compiler = self._compiler(op.size)
        named = []
        for name, node in op.locals:
            found = compiler.compiled(node)
            if found.remade is None:
                named.append((name, found.node))
                found = replace(found, node=Local(name))
            compiler.locals[name] = found
        stores = []
        for vec, node in op.stores:
            stores.append(self._store(vec, compiler.compiled(node)))
        return Elementwise(op.size, tuple(named), tuple(stores))

    def _compiler(self, size: dims.Dim) -> Compiler:
        most = size - 1 if isinstance(size, int) else MOST
        return Compiler(self._read, self.tables, most, self.block)

    def _reduce(self, op: Reduce) -> Iterator[Op]:
        compiler = self._compiler(op.out.size)
        found = compiler.compiled(op.value)
        if op.kind == "sum":
            counts = [count for _, count in op.counters]
            if not all(isinstance(count, int) for count in counts):
                raise Unsupported("bound for a sum over any number of steps")
            number = math.prod(dims.fixed(count) for count in counts)
            found = fixed.fitted(found, MOST // max(1, number))
            bounds = min(0, found.low * number), max(0, found.high * number)
        else:
            bounds = found.low, found.high
        total = self._scratch("total", op.out.size, "int32", found.fraction)
        self.bounds[total] = bounds
        yield Reduce(total.vec(), op.kind, op.counters, found.node)
        yield self._stored(op.out, Fixed(At(total.vec()), found.fraction, *bounds))

    def _softmax(self, op: Softmax) -> Iterator[Op]:
        if op.log:
            raise Unsupported("logarithm of a softmax")
        if not isinstance(op.x.size, int) or op.x.size >= SHORT:
            raise Unsupported(f"softmax of {op.x.size} numbers")
        table, shift = self.tables.decay()
        x = self._read(op.x)
        v = sum_of(x)
        source = op.x
        if v.node == x.node and self.buffers[op.x.buffer].dtype == "int32":
            source = replace(op.x, buffer=self.buffers[op.x.buffer])
        else:
            sums = self._scratch("exponents", op.x.size, "int32", SUM)
            yield Elementwise(op.x.size, (), ((sums.vec(), v.node),))
            source = sums.vec()
        found = self._scratch("probabilities", op.out.size, "int32", PROBABILITY)
        yield Softmax(found.vec(), source, False, table, shift)
        yield self._stored(op.out, Fixed(At(found.vec()), PROBABILITY, 0, SHORT))

    def _gather(self, op: Gather) -> Iterator[Op]:
        if op.table.buffer not in self.rows:
            raise Unsupported("table that lies otherwise than in rows")
        if op.table.buffer not in self.matrices:
            self.matrices[op.table.buffer] = rounded(
                op.table.buffer, self.rows[op.table.buffer], self.weights
            )
        matrix = self.matrices[op.table.buffer][0]
        if not math.isfinite(matrix.unit):
            raise Unsupported(f"weights that are not finite ({matrix.name!r})")
        old = op.out.buffer
        self._format(old, None)
        new = self.buffers[old]
        fraction = min(new.fraction, matrix.fraction - 1)
        shift = matrix.fraction - fraction
        assert matrix.data is not None
        assert matrix.scales is not None
        rows = np.abs(matrix.data.astype(np.int64)).reshape(len(matrix.scales), -1).max(axis=1)
        most = int((rows * matrix.scales.astype(np.int64)).max())
        index = replace(op.index, buffer=self.buffers.get(op.index.buffer, op.index.buffer))
        if index.buffer.dtype != "int32" or index.buffer.fraction != 0:
            whole = self._scratch("index", op.index.size, "int32", 0)
            x = with_fraction(self._read(op.index), 0)
            self.bounds[whole] = (x.low, x.high)
            yield Elementwise(op.index.size, (), ((whole.vec(), x.node),))
            index = whole.vec()
        found = self._scratch("row", op.out.size, "int32", fraction)
        bound = (most + (1 << shift >> 1)) >> shift
        yield Gather(found.vec(), replace(op.table, buffer=matrix), index, shift)
        yield self._stored(op.out, Fixed(At(found.vec()), fraction, -bound, bound))

    # ---- buffers -------------------------------------------------------------------------------

    def _format(self, old: Buffer, fraction: int | None, most: int | None = None) -> None:
        """Give a buffer its type, and the fraction that its first writer has, if it fits."""
        if old in self.buffers:
            return
        one = self.ranges.pinned.get(old, self.ranges.of.get(old, NOTHING))
        size = exponent(largest(one))
        if not math.isfinite(largest(one)):
            raise NoRange("range for what it computes")
        if size > LARGEST:
            raise CannotFit(f"numbers up to {largest(one):.3g}")
        kind = "temp" if old.kind in ("output", "temp") else old.kind
        name = free_name(f"{old.name}_q", self.names) if old.kind == "output" else old.name
        if old in self.whole and size < STATE:
            new = replace(old, kind=kind, name=name, dtype="int32", fraction=0)
        elif old in self.short:
            new = replace(old, name=name, kind=kind, dtype="int16", fraction=min(30, 15 - size))
        else:
            room = SCRATCH - (size if most is None else max(size, most))
            wanted = PLAIN if fraction is None else fraction
            if old in self.recurrent:
                wanted = room
            new = replace(old, name=name, kind=kind, dtype="int32", fraction=min(room, wanted))
        self.buffers[old] = new
        self.bounds[new] = (0, 0)

    def _bound(self, new: Buffer, one: tuple[int, int]) -> None:
        """The buffer may hold these integers, too."""
        before = self.bounds.get(new, one)
        whole = min(before[0], one[0]), max(before[1], one[1])
        if before != whole or new not in self.bounds:
            self.bounds[new] = whole
            self.changed.add(new)

    def _read(self, vec: Vec) -> Fixed:
        """The current element of a buffer."""
        old = vec.buffer
        if old.kind == "const":
            return self._read_constant(vec)
        if old not in self.buffers:
            self._format(old, None)
        new = self.buffers[old]
        if old.kind == "input" and old.dtype == "int32" and old in self.ranges.of:
            return Fixed(At(vec), 0, *self.bounds[old])
        return Fixed(At(replace(vec, buffer=new)), new.fraction, *self.bounds[new])

    def _read_constant(self, vec: Vec) -> Fixed:
        data = np.asarray(numbers_of(vec.buffer), np.float64)
        if not np.isfinite(data).all():
            raise Unsupported(f"numbers that are not finite ({vec.buffer.name!r})")
        if vec.buffer.dtype == "int32":
            low, high = int(data.min(initial=0)), int(data.max(initial=0))
            return Fixed(At(vec), 0, low, high)
        most = float(np.max(np.abs(data), initial=0.0))

        def remade(fraction: int) -> Fixed:
            if most * 2.0**fraction > MOST - 1:
                raise CannotFit(f"the numbers of {vec.buffer.name!r}")
            kind = "int16" if most * 2.0**fraction < SHORT - 1 else "int32"
            new = self._constant(vec.buffer, fraction, kind)
            return Fixed(At(replace(vec, buffer=new)), fraction, *self.bounds[new], remade)

        return remade(min(fixed.ENOUGH, 15 - exponent(most * (SHORT + 1) / (SHORT - 1))))

    def _constant(self, old: Buffer, fraction: int, kind: str) -> Buffer:
        """The numbers of a constant with a fraction."""
        key = (old, fraction, kind)
        if key not in self.constants:
            data = np.asarray(numbers_of(old), np.float64)
            if not np.isfinite(data).all():
                raise Unsupported(f"numbers that are not finite ({old.name!r})")
            whole = np.floor(data * 2.0**fraction + 0.5)
            if np.max(np.abs(whole), initial=0.0) > MOST:
                raise CannotFit(f"the numbers of {old.name!r}")
            name = free_name(old.name, self.tables.names)
            new = constant(name, whole.astype(kind).reshape(old.shape or -1), fraction)
            self.constants[key] = new
            low, high = int(whole.min(initial=0)), int(whole.max(initial=0))
            self.bounds[new] = (low, high)
        return self.constants[key]

    def _operand(
        self, vec: Vec, copies: dict[tuple[Vec, int], Vec], fraction: int | None = None
    ) -> tuple[list[Op], Vec]:
        """What a product reads: the buffer where it is int16, else a copy of it."""
        old = vec.buffer
        if old.kind != "const" and old not in self.buffers:
            self._format(old, None)
        if old.kind == "input" and old.dtype == "int32":
            raise Unsupported("arithmetic on an integer input")
        if old.kind != "const":
            new = self.buffers[old]
            if new.dtype == "int16" and fraction in (None, new.fraction):
                return [], replace(vec, buffer=new)
        one = self.ranges.pinned.get(old, self._range(old))
        wanted = min(30, 15 - exponent(largest(one))) if fraction is None else fraction
        known = copies.get((vec, wanted))
        if known is not None:
            return [], known
        short = self._scratch(f"{old.name}_q", vec.size, "int16", wanted)
        found = fixed.clipped(with_fraction(self._read(vec), wanted), -SHORT, SHORT - 1)
        self._bound(short, (found.low, found.high))
        copies[vec, wanted] = short.vec()
        return [Elementwise(vec.size, (), ((short.vec(), found.node),))], short.vec()

    def _scratch(self, name: str, size: dims.Dim, dtype: str, fraction: int) -> Buffer:
        """A temp of the conversion's own, the same one in every round."""
        key = (self.place, name, fraction)
        self.place += 1
        if key not in self.temps:
            prefix = "" if name.startswith(self.block) else f"{self.block}_"
            self.temps[key] = Buffer(
                free_name(f"{prefix}{name}", self.names),
                size,
                "temp",
                dtype,
                None,
                self.scope,
                (size,),
                fraction=fraction,
            )
        return self.temps[key]

    def _lowest(self, old: Buffer) -> Fixed:
        """The lowest number that a buffer may hold, which stands for nothing yet."""
        one, fraction = self.ranges.of.get(old, NOTHING), self.buffers[old].fraction
        low = max(-MOST, math.floor(one[0] * 2.0**fraction))
        return Fixed(Number(float(low)), fraction, low, low)

    def _stored(self, vec: Vec, found: Fixed) -> Op:
        return Elementwise(vec.size, (), (self._store(vec, found),))

    def _store(self, vec: Vec, found: Fixed) -> tuple[Vec, Expr]:
        """Where a number goes, and the number as the buffer holds it."""
        old = vec.buffer
        if found.remade is fixed.LEAST.remade:
            self._format(old, None)
            found = self._lowest(old)
        own = None if found.remade is not None else found.fraction
        self._format(old, own)
        new = self.buffers[old]
        most = SHORT if new.dtype == "int16" else 1 << 31
        low, high, function = -most, most - 1, None
        pinned = self.ranges.pinned.get(old)
        if pinned is not None:
            self.stored.add(old)
            function = "limited"
            low = max(low, math.floor(pinned[0] * 2.0**new.fraction))
            high = min(high, math.ceil(pinned[1] * 2.0**new.fraction))
        elif new in self.held:
            function = "limited"
            low, high = max(low, -1 << STATE), min(high, 1 << STATE)
        more = new.fraction - found.fraction
        if more > 0 and found.remade is None:
            found = fixed.clipped(found, -(-low >> more), high >> more, function)
        found = fixed.clipped(with_fraction(found, new.fraction), low, high, function)
        self._bound(new, (low, high) if new in self.held else (found.low, found.high))
        return replace(vec, buffer=new), found.node


def _only_multiplied(programs: Sequence[Program], recurrent: set[Buffer]) -> set[Buffer]:
    """The buffers that nothing but products reads, or copies into such buffers."""
    found: set[Buffer] = set()
    others: set[Buffer] = set(recurrent)
    copied: list[tuple[Buffer, Buffer]] = []
    for op in (op for program in programs for op in walk_ops(program.ops)):
        if isinstance(op, Affine):
            found |= {vec.buffer for _, vec in op.products}
            others |= {mat.buffer for mat, _ in op.products}
            others |= set() if op.bias is None else {op.bias.buffer}
        elif isinstance(op, Shift):
            found |= {op.x.buffer, op.line}
        elif isinstance(op, Elementwise):
            copied += [(e.vec.buffer, v.buffer) for v, e in op.stores if isinstance(e, At)]
            copies = [e.vec for _, e in op.stores if isinstance(e, At)]
            others |= {v.buffer for v in reads(op) if v not in copies}
        else:
            others |= {source.buffer for source in reads(op)}
    for program in programs:
        others |= {port.buffer for port in program.outputs}
    found |= {source for source, _ in copied}
    while more := {
        s for s, into in copied if s not in others and not _is_short(into, found, others)
    }:
        others |= more
    return found - others


def _is_short(buffer: Buffer, found: set[Buffer], others: set[Buffer]) -> bool:
    return buffer in found and buffer not in others


def _largest_product(matrix: Buffer, length: int, x: tuple[int, int], shift: int) -> int:
    """A bound of what a row of a product adds."""
    assert matrix.data is not None
    assert matrix.scales is not None
    rows = np.abs(matrix.data.astype(np.int64)).reshape(-1, length).sum(axis=1)
    most = max(abs(x[0]), abs(x[1]))
    total: Array = (rows * most * matrix.scales.astype(np.int64)) >> 16
    return int((total.max() + 1 + (1 << shift >> 1)) >> shift) + 1
