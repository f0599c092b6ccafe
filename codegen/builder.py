"""What a layer's `lower` is written with: tensors, loops, states and the ops themselves.

One `lower` serves two programs. In the *whole* program a tensor with a time axis is there
completely and a loop runs over it. In the *step* program the same tensor has as many rows as come
in one step (1, unless the model strides over time), loops over one row vanish, and what a layer
needs of the past is in states: recurrent states and the delay lines of `window`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from codegen import dims
from codegen.activations import Activation
from codegen.dims import Dim
from codegen.errors import LayerError, NotStreamable
from codegen.model import Array, Graph, Input, Layer
from codegen.program import (
    Affine,
    At,
    Block,
    Buffer,
    Elementwise,
    Expr,
    Gather,
    Loop,
    Mat,
    Number,
    Op,
    Operand,
    Reduce,
    Shift,
    Softmax,
    State,
    Vec,
    When,
    const,
    expr,
)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A Keras tensor without its batch axis: row-major in `buffer` from `offset` on.

    `time` says that axis 0 is the model's time axis. The other fields have a meaning only while
    one step is lowered: `lead` is the number of steps that go by before there is a value;
    `prefix` holds rows that come before the first step's (left zero padding); `last` marks a value
    that is the model's only at the end of the sequence (return_sequences=False).
    """

    buffer: Buffer
    shape: tuple[Dim, ...]
    offset: Dim = 0
    time: bool = False
    lead: int = 0
    prefix: Array | None = None
    last: bool = False
    mask: Tensor | None = None  # shape[:1], 1 where the step counts and 0 where it is masked

    @property
    def size(self) -> Dim:
        """Number of elements."""
        return dims.product(self.shape)

    def vec(self) -> Vec:
        """All elements."""
        return Vec(self.buffer, self.offset, self.size)

    def at(self, *indices: Dim) -> Tensor:
        """The part at these indices of the first axes."""
        offset = self.offset
        for axis, index in enumerate(indices):
            offset = offset + index * dims.product(self.shape[axis + 1 :])
        return Tensor(self.buffer, self.shape[len(indices) :], offset)

    def row(self, *indices: Dim) -> Vec:
        """All elements of the part at these indices."""
        return self.at(*indices).vec()

    def along(self, axis: int, before: Sequence[Dim], after: Sequence[Dim]) -> Vec:
        """The elements along one axis, at the given indices of the axes before and after it."""
        stride = dims.fixed(dims.product(self.shape[axis + 1 :]))
        start = self.at(*before, 0, *after)
        return Vec(self.buffer, start.offset, self.shape[axis], stride)

    def reshape(self, shape: Sequence[Dim]) -> Tensor:
        """The same elements in another shape."""
        return replace(self, shape=tuple(shape))


@dataclass
class Shared:
    """What the step and the whole program of one model have in common."""

    buffers: dict[str, Buffer] = field(default_factory=dict)  # consts and states by name
    states: dict[str, State] = field(default_factory=dict)


class Builder:
    """Collects ops in blocks, one for each call of a layer."""

    def __init__(self, step: bool, streamable: bool, shared: Shared) -> None:
        self.step = step  # lowering one step (else the whole sequence)
        self.streamable = streamable  # whole program: delay lines must end as steps leave them
        self.shared = shared
        self.blocks: list[Block] = []
        self.states: dict[str, State] = {}
        self.checks: list[tuple[Dim, str, Dim]] = []
        self.is_inner = False  # inside TimeDistributed: states start at zero for every call
        self.has_time = False  # the model has a time axis
        self.saved_steps: int | None = None  # its length in the file, None where it is free
        self._ops: list[list[Op]] = [[]]
        self._scope: list[str] = []
        self._used: set[str] = set()
        self._prefix = ""  # of temps and states: one for each call of a layer
        self._const_prefix = ""  # of constants: shared by all calls of a layer

    # ---- structure ----------------------------------------------------------------------

    @contextmanager
    def block(self, layer: Layer, call: int = 0, after: int = 0) -> Iterator[None]:
        """Ops of one call of `layer`, which run once `after` steps have gone by."""
        self._prefix = layer.name if call == 0 else f"{layer.name}_{call + 1}"
        self._const_prefix = layer.name
        self._ops, outer = [[]], self._ops
        try:
            with self.when(after):
                yield
            ops = tuple(self._ops[0])
        finally:
            self._ops, self._scope = outer, []
        if ops:
            self.blocks.append(Block(self._prefix, f"{self._prefix}: {layer.describe}", ops))

    @contextmanager
    def part(self, name: str, inner: bool = False) -> Iterator[None]:
        """Names inside get `name` as a prefix; `inner`: states start at zero for every call."""
        before = self._prefix, self._const_prefix, self.is_inner
        self._prefix = f"{self._prefix}_{name}"
        self._const_prefix = f"{self._const_prefix}_{name}"
        self.is_inner = self.is_inner or inner
        try:
            yield
        finally:
            self._prefix, self._const_prefix, self.is_inner = before

    @contextmanager
    def when(self, after: int) -> Iterator[None]:
        """Ops that run once `after` steps have gone by; nothing special for 0 or outside a step."""
        if not (self.step and after > 0):
            yield
            return
        self._ops.append([])
        yield
        body = tuple(self._ops.pop())
        if body:
            self.emit(When(after, body))

    @contextmanager
    def loop(self, count: Dim, carried: bool = False, counter: str = "t") -> Iterator[Dim]:
        """A loop that yields its counter; for a count of one, the body alone and 0."""
        if count == 1:
            yield 0
            return
        names = itertools.chain([counter], (f"{counter}{n}" for n in itertools.count(2)))
        name = next(n for n in names if n not in self._scope)
        self._ops.append([])
        self._scope.append(name)
        yield dims.symbol(name)
        self._scope.pop()
        body = tuple(self._ops.pop())
        if body:
            self.emit(Loop(name, count, body, carried))

    @contextmanager
    def each(self, axes: Sequence[Dim], counter: str = "row") -> Iterator[tuple[Dim, ...]]:
        """Parallel loops over all of `axes`, the first outermost; yields the counters."""
        with ExitStack() as stack:
            yield tuple(stack.enter_context(self.loop(n, counter=counter)) for n in axes)

    def emit(self, op: Op) -> None:
        """Append any op."""
        self._ops[-1].append(op)

    def graph(self, graph: Graph, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Emit a graph inside the block of a wrapper; gives back its outputs."""
        given = dict(zip(graph.inputs, inputs, strict=True))
        values: list[tuple[Tensor, ...]] = []
        calls: dict[int, int] = {}
        for number, node in enumerate(graph.nodes):
            if isinstance(node.layer, Input):
                values.append((given[number],))
                continue
            call = calls[id(node.layer)] = calls.get(id(node.layer), -1) + 1
            arguments = [values[ref.node][ref.index] for ref in node.inputs]
            keywords = {
                key: tuple(values[ref.node][ref.index] for ref in refs)
                for key, refs in node.keywords.items()
            }
            name = node.layer.name.rsplit("/", 1)[-1]
            with self.part(name if call == 0 else f"{name}_{call + 1}", inner=True):
                values.append(node.layer.lower(self, *arguments, **keywords))
        return tuple(values[ref.node][ref.index] for ref in graph.outputs)

    # ---- what a layer may refuse ---------------------------------------------------------

    def needs_whole(self, x: Tensor, why: str) -> None:
        """In a step program, refuse a tensor along the time axis: the layer needs all of it."""
        if self.step and x.time:
            raise NotStreamable(why)

    def check(self, left: Dim, relation: str, right: Dim) -> None:
        """A condition on the lengths, `==` or `>=`: at once where known, else when it runs."""
        if isinstance(left, int) and isinstance(right, int):
            if not (left == right if relation == "==" else left >= right):
                raise LayerError(f"length {left} found, expected {relation} {right}")
        elif left != right and (left, relation, right) not in self.checks:
            self.checks.append((left, relation, right))

    # ---- buffers -------------------------------------------------------------------------

    def _unique(self, name: str) -> str:
        names = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2)))
        unique = next(n for n in names if n not in self._used)
        self._used.add(unique)
        return unique

    def tensor(self, role: str, shape: Sequence[Dim], dtype: str = "float32") -> Tensor:
        """Scratch for a tensor."""
        name = self._unique(f"{self._prefix}_{role}")
        shape = tuple(shape)
        size = dims.product(shape)
        buffer = Buffer(name, size, "temp", dtype, None, tuple(self._scope), shape)
        return Tensor(buffer, shape)

    def outer_tensor(self, role: str, shape: Sequence[Dim]) -> Tensor:
        """Scratch that outlives the innermost loop, which is being emitted."""
        inner, self._scope = self._scope, self._scope[:-1]
        try:
            return self.tensor(role, shape)
        finally:
            self._scope = inner

    def temp(self, role: str, size: Dim) -> Vec:
        """Scratch for a vector."""
        return self.tensor(role, (size,)).vec()

    def const(self, role: str, data: Array) -> Tensor:
        """A constant; a role names the same constant in every call of the layer."""
        name = f"{self._const_prefix}_{role}"
        buffer = self.shared.buffers.get(name)
        if buffer is None:
            buffer = self.shared.buffers[name] = const(name, np.asarray(data))
        assert buffer.size == np.size(data), f"two constants are called {name}"
        return Tensor(buffer, tuple(np.shape(data)))

    def weight(self, role: str, matrix: Array) -> Mat:
        """A constant matrix with one row per output."""
        rows, columns = matrix.shape
        return Mat(self.const(role, matrix).buffer, 0, rows, columns, columns)

    def vector(self, role: str, data: Array | None) -> Vec | None:
        """A constant vector, or None for None (a layer without bias)."""
        return None if data is None else self.const(role, data).vec()

    def state(
        self,
        role: str,
        shape: Sequence[int],
        carried: bool = False,
        initial: Array | None = None,
        line: bool = False,
        hidden: bool = False,
    ) -> Tensor:
        """A state that starts at `initial` (zeros); scratch inside TimeDistributed."""
        shape = tuple(shape)
        if self.is_inner:
            if carried:
                raise LayerError("stateful=True inside TimeDistributed is not supported")
            inner = self.tensor(role, shape)
            self.copy(inner.vec(), Number(0.0) if initial is None else self._initial(role, initial))
            return inner
        name = f"{self._prefix}_{role}"
        state = self.shared.states.get(name)
        if state is None:
            size = int(np.prod(shape, dtype=np.int64))
            buffer = Buffer(name, size, "state", "float32", None, (), shape)
            state = State(buffer, shape, self._prefix, role, carried, initial, line, hidden)
            self.shared.states[name] = state
        self.states[name] = state
        return Tensor(state.buffer, shape)

    def _initial(self, role: str, initial: Array) -> Expr:
        return At(self.const(f"{role}_initial", initial).vec())

    # ---- ops -----------------------------------------------------------------------------

    def affine(self, out: Vec, bias: Vec | None, *products: tuple[Mat, Vec]) -> None:
        """`out = bias + sum of matrix @ vector`."""
        for matrix, vector in products:
            if isinstance(matrix.columns, int) and matrix.columns != vector.size:
                raise LayerError(
                    f"its kernel expects {matrix.columns} values, the layer before gives "
                    f"{vector.size}"
                )
        self.emit(Affine(out, bias, products))

    def elementwise(self, *stores: tuple[Vec, Operand], **local: Operand) -> None:
        """Store an expression in each vector; keywords are named intermediate values."""
        named = tuple((name, expr(value)) for name, value in local.items())
        size = stores[0][0].size
        self.emit(Elementwise(size, named, tuple((v, expr(e)) for v, e in stores)))

    def copy(self, out: Vec, value: Operand) -> None:
        """`out = value`."""
        self.elementwise((out, value))

    def reduce(
        self, out: Vec, kind: str, counters: Sequence[tuple[str, Dim]], value: Operand
    ) -> None:
        """`out` = sum, max or min of `value` over the counters."""
        self.emit(Reduce(out, kind, tuple(counters), expr(value)))

    def softmax(self, out: Vec, x: Vec, log: bool = False) -> None:
        """The softmax of `x`, or its logarithm."""
        self.emit(Softmax(out, x, log))

    def gather(self, out: Vec, table: Mat, index: Vec) -> None:
        """`out` = row `index` of the table."""
        self.emit(Gather(out, table, index))

    def shift(self, line: Tensor, x: Vec) -> None:
        """Append `x` to the delay line and drop its oldest row."""
        self.emit(Shift(line.buffer, x))

    def apply(self, activation: Activation, value: Operand, size: Dim, role: str) -> Expr:
        """The activation of `value` as an expression; a softmax becomes ops on scratch."""
        if activation.is_elementwise:
            return activation(expr(value))
        scratch = self.temp(role, size)
        self.copy(scratch, value)
        return At(self.activate(scratch, activation))

    def activate(self, x: Vec, activation: Activation) -> Vec:
        """Apply the activation in place; gives back where the result is (glu halves it)."""
        if activation.name == "linear":
            return x
        if activation.is_elementwise:
            self.elementwise((x, activation(At(x))))
        elif activation.name in ("softmax", "log_softmax"):
            self.softmax(x, x, log=activation.name == "log_softmax")
        elif activation.name == "glu":
            half = dims.fixed(x.size) // 2
            gate = Activation("sigmoid")(At(x[half : 2 * half]))
            self.elementwise((x[:half], At(x[:half]) * gate))
            return x[:half]
        else:
            raise LayerError(f"activation {activation} is not supported")
        return x

    # ---- tensors -------------------------------------------------------------------------

    def like(self, out: Tensor, *sources: Tensor, mask: Tensor | None = None) -> Tensor:
        """`out`, computed row by row from `sources`: along time if they are, with their delays."""
        times = [x for x in sources if x.time]
        if self.step and times and any(x.last for x in sources):
            raise NotStreamable("it combines a sequence with a value known only at its end")
        return replace(
            out,
            time=bool(times),
            lead=max((x.lead for x in sources), default=0),
            last=any(x.last for x in sources),
            mask=mask,
        )

    def along_last(self, x: Tensor, role: str, activation: Activation) -> Tensor:
        """A new tensor with the activation of `x` along its last axis."""
        size = x.shape[-1]
        if activation.name == "glu":
            size = dims.fixed(size) // 2
        out = self.tensor(role, (*x.shape[:-1], size))
        with self.each(x.shape[:-1]) as at:
            source, target = x.row(*at), out.row(*at)
            if activation.is_elementwise:
                self.copy(target, activation(At(source)))
            elif activation.name == "glu":
                gate = Activation("sigmoid")(At(source[size : 2 * size]))
                self.copy(target, At(source[:size]) * gate)
            elif activation.name in ("softmax", "log_softmax"):
                self.softmax(target, source, log=activation.name == "log_softmax")
            else:
                raise LayerError(f"activation {activation} is not supported")
        return self.like(out, x, mask=x.mask)


def keyword(keywords: dict[str, Any], name: str) -> tuple[Tensor, ...]:
    """The tensors given under a keyword, none if it is absent."""
    return tuple(keywords.get(name, ()))
