"""The JavaScript target: an ES module with one class, on typed arrays.

Numbers are stored in the file's type and computed in double precision, the only one of JavaScript;
that is faster than to round every result to float32. It is the smallest target, and the one to read
first: a printer of ops, the methods around them, the page.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from codegen.lowered import Lowered
from codegen.lowered.recorded import LARGEST, TOLERANCE, recorded
from codegen.model import FACTS, Array
from codegen.passes import Pass
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.integers import LIMITS
from codegen.program.ops import (
    Affine,
    At,
    Buffer,
    Call,
    Elementwise,
    Expr,
    Gather,
    Loop,
    Number,
    Op,
    Port,
    Program,
    Reduce,
    Shift,
    Softmax,
    State,
    Table,
    Vec,
    When,
    const,
    first_row,
    reads,
    rows_looked_up,
    temps,
    walk_ops,
    writes,
)
from codegen.targets.spine.expressions import ATOM, PRODUCT, Scalars, identity
from codegen.targets.spine.integers import Curve, apart, fractions
from codegen.targets.spine.lines import broken, filled, fitted, indented
from codegen.targets.spine.outline import Origin, Outline, banner, facts
from codegen.text import numbers, templates
from codegen.text.names import Names, comment
from codegen.text.words import JAVASCRIPT_WORDS

# Names of the file itself: what it calls, and locals of its methods.
OWN = (
    """
    Array Float32Array Float64Array Infinity Int32Array Int8Array Math NaN Number Object RangeError
    String TypeError Uint16Array Uint8Array console process i states total values Model selftest
    POWERS TOLERANCE LARGEST
""".split()
    + [name.upper() for name in FACTS]
)
METHODS = "constructor reset restart step advance predict getState setState seen prototype".split()

# Functions of JavaScript, and how those of the file are called where not by their own names.
BUILT_IN = {
    name: f"Math.{name}"
    for name in (
        *("expm1", "log", "log1p", "sin", "cos", "atan", "sqrt", "abs", "floor", "min", "max"),
    )
}
SPELLING = {
    "gate_sigmoid": "sigmoid",
    "hard_sigmoid": "hardSigmoid",
    "hard_sigmoid_3": "hardSigmoid3",
}
# Helpers of the file, from templates/javascript/functions, with those that they call.
HELPERS: Mapping[str, tuple[str, ...]] = {
    "exp": (),
    "tanh": ("exp",),
    "sigmoid": ("exp",),
    "hardSigmoid": (),
    "hardSigmoid3": (),
    "softplus": ("exp",),
    "erf": ("exp",),
    "round": (),
    "pow": (),
    "fmod": (),
    "affine": (),
    "softmax": ("exp",),
    "logSoftmax": ("exp",),
    "copy": (),
    "check": (),
    "read": ("check",),
    "readWhole": ("check",),
    "decoded": (),
    "scaled": (),
    "shifted": (),  # from here on of integers
    "scaledBy": (),
    "saturated": (),
    "multiplied": (),
    "affineOfIntegers": ("multiplied",),
    "softmaxOfIntegers": (),
}
INTEGER_HELPERS = (
    *("copy", "check", "read", "readWhole", "decoded", "shifted", "scaledBy", "saturated"),
    *("multiplied", "affineOfIntegers", "softmaxOfIntegers", "same", "isMain"),
)
PASSES: tuple[Pass, ...] = ()  # the ops are printed as lowering made them
# In place of the helpers that are as exact as float32.
DOUBLE = {name: f"const {name} = Math.{name};\n" for name in ("exp", "tanh")}


# Classes of arrays of whole numbers.
WHOLE = {
    "int8": "Int8Array",
    "int16": "Int16Array",
    "uint16": "Uint16Array",
    "int32": "Int32Array",
}


@dataclass
class File:
    """Names, constants and helpers of one file, collected while its methods are printed."""

    dtype: str
    names: Names
    consts: dict[Buffer, str] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)
    scales: dict[Buffer, Buffer] = field(default_factory=dict)  # of matrices of integers
    curves: dict[object, Curve] = field(default_factory=dict)  # functions that tables stand for
    integers: bool = False

    def use(self, helper: str) -> str:
        """The name of a helper, which the file then has."""
        self.helpers.update((helper, *HELPERS[helper]))
        return helper

    def name(self, buffer: Buffer) -> str:
        """The name of a buffer, which is in the file if it is a constant."""
        wanted = f"{buffer.name}_values" if buffer.name in METHODS else buffer.name
        if buffer.kind != "const":
            return self.names(wanted, identity(buffer))
        return self.consts.setdefault(buffer, self.names(wanted.upper(), buffer))

    def place(self, line: Buffer) -> str:
        """The name of where the oldest row of a delay line stands in its array."""
        return self.names(f"{line.name}_at", ("at", line))

    def kind(self, buffer: Buffer) -> str:
        """The class of the buffer's array."""
        return WHOLE.get(buffer.dtype, self.reals)

    @property
    def reals(self) -> str:
        """The class of arrays of numbers that are not whole."""
        return "Float32Array" if self.dtype == "float32" else "Float64Array"

    def symbol(self, name: str) -> str:
        """The name of a length or a loop counter."""
        return self.names(name, ("symbol", name))

    def dim(self, dim: Dim) -> str:
        """A length or an offset."""
        known = {name: self.symbol(name) for name in sorted(dims.symbols(dim))}
        return dims.text(dim, "Math.floor({} / {})", "Math.{}({}, {})", known)

    def shape(self, shape: Sequence[Dim]) -> str:
        """The shape of a tensor."""
        return f"({', '.join(map(self.dim, shape))})"

    def array(self, buffer: Buffer) -> str:
        """A new array for the buffer."""
        return f"new {self.kind(buffer)}({self.dim(buffer.size)})"

    def scales_of(self, buffer: Buffer) -> Buffer:
        """The scales of the rows of a matrix of integers, as a constant of its own."""
        if buffer not in self.scales:
            found = buffer.scales
            assert found is not None, buffer
            name, count = f"{buffer.name}_scales", len(found)
            self.scales[buffer] = Buffer(name, count, "const", "uint16", found, (), (count,))
        return self.scales[buffer]

    def curve(self, vec: Vec, shift: int, mirror: int | None) -> Curve:
        """The function of integers that lies between the numbers of a table."""
        key = vec.buffer, vec.offset, vec.size, shift, mirror
        if key not in self.curves:
            assert vec.offset == 0, vec
            wanted = vec.buffer.name.removesuffix("_table") or vec.buffer.name
            name = self.names(wanted, ("curve", key))
            size = dims.fixed(vec.size)
            self.curves[key] = Curve(name, self.name(vec.buffer), size, shift, mirror)
        return self.curves[key]

    def helper_text(self, name: str) -> str:
        """A helper as it stands in the file."""
        own = DOUBLE.get(name) if self.dtype == "float64" else None
        return own or templates.source(f"javascript/functions/{name}.js")


def special(value: float) -> str:
    """How a number is written that has no digits, "" for any other."""
    return "" if np.isfinite(value) else str(value).replace("inf", "Infinity").replace("nan", "NaN")


# ---- ops ------------------------------------------------------------------------------------


class Printer(Scalars):
    """The ops of one program as statements. States are members of the class, and `members`."""

    def __init__(self, file: File, program: Program, members: Iterable[Buffer]) -> None:
        self.file, self.program = file, program
        self.lines = {state.buffer for state in program.states if state.line}
        self.members = {*members, *(state.buffer for state in program.states)}

    def number(self, value: float) -> str:
        """A literal."""
        return special(value) or numbers.number(value, self.file.dtype).removesuffix(".0")

    def compared(self, node: Expr, index: str) -> str:
        """One side of a comparison: a number is rounded as what is stored in an array is."""
        text = super().compared(node, index)
        if isinstance(node, Number) and self.file.dtype == "float32":
            exact = float(np.float32(node.value)) == node.value
            return text if exact else f"Math.fround({text})"
        return text

    def relation(self, operator: str) -> str:
        """A comparison operator."""
        return {"==": "===", "!=": "!=="}.get(operator, operator)

    def local(self, name: str) -> str:
        """A local of an op."""
        return self.file.names(name, ("local", name))

    def dim(self, dim: Dim) -> str:
        """A length or a loop counter."""
        return self.file.dim(dim)

    def count(self, dim: Dim) -> str:
        """A length or a loop counter as a number."""
        return f"({self.dim(dim)})"

    def function(self, name: str, arguments: tuple[Expr, ...]) -> str:
        """A function of JavaScript, or one of the file's own."""
        return BUILT_IN.get(name) or self.file.use(SPELLING.get(name, name))

    def start(self, vec: Vec) -> str:
        """Where the vector begins in its array."""
        at = [self.file.place(vec.buffer)] if vec.buffer in self.lines else []
        return joined(*at, self.dim(vec.offset))

    def element(self, vec: Vec, index: str, row: str = "0") -> str:
        """An element of a vector, which may be a row of a table."""
        moved = index if vec.stride == 1 else f"{index} * {vec.stride}"
        place = joined(self.start(vec), row, moved if index and vec.stride else "0")
        return f"{self.file.name(vec.buffer)}[{place}]"

    def helper(self, name: str, first: Sequence[str], *optional: tuple[object, object]) -> str:
        """The call of a helper; of its optional arguments, (value, default), as many as differ."""
        texts = [str(value) for value, _ in optional]
        while texts and texts[-1] == str(optional[len(texts) - 1][1]):
            texts.pop()
        return f"{self.file.use(name)}({', '.join([*first, *texts])});"

    def blocks(self) -> Iterator[str]:
        """All layers, each under its heading, after the members that it works on."""
        for block in self.program.blocks:
            touched = [v.buffer for op in walk_ops(block.ops) for v in (*reads(op), *writes(op))]
            used = [buffer for buffer in dict.fromkeys(touched) if buffer in self.members]
            yield from ("", f"// {comment(block.title, 90)}", "{")
            if used:
                yield f"  const {{ {', '.join(map(self.file.name, used))} }} = this;"
            for line in (self.file.place(buffer) for buffer in used if buffer in self.lines):
                yield f"  let {line} = this.{line};"
            yield from indented(self.ops(block.ops), "  ")
            yield "}"

    def ops(self, ops: Sequence[Op]) -> Iterator[str]:
        """The statements of the ops."""
        for op in ops:
            match op:
                case Affine():
                    yield from self.affine(op)
                case Elementwise():
                    yield from self.elementwise(op)
                case Reduce():
                    yield from self.reduce(op)
                case Softmax():
                    yield self.softmax(op)
                case Gather():
                    yield from self.gather(op)
                case Shift():
                    yield from self.shift(op)
                case Loop(counter, count, body, _):
                    yield from loop(self.file.symbol(counter), self.dim(count), self.ops(body))
                case When(after, body):
                    yield from block(f"if (this.seen >= {after})", self.ops(body))

    def biased(self, op: Affine) -> Iterator[str]:
        """The bias, which products are added to."""
        start = Number(0.0) if op.bias is None else At(op.bias)
        yield from self.elementwise(Elementwise(op.out.size, (), ((op.out, start),)))

    def affine(self, op: Affine) -> Iterator[str]:
        """The bias, and each product added to it."""
        yield from self.biased(op)
        for mat, x in op.products:
            columns = self.dim(mat.columns)
            first = [self.file.name(buffer) for buffer in (op.out.buffer, mat.buffer, x.buffer)]
            base = Vec(mat.buffer, mat.offset, mat.columns)
            yield self.helper(
                "affine",
                [*first, self.dim(op.out.size), columns],
                *((self.start(vec), 0) for vec in (op.out, base, x)),
                *((mat.row_stride, columns), (mat.column_stride, 1)),
                *((op.out.stride, 1), (x.stride, 1)),
            )

    def softmax(self, op: Softmax) -> str:
        """The call of a softmax or of its logarithm."""
        first = [self.file.name(op.out.buffer), self.file.name(op.x.buffer), self.dim(op.x.size)]
        places = ((self.start(op.out), 0), (self.start(op.x), 0))
        steps = ((op.out.stride, 1), (op.x.stride, 1))
        return self.helper("logSoftmax" if op.log else "softmax", first, *places, *steps)

    def gather(self, op: Gather) -> Iterator[str]:
        """A row of a table."""
        row = Vec(op.table.buffer, op.table.offset, op.table.columns, op.table.column_stride)
        value = self.element(row, "i", f"{op.table.row_stride} * {self.element(op.index, '')}")
        yield from loop("i", self.dim(op.out.size), [f"{self.element(op.out, 'i')} = {value};"])

    def least(self, kind: str) -> str:
        """What a maximum or a minimum starts from."""
        return {"max": "-Infinity", "min": "Infinity"}[kind]

    def elementwise(self, op: Elementwise) -> Iterator[str]:
        """One loop. A value that a later store still reads is stored after all are known."""
        index = "" if op.size == 1 else "i"
        if index and not op.locals and len(op.stores) == 1:
            ((out, value),) = op.stores
            if isinstance(value, At) and out.stride == value.vec.stride == 1:
                first = [self.file.name(v.buffer) for v in (out, value.vec)]
                places = ((self.start(v), 0) for v in (out, value.vec))
                yield self.helper("copy", [*first, self.dim(op.size)], *places)
                return
        lines = [f"const {self.local(n)} = {self.expression(e, index)};" for n, e in op.locals]
        lines += self.stored(op, index, "const {} = {};", "{} = {};")
        if index:
            yield from loop(index, self.dim(op.size), lines)
        else:
            yield from lines if len(lines) == 1 else block("", lines)

    def reduce(self, op: Reduce) -> Iterator[str]:
        """Loops inside one another."""
        index = "" if op.out.size == 1 else "i"
        value = self.expression(op.value, index)
        start = "0" if op.kind == "sum" else self.least(op.kind)
        inner = [f"total = Math.{op.kind}(total, {value});"]
        if op.kind == "sum":
            inner = [f"total += {value};"]
        for name, count in reversed(op.counters):
            inner = [*loop(self.file.symbol(name), self.dim(count), inner)]
        lines = [f"let total = {start};", *inner, f"{self.element(op.out, index)} = total;"]
        yield from loop(index, self.dim(op.out.size), lines) if index else block("", lines)

    def shift(self, op: Shift) -> Iterator[str]:
        """The line moves on by a row in an array of twice its size, and starts over at the end."""
        line, at = self.file.name(op.line), self.file.place(op.line)
        row, size = dims.fixed(op.x.size), dims.fixed(op.line.size)
        yield f"{at} += {row};"
        again = [f"{line}.copyWithin(0, {at}, {at} + {size - row});", f"{at} = 0;"]
        yield from block(f"if ({at} > {size})", again)
        newest = Vec(op.line, size - row, row)
        yield from self.elementwise(Elementwise(row, (), ((newest, At(op.x)),)))
        yield f"this.{at} = {at};"


class IntegerPrinter(Printer):
    """The ops of a program of integers. No number on the way needs more than 32 bits."""

    integers = True

    def number(self, value: float) -> str:
        """A literal; what a float is multiplied by is a power of two, and may be a fraction."""
        return str(int(value)) if float(value).is_integer() else repr(float(value))

    def compared(self, node: Expr, index: str) -> str:
        """One side of a comparison."""
        return Scalars.compared(self, node, index)

    def bound(self, node: Expr, index: str) -> tuple[str, int]:
        """The text, and how tightly it binds."""
        if isinstance(node, Call) and node.function in ("floor_shift", "real"):
            first, second = (self.expression(part, index, PRODUCT) for part in node.arguments)
            if node.function == "real":
                return f"{first} * {second}", PRODUCT
            return f"({first} >> {second})", ATOM
        return super().bound(node, index)

    def function(self, name: str, arguments: tuple[Expr, ...]) -> str:
        """A function of JavaScript or of the file, or a method that counts."""
        if name in ("fixed", "limited"):
            return f"this.{name}"
        if name in ("abs", "min", "max"):
            return f"Math.{name}"
        return self.file.use("scaledBy" if name == "scaled" else name)

    def between(self, node: Table, index: str) -> str:
        """A call of the function that the table stands for."""
        curve = self.file.curve(node.vec, node.shift, node.mirror)
        return f"{curve.name}({self.expression(node.value, index)})"

    def affine(self, op: Affine) -> Iterator[str]:
        """The bias, and each product added to it, with the scales of its rows."""
        yield from self.biased(op)
        for (mat, x), shift in zip(op.products, op.shifts, strict=True):
            buffers = op.out.buffer, mat.buffer, self.file.scales_of(mat.buffer), x.buffer
            columns = self.dim(mat.columns)
            first = [*map(self.file.name, buffers), str(shift), self.dim(op.out.size), columns]
            base = Vec(mat.buffer, mat.offset, mat.columns)
            yield self.helper(
                "affineOfIntegers",
                first,
                *((self.start(vec), 0) for vec in (op.out, base, x)),
                (self.dim(first_row(mat)), 0),
                *((mat.row_stride, columns), (op.out.stride, 1), (x.stride, 1)),
            )

    def softmax(self, op: Softmax) -> str:
        """Shares by a table."""
        assert op.table is not None, op
        exp = self.file.curve(op.table, op.shift, None).name
        first = [self.file.name(op.out.buffer), self.file.name(op.x.buffer), self.dim(op.x.size)]
        places = ((self.start(op.out), 0), (self.start(op.x), 0))
        steps = ((op.out.stride, 1), (op.x.stride, 1))
        return self.helper("softmaxOfIntegers", [*first, exp], *places, *steps)

    def gather(self, op: Gather) -> Iterator[str]:
        """A row of a table, times its scale."""
        row = Vec(op.table.buffer, op.table.offset, op.table.columns, op.table.column_stride)
        number = self.element(op.index, "")
        value = self.element(row, "i", f"{op.table.row_stride} * {number}")
        scales = self.file.name(self.file.scales_of(op.table.buffer))
        scale = f"{scales}[{joined(self.dim(first_row(op.table)), number)}]"
        shifted = f"{self.file.use('shifted')}({value} * {scale}, {op.shift})"
        yield from loop("i", self.dim(op.out.size), [f"{self.element(op.out, 'i')} = {shifted};"])

    def least(self, kind: str) -> str:
        """What a maximum or a minimum starts from."""
        limit = LIMITS["int32"]
        return str({"max": -limit, "min": limit - 1}[kind])


def joined(*parts: str) -> str:
    """A sum without its zeros."""
    return " + ".join(part for part in parts if part != "0") or "0"


def block(head: str, body: Iterable[str]) -> Iterator[str]:
    """Lines in braces."""
    yield f"{head} {{".lstrip()
    yield from indented(body, "  ")
    yield "}"


def loop(counter: str, count: str, body: Iterable[str]) -> Iterator[str]:
    """Lines for every value of a counter."""
    return block(f"for (let {counter} = 0; {counter} < {count}; ++{counter})", body)


# ---- the page -------------------------------------------------------------------------------


def render(
    lowered: Lowered, name: str, options: Mapping[str, Any], origin: Origin
) -> Iterator[str]:
    """The module in pieces."""
    is_integer = lowered.whole.integers
    outline = Outline(lowered, options, (apart,) if is_integer else PASSES)
    helpers = INTEGER_HELPERS if is_integer else tuple(HELPERS)
    file = File(outline.dtype, Names(JAVASCRIPT_WORDS, OWN, helpers), integers=is_integer)
    for symbol in outline.symbols():
        file.symbol(symbol)
    for port, buffers in outline.ports():
        file.name(port.buffer)
        for buffer in buffers:
            file.names.same(port.buffer, buffer)
    page = Page(outline, file)
    step = None if outline.step is None else page.step(outline.step)
    fresh = page.starts(outline.fresh, seen=bool(outline.warmup))
    carried = page.starts(outline.carried, seen=False)
    both = outline.restart == "restart"
    members = [] if outline.step is None else page.members(outline.step)
    reads_states = "readWhole" if is_integer else "read"
    for helper in ("check", *([reads_states] if outline.states or outline.warmup else [])):
        file.use(helper)
    values = {
        "title": f"{comment(name)}, from {comment(lowered.model.source)}.",
        "states": [page.state(state) for state in outline.states],
        "shown": [page.state(state) for state in outline.states],
        "scratch": [(file.name(buffer), file.array(buffer)) for buffer in members],
        "reset": ["this.restart();", *carried] if both else [*fresh, *carried],
        "restart": fresh if both else [],
        "step": step,
        "predict": page.predict(),
        "test": selftest(lowered),
    }
    arrays = [array(file, buffer, options["weights"] == "text") for buffer in file.consts]
    pieces = templates.render(
        "javascript/model.js.j2",
        **values,
        banner=banner(lowered, origin, outline.sizes()),
        facts=facts(lowered),
        functions=[file.helper_text(helper) for helper in HELPERS if helper in file.helpers],
        arrays=arrays,
        warmup=outline.warmup,
        tolerance=numbers.number(TOLERANCE),
        largest=numbers.number(LARGEST),
        judges=[file.helper_text("same" if is_integer else "close"), file.helper_text("isMain")],
        integers=is_integer,
        curves=list(file.curves.values()),
        fractions=fractions(lowered),
    )
    return fitted(pieces, lines_of)


def lines_of(line: str) -> Iterable[str]:
    """A long line in several: a comment between words, code where its expression breaks."""
    comment = re.match(r" *(\*|//|/\*\*) ", line)
    if comment is None or line.endswith("*/"):
        return broken(line)
    return filled(line[comment.end() :], comment[0], f"{comment[0]}  ")


class Page:
    """What the template is filled with."""

    def __init__(self, outline: Outline, file: File) -> None:
        self.outline, self.file = outline, file
        for state in outline.states:
            file.name(state.buffer)

    def state(self, state: State) -> dict[str, Any]:
        """A state: its member, and where its numbers stand in that."""
        size, at = state.buffer.size, ""
        if state.line:
            at = self.file.place(state.buffer)
        return {
            "name": self.file.name(state.buffer),
            "kind": self.file.kind(state.buffer),
            "note": comment(f"{state.layer}: {state.role}", 50),
            "size": size,
            "at": at,
            "room": f"2 * {size}" if at else size,  # for a delay line to move on in
            "part": f"this.{at}, this.{at} + {size}" if at else "",
            "limit": LIMITS.get(state.buffer.dtype),
        }

    def starts(self, states: Sequence[State], seen: bool) -> list[str]:
        """Lines that put states at their start."""
        lines = []
        for state in states:
            name = f"this.{self.file.name(state.buffer)}"
            if state.initial is None or not np.any(state.initial):
                lines.append(f"{name}.fill(0);")
            else:
                first = const(f"{state.buffer.name}_initial", state.initial)
                lines.append(f"{name}.set({self.file.name(first)});")
            if state.line:
                lines.append(f"this.{self.file.place(state.buffer)} = 0; // its oldest row")
        return [*lines, *(["this.seen = 0; // steps since the start"] if seen else [])]

    def printer(self, program: Program, members: Iterable[Buffer]) -> Printer:
        """What prints the ops of a program."""
        kind = IntegerPrinter if program.integers else Printer
        return kind(self.file, program, members)

    def members(self, program: Program) -> list[Buffer]:
        """The arrays of a step that are no states."""
        ports = [port.buffer for port in (*program.inputs, *program.outputs)]
        return [*dict.fromkeys((*ports, *temps(program)))]

    def tensor(self, port: Port) -> dict[str, Any]:
        """An input or output."""
        name, limit = self.file.name(port.buffer), ""
        if port.buffer.dtype == "int32":
            rows = rows_looked_up(port.name, self.outline.printed)
            limit = f", {rows or 'Infinity'}"
        elif port.buffer.dtype == "int16":
            most = LIMITS["int16"]
            limit = f", {most}, -{most}"
        return {
            "name": name,
            "note": f"{comment(port.name, 40)} " if port.name != name else "",
            "shape": self.file.shape(port.shape),
            "kind": self.file.kind(port.buffer),
            "size": self.file.dim(port.buffer.size),
            "array": self.file.array(port.buffer),
            "read": f'{self.file.use("readWhole" if limit else "read")}("{name}", {name}',
            "limit": limit,
        }

    def call(self, program: Program, other: str = "") -> dict[str, Any]:
        """Inputs, outputs and result of a method."""
        outputs = [self.tensor(port) for port in program.outputs]
        names, kinds = ([str(y[key]) for y in outputs] for key in ("name", "kind"))
        shapes = ", ".join(str(y["shape"]) for y in outputs)
        return {
            "inputs": [self.tensor(port) for port in program.inputs],
            "outputs": outputs,
            "result": one_or_all(names),
            "returned": f"{{{one_or_all(kinds)}{other}}} {shapes}",
        }

    def step(self, program: Program) -> dict[str, Any]:
        """The method step, and advance."""
        late = self.outline.warmup
        call = self.call(program, " | null" if late else "")
        call["returned"] += f"; null for the first {late} steps" if late else ""
        defaults = (f"{y['name']} = {y['array']}" for y in call["outputs"])
        self.file.use("copy")
        body = [*self.printer(program, self.members(program)).blocks()][1:]
        return {
            **call,
            "arguments": ", ".join([*(x["name"] for x in call["inputs"]), *defaults]),
            "body": body,
        }

    def predict(self) -> dict[str, Any]:
        """The method predict."""
        outline, whole = self.outline, self.outline.whole
        call = self.call(whole)
        lengths = [self.file.symbol(length) for length in whole.lengths]
        defaults = []
        for length, symbol in zip(lengths, whole.lengths, strict=True):
            port = next(p for p in whole.inputs if symbol in dims.symbols(p.shape[0]))
            row = dims.product(port.shape[1:])
            per = f" / {self.file.dim(row)}" if row != 1 else ""
            defaults.append(f"{length} = {self.file.name(port.buffer)}.length{per}")
        body = self.by_steps() if outline.loops else self.at_once()
        return {
            **call,
            "lengths": lengths,
            "arguments": ", ".join([*(x["name"] for x in call["inputs"]), *defaults]),
            "refusals": [*self.refusals()],
            "restart": outline.restart,
            "body": [*body],
        }

    def refusals(self) -> Iterator[tuple[str, str]]:
        """Conditions on the lengths that are refused, with the expression of what is said then."""
        outline, dim = self.outline, self.file.dim
        least = outline.warmup * outline.hop + 1 if outline.step else 1
        for length in map(self.file.symbol, outline.whole.lengths):
            found = f"expected a whole number of {least} or more, found ${{{length}}}"
            yield f"!Number.isInteger({length}) || {length} < {least}", f"`{length}: {found}`"
        for left, relation, right in outline.conditions(outline.whole):
            opposite, a, b = "!==" if relation == "==" else "<", dim(left), dim(right)
            known = sorted(map(self.file.symbol, dims.symbols(left) | dims.symbols(right)))
            found = " and ".join(f"${{{name}}}" for name in known)
            wanted = f"{' and '.join(known)} with {a} {relation} {b}"
            message = f"expected {wanted}, found {found}"
            texts = textwrap.wrap(message, 70, drop_whitespace=False)
            yield f"{a} {opposite} {b}", " + ".join(f"`{text}`" for text in texts)

    def by_steps(self) -> Iterator[str]:
        """Predict as a loop around the step."""
        outline, step = self.outline, self.outline.step
        assert step is not None
        t, body, due, last = self.file.symbol("t"), [], [], []
        for port in step.inputs:
            name, size = self.file.name(port.buffer), self.file.dim(port.buffer.size)
            if port.time:
                body.append(f"copy(this.{name}, {name}, {size}, 0, {size} * {t});")
            else:
                yield f"this.{name}.set({name});"
        row = f"({t} - {outline.warmup})" if outline.warmup else t
        for port, whole in zip(step.outputs, outline.whole.outputs, strict=True):
            name, size = self.file.name(port.buffer), self.file.dim(port.buffer.size)
            yield f"const {name} = {self.file.array(whole.buffer)};"
            if whole.time:
                due.append(f"copy({name}, this.{name}, {size}, {size} * {row});")
            else:
                last.append(f"{name}.set(this.{name});")
        if outline.warmup and due:
            body += block("if (this.advance())", due)
        else:
            body += ["this.advance();", *due]
        yield from loop(t, self.file.symbol(outline.whole.lengths[0]), body)
        yield from last

    def at_once(self) -> Iterator[str]:
        """Predict with code of its own."""
        outline, whole = self.outline, self.outline.whole
        for buffer in dict.fromkeys((*(p.buffer for p in whole.outputs), *temps(whole))):
            yield f"const {self.file.name(buffer)} = {self.file.array(buffer)};"
        yield from self.printer(whole, ()).blocks()
        yield ""
        if outline.warmup:
            steps = self.file.dim(dims.symbol(whole.lengths[0]) // outline.hop)
            yield f"this.seen = Math.min({steps}, {outline.warmup});"


def one_or_all(texts: Sequence[str]) -> str:
    """One text, or those of several as an array."""
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def array(file: File, buffer: Buffer, is_text: bool) -> dict[str, Any]:
    """The pieces of a constant."""
    assert buffer.data is not None
    note = f"{buffer.name} {file.shape(buffer.shape)}"
    if buffer.scales is None or file.integers:
        dtype = buffer.dtype if buffer.dtype in WHOLE else file.dtype
        opening, pieces, closing = typed(file, buffer.data, dtype, file.kind(buffer), is_text)
    else:
        note += ", int8 times a scale for each row"
        opening, rows, middle = typed(file, buffer.data, "int8", "Int8Array", is_text)
        start, scales, closing = typed(file, buffer.scales, "uint16", "Uint16Array", is_text)
        unit = numbers.number(buffer.unit, file.dtype)
        opening = f"{file.use('scaled')}({file.reals}, {unit}, {opening}"
        pieces, closing = chain(rows, [f"{middle}, {start}\n"], scales), f"{closing})"
    return {
        "name": file.consts[buffer],
        "comment": comment(note, 90),
        "opening": opening,
        "pieces": pieces,
        "closing": closing,
    }


def typed(
    file: File, values: Array, dtype: str, kind: str, is_text: bool
) -> tuple[str, Iterator[str], str]:
    """A typed array of the class `kind`: how it opens, its lines, how it closes."""
    if is_text:
        rows = numbers.rows(values, dtype, indent="  ", special=lambda v, *_: special(v))
        return f"new {kind}([", rows, "])"
    return f"{file.use('decoded')}({kind}, `", numbers.base64_lines(values, dtype), "`)"


def selftest(lowered: Lowered) -> dict[str, Any]:
    """The recorded calls: what is called, what comes back, the states at the end."""
    record = recorded(lowered)
    calls: list[str] = []
    results = [*[None] * record.waiting, *record.results]
    for call, result in zip(record.calls, results, strict=True):
        given = [*(literal(x) for x in call), *(str(n) for n in record.test.lengths)]
        due = "null" if result is None else f"[{', '.join(literal(y) for y in result)}]"
        calls.append(f"    [[{', '.join(given)}], {due}],")
    states = [f"    {literal(state)}," for state in record.test.states]
    return {
        "method": record.method,
        "found": "[found]" if len(lowered.whole.outputs) == 1 else "found",
        "calls": calls,
        "states": states,
        "sizes": ", ".join(f"{size:g}" for size in record.test.sizes),
        "state_size": f"{record.test.state_size:g}",
    }


def literal(values: Array) -> str:
    """A flat array."""
    flat = np.ravel(values).tolist()
    return f"[{', '.join(special(v) or repr(v).removesuffix('.0') for v in flat)}]"
