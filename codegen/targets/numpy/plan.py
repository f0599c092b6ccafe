"""From ops to NumPy instructions.

A loop whose iterations are independent becomes an axis of the arrays; only a loop that carries
something stays a loop. Products of constants become one `dot` of a window that holds all their
inputs and a 1 for the bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codegen.program import dims
from codegen.program.derived import column
from codegen.program.dims import Dim
from codegen.program.ops import (
    Affine,
    At,
    Buffer,
    Elementwise,
    Expr,
    Gather,
    Loop,
    Mat,
    Number,
    Op,
    Program,
    Reduce,
    Shift,
    Softmax,
    Vec,
    When,
    reads,
    temps,
    writes,
)
from codegen.program.rewrite import map_op
from codegen.targets.numpy.elementwise import Arrays, ElementwisePlan, curve_of
from codegen.targets.numpy.instructions import (
    SHARES,
    After,
    Axes,
    Axis,
    Fold,
    Instruction,
    Lookup,
    Product,
    Repeat,
    Ufunc,
    packed,
)
from codegen.targets.numpy.rows import Parts, Rows, Window


def can_be_axis(loop: Loop, counters: frozenset[str] = frozenset()) -> bool:
    """Whether all iterations can run at once, as an axis of the arrays.

    Inside, no length may depend on the counter and every offset must be affine in it.
    """
    if loop.carried:
        return False
    mine = counters | {loop.counter}
    return all(_fits_axis(op, mine) for op in loop.body)


def _fits_axis(op: Op, counters: frozenset[str]) -> bool:
    if isinstance(op, Loop):
        return not _mentions(op.count, counters) and all(_fits_axis(o, counters) for o in op.body)
    if isinstance(op, (When, Shift)):
        return False
    if isinstance(op, Reduce):
        if any(_mentions(count, counters) for _, count in op.counters):
            return False
        counters = counters | {name for name, _ in op.counters}
    for source in (*reads(op), *writes(op)):
        lengths = (source.rows, source.columns) if isinstance(source, Mat) else (source.size,)
        if any(_mentions(n, counters) for n in lengths):
            return False
        if not _is_affine(source.offset, counters):
            return False
    return True


def _mentions(dim: Dim, counters: frozenset[str]) -> bool:
    return bool(dims.symbols(dim) & counters)


def _is_affine(dim: Dim, counters: frozenset[str]) -> bool:
    if isinstance(dim, int):
        return True
    for atom, _ in dim.terms:
        if isinstance(atom, dims.Compound):
            inside = dims.symbols(dims.Sum(((atom, 1),))) & counters
            if not inside:
                continue
            if atom.operator != "*":
                return False
            # A product of a counter and a length is affine; of two counters it is not.
            left, right = dims.symbols(atom.left) & counters, dims.symbols(atom.right) & counters
            if left and right:
                return False
    return True


def expand(program: Program) -> Program:
    """Give every temp inside a loop that becomes an axis that axis, too."""
    found: dict[Buffer, tuple[Buffer, Dim]] = {}

    def changed(buffer: Buffer, axes: Axes) -> tuple[Buffer, Dim]:
        own = [axis for axis in axes if axis.counter in buffer.scope]
        if buffer.kind != "temp" or not own:
            return buffer, 0
        if buffer not in found:
            shape = (*(axis.count for axis in own), *(buffer.shape or (buffer.size,)))
            scope = tuple(c for c in buffer.scope if c not in {a.counter for a in own})
            new = replace(buffer, size=dims.product(shape), shape=shape, scope=scope, places=())
            offset: Dim = 0
            stride = buffer.size
            for axis in reversed(own):
                offset = offset + dims.symbol(axis.counter) * stride
                stride = stride * axis.count
            found[buffer] = (new, offset)
        return found[buffer]

    def one(op: Op, axes: Axes) -> Op:
        if isinstance(op, Loop):
            inner = (*axes, Axis(op.counter, op.count)) if can_be_axis(op) else axes
            return replace(op, body=tuple(one(o, inner) for o in op.body))
        if isinstance(op, When):
            return replace(op, body=tuple(one(o, axes) for o in op.body))

        def vec(v: Vec) -> Vec:
            buffer, offset = changed(v.buffer, axes)
            return v if buffer is v.buffer else replace(v, buffer=buffer, offset=v.offset + offset)

        def mat(m: Mat) -> Mat:
            buffer, offset = changed(m.buffer, axes)
            return m if buffer is m.buffer else replace(m, buffer=buffer, offset=m.offset + offset)

        return map_op(op, vec, mat)

    return program.map_ops(lambda op: one(op, ()))


class Planner:
    """Turns expanded ops into instructions.

    In `step`, and in loops, products read rows (`rows.py`); `other` are the rows of another method.
    """

    def __init__(self, program: Program, step: bool, other: Rows | None = None) -> None:
        self.step = step
        self.loops: list[str] = []
        self.rows = Rows(other)
        program = expand(program)
        self.arrays = Arrays(program.ops)
        self.windows: dict[int, Window] = {}  # by the id of a product
        self.names: dict[Vec, str] = {}  # of windows
        self.blocks: list[list[Instruction]] = []
        for block in program.blocks:
            self.name = block.name
            self.blocks.append(self.plan(block.ops))
        places = {
            Vec(buffer, offset, size): name
            for buffer in temps(program)
            for name, offset, size in buffer.places
        }
        local = {v: name for v, name in self.arrays.named.items() if v.size != v.buffer.size}
        # Names of values, by where they are held.
        self.hints = {**places, **self.names, **local}

    def plan(self, ops: Sequence[Op], axes: Axes = ()) -> list[Instruction]:
        """Instructions of the ops in order."""
        if not axes:
            self.windows.update(self.rows.lay_out(self.name, ops, self._inputs, self._may_live))
        result: list[Instruction] = []
        for op in ops:
            self.arrays.position += 1
            result += self._one(op, axes)
        return result

    def _one(self, op: Op, axes: Axes) -> list[Instruction]:
        if isinstance(op, Loop):
            if can_be_axis(op):
                return self.plan(op.body, (*axes, Axis(op.counter, op.count)))
            self.loops.append(op.counter)
            body = self.plan(op.body, axes)
            self.loops.pop()
            return [Repeat(op.counter, op.count, tuple(body), axes)]
        if isinstance(op, When):
            return [After(op.after, tuple(self.plan(op.body, axes)))]
        if isinstance(op, Affine):
            return self._affine(op, axes)
        if isinstance(op, Elementwise):
            plan = ElementwisePlan(self.arrays, axes, self.loops, op.size)
            for name, node in op.locals:
                plan.local(name, node)
            return plan.place([(v, plan.value(node)) for v, node in op.stores])
        if isinstance(op, Reduce):
            return self._reduce(op, axes)
        if isinstance(op, Softmax):
            return self._softmax(op, axes)
        if isinstance(op, Gather):
            return [Lookup(op.table, op.index, op.out, axes)]
        assert isinstance(op, Shift), op
        kept = op.line.size - op.x.size
        line = op.line.vec()
        moved = Ufunc("copy", (At(line[op.x.size :]),), line[:kept], axes)
        return [moved, Ufunc("copy", (At(op.x),), line[kept:], axes)]

    def _affine(self, op: Affine, axes: Axes) -> list[Instruction]:
        if not axes and (window := self.windows.get(id(op))):
            return self._product_of_row(op, window)
        result: list[Instruction] = []
        for number, (mat, x) in enumerate(op.products):
            fixed = self._is_fixed(mat, axes)
            result.append(Product(mat, x, op.out, axes, add=number > 0, fixed=fixed))
        if op.bias is not None and op.products:
            result.append(Ufunc("add", (At(op.out), At(op.bias)), op.out, axes))
        elif not op.products:
            start: Expr = Number(0.0) if op.bias is None else At(op.bias)
            result.append(Ufunc("copy", (start,), op.out, axes))
        return result

    def _is_fixed(self, source: Vec | Mat, axes: Axes) -> bool:
        """Whether it is a constant that no iteration changes."""
        counters = {axis.counter for axis in axes} | set(self.loops)
        return source.buffer.kind == "const" and not dims.symbols(source.offset) & counters

    def _inputs(self, op: Affine) -> Parts:
        """What the product reads in a row, with a 1 for its bias; nothing where a row is no use."""
        fixed = all(self._is_fixed(m, ()) and isinstance(v.size, int) for m, v in op.products)
        if not fixed or not op.products or not (self.step or self.loops):
            return ()
        inputs: Parts = tuple(x for _, x in op.products)
        if op.bias is not None and self._is_fixed(op.bias, ()):
            inputs = (*inputs, None)
        return inputs if len(inputs) > 1 else ()

    def _may_live(self, x: Vec) -> bool:
        """Whether the only place of a vector may be a part of a row."""
        buffer = x.buffer
        whole = x.offset == 0 and x.size == buffer.size and x.stride == 1
        if not whole or buffer.dtype != "float32":
            return False
        if self.step or (buffer.kind == "state" and self.rows.other is None):
            return buffer.kind in ("input", "state", "temp")
        return buffer.kind == "temp" and set(self.loops) <= set(buffer.scope)

    def _product_of_row(self, op: Affine, window: Window) -> list[Instruction]:
        """The product of a window that holds all inputs side by side, and a 1 for the bias."""
        copies: list[Instruction] = []
        for x, slot in window.copies:
            self.names[slot] = f"{x.buffer.name}_in"
            copies.append(Ufunc("copy", (At(x),), slot, ()))
        mats = [mat for mat, _ in op.products]
        read = [f"{x.buffer.name} ({dims.text(x.size)})" for _, x in op.products]
        bias = op.bias
        if bias is not None and len(window.starts) > len(mats):
            mats.append(column(bias))
            read.append("1")
            bias = None
        parts = sorted(zip(window.starts, mats, read, strict=True), key=lambda part: part[0])
        stem = op.out.buffer.name if op.out.buffer.kind == "temp" else self.name
        self.names.setdefault(window.vec, f"{stem}_inputs")
        note = f"Columns for {', '.join(text for *_, text in parts)}."
        matrix = packed(f"{stem}_matrix", [(mat, start) for start, mat, _ in parts], note)
        inputs = tuple(x for _, x in op.products)
        result = [*copies, Product(matrix, window.vec, op.out, (), inputs=inputs)]
        if bias is not None:
            result.append(Ufunc("add", (At(op.out), At(bias)), op.out, ()))
        return result

    def _reduce(self, op: Reduce, axes: Axes) -> list[Instruction]:
        over = tuple(Axis(name, count) for name, count in op.counters)
        inner = (*axes, *over)
        plan = ElementwisePlan(self.arrays, inner, self.loops, op.out.size)
        instructions, operand = plan.operand(op.value, f"{op.out.buffer.name}_terms")
        return [*instructions, Fold(op.kind, operand, over, op.out, axes)]

    def _softmax(self, op: Softmax, axes: Axes) -> list[Instruction]:
        if op.table is not None:
            function = f"{SHARES}{curve_of(op.table, op.shift, None)}"
            return [Ufunc(function, (At(op.x),), op.out, axes)]
        size, name = op.out.size, op.out.buffer.name
        top = self.arrays.scratch(f"{name}_top", 1, axes)
        total = self.arrays.scratch(f"{name}_total", 1, axes)
        out = At(op.out)
        largest: Instruction = Fold("max", op.x, (), top, axes)
        if size == 2:  # in a third of the time
            largest = Ufunc("maximum", (At(op.x[:1]), At(op.x[1:])), top, axes)
        powers = self.arrays.scratch(f"{name}_powers", size, axes) if op.log else op.out
        result = [
            largest,
            Ufunc("subtract", (At(op.x), At(top.every(size))), op.out, axes),
            Ufunc("exp", (out,), powers, axes),
            Fold("sum", powers, (), total, axes),
        ]
        if op.log:
            result.append(Ufunc("log", (At(total),), total, axes))
        last = "subtract" if op.log else "divide"
        return [*result, Ufunc(last, (out, At(total.every(size))), op.out, axes)]
