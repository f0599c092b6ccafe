"""What a layer's `lower` is written with: tensors, loops, states and the ops themselves.

One `lower` serves two programs. In the *whole* program a tensor with a time axis is there
completely and a loop runs over it. In the *step* program the same tensor has as many rows as come
in one step (1, unless the model strides over time), loops over one row vanish, and what a layer
needs of the past is in states: recurrent states and the delay lines of `window`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from codegen.errors import LayerError, NeedsHop, NotStreamable, TooLate
from codegen.program import dims
from codegen.program.activations import Activation
from codegen.program.dims import Dim
from codegen.program.ops import (
    Affine,
    Array,
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
    call,
    const,
    expr,
)
from codegen.program.tensor import Tensor, Window

SAME = (
    "padding='same' reaches into the future; padding='causal', or ZeroPadding1D on the left "
    "before padding='valid', would not"
)
FARTHEST = 1 << 24  # numbers that a window may reach back over: six minutes of sound
MOST = 1 << 26  # numbers of all tensors of a program, of a length that is free one of each
SHORT = 4  # taps, up to which a step reads each from the delay line by itself


def check_reach(count: int) -> None:
    """Refuse windows over more of the past than any model has: a file names any dilation."""
    if count > FARTHEST:
        raise LayerError(
            f"its window reaches over {count} numbers, at most {FARTHEST} are supported"
        )


@dataclass
class Shared:
    """What the step and the whole program of one model have in common."""

    is_double: bool = False  # whether Keras computed the model in float64
    buffers: dict[str, Buffer] = field(default_factory=dict)  # consts and states by name
    states: dict[str, State] = field(default_factory=dict)
    warm: set[str] = field(default_factory=set)  # states that rows before the first step changed
    names: dict[tuple[Any, ...], str] = field(default_factory=dict)  # of consts and states
    taken: set[str] = field(default_factory=set)  # those names


class Builder:
    """Collects ops in blocks, one for each call of a layer."""

    def __init__(self, step: bool, streamable: bool, shared: Shared) -> None:
        self.step = step  # lowering one step (else the whole sequence)
        self.streamable = streamable  # whole program: delay lines must end as steps leave them
        self.shared = shared
        self.blocks: list[Block] = []
        self.states: dict[str, State] = {}
        self.checks: dict[tuple[Dim, str, Dim], None] = {}  # a set that keeps its order
        self.hop = 1  # rows of an input in one step
        self.starts = False  # each step may start from states that are given to it
        self.fills_up = False  # a window along time takes rows after the last
        self.is_inner = False  # inside TimeDistributed: states start at zero for every call
        self.has_time = False  # the model has a time axis
        self.saved_steps: int | None = None  # its length in the file, None where it is free
        self.rows: Dim = 1  # its length here
        self.inputs: tuple[Tensor, ...] = ()  # of the layer whose block is being written
        self._taken = 0  # numbers of all tensors so far
        self._ops: list[list[Op]] = [[]]
        self._scope: list[str] = []
        self._used: set[str] = set()
        self._prefix = ""  # of temps and states: one for each call of a layer
        self._const_prefix = ""  # of constants: shared by all calls of a layer
        self._call: tuple[Any, ...] = ()  # what the two prefixes stand for, with no two alike
        self._layer: tuple[Any, ...] = ()
        self._title = ""  # of the layer, for reasons

    # ---- structure ----------------------------------------------------------------------

    @contextmanager
    def block(
        self, name: str, class_name: str, describe: str, call: int = 0, after: int = 0
    ) -> Iterator[None]:
        """Ops of one call of a layer, which run once `after` steps have gone by."""
        self._prefix = name if call == 0 else f"{name}_{call + 1}"
        self._const_prefix = name
        self._call, self._layer = (name, call), (name,)
        self._title = f"layer {name!r} ({class_name})"
        self._ops, outer = [[]], self._ops
        try:
            with self.when(after):
                yield
            ops = tuple(self._ops[0])
        finally:
            self._ops, self._scope = outer, []
        if ops:
            self.blocks.append(Block(self._prefix, f"{self._prefix}: {describe}", ops))

    @contextmanager
    def part(
        self, name: str, inner: bool = False, of: tuple[Any, ...] | None = None
    ) -> Iterator[None]:
        """Names inside get `name` as a prefix; `inner`: states start at zero for every call.

        `of` tells parts apart that may have the same name.
        """
        before = self._prefix, self._const_prefix, self.is_inner, self._call, self._layer
        self._prefix = f"{self._prefix}_{name}"
        self._const_prefix = f"{self._const_prefix}_{name}"
        self._call, self._layer = (*self._call, of or name), (*self._layer, of or name)
        self.is_inner = self.is_inner or inner
        try:
            yield
        finally:
            self._prefix, self._const_prefix, self.is_inner, self._call, self._layer = before

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
    def early(self, after: int) -> Iterator[None]:
        """Ops of the block that come before all others, from fewer steps on."""
        self._ops, outer = self._ops[:1], self._ops
        try:
            with self.when(after):
                yield
        finally:
            self._ops = outer

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

    # ---- what a layer may refuse ---------------------------------------------------------

    def needs_whole(self, x: Tensor, why: str) -> None:
        """In a step program, refuse a tensor along the time axis: the layer needs all of it."""
        if self.step and x.time:
            raise NotStreamable(why)

    def late(self, x: Tensor, rows: int, why: str) -> Tensor:
        """`x` with so many more rows after those of the last step, and the reason."""
        if self.step and self.hop > 1:  # a rest of rows may reach them
            raise NotStreamable(why)
        return replace(x, behind=x.behind + rows, late=f"{self._title}: {why}")

    def refuse_late(self, *tensors: Tensor) -> None:
        """In a step, refuse tensors with rows that come after those of the last step."""
        for x in tensors:
            if self.step and x.behind > 0:
                raise TooLate(x.late)

    def check(self, left: Dim, relation: str, right: Dim) -> None:
        """A condition on the lengths, `==` or `>=`: at once where known, else when it runs."""
        if isinstance(left, int) and isinstance(right, int):
            if not (left == right if relation == "==" else left >= right):
                raise LayerError(f"length {left} found, expected {relation} {right}")
        elif left != right:
            self.checks[left, relation, right] = None

    # ---- buffers -------------------------------------------------------------------------

    def _unique(self, name: str) -> str:
        names = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2)))
        unique = next(n for n in names if n not in self._used)
        self._used.add(unique)
        return unique

    def _shared_name(self, key: tuple[Any, ...], name: str) -> str:
        """The one name of a constant or a state; "gru" and "gates_kernel" is not "gru_gates"."""
        names, taken = self.shared.names, self.shared.taken
        if key not in names:
            spelled = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2)))
            names[key] = next(n for n in spelled if n not in taken)
            taken.add(names[key])
        return names[key]

    def take(self, shape: Sequence[Dim]) -> None:
        """Count a tensor; a LayerError where all are larger than any model's: a file names any."""
        count = math.prod(n for n in shape if isinstance(n, int))
        if self._taken + count > MOST:
            raise LayerError(
                f"{count:,} numbers beside {self._taken:,} before, at most {MOST:,} are supported"
            )
        self._taken += count

    def tensor(self, role: str, shape: Sequence[Dim]) -> Tensor:
        """Scratch for a tensor."""
        self.take(shape)
        name = self._unique(f"{self._prefix}_{role}")
        shape = tuple(shape)
        size = dims.product(shape)
        buffer = Buffer(name, size, "temp", "float32", None, tuple(self._scope), shape)
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
        name = self._shared_name(("const", *self._layer, role), f"{self._const_prefix}_{role}")
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
    ) -> Tensor:
        """A state that starts at `initial` (zeros); scratch inside TimeDistributed."""
        shape = tuple(shape)
        if self.is_inner or self._is_beside_time:
            if carried and self._is_beside_time:
                raise NotStreamable("stateful=True over an axis that is not the model's time axis")
            if carried:
                raise LayerError("stateful=True inside TimeDistributed is not supported")
            inner = self.tensor(role, shape)
            self.copy(inner.vec(), Number(0.0) if initial is None else self._initial(role, initial))
            return inner
        if self.step:
            self.refuse_late(*self.inputs)
            if any(x.ahead < 0 for x in self.inputs):
                raise NotStreamable("its first row is not the first of a hop")
            if carried and any(x.ahead > 0 for x in self.inputs):
                raise NotStreamable("stateful=True, and rows are put before the first step")
        state = self._state(role, shape, carried, initial, line)
        tensor = Tensor(state.buffer, shape)
        if not self.step and state.buffer.name in self.shared.warm:
            # The rows before the first step are in its start, and in the whole sequence too.
            start = Number(0.0) if initial is None else self._initial(role, initial)
            self.copy(tensor.vec(), start)
        return tensor

    @property
    def _is_beside_time(self) -> bool:
        """Whether a layer of a streaming model runs over another axis: anew at every step."""
        streams = self.has_time and (self.step or self.streamable)
        return streams and not any(x.time for x in self.inputs)

    def carried(self, name: str, shape: Sequence[int], start: Array | None) -> Tensor:
        """A state of the whole graph, which no layer has for itself."""
        self._prefix, self._call = name, (name, 0)
        state = self._state("state", tuple(shape), True, start)
        return Tensor(state.buffer, state.shape)

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """What is emitted inside a run of a graph is of a stream, whose states are the graph's."""
        inner, before = self.is_inner, set(self.states)
        self.is_inner = False
        try:
            yield
        finally:
            self.is_inner = inner
        for name in set(self.states) - before:
            state = replace(self.states[name], carried=True)
            self.states[name] = self.shared.states[name] = state

    def running(self, role: str, shape: Sequence[int], start: float = 0.0) -> Tensor:
        """A state for what has been seen so far; mere scratch where there is no step."""
        if self.is_inner or not (self.step or self.streamable):
            return self.tensor(role, shape)
        initial = np.full(shape, start) if start else None
        return self.state(role, shape, initial=initial)

    def _state(
        self,
        role: str,
        shape: tuple[int, ...],
        carried: bool = False,
        initial: Array | None = None,
        line: bool = False,
    ) -> State:
        name = self._shared_name(("state", *self._call, role), f"{self._prefix}_{role}")
        state = self.shared.states.get(name)
        if state is None:
            self.take(shape)
            size = int(np.prod(shape, dtype=np.int64))
            buffer = Buffer(name, size, "state", "float32", None, (), shape)
            state = State(buffer, shape, self._prefix, role, carried, initial, line)
            self.shared.states[name] = state
        self.states[name] = state
        return state

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

    def reduce_so_far(
        self, total: Vec, kind: str, counters: Sequence[tuple[str, Dim]], value: Operand
    ) -> None:
        """The same, in a step joined with what `total` holds of the steps before."""
        if not self.step:
            self.reduce(total, kind, counters, value)
            return
        now = self.temp("now", total.size)
        self.reduce(now, kind, counters, value)
        both = At(total) + At(now) if kind == "sum" else call(kind, At(total), At(now))
        self.copy(total, both)

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
        """Apply the activation in place; returns where the result is (glu halves it)."""
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
        if self.step and len({(x.lead, x.ahead, x.behind) for x in times}) > 1:
            raise NotStreamable("it combines sequences that start at different steps")
        return replace(
            out,
            time=bool(times),
            lead=max((x.lead for x in sources), default=0),
            ahead=times[0].ahead if times else 0,
            prefix=None,
            behind=times[0].behind if times else 0,
            late=times[0].late if times else "",
            last=any(x.last for x in sources),
            mask=mask,
        )

    def mask_of(
        self, x: Tensor, keywords: Mapping[str, tuple[Tensor, ...]], name: str = "mask"
    ) -> Tensor | None:
        """The mask that a layer is given by name, else that of its input."""
        given = keywords.get(name)
        if given is None:
            return x.mask
        if not given:
            return None
        mask = given[0]
        if len(mask.shape) != 1:
            axes = len(mask.shape)
            raise LayerError(f"its {name} has {axes} axes, expected 1, that of the steps")
        if self.step and x.time and not mask.time:
            raise NotStreamable(f"its {name} has a truth value for each step of the whole sequence")
        self.check(x.shape[0], "==", mask.shape[0])
        return mask

    # ---- windows over axis 0 ---------------------------------------------------------------

    @contextmanager
    def window(
        self,
        x: Tensor,
        size: int,
        stride: int = 1,
        dilation: int = 1,
        left: Dim = 0,
        right: Dim = 0,
        fill: float = 0.0,
        role: str = "line",
    ) -> Iterator[Window]:
        """The window of `size` rows, `dilation` apart, at every `stride`-th row of axis 0.

        Before the first row come `left` rows that hold `fill`, after the last `right` of them. In
        a step program the rows that are needed again stay in a delay line; ops inside run once the
        first window is full.
        """
        if self.step and x.time:
            if right != 0:
                x = self.late(x, dims.fixed(right), SAME)
            if stride > 1:
                self.refuse_late(x)
            with self._streamed(x, size, stride, dilation, dims.fixed(left), fill, role) as window:
                yield window
            return
        reach = (size - 1) * dilation + 1
        rows, total = x, x.shape[0]
        self.fills_up = self.fills_up or (x.time and right != 0)
        if left != 0 or right != 0:
            total = total + left + right
            rows = self.padded(x, left, right, fill)
        count = (total - reach) // stride + 1
        self.check(count, ">=", 1)
        behind = x.behind + right if x.time and isinstance(right, int) else 0
        yield Window(self.loop, x, count, size, stride, dilation, rows, lead=x.lead, behind=behind)
        self.leave(x, role, fill)

    def padded(self, x: Tensor, left: Dim, right: Dim, fill: float = 0.0) -> Tensor:
        """A copy of `x` with rows of `fill` around it."""
        total = x.shape[0] + left + right
        row = dims.product(x.shape[1:])
        for part in (left * row, right * row):
            if isinstance(part, int):
                check_reach(part)
        rows = self.tensor("padded", (total, *x.shape[1:]))
        flat, here = rows.vec(), left * row
        if left != 0:
            self.copy(flat[:here], Number(fill))
        self.copy(flat[here : here + x.size], x.vec())
        if right != 0:
            self.copy(flat[here + x.size : rows.size], Number(fill))
        return rows

    @contextmanager
    def _streamed(
        self, x: Tensor, taps: int, stride: int, dilation: int, left: int, fill: float, role: str
    ) -> Iterator[Window]:
        """The window over a stream of `rate` rows a step.

        `ahead` rows of the padded sequence stand before the first step's. After one step,
        (ahead + rate - reach) // stride + 1 = extra + rate / stride positions are full. A step
        gives rate / stride positions: for extra < 0, steps go by first; for extra > 0, so many
        positions lie before the first step.
        """
        rate = dims.fixed(x.shape[0])
        if rate % stride:
            factor = stride // math.gcd(rate, stride)
            raise NeedsHop(factor, f"its stride {stride} over time needs {factor} rows at once")
        if x.ahead < 0 and left:
            raise NotStreamable("it pads a sequence whose first row is not the first of a hop")
        reach, ahead, count = (taps - 1) * dilation + 1, x.ahead + left, rate // stride
        extra = (ahead - reach) // stride + 1
        history = ahead - extra * stride  # rows of earlier steps that a step needs
        lead = x.lead
        while extra <= -count:
            extra, lead = extra + count, lead + 1
        kind = partial(
            Window,
            self.loop,
            x,
            count,
            taps,
            stride,
            dilation,
            lead=lead,
            ahead=extra,
            behind=x.behind,
            late=x.late,
        )
        if history <= 0:
            with self.when(lead):
                yield kind(x, -history)
            return
        shape = tuple(dims.fixed(n) for n in x.shape[1:])
        check_reach(history * math.prod(shape))
        start = None
        if fill != 0 or x.prefix is not None:
            initial = np.full((history, *shape), fill)
            if x.prefix is not None and x.ahead > 0:
                known = min(history, x.ahead)
                initial[history - known :] = x.prefix[x.ahead - known :]
            start = initial if initial.any() else None
        # A ring is cheapest where rows are far apart or few; else one product over all rows is.
        ring = rate == 1 and (dilation > 1 or taps <= SHORT)
        state = self._state(role, (history, *shape), initial=start, line=ring)
        line = Tensor(state.buffer, (history, *shape))
        if ring:
            with self.when(lead):
                yield kind(None, 0, line)
            self.shift(line, x.vec())
            return
        rows = self.tensor("rows", (history + rate, *shape))
        flat = rows.vec()
        self.copy(flat[: line.size], line.vec())
        self.copy(flat[line.size :], x.vec())
        with self.when(lead):
            yield kind(rows, 0)
        self.copy(line.vec(), flat[x.size :])

    def leave(self, x: Tensor, role: str, fill: float = 0.0) -> None:
        """After a whole sequence: its last rows in the delay line, as steps would leave them."""
        state = self.shared.states.get(f"{self._prefix}_{role}")
        if self.step or self.is_inner or not (self.streamable and x.time) or state is None:
            return
        self.states[state.buffer.name] = state
        history, row = state.shape[0], dims.product(x.shape[1:])
        rows = x.shape[0] - x.behind
        known = dims.minimum(rows, history)
        line = state.buffer.vec()
        if state.initial is not None:
            self.copy(line[: (history - known) * row], Number(fill))
        self.copy(line[(history - known) * row :], x.vec()[(rows - known) * row : rows * row])

    def keeps_rows(self, x: Tensor) -> bool:
        """Whether `x` is a sequence with as many rows as the model's."""
        if not x.time or x.shape[0] != self.rows:
            return False
        return not self.step or x.ahead + x.behind == x.lead * self.hop

    def only_row(self, x: Tensor) -> Tensor | None:
        """The row of a sequence that has one step in the file: the last, however many come."""
        if self.saved_steps != 1 or not self.keeps_rows(x):
            return None
        self.refuse_late(x)
        return replace(x.at(x.shape[0] - 1), lead=x.lead, last=True)

    def along_last(self, x: Tensor, role: str, activation: Activation) -> Tensor:
        """A new tensor with the activation of `x` along its last axis."""
        size = x.shape[-1]
        if len(x.shape) == 1 and not activation.is_elementwise:
            self.needs_whole(x, f"its {activation.name} runs over time")
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
