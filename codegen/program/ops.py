"""The Program: what a model computes, as a few vector ops that know no layer and no language.

A value is a `Vec`: `size` elements of a `Buffer`, from `offset` on, `stride` apart. Offsets may
depend on loop counters, lengths on the free number of time steps; both are `Dim`s. The meaning of
every op is its function in `evaluate.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from codegen.program import dims
from codegen.program.dims import Dim

Array: TypeAlias = npt.NDArray[Any]

# Below every number that a float32 can hold, and no infinity: it stands for "nothing yet".
LOWEST = -3.4028234663852886e38

# ---- values -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Buffer:
    """A flat array, and in `kind` who owns it.

    - input, output: the caller's, row-major, time axis first.
    - state: kept between calls; see `State`.
    - temp: scratch. It is written before it is read in every iteration of the loops in `scope`
      (the counters of the loops around its use), so loops can run all their iterations at once
      when it is given one more axis for each parallel one.
    - const: `data`, as stored in the model; or `parts`, which a pass has made it of. One of int8
      is read by rows alone: as a matrix with column stride 1 whose rows lie in rows of its own.
    """

    name: str
    size: Dim
    kind: str
    dtype: str = "float32"  # that of the generated file's floats; or "int32", "int16", "int8"
    data: Array | None = None
    scope: tuple[str, ...] = ()
    shape: tuple[Dim, ...] = ()  # for comments: the meaning of a const or a state, row-major
    parts: tuple[Part, ...] = ()  # one below the other, each with as many columns as `shape` says
    scales: Array | None = None  # uint16: row r of int8 data stands for unit * scales[r] * data
    unit: float = 1.0
    fraction: int = 0  # an integer q stands for q / 2^fraction, in programs of integers

    def vec(self) -> Vec:
        """All of it."""
        return Vec(self, 0, self.size)


@dataclass(frozen=True)
class Vec:
    """Elements `offset + k * stride` of `buffer`, k < `size`. Stride 0 repeats one element."""

    buffer: Buffer
    offset: Dim
    size: Dim
    stride: int = 1

    def __getitem__(self, part: slice) -> Vec:
        start = 0 if part.start is None else part.start
        stop = self.size if part.stop is None else part.stop
        return replace(self, offset=self.offset + self.stride * start, size=stop - start)

    def every(self, size: Dim) -> Vec:
        """This single element, read `size` times."""
        return replace(self, size=size, stride=0)


@dataclass(frozen=True)
class Mat:
    """A matrix in `buffer`: element (r, c) at `offset + r * row_stride + c * column_stride`.

    Weights are const buffers with one row per output (`row_stride` = columns).
    """

    buffer: Buffer
    offset: Dim
    rows: Dim
    columns: Dim
    row_stride: int
    column_stride: int = 1


@dataclass(frozen=True)
class Part:
    """Some rows of a constant: `factor * mat + shift`, or all `shift` where there is no matrix."""

    mat: Mat | None
    rows: int
    factor: float = 1.0
    shift: float = 0.0


# ---- scalar expressions, evaluated for each element of an Elementwise ----------------------


class Expr:
    """Base of the scalar expressions, with Python's operators to build them."""

    def __add__(self, other: Operand) -> Expr:
        return Binary("+", self, expr(other))

    def __radd__(self, other: Operand) -> Expr:
        return Binary("+", expr(other), self)

    def __sub__(self, other: Operand) -> Expr:
        return Binary("-", self, expr(other))

    def __rsub__(self, other: Operand) -> Expr:
        return Binary("-", expr(other), self)

    def __mul__(self, other: Operand) -> Expr:
        return Binary("*", self, expr(other))

    def __rmul__(self, other: Operand) -> Expr:
        return Binary("*", expr(other), self)

    def __truediv__(self, other: Operand) -> Expr:
        return Binary("/", self, expr(other))

    def __rtruediv__(self, other: Operand) -> Expr:
        return Binary("/", expr(other), self)

    def __neg__(self) -> Expr:
        return Negate(self)


@dataclass(frozen=True)
class Number(Expr):
    """A constant; in a float32 file it is rounded to float32."""

    value: float


@dataclass(frozen=True)
class At(Expr):
    """The current element of `vec`. An int32 element is converted to float."""

    vec: Vec


@dataclass(frozen=True)
class Local(Expr):
    """The value of a local of the same op, by name."""

    name: str


@dataclass(frozen=True)
class Index(Expr):
    """The number of the current element, as a float."""


@dataclass(frozen=True)
class Count(Expr):
    """A length or a loop counter as a float."""

    dim: Dim


@dataclass(frozen=True)
class Binary(Expr):
    """`left operator right`, operator one of `+ - * /`."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Negate(Expr):
    """`-value`."""

    value: Expr


@dataclass(frozen=True)
class Compare(Expr):
    """1 where `left operator right` holds, else 0; operator one of `< <= > >= == !=`."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Select(Expr):
    """`yes` where `condition` is not 0, else `no`; what is not chosen may be anything, even NaN."""

    condition: Expr
    yes: Expr
    no: Expr


# Every function that a Call may name, with its number of arguments. `sigmoid`, `softplus` and
# `hard_sigmoid` (clip(0.2 x + 0.5, 0, 1)), `hard_sigmoid_3` (clip(x / 6 + 0.5, 0, 1)) stand here
# because targets fold them in their own ways; min and max take the other argument when one is
# smaller or larger; round goes to even at ties; fmod has the sign of its first argument.
# `gate_sigmoid` is `sigmoid` where only the absolute error counts, as in gates of recurrent cells:
# a target may compute it by tanh.
FUNCTIONS = {
    "exp": 1,
    "expm1": 1,
    "log": 1,
    "log1p": 1,
    "tanh": 1,
    "sigmoid": 1,
    "gate_sigmoid": 1,
    "hard_sigmoid": 1,
    "hard_sigmoid_3": 1,
    "softplus": 1,
    "erf": 1,
    "sin": 1,
    "cos": 1,
    "atan": 1,
    "sqrt": 1,
    "abs": 1,
    "floor": 1,
    "round": 1,
    "min": 2,
    "max": 2,
    "pow": 2,
    "fmod": 2,
}


@dataclass(frozen=True)
class Call(Expr):
    """One of `FUNCTIONS` of its arguments."""

    function: str
    arguments: tuple[Expr, ...]

    def __post_init__(self) -> None:
        assert {**FUNCTIONS, **INTEGER_FUNCTIONS}[self.function] == len(self.arguments), self


# The functions of programs of integers, whose meaning is in `integers.py`:
#   shifted(q, n)       q / 2^n, rounded half up, n a Number of 1 to 31
#   floor_shift(q, n)   q / 2^n, rounded down
#   scaled(q, r)        q r / 2^15, rounded down, 0 <= r <= 2^15
#   saturated(q)        q within int16
#   limited(q, a, b)    q within a and b; what lies beyond is counted, as a range that was left
#   fixed(x, s, a, b)   of a float: x s rounded half up, within a and b, NaN as 0; what lies more
#                       than 1 beyond is counted likewise, and NaN is
#   real(q, s)          the float q s, s a power of two
INTEGER_FUNCTIONS = {
    "shifted": 2,
    "floor_shift": 2,
    "scaled": 2,
    "saturated": 1,
    "limited": 3,
    "fixed": 4,
    "real": 2,
}


@dataclass(frozen=True)
class Table(Expr):
    """A function of integers by straight lines between the numbers of `vec`, 2^shift apart.

    `q = min(max(value, 0), (vec.size - 1) 2^shift - 1)`, `k = q >> shift`, and the result is
    `t[k] + shifted((t[k + 1] - t[k]) (q - k 2^shift), shift)`. With `mirror` |value| is looked up,
    and the result is `mirror` less it where value is negative.
    """

    vec: Vec
    shift: int
    value: Expr
    mirror: int | None = None


Operand: TypeAlias = Expr | float | Vec


def expr(operand: Operand) -> Expr:
    """A number as `Number`, a vector as `At`, an expression as it is."""
    if isinstance(operand, Expr):
        return operand
    return At(operand) if isinstance(operand, Vec) else Number(float(operand))


def call(function: str, *arguments: Operand) -> Expr:
    """`function` of numbers, vectors and expressions."""
    return Call(function, tuple(expr(a) for a in arguments))


def children(node: Expr) -> tuple[Expr, ...]:
    """The operands of an expression."""
    if isinstance(node, (Binary, Compare)):
        return (node.left, node.right)
    if isinstance(node, Negate):
        return (node.value,)
    if isinstance(node, Select):
        return (node.condition, node.yes, node.no)
    if isinstance(node, Table):
        return (node.value,)
    return node.arguments if isinstance(node, Call) else ()


def walk(node: Expr) -> Iterator[Expr]:
    """The expression and everything in it, operands first."""
    for child in children(node):
        yield from walk(child)
    yield node


# ---- ops ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Affine:
    """`out = bias + sum of matrix @ vector`; `out` is no part of anything that is read.

    With `shifts`, one for each product, all is integers: row r of a product is
    `shifted((a m) >> 16, shift)`, a the sum of matrix times vector, m the scale of row r.
    """

    out: Vec
    bias: Vec | None
    products: tuple[tuple[Mat, Vec], ...]
    shifts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Elementwise:
    """For each element: the locals in order, then every store (all reads before all stores).

    A stored vector may be read in the same op only at the very same elements.
    """

    size: Dim
    locals: tuple[tuple[str, Expr], ...]
    stores: tuple[tuple[Vec, Expr], ...]


@dataclass(frozen=True)
class Reduce:
    """`out[e] = sum | max | min over all counter values of value[e]`; `out.size` elements.

    `counters` are (name, count) pairs, the first outermost; `value` may use them as symbols.
    """

    out: Vec
    kind: str
    counters: tuple[tuple[str, Dim], ...]
    value: Expr


@dataclass(frozen=True)
class Softmax:
    """`out = exp(x - max x) / sum exp(x - max x)`, or its logarithm. `out` may be `x`.

    With a `table`, of exp(-q / 2^16) 32767 with entries 2^shift apart, all is integers: `x` has 16
    bits of fraction, `out` 15. With `e[k] = Table(table, shift, max x - x[k])`, t their sum and
    `left` = t // 2 at first, out[k] is `(e[k] 2^15 + left) // t`, which leaves the remainder to the
    next one: the sum is 2^15.
    """

    out: Vec
    x: Vec
    log: bool = False
    table: Vec | None = None
    shift: int = 0


@dataclass(frozen=True)
class Gather:
    """`out = row number index of table` (const). An index out of range is the caller's mistake.

    With a `shift` all is integers: `shifted(q m, shift)`, q in the table, m the scale of its row.
    """

    out: Vec
    table: Mat
    index: Vec
    shift: int = 0


@dataclass(frozen=True)
class Shift:
    """Drop the oldest row of the delay line and append `x`: rows stand oldest first.

    A line is a state buffer of `rows * x.size` elements that only Shift writes. Elsewhere it is
    read one row at a time (a Vec inside one row), so a target may keep it as a ring.
    """

    line: Buffer
    x: Vec


@dataclass(frozen=True)
class Loop:
    """`body` for each value of `counter` from 0 to `count - 1`.

    `carried` says that an iteration reads what an earlier one wrote; without it all may run at
    once.
    """

    counter: str
    count: Dim
    body: tuple[Op, ...]
    carried: bool


@dataclass(frozen=True)
class When:
    """`body`, in a step program only, once `after` steps have gone before this one since reset."""

    after: int
    body: tuple[Op, ...]


Op: TypeAlias = "Affine | Elementwise | Reduce | Softmax | Gather | Shift | Loop | When"


# ---- the program ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """The ops of one call of a layer, under a heading such as `gru_1: GRU(64)`."""

    name: str
    title: str
    ops: tuple[Op, ...]


@dataclass(frozen=True)
class Port:
    """An input or output tensor: the buffer holds one whole tensor of `shape`, row-major.

    In a step program `shape` is that of one step (a hop of more than one row comes first).
    `time` says that axis 0 of the whole tensor is time.
    """

    name: str
    buffer: Buffer
    shape: tuple[Dim, ...]
    time: bool


@dataclass(frozen=True)
class State:
    """A buffer that lives between calls, in get_state order; `initial` is None for zeros.

    `carried`: predict goes on from it (a layer saved with stateful=True); others start fresh at
    each predict. `line` marks a delay line, whose shape is (rows, ...).
    """

    buffer: Buffer
    shape: tuple[int, ...]
    layer: str
    role: str
    carried: bool
    initial: Array | None = None
    line: bool = False


@dataclass(frozen=True)
class Program:
    """Inputs to outputs. `lengths` are the free lengths (`steps`, ...), one per free input.

    `checks` are (dim, relation, dim) conditions on the lengths, relation `==` or `>=`: a call
    that breaks one is refused before anything is computed.
    """

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: tuple[State, ...]
    blocks: tuple[Block, ...]
    lengths: tuple[str, ...] = ()
    checks: tuple[tuple[Dim, str, Dim], ...] = ()
    integers: bool = False  # every expression is one of int32 that cannot overflow; see integers.py

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        """All ops in order, without the headings."""
        return tuple(op for block in self.blocks for op in block.ops)

    @cached_property
    def looked_up(self) -> dict[Buffer, int]:
        """How many rows the smallest table has that a buffer's numbers are looked up in."""
        found: dict[Buffer, int] = {}
        for op in walk_ops(self.ops):
            if isinstance(op, Gather):
                rows = dims.fixed(op.table.rows)
                found[op.index.buffer] = min(rows, found.get(op.index.buffer, rows))
        return found

    def map_buffers(self, change: Callable[[Buffer], Buffer]) -> Program:
        """The program with every buffer replaced by `change(buffer)`."""
        ports = (
            tuple(replace(port, buffer=change(port.buffer)) for port in ports)
            for ports in (self.inputs, self.outputs)
        )
        states = tuple(replace(state, buffer=change(state.buffer)) for state in self.states)
        changed = self.map_blocks(lambda block: map_buffers(block.ops, change))
        return replace(changed, inputs=next(ports), outputs=next(ports), states=states)

    def map_ops(self, change: Callable[[Op], Op]) -> Program:
        """The program with each op, under its heading, replaced."""
        return self.map_blocks(lambda block: tuple(map(change, block.ops)))

    def map_blocks(self, change: Callable[[Block], tuple[Op, ...]]) -> Program:
        """The program with the ops of each block replaced."""
        blocks = tuple(replace(block, ops=change(block)) for block in self.blocks)
        return replace(self, blocks=blocks)


def walk_ops(ops: tuple[Op, ...]) -> Iterator[Op]:
    """Every op, loops and conditions before what is in them."""
    for op in ops:
        yield op
        if isinstance(op, (Loop, When)):
            yield from walk_ops(op.body)


def reads(op: Op) -> tuple[Vec | Mat, ...]:
    """What a plain op (no loop) reads."""
    if isinstance(op, Affine):
        pairs = tuple(v for pair in op.products for v in pair)
        return pairs if op.bias is None else (op.bias, *pairs)
    if isinstance(op, (Elementwise, Reduce)):
        return tuple(e.vec for root in roots(op) for e in walk(root) if isinstance(e, (At, Table)))
    if isinstance(op, Softmax):
        return (op.x,) if op.table is None else (op.x, op.table)
    if isinstance(op, Gather):
        return (op.table, op.index)
    return (op.x, op.line.vec()) if isinstance(op, Shift) else ()


def writes(op: Op) -> tuple[Vec, ...]:
    """What a plain op (no loop) writes."""
    if isinstance(op, Elementwise):
        return tuple(vec for vec, _ in op.stores)
    if isinstance(op, Shift):
        return (op.line.vec(),)
    return () if isinstance(op, (Loop, When)) else (op.out,)


def roots(op: Op) -> tuple[Expr, ...]:
    """The expressions of a plain op (no loop)."""
    if isinstance(op, Elementwise):
        return tuple(e for _, e in (*op.locals, *op.stores))
    return (op.value,) if isinstance(op, Reduce) else ()


def rows_seen(whole: Program) -> list[Dim]:
    """How many rows the states that are carried, and the last outputs, have seen in predict."""
    if all(p.time for p in whole.outputs) and not any(s.carried for s in whole.states):
        return []
    found: list[Dim] = []
    for op in walk_ops(whole.ops):
        if isinstance(op, Loop) and op.carried:
            found.append(op.count)
        elif isinstance(op, Reduce):
            found += [count for _, count in op.counters]
        if not isinstance(op, (Loop, When)) and all(v.buffer.kind != "state" for v in writes(op)):
            found += [source.offset for source in reads(op)]  # the last row of a sequence
    return in_stream(whole, found)


def in_stream(whole: Program, counts: Iterable[Dim]) -> list[Dim]:
    """Those of the counts that follow from the length of a stream, which all inputs then have."""
    known = {name: dims.symbol("steps") for name in whole.lengths}
    found = dict.fromkeys(dims.substitute(count, known) for count in counts)
    return [count for count in found if dims.symbols(count) == {"steps"}]


def constants(program: Program) -> tuple[Buffer, ...]:
    """The const buffers in the order of their first use."""
    every = (source.buffer for op in walk_ops(program.ops) for source in reads(op))
    return tuple(dict.fromkeys(buffer for buffer in every if buffer.kind == "const"))


def rows_looked_up(name: str, programs: Iterable[Program]) -> int | None:
    """How many rows the smallest table has that the input looks up, None if it looks up none."""
    found = (
        program.looked_up[port.buffer]
        for program in programs
        for port in program.inputs
        if port.name == name and port.buffer in program.looked_up
    )
    return min(found, default=None)


def elements(data: Array, offset: int, *axes: tuple[int, int]) -> Array:
    """A view of the last axis of `data` along axes that are given by length and stride."""
    last = offset + sum((length - 1) * stride for length, stride in axes)
    assert min(offset, *(n for axis in axes for n in axis)) >= 0, (offset, axes)
    assert last < data.shape[-1] or any(length == 0 for length, _ in axes), (offset, axes)
    part = data[..., offset:]
    step = part.strides[-1]
    return np.lib.stride_tricks.as_strided(
        part,
        (*part.shape[:-1], *(length for length, _ in axes)),
        (*part.strides[:-1], *(stride * step for _, stride in axes)),
        writeable=False,
    )


def matrix_of(mat: Mat) -> Array:
    """The numbers of a constant matrix, not copied."""
    assert mat.buffer.data is not None
    rows, columns = dims.fixed(mat.rows), dims.fixed(mat.columns)
    axes = (rows, mat.row_stride), (columns, mat.column_stride)
    return elements(mat.buffer.data, dims.fixed(mat.offset), *axes)


def bytes_of(buffer: Buffer, item: int) -> int:
    """Bytes of a constant, with its scales, where a float takes `item`."""
    scales = 0 if buffer.scales is None else 2 * len(buffer.scales)
    return width_of(buffer.dtype, item) * dims.fixed(buffer.size) + scales


def width_of(dtype: str, item: int) -> int:
    """Bytes of a number of a type of buffers, where a float takes `item`."""
    return {"int8": 1, "int16": 2, "int32": 4}.get(dtype, item)


def first_row(mat: Mat) -> Dim:
    """The number of the row of an int8 constant in which the matrix begins."""
    assert mat.buffer.scales is not None
    return mat.offset // (dims.fixed(mat.buffer.size) // len(mat.buffer.scales))


def temps(program: Program) -> tuple[Buffer, ...]:
    """The temp buffers in the order of their first write."""
    every = (vec.buffer for op in walk_ops(program.ops) for vec in writes(op))
    return tuple(dict.fromkeys(buffer for buffer in every if buffer.kind == "temp"))


def macs(ops: tuple[Op, ...], known: dict[str, int]) -> int:
    """Multiply-adds of the ops, with the lengths that `known` gives (missing ones count 1)."""
    total = 0
    for op in ops:
        if isinstance(op, Loop):
            total += _number(op.count, known) * macs(op.body, known)
        elif isinstance(op, When):
            total += macs(op.body, known)
        elif isinstance(op, Affine):
            for mat, _ in op.products:
                total += _number(mat.rows, known) * _number(mat.columns, known)
    return total


def _number(dim: Dim, known: dict[str, int]) -> int:
    names = dims.symbols(dim)
    return max(0, dims.value(dim, {name: known.get(name, 1) for name in names}))


def const(name: str, data: Array) -> Buffer:
    """A const buffer that holds `data`, flattened; a copy only where it is not contiguous."""
    flat = np.ascontiguousarray(data).reshape(-1).view()
    flat.flags.writeable = False
    dtype = "int32" if flat.dtype.kind in "iu" else "float32"
    return Buffer(name, flat.size, "const", dtype, flat, (), np.shape(data))


def with_children(node: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The expression with `change` applied to each of its operands."""
    parts = tuple(change(child) for child in children(node))
    if isinstance(node, (Binary, Compare)):
        return type(node)(node.operator, *parts)
    if isinstance(node, (Negate, Select)):
        return type(node)(*parts)
    if isinstance(node, Call):
        return Call(node.function, parts)
    return replace(node, value=parts[0]) if isinstance(node, Table) else node


def map_expr(node: Expr, change: Callable[[Vec], Vec]) -> Expr:
    """The expression with every vector replaced by `change(vector)`."""
    node = with_children(node, lambda child: map_expr(child, change))
    return replace(node, vec=change(node.vec)) if isinstance(node, (At, Table)) else node


def map_op(
    op: Op,
    vec: Callable[[Vec], Vec],
    mat: Callable[[Mat], Mat],
    line: Callable[[Buffer], Buffer] = lambda buffer: buffer,
) -> Op:
    """The op with every vector and matrix replaced, and the line of a Shift by `line`."""
    if isinstance(op, (Loop, When)):
        return replace(op, body=tuple(map_op(o, vec, mat, line) for o in op.body))
    if isinstance(op, Affine):
        products = tuple((mat(m), vec(v)) for m, v in op.products)
        bias = None if op.bias is None else vec(op.bias)
        return replace(op, out=vec(op.out), bias=bias, products=products)
    if isinstance(op, Elementwise):
        named = tuple((name, map_expr(e, vec)) for name, e in op.locals)
        return Elementwise(op.size, named, tuple((vec(v), map_expr(e, vec)) for v, e in op.stores))
    if isinstance(op, Reduce):
        return replace(op, out=vec(op.out), value=map_expr(op.value, vec))
    if isinstance(op, Softmax):
        table = None if op.table is None else vec(op.table)
        return replace(op, out=vec(op.out), x=vec(op.x), table=table)
    if isinstance(op, Gather):
        return replace(op, out=vec(op.out), table=mat(op.table), index=vec(op.index))
    return Shift(line(op.line), vec(op.x))


def map_exprs(op: Op, change: Callable[[Expr], Expr]) -> Op:
    """The op with each of its expressions replaced."""
    if isinstance(op, (Loop, When)):
        return replace(op, body=tuple(map_exprs(o, change) for o in op.body))
    if isinstance(op, Elementwise):
        named = tuple((name, change(e)) for name, e in op.locals)
        return Elementwise(op.size, named, tuple((vec, change(e)) for vec, e in op.stores))
    return replace(op, value=change(op.value)) if isinstance(op, Reduce) else op


def map_buffers(ops: tuple[Op, ...], change: Callable[[Buffer], Buffer]) -> tuple[Op, ...]:
    """The ops with every buffer replaced by `change(buffer)`."""

    def vec(v: Vec) -> Vec:
        return replace(v, buffer=change(v.buffer))

    def mat(m: Mat) -> Mat:
        return replace(m, buffer=change(m.buffer))

    return tuple(map_op(op, vec, mat, change) for op in ops)
