"""Programs as C statements: one method for each op, a kernel call or a macro of `ops.j2`."""

from __future__ import annotations

from dataclasses import replace

from codegen.passes.fold_gates import NOTE, is_halved
from codegen.passes.layout import NARROW
from codegen.passes.split_calls import in_place_call
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import (
    Affine,
    At,
    Block,
    Buffer,
    Elementwise,
    Expr,
    Gather,
    Local,
    Loop,
    Mat,
    Number,
    Op,
    Reduce,
    Shift,
    Softmax,
    Vec,
    When,
    first_row,
    reads,
    walk,
    walk_ops,
    writes,
)
from codegen.targets.c.expressions import ARENAS, Expressions, indent
from codegen.targets.spine.expressions import ATOM, PRODUCT, waiting
from codegen.text.names import comment
from codegen.text.templates import environment

# Functions that have a kernel for whole arrays; clip(slope x + 0.5, 0, 1) is one for any slope.
SLOPES = {"hard_sigmoid": 0.2, "hard_sigmoid_3": 1.0 / 6.0}
AT_ONCE = 2  # products, from which on a kernel computes several together
LONGEST = 512  # terms of one sum: more of them in one order would show in its last digits
STAGED = frozenset({"tanh", "sigmoid", "gate_sigmoid", *SLOPES})


class Printer(Expressions):
    """Prints the ops of one program."""

    # ---- whole parts ------------------------------------------------------------------

    def block(self, block: Block) -> str:
        """A layer: heading, its scratch, its statements."""
        lines = [f"/* {comment(block.title, 88)} */", "{"]
        lines += [f"    {line}" for line in self.pointers(block.ops)]
        text = self.ops(block.ops)
        return "\n".join(lines) + "\n" + indent(text) + "}\n"

    def pointers(self, ops: tuple[Op, ...]) -> list[str]:
        """Declarations of the scratch vectors that the ops touch, in order of first use."""
        found: dict[Buffer, bool] = {}  # whether it is written
        for op in walk_ops(ops):
            for vec, written in (
                *((v, False) for v in reads(op)),
                *((v, True) for v in writes(op)),
            ):
                if vec.buffer.kind == "temp":
                    found[vec.buffer] = written or found.get(vec.buffer, False)
        lines = []
        for buffer, written in found.items():
            offset, arena = self.plan.offsets[buffer], ARENAS[buffer.dtype]
            place = f"s->{arena} + {offset}" if offset else f"s->{arena}"
            const, kind = "" if written else "const ", self.type_of(buffer)
            note = self.fraction(buffer)
            lines.append(f"{const}{kind} *const {self.buffer(buffer)} = {place};{note}")
        return lines

    def fraction(self, buffer: Buffer) -> str:
        """A comment on what the numbers of a buffer stand for, where that is to be said."""
        return f" /* q / 2^{buffer.fraction} */" if buffer.fraction else ""

    def ops(self, ops: tuple[Op, ...]) -> str:
        """The statements of all ops, at column 0."""
        return "".join(self.op(op) for op in ops)

    def op(self, op: Op) -> str:
        """The statements of one op."""
        printers = {
            Affine: self.affine,
            Elementwise: self.elementwise,
            Reduce: self.reduce,
            Softmax: self.softmax,
            Gather: self.gather,
            Shift: self.shift,
            Loop: self.loop,
            When: self.when,
        }
        return str(printers[type(op)](op))  # type: ignore[operator]

    def macro(self, name: str, **values: object) -> str:
        """A macro of ops.j2."""
        return str(getattr(environment().get_template("c/ops.j2").module, name)(**values))

    # ---- ops ------------------------------------------------------------------------------

    def elementwise(self, op: Elementwise) -> str:
        """One loop, or one call for a function of a whole array."""
        call = in_place_call(op)
        if self.vectorised and call and call.function in STAGED and op.size != 1:
            target, count = self.pointer(op.stores[0][0]), self.dim(op.size)
            if call.function in SLOPES:
                self.used.kernels.add("hard_sigmoid_each")
                slope = self.number(SLOPES[call.function])
                return f"{self.prefix}_hard_sigmoid_each({target}, {slope}, {count});\n"
            self.used.kernels.add(f"{call.function}_each")
            return f"{self.prefix}_{call.function}_each({target}, {count});\n"
        index = "" if op.size == 1 else "i"
        wanted = _needed(op)
        local = [
            (
                self.names(name, ("local", name)),
                self.expression(e, index),
                " /* sigmoid */" if self.halved.read_by(e) else "",
            )
            for name, e in op.locals
            if name in wanted
        ]
        stores = []
        names, delayed = waiting(op), []
        for k, (vec, e) in enumerate(op.stores):
            target, cast = self.element(vec, index), self.cast(vec.buffer)
            if k in names:
                name = self.names(names[k], ("local", names[k]))
                local.append((name, self.expression(e, index), ""))
                delayed.append((target, f"{cast}{name}"))
            else:
                stores.append((target, cast + self.expression(e, index, ATOM if cast else 0)))
        stores += delayed
        size = None if op.size == 1 else self.dim(op.size)
        return self.macro("elementwise", real=self.type, size=size, locals=local, stores=stores)

    def cast(self, buffer: Buffer) -> str:
        """What stands before a value that is stored in the buffer."""
        return "(int32_t)" if buffer.dtype == "int32" else ""

    def affine(self, op: Affine) -> str:
        """The product, under a word on gates that it halves."""
        return (f"/* {NOTE} */\n" if is_halved(op) else "") + self._affine(op)

    def _affine(self, op: Affine) -> str:
        """Kernel calls, or plain loops where offsets or strides vary."""
        calls = self.packing.calls.get(id(op))
        if calls is None:
            return self._affine_plain(op)
        out, size = self.pointer(op.out), self.dim(op.out.size)
        assert isinstance(op.out.size, int)
        if self.profile == "host" and op.out.size < NARROW:
            return self._affine_narrow(op)
        lines: list[str] = []
        bias = op.bias
        takes = self.profile == "host" or calls[0].packed.scales is not None
        first = takes and bias and bias.buffer.kind == "const" and bias.stride == 1
        if not (first or calls[0].with_bias):
            lines.append(self._start(op))
        for call in calls:
            w = self.const_names[call.packed]
            scales = self.scales(call.packed)
            if self.profile == "host":
                kernel = "product" if scales is None else "product_int8"
                self.used.kernels.add(kernel)
                (group,) = call.groups
                start = self.pointer(bias) if first and bias and call is calls[0] else out
                x = f"{self.pointer(group.x)}, {group.columns}"
                w = w if scales is None else f"{w}, {scales}"
                lines.append(f"{self.prefix}_{kernel}({out}, {start}, {w}, {x}, {size});\n")
                continue
            if scales is not None:
                self.used.kernels.add("affine_int8")
                (group,) = call.groups
                start = self.pointer(bias) if first and bias and call is calls[0] else "0"
                x = f"{self.pointer(group.x)}, {group.columns}"
                arguments = f"{out}, {start}, {size}, {w}, {scales}, {x}"
                lines.append(f"{self.prefix}_affine_int8({arguments});\n")
                continue
            self.used.kernels.add("affine")
            vectors = [f"{self.pointer(g.x)}, {g.columns}" for g in call.groups]
            if len(vectors) == 1:
                vectors.append(f"{self.pointer(call.groups[0].x)}, 0")
            more = 0 if call.with_bias else 1
            lines.append(
                f"{self.prefix}_affine({out}, {size}, {more}, {w}, {', '.join(vectors)});\n"
            )
        return "".join(lines)

    def _start(self, op: Affine) -> str:
        """`out = bias`, or zeros."""
        value: Expr = Number(0.0) if op.bias is None else At(op.bias)
        return self.elementwise(Elementwise(op.out.size, (), ((op.out, value),)))

    def _affine_narrow(self, op: Affine) -> str:
        """A few outputs: one dot product each."""
        lines = []
        assert isinstance(op.out.size, int)
        for row in range(op.out.size):
            terms = [] if op.bias is None else [self.element(op.bias[row : row + 1], "")]
            for call in self.packing.calls[id(op)]:
                (group,) = call.groups
                w = self.const_names[call.packed]
                w = f"{w} + {row * group.columns}" if row else w
                kernel = "dot" if call.packed.scales is None else "dot_int8"
                self.used.kernels.add(kernel)
                dot = f"{self.prefix}_{kernel}({w}, {self.pointer(group.x)}, {group.columns})"
                if call.packed.scales is not None:
                    dot = f"{self.scale(call.packed, str(row))} * {dot}"
                terms.append(dot)
            lines.append(f"{self.element(op.out[row : row + 1], '')} = {' + '.join(terms)};\n")
        return "".join(lines)

    def _affine_plain(self, op: Affine) -> str:
        """Loops that take any offsets and strides."""
        products = []
        for mat, x in op.products:
            value = self.expression(At(x), "j", PRODUCT)
            products.append((self.dim(mat.columns), self._matrix(mat, "i", "j"), value))
        start = self.number(0.0) if op.bias is None else self.expression(At(op.bias), "i")
        size = self.dim(op.out.size)
        return self.macro(
            "affine",
            real=self.type,
            size=size,
            start=start,
            products=products,
            out=self.element(op.out, "i"),
        )

    def _matrix(self, mat: Mat, row: str, column: str) -> str:
        """An element of a matrix."""
        text = self.cell(mat, row, column)
        if mat.buffer.scales is not None:
            first = first_row(mat)
            at = row if first == 0 else f"{self.dim(first)} + {row}"
            scale = self.scale(mat.buffer, at)
            return f"{scale} * {self.real(f'{self.upper}_READ_INT8({text})')}"
        return self.read(mat.buffer, text)

    def cell(self, mat: Mat, row: str, column: str) -> str:
        """The place of an element of a matrix."""
        base = self.buffer(mat.buffer)
        parts = [] if mat.offset == 0 else [self.dim(mat.offset)]
        for name, stride in ((row, mat.row_stride), (column, mat.column_stride)):
            if stride == 1:
                parts.append(name)
            elif stride != 0:
                parts.append(f"{name} * {self.dim(stride, ATOM)}")
        return f"{base}[{' + '.join(parts) or '0'}]"

    def reduce(self, op: Reduce) -> str:
        """Nested loops."""
        counters = []
        for name, count in op.counters:
            self.symbols[name] = self.names(name, ("counter", name))
            counters.append((self.symbols[name], self.dim(count)))
        index = "" if op.out.size == 1 else "i"
        if op.kind == "sum":
            start = self.number(0.0)
        else:
            start = self.farthest(op.kind)
            self.used.functions.add(op.kind)
        return self.macro(
            "reduce",
            real=self.type,
            kind=op.kind,
            prefix=self.prefix,
            size=None if op.out.size == 1 else self.dim(op.out.size),
            start=start,
            counters=counters,
            value=self.expression(op.value, index),
            out=self.element(op.out, index),
            cast=self.cast(op.out.buffer),
        )

    def farthest(self, kind: str) -> str:
        """What every number replaces as the largest one, or the smallest one."""
        self.used.math = True
        return f"{'-' if kind == 'max' else ''}HUGE_VAL{self.suffix.upper()}"

    def softmax(self, op: Softmax) -> str:
        """A kernel call."""
        kind = "log_softmax" if op.log else "softmax"
        self.used.functions.add("exp")
        if op.log:
            self.used.functions.add("log")
        out, x, size = self.pointer(op.out), self.pointer(op.x), self.dim(op.x.size)
        if op.out.stride == op.x.stride == 1:
            self.used.kernels.add(kind)
            return f"{self.prefix}_{kind}({out}, {x}, {size});\n"
        self.used.kernels.add(f"{kind}_strided")
        strides = op.out.stride, op.x.stride
        return f"{self.prefix}_{kind}_strided({out}, {strides[0]}, {x}, {strides[1]}, {size});\n"

    def gather(self, op: Gather) -> str:
        """A kernel call, or a loop over a row with gaps."""
        index = self.element(op.index, "")
        if op.index.buffer.dtype != "int32":
            index = f"(int32_t){index}"
        table = op.table
        plain = table.column_stride == 1 and table.row_stride == table.columns
        if plain and op.out.stride == 1:
            kernel = "gather"
            base = self.buffer(table.buffer)
            base = base if table.offset == 0 else f"{base} + {self.dim(table.offset)}"
            if table.buffer.scales is not None:
                kernel = "gather_int8"
                base += f", {self.scales(table.buffer, first_row(table))}"
            self.used.kernels.add(kernel)
            rows, columns = self.dim(table.rows), self.dim(table.columns)
            values = ", ".join((self.pointer(op.out), base, rows, columns, index))
            return f"{self.prefix}_{kernel}({values});\n"
        row = self.names("row_of_table", ("local", "row of table"))
        return self.macro(
            "gather",
            row=row,
            index=index,
            last=self.dim(table.rows - 1),
            size=self.dim(op.out.size),
            out=self.element(op.out, "i"),
            value=self._matrix(table, row, "i"),
        )

    def shift(self, op: Shift) -> str:
        """A kernel call: a ring turns, a short line moves."""
        n = dims.fixed(op.x.size)
        line = self.buffer(op.line)
        if op.x.stride != 1 or op.x.buffer.dtype != op.line.dtype or op.x.buffer.kind == "const":
            raise NotImplementedError("a delay line that takes a vector with gaps")
        x = self.pointer(op.x)
        kernel = self.line_kernel("push" if op.line in self.rings else "shift", op.line)
        self.used.kernels.add(kernel)
        if op.line in self.rings:
            rows, _ = self.rings[op.line]
            return f"{line}_at = {self.prefix}_{kernel}({line}, {line}_at, {rows}, {x}, {n});\n"
        return f"{self.prefix}_{kernel}({line}, {dims.fixed(op.line.size) - n}, {x}, {n});\n"

    def line_kernel(self, name: str, line: Buffer) -> str:
        """What moves a delay line."""
        return name

    def loop(self, op: Loop) -> str:
        """A for, after the products that all iterations begin with, which are one call."""
        counter = self.symbols[op.counter] = self.names(op.counter, ("counter", op.counter))
        products = self._products(op)
        rest = op.body[1:] if products else op.body
        body = self.ops(rest)
        return products + ("" if not rest else self._for(op, counter, body))

    def _for(self, op: Loop, counter: str, body: str) -> str:
        return self.macro("loop", counter=counter, count=self.dim(op.count), body=indent(body))

    def _products(self, op: Loop) -> str:
        """The call for products with one matrix, "" where the body does not begin with such.

        Vectors of the matrix are then loaded once for several of them.
        """
        first = op.body[0]
        if self.profile != "host" or op.carried or not isinstance(first, Affine):
            return ""
        calls = self.packing.calls.get(id(first), ())
        few = isinstance(op.count, int) and op.count < AT_ONCE
        if few or len(calls) != 1 or is_halved(first) or calls[0].packed.scales is not None:
            return ""
        (group,), bias, out = calls[0].groups, first.bias, first.out
        places = [_apart(vec, op.counter) for vec in (out, group.x)]
        steps = [step for _, step in places if isinstance(step, int)]
        narrow = not isinstance(out.size, int) or out.size < NARROW
        if narrow or len(steps) < len(places) or group.columns > LONGEST or calls[0].with_bias:
            return ""
        if any(vec.buffer in self.rings or vec.stride != 1 for vec in (out, group.x)):
            return ""
        fixed = bias is None or (bias.buffer.kind == "const" and bias.stride == 1)
        moves = bias is not None and op.counter in dims.symbols(bias.offset)
        if not fixed or moves or op.counter in (*out.buffer.scope, *group.x.buffer.scope):
            return ""
        self.used.kernels.update(("product", "products"))
        y, x = (self.pointer(start) for start, _ in places)
        start = "0" if bias is None else self.pointer(bias)
        w, sizes = self.const_names[calls[0].packed], f"{group.columns}, {self.dim(out.size)}"
        arguments = f"{y}, {steps[0]}, {start}, {w}, {x}, {steps[1]}, {sizes}"
        return f"{self.prefix}_products({arguments}, {self.dim(op.count)});\n"

    def when(self, op: When) -> str:
        """An if."""
        self.used.state = True
        return self.macro("when", after=op.after, body=indent(self.ops(op.body)))


def _apart(vec: Vec, counter: str) -> tuple[Vec, Dim | None]:
    """Where the vector is in the first iteration, and how far on in each later one, if equally."""
    at = [dims.substitute(vec.offset, {counter: k}) for k in range(3)]
    step = at[1] - at[0]
    return replace(vec, offset=at[0]), step if step == at[2] - at[1] else None


def _needed(op: Elementwise) -> set[str]:
    """Names of the locals that the stores need."""
    needed: set[str] = set()
    for _, e in op.stores:
        needed |= {n.name for n in walk(e) if isinstance(n, Local)}
    for name, e in reversed(op.locals):
        if name in needed:
            needed |= {n.name for n in walk(e) if isinstance(n, Local)}
    return needed
