"""Ops as statements: a NumPy function for each step, whole arrays throughout.

Products of constants become one `dot` of a row that holds all their inputs and a 1 for the bias.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from codegen.program import dims
from codegen.program.ops import (
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
    Program,
    Reduce,
    Shift,
    Softmax,
    Vec,
    When,
    reads,
    walk_ops,
    writes,
)
from codegen.targets.numpy.axes import Axes, Axis, can_be_axis, expand, moves
from codegen.targets.numpy.elementwise import Arrays, Schedule, Ufunc, scratch
from codegen.targets.numpy.rows import Read, Rows, Window
from codegen.targets.numpy.scope import LoopScope, Module, Scope
from codegen.targets.spine.lines import indented
from codegen.text.names import Names

FOLDS = {"sum": "add", "max": "maximum", "min": "minimum"}
# A third positional argument of these is deprecated since NumPy 2.4.
BY_KEYWORD = ("minimum", "maximum")
METHODS = ("fixed", "limited")  # of integers: they count what is beyond a range


class Printer:
    """Writes the ops of one method. In `step`, and in loops, products read rows (`rows.py`).

    `is_first` says that states live where this method has them.
    """

    def __init__(
        self, module: Module, program: Program, rows: Rows, is_step: bool, is_first: bool
    ) -> None:
        self.module, self.rows, self.is_step, self.is_first = module, rows, is_step, is_first
        self.program = expand(program)
        self.arrays = Arrays(self.program.ops)
        self.hints = self.arrays.hints
        self.loops: list[str] = []
        self.block = ""
        # By the id of a product; None where an earlier one computes it.
        self.windows: dict[int, Window | None] = {}
        for op in walk_ops(self.program.ops):
            for name, node in op.locals if isinstance(op, Elementwise) else ():
                if isinstance(node, At) and node.vec.size != node.vec.buffer.size:
                    self.hints[node.vec] = name
        for block in self.program.blocks:
            self.block = block.name
            self._lay_out(block.ops)
        self.homes = rows.homes

    # ---- rows -------------------------------------------------------------------------------

    def _lay_out(self, ops: tuple[Op, ...]) -> None:
        """Find the windows of all products in the ops, and names for what is read."""
        self.windows.update(self.rows.lay_out(self.block, ops, self._read_by, self._may_live))
        for op in ops:
            if isinstance(op, Loop) and not can_be_axis(op):
                self.loops.append(op.counter)
                self._lay_out(op.body)
                self.loops.pop()
            elif isinstance(op, When):
                self._lay_out(op.body)
            elif window := self.windows.get(id(op)):
                self.hints.setdefault(window.vec, f"{window.name}_inputs")
                for x, slot in window.copies:
                    self.hints[slot] = f"{x.buffer.name}_in"

    def _is_fixed(self, source: Vec | Mat, axes: Axes = ()) -> bool:
        """Whether it is a constant that no iteration changes."""
        counters = {axis.counter for axis in axes} | set(self.loops)
        return source.buffer.kind == "const" and not dims.symbols(source.offset) & counters

    def _read_by(self, op: Affine) -> Sequence[Read]:
        """What the product reads, with a 1 for its bias; nothing where it reads no row."""
        fixed = all(self._is_fixed(m) and isinstance(v.size, int) for m, v in op.products)
        if not fixed or not op.products or not (self.is_step or self.loops):
            return ()
        read: list[Read] = [x for _, x in op.products]
        if op.bias is not None and self._is_fixed(op.bias):
            read.append(None)
        return read if len(set(read)) == len(read) else ()

    def _may_live(self, x: Vec) -> bool:
        """Whether the only place of a vector may be a part of a row."""
        buffer = x.buffer
        if x != buffer.vec() or buffer.dtype != "float32":
            return False
        if self.is_step or (buffer.kind == "state" and self.is_first):
            return buffer.kind in ("input", "state", "temp")
        return buffer.kind == "temp" and set(self.loops) <= set(buffer.scope)

    def buffers(self, block: Block) -> Iterator[Buffer]:
        """The arrays that a block of the program works on, constants apart."""
        for op in walk_ops(block.ops):
            for source in (*reads(op), *writes(op)):
                if source.buffer.kind != "const":
                    yield source.buffer
                if source.buffer in self.homes:
                    yield self.homes[source.buffer][0]
            if window := self.windows.get(id(op)):
                yield window.vec.buffer

    # ---- ops --------------------------------------------------------------------------------

    def lines(self, block: Block, scope: Scope, names: Names) -> list[str]:
        """The statements of a block of the program, in which these names are left."""
        self.block = block.name
        scope.enter(block.name, names)
        self.write(block.ops, scope)
        return scope.lines

    def write(self, ops: Iterable[Op], scope: Scope, axes: Axes = ()) -> None:
        """Write the statements of the ops in order."""
        for op in ops:
            self.arrays.position += 1
            match op:
                case Loop() if can_be_axis(op):
                    self.write(op.body, scope, (*axes, Axis(op.counter, op.count)))
                case Loop():
                    self._loop(op, scope, axes)
                case When(after, body):
                    lines, scope.lines = scope.lines, []
                    self.write(body, scope, axes)
                    scope.lines = [
                        *lines,
                        f"if self.seen >= {after}:",
                        *indented(scope.lines, "    "),
                    ]
                case Affine():
                    self._affine(op, scope, axes)
                case Elementwise():
                    schedule = self._schedule(op.size, axes)
                    for name, node in op.locals:
                        schedule.local(name, node)
                    stores = [(v, schedule.value(node)) for v, node in op.stores]
                    self._ufuncs(schedule.place(stores), scope, axes)
                case Reduce():
                    self._reduce(op, scope, axes)
                case Softmax():
                    self._softmax(op, scope, axes)
                case Gather():
                    self._gather(op, scope, axes)
                case Shift(line, x):
                    whole, kept = line.vec(), line.size - x.size
                    self._call("copy", [At(whole[x.size :])], whole[:kept], scope, axes)
                    self._call("copy", [At(x)], whole[kept:], scope, axes)

    def _loop(self, op: Loop, scope: Scope, axes: Axes) -> None:
        inner = LoopScope(scope, op.counter)
        self.loops.append(op.counter)
        self.write(op.body, inner, axes)
        self.loops.pop()
        scope.note(op.count)
        variable = op.counter if op.counter in inner.reads else "_"
        inner.reads.discard(op.counter)
        scope.lines.append(f"for {variable} in range({dims.text(op.count)}):")
        scope.lines += indented(inner.lines, "    ")

    # ---- products ---------------------------------------------------------------------------

    def _affine(self, op: Affine, scope: Scope, axes: Axes) -> None:
        bias = op.bias
        if not axes and id(op) in self.windows:
            if window := self.windows[id(op)]:
                for x, slot in window.copies:
                    self._call("copy", [At(x)], slot, scope)
                self._dot(self.module.matrix(window.matrix), window.vec, window.out, scope)
            if bias is not None and self._is_fixed(bias):
                bias = None  # a column of the matrix
        elif not op.products:
            start: Expr = Number(0.0) if bias is None else At(bias)
            self._call("copy", [start], op.out, scope, axes)
            bias = None
        else:
            for number, (mat, x) in enumerate(op.products):
                self._product(mat, x, op.out, scope, axes, add=number > 0)
        if bias is not None:
            self._call("add", [At(op.out), At(bias)], op.out, scope, axes)

    def _product(self, mat: Mat, x: Vec, out: Vec, scope: Scope, axes: Axes, add: bool) -> None:
        """`out = mat x`, added to what is in `out` with `add`."""
        if not self._is_fixed(mat, axes):
            product, axes = self._product_of_rows(mat, x, scope, axes)
        elif not axes:
            self._dot(str(scope.get(mat, bare=True)), x, out, scope, add)
            return
        else:
            matrix, given = scope.get(mat, bare=True), scope.get(x, axes)
            product = f"{self.module.use('product')}({matrix}, {given}, {len(axes)})"
            if not add and x.buffer.kind != "const" and all(moves(x, axis) for axis in axes):
                name = scope.new(out, axes)
                if name:
                    scope.lines.append(f"{name} = {product}")
                    return
        self._store(product, out, scope, axes, add)

    def _dot(self, matrix: str, x: Vec, out: Vec, scope: Scope, add: bool = False) -> None:
        product = f"{matrix}.dot({scope.get(x)}"
        if not add and out.stride == 1 and x.buffer.kind != "const":
            scope.lines.append(f"{product}, {scope.get(out)})")
        else:
            self._store(f"{product})", out, scope, (), add)

    def _store(self, value: str, out: Vec, scope: Scope, axes: Axes, add: bool = False) -> None:
        target = scope.get(out, axes)
        if add:
            scope.lines.append(f"{self.module.use('add')}({target}, {value}, {target})")
        else:
            scope.lines.append(f"{target.elements} = {value}")

    def _product_of_rows(self, mat: Mat, x: Vec, scope: Scope, axes: Axes) -> tuple[str, Axes]:
        """The products of the rows of one matrix with those of another, and their axes."""
        last = axes[-1] if axes else None
        if not (last and x.stride != 0 and moves(x, last) and not moves(mat, last)):
            axes = (*axes, Axis("", 1))  # one row
        given, matrix = scope.get(x, axes), scope.get(mat, axes[:-1])
        return f"{self.module.use('product_of_rows')}({given}, {matrix}, {len(axes)})", axes

    # ---- functions of elements --------------------------------------------------------------

    def _schedule(self, size: dims.Dim, axes: Axes) -> Schedule:
        return Schedule(self.arrays, axes, self.loops, size, self.module.curve)

    def _ufuncs(self, ufuncs: Iterable[Ufunc], scope: Scope, axes: Axes) -> None:
        for ufunc in ufuncs:
            self._call(ufunc.function, ufunc.operands, ufunc.out, scope, axes)

    def _call(
        self, function: str, operands: Sequence[Expr], out: Vec, scope: Scope, axes: Axes = ()
    ) -> None:
        """Write `out = function(operands)`."""
        texts = [str(scope.operand(operand, axes, out.size)) for operand in operands]
        target = scope.get(out, axes)
        if function == "copy":
            scope.lines.append(f"{target.elements} = {texts[0]}")
        elif function == "choose":
            condition, yes, no = texts
            copy = self.module.use("copyto")
            if operands[2] != At(out):
                scope.lines.append(f"{copy}({target}, {no})")
            scope.lines.append(f"{copy}({target}, {yes}, where={condition})")
        else:
            name = self.module.use(function)
            last = f"out={target}" if function in BY_KEYWORD else str(target)
            own = "self." if function in METHODS else ""
            scope.lines.append(f"{own}{name}({', '.join([*texts, last])})")

    # ---- reductions -------------------------------------------------------------------------

    def _reduce(self, op: Reduce, scope: Scope, axes: Axes) -> None:
        over = tuple(Axis(name, count) for name, count in op.counters)
        schedule = self._schedule(op.out.size, (*axes, *over))
        ufuncs, operand = schedule.reduced(op.value, f"{op.out.buffer.name}_terms")
        self._ufuncs(ufuncs, scope, schedule.axes)
        numbers = [str(len(axes) + k) for k in range(len(over))]
        axis = numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"
        given, out = scope.get(operand, schedule.axes), scope.get(op.out, axes)
        function = self.module.use(FOLDS[op.kind])
        scope.lines.append(f"{function}.reduce({given}, {axis}, None, {out})")

    def _fold(self, kind: str, x: Vec, out: Vec, scope: Scope, axes: Axes) -> None:
        """The sum or the largest of a vector."""
        given = scope.get(x, axes)
        if kind == "sum" and not axes and isinstance(x.size, int):
            ones = self.module.ones(x.size)
            scope.lines.append(f"{ones}.dot({given}, {scope.get(out.every(x.size))})")
        else:
            function, total = self.module.use(FOLDS[kind]), scope.get(out, axes)
            scope.lines.append(f"{function}.reduce({given}, {len(axes)}, None, {total}, True)")

    def _softmax(self, op: Softmax, scope: Scope, axes: Axes) -> None:
        x, out = op.x, op.out
        if op.table is not None:
            exp = self.module.curve(op.table, op.shift, None)
            shares = f"{self.module.use('softmax')}({scope.get(x, axes)}, {len(axes)}, {exp}, "
            scope.lines.append(f"{shares}{scope.get(out, axes)})")
            return
        size, name = out.size, out.buffer.name
        top, total = (scratch(f"{name}_{part}", 1, axes) for part in ("top", "total"))
        powers = scratch(f"{name}_powers", size, axes) if op.log else out
        if size == 2:  # in a third of the time
            self._call("maximum", [At(x[:1]), At(x[1:])], top, scope, axes)
        else:
            self._fold("max", x, top, scope, axes)
        self._call("subtract", [At(x), At(top.every(size))], out, scope, axes)
        self._call("exp", [At(out)], powers, scope, axes)
        self._fold("sum", powers, total, scope, axes)
        if op.log:
            self._call("log", [At(total)], total, scope, axes)
        last = "subtract" if op.log else "divide"
        self._call(last, [At(out), At(total.every(size))], out, scope, axes)

    def _gather(self, op: Gather, scope: Scope, axes: Axes) -> None:
        index = f"{scope.get(op.index, axes)}[{':, ' * len(axes)}0]"
        if op.index.buffer.dtype != "int32":
            index = f"{index}.astype({self.module.use('int32')})"
        rows = f"{scope.get(op.table, bare=True)}[{index}]"
        rows = f"np.moveaxis({rows}, -1, {len(axes)})" if axes else f"{rows}.T"
        self._store(rows, op.out, scope, axes)
