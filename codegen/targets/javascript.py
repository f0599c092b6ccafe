"""The JavaScript target: an ES module with one class, on typed arrays.

Numbers are stored in the file's type and computed in double precision, the only one of JavaScript;
that is faster than to round every result to float32. It is the smallest target, and the one to read
first: a printer of ops, the methods around them, the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codegen.lowered import Lowered
from codegen.model import Array
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import (
    Affine,
    At,
    Buffer,
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
    Vec,
    When,
    const,
    reads,
    rows_looked_up,
    temps,
    walk,
    walk_ops,
    writes,
)
from codegen.recorded import LARGEST, TOLERANCE
from codegen.running.javascript import start
from codegen.targets.base import SHARED, WEIGHTS, Target
from codegen.targets.spine.expressions import Scalars
from codegen.targets.spine.lines import broken, indented
from codegen.targets.spine.outline import Outline
from codegen.targets.spine.recorded import recorded
from codegen.text import numbers
from codegen.text.banner import Origin, banner
from codegen.text.names import Names, comment
from codegen.text.templates import render, source
from codegen.text.words import JAVASCRIPT_WORDS

# Names of the file itself: what it calls, and locals of its methods.
OWN = """
    Array Float32Array Float64Array Infinity Int32Array Math NaN Number Object RangeError String
    TypeError Uint8Array console process i states total values Model selftest
    POWERS TOLERANCE LARGEST
""".split()
METHODS = "constructor reset restart step advance predict getState setState seen prototype".split()

# How the functions of a Call are written where not by their own names.
SPELLING = {
    **{f: f"Math.{f}" for f in ("expm1", "log", "log1p", "sqrt", "abs", "floor", "min", "max")},
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
    "affine": (),
    "softmax": ("exp",),
    "logSoftmax": ("exp",),
    "copy": (),
    "check": (),
    "read": ("check",),
    "readWhole": ("check",),
    "decoded": (),
}
# In place of the helpers that are as exact as float32.
DOUBLE = {name: f"const {name} = Math.{name};\n" for name in ("exp", "tanh")}


@dataclass
class File:
    """Names, constants and helpers of one file, collected while its methods are printed."""

    dtype: str
    names: Names
    consts: dict[Buffer, str] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)

    def use(self, helper: str) -> str:
        """The name of a helper, which the file then has."""
        self.helpers.update((helper, *HELPERS[helper]))
        return helper

    def name(self, buffer: Buffer) -> str:
        """The name of a buffer, which is in the file if it is a constant."""
        wanted = f"{buffer.name}_values" if buffer.name in METHODS else buffer.name
        if buffer.kind != "const":
            return self.names(wanted, buffer)
        return self.consts.setdefault(buffer, self.names(wanted.upper(), buffer))

    def place(self, line: Buffer) -> str:
        """The name of where the oldest row of a delay line stands in its array."""
        return self.names(f"{line.name}_at", ("at", line))

    def kind(self, buffer: Buffer) -> str:
        """The class of the buffer's array."""
        if buffer.dtype == "int32":
            return "Int32Array"
        return "Float32Array" if self.dtype == "float32" else "Float64Array"

    def symbol(self, name: str) -> str:
        """The name of a length or a loop counter."""
        return self.names(name, ("symbol", name))

    def dim(self, dim: Dim) -> str:
        """A length or an offset."""
        known = {name: dims.symbol(self.symbol(name)) for name in dims.symbols(dim)}
        text = dims.substitute(dim, known)
        return dims.text(text, "Math.floor({} / {})", "Math.{}({}, {})")

    def shape(self, shape: Sequence[Dim]) -> str:
        """The shape of a tensor."""
        return f"({', '.join(map(self.dim, shape))})"

    def array(self, buffer: Buffer) -> str:
        """A new array for the buffer."""
        return f"new {self.kind(buffer)}({self.dim(buffer.size)})"

    def helper_text(self, name: str) -> str:
        """A helper as it stands in the file."""
        own = DOUBLE.get(name) if self.dtype == "float64" else None
        return own or source(f"javascript/functions/{name}.js")


def special(value: float) -> str:
    """How a number is written that has no digits, "" for any other."""
    return "" if np.isfinite(value) else str(value).replace("inf", "Infinity").replace("nan", "NaN")


# ---- ops ------------------------------------------------------------------------------------


class Printer(Scalars):
    """The ops of one program as statements; states and the scratch of a step are members."""

    def __init__(self, file: File, program: Program, is_step: bool) -> None:
        self.file, self.program = file, program
        self.lines = {state.buffer for state in program.states if state.line}
        self.members = {state.buffer for state in program.states}
        if is_step:
            ports = (*program.inputs, *program.outputs)
            self.members.update((*temps(program), *(port.buffer for port in ports)))

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

    def call(self, function: str, arguments: list[str]) -> str:
        """A function of JavaScript, or one of the file's own."""
        name = SPELLING.get(function, function)
        return f"{name if '.' in name else self.file.use(name)}({', '.join(arguments)})"

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
                case Softmax(out, x, log):
                    first = [self.file.name(out.buffer), self.file.name(x.buffer), self.dim(x.size)]
                    places = ((self.start(out), 0), (self.start(x), 0))
                    steps = ((out.stride, 1), (x.stride, 1))
                    yield self.helper("logSoftmax" if log else "softmax", first, *places, *steps)
                case Gather(out, table, index):
                    row = Vec(table.buffer, table.offset, table.columns, table.column_stride)
                    value = self.element(
                        row, "i", f"{table.row_stride} * {self.element(index, '')}"
                    )
                    yield from loop(
                        "i", self.dim(out.size), [f"{self.element(out, 'i')} = {value};"]
                    )
                case Shift():
                    yield from self.shift(op)
                case Loop(counter, count, body, _):
                    yield from loop(self.file.symbol(counter), self.dim(count), self.ops(body))
                case When(after, body):
                    yield from block(f"if (this.seen >= {after})", self.ops(body))

    def affine(self, op: Affine) -> Iterator[str]:
        """The bias, and each product added to it."""
        start = Number(0.0) if op.bias is None else At(op.bias)
        yield from self.elementwise(Elementwise(op.out.size, (), ((op.out, start),)))
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
        delayed = []
        for number, (vec, node) in enumerate(op.stores):
            text, target = self.expression(node, index), self.element(vec, index)
            later = [n for _, e in op.stores[number + 1 :] for n in walk(e)]
            if any(isinstance(n, At) and n.vec.buffer is vec.buffer for n in later):
                name = self.local(f"new_{vec.buffer.name.rsplit('_', 1)[-1]}")
                lines.append(f"const {name} = {text};")
                delayed.append(f"{target} = {name};")
            else:
                lines.append(f"{target} = {text};")
        lines += delayed
        if index:
            yield from loop(index, self.dim(op.size), lines)
        else:
            yield from lines if len(lines) == 1 else block("", lines)

    def reduce(self, op: Reduce) -> Iterator[str]:
        """Loops inside one another."""
        index = "" if op.out.size == 1 else "i"
        value = self.expression(op.value, index)
        start = {"sum": "0", "max": "-Infinity", "min": "Infinity"}[op.kind]
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


# ---- methods --------------------------------------------------------------------------------


class Method:
    """A method of the class: its comment, what stands before the brace, its lines."""

    def __init__(self, doc: Sequence[str], head: str, lines: Iterable[str]) -> None:
        self.doc, self.head = doc, head
        self.lines = [part for line in lines for part in broken(line, 96)]


class Methods:
    """The methods of one class."""

    def __init__(self, outline: Outline, file: File) -> None:
        self.outline, self.file = outline, file
        for port, buffers in outline.ports():
            file.name(port.buffer)
            for buffer in buffers:
                file.names.same(port.buffer, buffer)
        for state in outline.states:
            file.name(state.buffer)
        self.printers = [Printer(file, p, p is outline.step) for p in outline.printed]

    def members(self) -> Iterator[str]:
        """The members of the class."""
        for state in self.outline.states:
            array, note = self.file.array(state.buffer), comment(f"{state.layer}: {state.role}", 50)
            if state.line:  # with room to move on in
                array = array.replace("(", "(2 * ")
            yield f"this.{self.file.name(state.buffer)} = {array}; // {note}"
        step = self.outline.step
        if step is not None:
            ports = [port.buffer for port in (*step.inputs, *step.outputs)]
            for buffer in dict.fromkeys((*ports, *temps(step))):
                yield f"this.{self.file.name(buffer)} = {self.file.array(buffer)};"

    def _start(self, states: Sequence[State]) -> Iterator[str]:
        """Lines that put states at their start."""
        for state in states:
            name = f"this.{self.file.name(state.buffer)}"
            if state.initial is None or not np.any(state.initial):
                yield f"{name}.fill(0);"
            else:
                first = const(f"{state.buffer.name}_initial", state.initial)
                yield f"{name}.set({self.file.name(first)});"
            if state.line:
                yield f"this.{self.file.place(state.buffer)} = 0; // where the oldest row stands"

    def all(self) -> Iterator[Method]:
        """Every method but the constructor."""
        outline = self.outline
        fresh = [*self._start(outline.fresh)]
        fresh += ["this.seen = 0; // steps since the start"] if outline.warmup else []
        carried = [*self._start(outline.carried)]
        if outline.restart == "restart":
            yield Method(["Resets all states."], "reset()", ["this.restart();", *carried])
            yield Method(["Resets what predict does not go on from."], "restart()", fresh)
        else:
            yield Method(["Resets all states."], "reset()", fresh or carried)
        if outline.step is not None:
            yield self.step(outline.step)
            yield self.advance()
        yield self.predict()
        yield self.get_state()
        yield self.set_state()

    # ---- step and predict -------------------------------------------------------------------

    def step(self, program: Program) -> Method:
        """The method step: from the caller's arrays to members, and back."""
        late = self.outline.warmup
        outputs = [(self.file.name(p.buffer), p) for p in program.outputs]
        doc = ["Computes one time step.", *self.doc(program.inputs)]
        lines, defaults = [], []
        for name, port in outputs:
            size = self.file.dim(port.buffer.size)
            lines.append(f'{self.file.use("check")}("{name}", {name}, {size});')
            defaults.append(f"{name} = {self.file.array(port.buffer)}")
            kind = self.file.kind(port.buffer)
            doc.append(f"@param {{{kind}}} [{name}] filled and returned; new if not given")
        lines += [self.read(p, f"this.{self.file.name(p.buffer)}") for p in program.inputs]
        lines.append("if (!this.advance()) return null;" if late else "this.advance();")
        for name, port in outputs:
            size = self.file.dim(port.buffer.size)
            lines.append(f"{self.file.use('copy')}({name}, this.{name}, {size});")
        lines.append(f"return {one_or_all([name for name, _ in outputs])};")
        note = f"; null for the first {late} steps" if late else ""
        doc.append(f"@returns {self.returned(program, ' | null' if late else '')}{note}")
        names = [self.file.name(port.buffer) for port in program.inputs]
        return Method(doc, f"step({', '.join([*names, *defaults])})", lines)

    def advance(self) -> Method:
        """The method advance: a step from members to members."""
        late, lines = self.outline.warmup, [*self.printers[0].blocks()][1:]
        doc = "Computes a step from members to members"
        if late:
            lines += [
                "",
                f"if (this.seen === {late}) return true;",
                "this.seen += 1;",
                "return false;",
            ]
            doc += "; returns whether there is an output"
        return Method([f"{doc}."], "advance()", lines)

    def predict(self) -> Method:
        """The method predict."""
        outline, whole, dim = self.outline, self.outline.whole, self.file.dim
        least = outline.warmup * outline.hop + 1 if outline.step else 1
        lines: list[str] = []
        defaults = []
        doc = ["Computes a whole input, as Keras' predict does.", *self.doc(whole.inputs)]
        for symbol in whole.lengths:
            length = self.file.symbol(symbol)
            port = next(p for p in whole.inputs if symbol in dims.symbols(p.shape[0]))
            row = dims.product(port.shape[1:])
            per = f" / {dim(row)}" if row != 1 else ""
            defaults.append(f"{length} = {self.file.name(port.buffer)}.length{per}")
            doc.append(f"@param {{number}} [{length}] the number of time steps")
            lines += refusal(
                f"!Number.isInteger({length}) || {length} < {least}",
                f"{length}: expected a whole number of {least} or more, found ${{{length}}}",
            )
        for left, relation, right in outline.conditions(whole):
            opposite, a, b = "!==" if relation == "==" else "<", dim(left), dim(right)
            known = sorted(map(self.file.symbol, dims.symbols(left) | dims.symbols(right)))
            found = " and ".join(f"${{{name}}}" for name in known)
            wanted = f"{' and '.join(known)} with {a} {relation} {b}"
            lines += refusal(f"{a} {opposite} {b}", f"expected {wanted}, found {found}")
        for port in whole.inputs:
            name = self.file.name(port.buffer)
            lines.append(f"{name} = {self.read(port, self.file.array(port.buffer))}")
        lines += [f"this.{outline.restart}();"] if outline.restart else []
        lines += self.by_steps() if outline.loops else self.at_once()
        outputs = [self.file.name(port.buffer) for port in whole.outputs]
        lines.append(f"return {one_or_all(outputs)};")
        doc.append(f"@returns {self.returned(whole)}")
        names = [self.file.name(port.buffer) for port in whole.inputs]
        return Method(doc, f"predict({', '.join([*names, *defaults])})", lines)

    def by_steps(self) -> Iterator[str]:
        """Predict as a loop around the step."""
        outline, step = self.outline, self.outline.step
        assert step is not None
        copy, t, body, due, last = self.file.use("copy"), self.file.symbol("t"), [], [], []
        for port in step.inputs:
            name, size = self.file.name(port.buffer), self.file.dim(port.buffer.size)
            if port.time:
                body.append(f"{copy}(this.{name}, {name}, {size}, 0, {size} * {t});")
            else:
                yield f"this.{name}.set({name});"
        row = f"({t} - {outline.warmup})" if outline.warmup else t
        for port, whole in zip(step.outputs, outline.whole.outputs, strict=True):
            name, size = self.file.name(port.buffer), self.file.dim(port.buffer.size)
            yield f"const {name} = {self.file.array(whole.buffer)};"
            if whole.time:
                due.append(f"{copy}({name}, this.{name}, {size}, {size} * {row});")
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
        yield from self.printers[-1].blocks()
        yield ""
        if outline.warmup:
            steps = self.file.dim(dims.symbol(whole.lengths[0]) // outline.hop)
            yield f"this.seen = Math.min({steps}, {outline.warmup});"

    def read(self, port: Port, into: str) -> str:
        """The call that checks an input and copies it."""
        name = self.file.name(port.buffer)
        if port.buffer.dtype != "int32":
            return f'{self.file.use("read")}("{name}", {name}, {into});'
        limit = rows_looked_up(port.name, self.outline.printed) or "Infinity"
        return f'{self.file.use("readWhole")}("{name}", {name}, {into}, {limit});'

    def doc(self, ports: Sequence[Port]) -> Iterator[str]:
        """The inputs, for comments."""
        for port in ports:
            name = self.file.name(port.buffer)
            note = f"{comment(port.name, 40)} " if port.name != name else ""
            yield f"@param {{ArrayLike<number>}} {name} {note}{self.file.shape(port.shape)}"

    def returned(self, program: Program, other: str = "") -> str:
        """Type and shapes of what comes back."""
        kinds = [self.file.kind(port.buffer) for port in program.outputs]
        shapes = ", ".join(self.file.shape(port.shape) for port in program.outputs)
        kind = kinds[0] if len(kinds) == 1 else f"[{', '.join(kinds)}]"
        return f"{{{kind}{other}}} {shapes}"

    # ---- states -----------------------------------------------------------------------------

    def get_state(self) -> Method:
        """The method getState."""
        items = []
        for state in self.outline.shown:
            name, part = self.file.name(state.buffer), ""
            if state.line:
                at = f"this.{self.file.place(state.buffer)}"
                part = f"{at}, {at} + {state.buffer.size}"
            items.append(f"this.{name}.slice({part}),")
        items += ["Float32Array.of(this.seen),"] if self.outline.warmup else []
        doc = ["Returns copies of the states, in layer order; a delay line oldest first."]
        doc.append("@returns {(Float32Array | Float64Array)[]}")
        return Method(doc, "getState()", ["return [", *indented(items, "  "), "];"])

    def set_state(self) -> Method:
        """The method setState."""
        sizes = [self.file.array(state.buffer) for state in self.outline.shown]
        sizes += ["[0]"] if self.outline.warmup else []
        lines = [f'{self.file.use("check")}("states", states, {len(sizes)});', "const values = ["]
        for n, into in enumerate(sizes):
            lines.append(f'  {self.file.use("read")}("states[{n}]", states[{n}], {into}),')
        lines.append("];")
        for n, state in enumerate(self.outline.shown):
            lines.append(f"this.{self.file.name(state.buffer)}.set(values[{n}]);")
            lines += [f"this.{self.file.place(state.buffer)} = 0;"] if state.line else []
        lines += ["[this.seen] = values.at(-1);"] if self.outline.warmup else []
        doc = ["Goes on from what getState returned.", "@param {ArrayLike<number>[]} states"]
        return Method(doc, "setState(states)", lines if sizes else lines[:1])


def refusal(condition: str, message: str) -> Iterator[str]:
    """Lines that throw where the condition holds."""
    return block(f"if ({condition})", [f"throw new RangeError(`{message}`);"])


def one_or_all(names: Sequence[str]) -> str:
    """One value, or an array of several."""
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


# ---- the page -------------------------------------------------------------------------------


def generate(
    lowered: Lowered, name: str, options: Mapping[str, Any], origin: Origin
) -> Iterator[str]:
    """The module in pieces."""
    outline = Outline(lowered, options)
    file = File(outline.dtype, Names(JAVASCRIPT_WORDS, OWN, HELPERS))
    for symbol in outline.symbols():
        file.symbol(symbol)
    methods = Methods(outline, file)
    bodies = [*methods.all()]
    arrays = [array(file, buffer, options["weights"] == "text") for buffer in file.consts]
    return render(
        "javascript/model.js.j2",
        banner=banner(lowered, origin, outline.sizes()),
        functions=[file.helper_text(helper) for helper in HELPERS if helper in file.helpers],
        arrays=arrays,
        title=f"{comment(name)}, from {comment(lowered.model.source)}.",
        members=[*methods.members()],
        methods=bodies,
        tolerance=numbers.number(TOLERANCE),
        largest=numbers.number(LARGEST),
        judges=[file.helper_text(helper) for helper in ("close", "isMain")],
        selftest=[part for line in selftest(lowered) for part in broken(line, 98)],
    )


def array(file: File, buffer: Buffer, is_text: bool) -> dict[str, Any]:
    """The pieces of a constant."""
    assert buffer.data is not None
    dtype = "int32" if buffer.dtype == "int32" else file.dtype
    kind, note = file.kind(buffer), comment(f"{buffer.name} {file.shape(buffer.shape)}", 90)
    found = {"name": file.consts[buffer], "comment": note}
    if is_text:
        rows = numbers.rows(buffer.data, dtype, indent="  ", special=lambda v, *_: special(v))
        return {**found, "opening": f"new {kind}([", "pieces": rows, "closing": "])"}
    pieces = numbers.base64_lines(buffer.data, dtype)
    opening = f"{file.use('decoded')}({kind}, `"
    return {**found, "opening": opening, "pieces": pieces, "closing": "`)"}


def selftest(lowered: Lowered) -> Iterator[str]:
    """The lines of the self-test: what is called, what comes back, how they are compared."""
    record = recorded(lowered)
    yield "const calls = [ // arguments, and what is due"
    results = [*[None] * record.waiting, *record.results]
    for call, result in zip(record.calls, results, strict=True):
        given = [*(literal(x) for x in call), *(str(n) for n in record.test.lengths)]
        due = "null" if result is None else f"[{', '.join(literal(y) for y in result)}]"
        yield f"  [[{', '.join(given)}], {due}],"
    yield from ("];", "const states = [")
    yield from (f"  {literal(state)}," for state in record.test.states)
    found = "[found]" if len(lowered.whole.outputs) == 1 else "found"
    yield from ("];", "const model = new Model();")
    body = [
        "model.reset(); // of a used state, the second time",
        *block(
            "for (const [inputs, due] of calls)",
            [
                f"const found = model.{record.method}(...inputs);",
                "if ((due === null) !== (found === null)) return false;",
                f"if (due?.some((expected, k) => !close({found}[k], expected))) return false;",
            ],
        ),
        "const left = model.getState();",
        "if (states.some((expected, k) => !close(left[k], expected))) return false;",
    ]
    yield from loop("run", "2", body)
    yield "return true;"


def literal(values: Array) -> str:
    """A flat array."""
    return f"[{', '.join(special(v) or f'{v:.9g}' for v in np.ravel(values).tolist())}]"


TARGET = Target("javascript", (".js", ".mjs"), (*SHARED, WEIGHTS), generate, start)
