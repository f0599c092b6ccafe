"""The python target: one file for CPython 3.6 and later, PyPy and MicroPython, without NumPy.

With `--runtime micropython` the file is as small as it can be, for boards with a few kilobytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codegen import dims, selftest
from codegen.dims import Dim
from codegen.emit import (
    PER_LINE,
    Names,
    Origin,
    Sizes,
    banner,
    block_texts,
    blocks,
    comment,
    render,
    source,
)
from codegen.lowered import Lowered
from codegen.model import Array
from codegen.passes.derived import Derived
from codegen.passes.gates import EXACT, fold_gates
from codegen.program import (
    Loop,
    Port,
    Program,
    Reduce,
    State,
    rows_looked_up,
    temps,
    walk_ops,
)
from codegen.targets.base import SHARED, Option, Target, dtype_of
from codegen.targets.python_ops import (
    WIDEST,
    BlockView,
    File,
    Printer,
    Table,
    states_of,
    uses_infinity,
)
from codegen.targets.python_selftest import selftest_parts, small_selftest

# What each part of the file refers to besides itself.
NEEDS = {
    "expm1": ("INF",),
    "exp": ("INF",),
    "log": ("INF",),
    "log1p": ("log",),
    "softplus": ("log1p",),
    "sqrt": ("INF",),
    "power": ("INF",),
    "divide": ("INF",),
    "read_ids": ("read",),
}
WITHOUT_MATH = frozenset(("hard_sigmoid", "hard_sigmoid_3", "divide"))
# In the order in which they stand in the file, from templates/python/runtime; for a small board
# from templates/python/small where there is a form of it.
RUNTIME = ("start", "affine", "dot", "lookup", "pick", "ring", "read", "read_ids", "length", "nest")
SMALL = ("numbers", "zeros", "vector", "store", "affine", "read", "length")
SMALL_RUNTIME = (*SMALL, "dot", "lookup", "pick", "ring", "read_ids", "nest")
FUNCTIONS = (
    "divide",
    "exp",
    "log",
    "log1p",
    "expm1",
    "tanh",
    "sigmoid",
    "hard_sigmoid",
    "hard_sigmoid_3",
    "softplus",
    "erf",
    "sqrt",
    "floor",
    "round_even",
    "power",
    "softmax",
    "log_softmax",
)
# What no name from a model may take: what is built in, and names of the file besides its parts.
BUILT_IN = ("abs", "float", "int", "len", "list", "max", "min", "print", "range", "zip")
LOCAL_WORDS = ("array", "math", "matrix", "result", "rows", "store", "t", "vector", "zeros")
METHODS = ("get_state", "set_state", "selftest")
CONSTANT_WORDS = (
    *("FLOAT", "REAL", "SMALL", "INF", "NAN"),
    *("TOLERANCE", "INPUTS", "EXPECTED", "STATES"),
)
BYTES_A_LINE = 32

OPTIONS = (
    *SHARED,
    Option(
        "runtime",
        "What the file is for: any Python, or MicroPython on a small board.",
        default="any",
        choices=("any", "micropython"),
    ),
    Option(
        "weights",
        "How weights are written: exact bytes, or numbers to read and compare.",
        default="bytes",
        choices=("bytes", "text"),
    ),
    Option(
        "no_selftest",
        "Leave the self-test out, and with it every name that begins with an underscore but "
        "__init__.",
        default=False,
        kind=bool,
    ),
)


def generate(
    lowered: Lowered, name: str, options: Mapping[str, Any], origin: Origin
) -> Iterator[str]:
    """The text of the file in pieces."""
    return _File(lowered, name, options, origin).text()


TARGET = Target("python", (".py",), OPTIONS, generate)


@dataclass(frozen=True)
class _Method:
    """The texts of one method of the class."""

    title: str
    read: tuple[str, ...]
    fresh: tuple[str, ...] = ()
    body: tuple[BlockView, ...] = ()
    finish: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    simple: bool = False  # advance gives what step gives


class _File:
    """One generated file in the making."""

    def __init__(
        self, lowered: Lowered, name: str, options: Mapping[str, Any], origin: Origin
    ) -> None:
        self.lowered, self.name, self.options, self.origin = lowered, name, options, origin
        self.dtype = dtype_of(lowered, options)
        self.small = options["runtime"] == "micropython"
        self.has_test = not options["no_selftest"]
        self.derived = Derived()
        programs = [self._folded(p) for p in (lowered.step, lowered.whole) if p is not None]
        self.first = programs[0]
        # With one row a step, predict is a loop around the step; else both have code of their own.
        self.loops = lowered.step is not None and lowered.hop == 1 and _is_one_length(lowered)
        self.printed = programs[:1] if self.loops else programs
        self.states = states_of(self.printed)
        self.shown = [s for s in self.states if not s.hidden]
        own = (*RUNTIME, *SMALL, *FUNCTIONS, *BUILT_IN, *LOCAL_WORDS, *METHODS)
        names = Names((*own, *_symbols(programs)))
        constants = Names(CONSTANT_WORDS)
        self.file = File(names, constants, self.small, self.derived)
        for number, port in enumerate((*self.first.inputs, *self.first.outputs)):
            name = names(port.buffer.name)
            for program in programs:  # the same tensor in another program is another buffer
                other = (*program.inputs, *program.outputs)[number]
                self.file.ports[id(other.buffer)] = name
        for state in self.states:
            names(state.buffer.name, id(state.buffer))
        self.printers = [
            Printer(self.file, p, kept=k == 0 and lowered.step is not None, notes=not self.small)
            for k, p in enumerate(self.printed)
        ]

    def _folded(self, program: Program) -> Program:
        """The program with sigmoid gates as tanh, which costs no call of a function of ours."""
        ops = iter(fold_gates(program.ops, self.derived, EXACT))
        blocks = [replace(b, ops=tuple(next(ops) for _ in b.ops)) for b in program.blocks]
        return replace(program, blocks=tuple(blocks))

    def _port(self, port: Port) -> str:
        """The name of an input or output."""
        return self.file.ports[id(port.buffer)]

    # ---- the file -------------------------------------------------------------------------

    def text(self) -> Iterator[str]:
        """All of it in pieces."""
        step = self._step() if self.lowered.step is not None else None
        predict = self._predict_by_steps() if self.loops else self._predict_whole()
        reset_all, restart = self._resets()
        kept = {id(b): b for printer in self.printers for b in printer.kept}
        if any(b.kind == "temp" for b in kept.values()):
            self.file.help("zeros")
        get_state, set_state = self._get_state(), self._set_state()
        test: Any = None
        if self.has_test:
            test = (
                small_selftest(self.lowered, self.file.help)
                if self.small
                else selftest_parts(self.lowered)
            )
        tables = [self._table(table) for table in self.file.tables.values()]
        used, infinity = self._used()
        order = SMALL_RUNTIME if self.small else RUNTIME
        runtime = [self._runtime(part) for part in order if part in self.file.runtime]
        if test is not None and not self.small:
            runtime.append(source("python/runtime/close.py").rstrip() + "\n")
        functions = [
            source(f"python/functions/{part}.py").rstrip() + "\n"
            for part in FUNCTIONS
            if part in used
        ]
        arguments = ", ".join(self._port(p) for p in self.first.inputs)
        lines = banner(self.lowered, self.origin, self._sizes())
        return render(
            "python/small.py.j2" if self.small else "python/model.py.j2",
            banner=shortened(lines) if self.small else lines,
            title=f"{comment(self.name)}, from {comment(self.lowered.model.source)}.",
            uses_math=bool(used - WITHOUT_MATH) and bool(functions),
            uses_infinity=infinity,
            typecode="d" if self.dtype == "float64" else "f",
            dtype=self.dtype,
            tolerance=selftest.TOLERANCE if self.has_test else None,
            small=self.small,
            runtime=runtime,
            functions=functions,
            tables=tables,
            kept=[(self.printers[0].name(b), b.size) for b in kept.values()],
            reset_all=reset_all,
            restart=restart,
            step=step,
            predict=predict,
            arguments=arguments,
            get_state=get_state,
            set_state=set_state,
            state_note=", and the number of steps seen" if self.lowered.warmup else "",
            selftest=test,
            main=self.has_test,
        )

    def _used(self) -> tuple[set[str], bool]:
        """The functions that the file needs, and whether INF and NAN."""
        used: set[str] = set()
        waiting = sorted(self.file.functions)
        while waiting:
            part = waiting.pop()
            if part not in used:
                used.add(part)
                waiting += NEEDS.get(part, ())
        self.file.runtime.add("start")
        if "read_ids" in self.file.runtime:
            self.file.runtime.add("read")
        infinity = "INF" in used or "constants" in self.file.runtime
        return used - {"INF"}, infinity or uses_infinity(self.printed)

    def _runtime(self, part: str) -> str:
        if part == "affine" and not self.small:
            forms = [product_form(width) for width in sorted(self.file.widths)]
            return "".join(render("python/affine.py.j2", forms=forms, widest=WIDEST))
        folder = "small" if self.small and part in SMALL else "runtime"
        return source(f"python/{folder}/{part}.py").rstrip() + "\n"

    def _sizes(self) -> Sizes:
        item = 8 if self.dtype == "float64" else 4
        known = dict.fromkeys(self.lowered.whole.lengths, 1)
        scratch = [dims.value(b.size, known) for p in self.printed for b in temps(p)]
        state = sum(dims.fixed(s.buffer.size) for s in self.states)
        parts = [part for table in self.file.tables.values() for part in table.parts]
        weights = sum(
            dims.fixed(part.rows) * dims.fixed(part.columns)
            for part in parts
            if part.buffer is not self.file.zero
        )
        return Sizes(weights * item, state * item, sum(scratch) * item)

    # ---- weights ----------------------------------------------------------------------------

    def _table(self, table: Table) -> dict[str, Any]:
        as_bytes = self._as_bytes(table)
        # The numbers stand in one literal, as bytes or as a tuple.
        start, end = ("(", ")") if as_bytes else ("array(FLOAT, (", "))")
        if table.is_whole:
            start, end = "(", ")"
        elif table.kind == "vector":
            start, end = ("vector(", ")") if as_bytes else ("vector((", "))")
        elif table.kind == "matrix" and not self.small:
            start, end = f"matrix({table.shape[0]}, {start}", f"{end})"
        return {
            "name": table.name,
            "note": table.note,
            "opening": start,
            "closing": end,
            "pieces": self._rows(table, self._bytes if as_bytes else self._numbers),
        }

    def _rows(self, table: Table, write: Callable[[Array], list[str]]) -> Iterator[str]:
        """The lines of each row; a row never shares a line with the next."""
        parts = [self.derived.matrix(part) for part in table.parts]
        for row in range(table.shape[0]):
            whole = np.concatenate([part[row] for part in parts])
            for values in blocks(whole):
                yield "".join(f"    {line}\n" for line in write(values))

    def _as_bytes(self, table: Table) -> bool:
        if table.is_whole:
            return False
        if self.options["weights"] == "bytes":
            return True
        return not all(np.isfinite(self.derived.matrix(part)).all() for part in table.parts)

    def _bytes(self, row: Array) -> list[str]:
        data = row.astype("<f8" if self.dtype == "float64" else "<f4").tobytes()
        size = len(data) if self.small else BYTES_A_LINE
        parts = (data[k : k + size] for k in range(0, len(data), size))
        return [f'b"{escaped(part, self.small)}"' for part in parts]

    def _numbers(self, row: Array) -> list[str]:
        texts = block_texts(row, self.dtype)
        parts = (texts[k : k + PER_LINE] for k in range(0, len(texts), PER_LINE))
        return [", ".join(part) + "," for part in parts]

    # ---- state --------------------------------------------------------------------------------

    def _start(self, state: State) -> Iterator[str]:
        """Lines that put a state at its start."""
        printer = self.printers[0]
        self.file.help("zeros")
        name = printer.name(state.buffer)
        if state.initial is None or not np.any(state.initial):
            yield f"self.{name} = zeros({dims.text(state.buffer.size)})"
        else:
            initial = self.file.array(f"{state.buffer.name}_initial", state.initial)
            self.file.help("store")
            yield f"self.{name} = zeros({dims.text(state.buffer.size)})"
            yield f"store(self.{name}, 0, {initial})"
        if printer.is_ring(state.buffer):
            yield f"self.{printer.oldest(state.buffer)} = 0"

    def _resets(self) -> tuple[list[str], list[str]]:
        """The bodies of reset and of restart; no restart where reset does or nothing is to do."""
        seen = ["self.seen = 0  # steps since the start"] if self.lowered.warmup else []
        fresh = [line for s in self.states if not s.carried for line in self._start(s)]
        carried = [line for s in self.states if s.carried for line in self._start(s)]
        if not carried:
            return [*fresh, *seen] or ["pass  # there are no states"], []
        if not fresh and not seen:
            return carried, []
        return ["self.restart()", *carried], [*fresh, *seen]

    def _restart(self) -> list[str]:
        """What predict does first."""
        reset_all, restart = self._resets()
        if restart:
            return ["self.restart()"]
        if all(s.carried for s in self.states):
            return []
        return ["self.reset()"] if reset_all else []

    def _get_state(self) -> list[str]:
        printer = self.printers[0]
        lines = []
        items = []
        for state in self.shown:
            name = f"self.{printer.name(state.buffer)}"
            value = f"list({name})"
            if printer.is_ring(state.buffer):
                oldest = f"self.{printer.oldest(state.buffer)}"
                value = f"list({name}[{oldest}:]) + list({name}[:{oldest}])"
            items.append(self._nested(value, state.shape))
        if self.lowered.warmup:
            items.append("[self.seen]")
        lines.append("return [")
        lines += [f"    {item}," for item in items]
        lines.append("]")
        return lines if items else ["return []"]

    def _set_state(self) -> list[str]:
        printer = self.printers[0]
        count = len(self.shown) + bool(self.lowered.warmup)
        states = "state" if count == 1 else "states"
        lines = [
            f"if len(states) != {count}:",
            f'    raise ValueError("expected {count} {states}, found %d" % len(states))',
        ]
        if self.small and not self.lowered.warmup and all(_is_plain(s) for s in self.shown):
            numbers = self.file.help("numbers")
            return [
                f"self.{printer.name(s.buffer)} = {numbers}(states[{n}], {s.shape[0]})"
                for n, s in enumerate(self.shown)
            ] or ["pass"]
        read = self.file.help("read")
        self.file.help("store")
        items = [
            f'{read}(states[{n}], {state.shape}, "{printer.name(state.buffer)}"),'
            for n, state in enumerate(self.shown)
        ]
        if self.lowered.warmup:
            items.append(f'{read}(states[{len(items)}], (1,), "steps seen"),')
        if not items:
            return lines
        lines += ["values = [", *(f"    {item}" for item in items), "]"]
        for n, state in enumerate(self.shown):
            lines.append(f"store(self.{printer.name(state.buffer)}, 0, values[{n}])")
            if printer.is_ring(state.buffer):
                lines.append(f"self.{printer.oldest(state.buffer)} = 0")
        if self.lowered.warmup:
            lines.append(f"self.seen = int(values[{len(self.shown)}][0])")
        return lines

    # ---- methods --------------------------------------------------------------------------------

    def _step(self) -> _Method:
        program = self.lowered.step
        assert program is not None
        lowered, printer = self.lowered, self.printers[0]
        read = tuple(self._read(p, p.shape) for p in program.inputs)
        names = [self._port(p) for p in program.outputs]
        call = f"self.advance({', '.join(self._port(p) for p in program.inputs)})"
        results = [self._nested(n, p.shape) for n, p in zip(names, program.outputs, strict=True)]
        if results == names:
            finish = [f"return {call}"]
        elif lowered.warmup:
            finish = [f"result = {call}", "if result is None:", "    return None"]
            finish += [f"{', '.join(names)} = result", f"return {', '.join(results)}"]
        elif len(names) == 1:
            finish = [f"return {self._nested(call, program.outputs[0].shape)}"]
        else:
            finish = [f"{', '.join(names)} = {call}", f"return {', '.join(results)}"]
        done = []
        if lowered.warmup:
            done += [f"if self.seen < {lowered.warmup}:"]
            done += ["    self.seen = self.seen + 1", "    return None"]
        done.append(f"return {', '.join(names)}")
        return _Method(
            f"One time step: {_signature(program)}.",
            read,
            self._fresh(printer),
            tuple(printer.blocks()),
            tuple(finish),
            tuple(done),
            self._is_simple,
        )

    @property
    def _is_simple(self) -> bool:
        """Whether the flat lists of a step are its inputs and outputs as they are."""
        step = self.lowered.step
        if not self.loops or step is None:
            return False
        return all(len(p.shape) == 1 for p in (*step.inputs, *step.outputs)) and all(
            p.time and _is_one_row(p) for p in step.outputs
        )

    def _predict_by_steps(self) -> _Method:
        """Predict as a loop around the step."""
        lowered, whole, step = self.lowered, self.lowered.whole, self.lowered.step
        assert step is not None
        if self.small and self._is_simple and len(step.inputs) == len(step.outputs) == 1:
            shown = f"[self.step(row) for row in {self._port(step.inputs[0])}]"
            done = f"return {shown}[{lowered.warmup}:]" if lowered.warmup else f"return {shown}"
            return _Method("", (*self._restart(), done))
        lines = [*self._lengths(whole), *(self._read(p, p.shape) for p in whole.inputs)]
        if lowered.warmup:
            lines += [
                f"if steps <= {lowered.warmup}:",
                f'    raise ValueError("expected {lowered.warmup + 1} or more, found %d" % steps)',
            ]
        lines += [*self._checks(whole), *self._restart()]
        given, names = [], [self._port(p) for p in step.outputs]
        for port in step.inputs:
            size = dims.fixed(port.buffer.size)
            at = "t" if size == 1 else f"{size} * t"
            name = self._port(port)
            given.append(f"{name}[{at} : {at} + {size}]" if port.time else name)
        over_time = [p.time for p in whole.outputs]
        rows = [f"rows_{n}" if len(names) > 1 else "rows" for n in range(len(names))]
        lines += [f"{row} = []" for row, time in zip(rows, over_time, strict=True) if time]
        lines.append("for t in range(steps):")
        method = "step" if self.small and self._is_simple else "advance"
        call = f"self.{method}({', '.join(given)})"
        if lowered.warmup and len(names) > 1:
            lines += [f"    result = {call}", "    if result is not None:"]
            lines += [f"        {', '.join(names)} = result"]
            indent = "        "
        elif lowered.warmup:
            lines += [f"    {names[0]} = {call}", f"    if {names[0]} is not None:"]
            indent = "        "
        else:
            lines.append(f"    {', '.join(names)} = {call}")
            indent = "    "
        results = []
        appended = []
        for name, row, port, time in zip(names, rows, step.outputs, over_time, strict=True):
            nested = self._nested(name, port.shape)
            if time:
                method = "append" if _is_one_row(port) else "extend"
                appended.append(f"{indent}{row}.{method}({nested})")
            results.append(row if time else nested)
        if lowered.warmup and not appended and len(names) == 1:
            lines.pop()  # the last result is the model's; the steps before it gave None or more
        lines += appended
        return _Method(
            f"A whole input: {_signature(whole)}.",
            tuple(lines),
            done=(f"return {', '.join(results)}",),
        )

    def _predict_whole(self) -> _Method:
        """Predict with code of its own."""
        whole, printer = self.lowered.whole, self.printers[-1]
        lines = [*self._lengths(whole), *(self._read(p, p.shape) for p in whole.inputs)]
        lines += [*self._checks(whole), *self._restart()]
        done = []
        if self.lowered.warmup:
            done.append(f"self.seen = min(steps // {self.lowered.hop}, {self.lowered.warmup})")
        results = [self._nested(self._port(p), p.shape) for p in whole.outputs]
        done.append(f"return {', '.join(results)}")
        body = tuple(printer.blocks())
        return _Method(
            f"A whole input: {_signature(whole)}.",
            tuple(lines),
            self._fresh(printer),
            body,
            (),
            tuple(done),
        )

    def _fresh(self, printer: Printer) -> tuple[str, ...]:
        """Lists made at the start of a method: outputs, and scratch that is not kept."""
        lines = []
        for buffer in printer.fresh:
            size = dims.text(buffer.size)
            if buffer.kind == "output":
                size = size if isinstance(buffer.size, int) else f"({size})"
                lines.append(f"{printer.name(buffer)} = [0.0] * {size}")
            else:
                self.file.help("zeros")
                lines.append(f"{printer.name(buffer)} = zeros({size})")
        return tuple(lines)

    def _lengths(self, program: Program) -> Iterator[str]:
        """Lines that name the free lengths."""
        known: set[str] = set()
        for port in program.inputs:
            for name in sorted(dims.symbols(port.shape[0])) if port.shape else ():
                if name not in known:
                    known.add(name)
                    help_ = self.file.help("length")
                    yield f'{name} = {help_}({self._port(port)}, "{self._port(port)}")'

    def _read(self, port: Port, shape: tuple[Dim, ...]) -> str:
        """The line that checks an input and makes it one flat list."""
        name = self._port(port)
        if port.buffer.dtype == "int32":
            limit = rows_looked_up(port.name, self.printed)
            if limit is not None:
                self.file.help("read")
                read = self.file.help("read_ids")
                return f'{name} = {read}({name}, {_tuple(shape)}, "{name}", {limit})'
        if self.small and len(shape) == 1 and isinstance(shape[0], int):
            return f"{name} = {self.file.help('numbers')}({name}, {shape[0]})"
        read = self.file.help("read")
        return f'{name} = {read}({name}, {_tuple(shape)}, "{name}")'

    def _checks(self, program: Program) -> Iterator[str]:
        """Lines that refuse lengths which do not fit."""
        for left, relation, right in program.checks:
            if _holds(left, relation, right):
                continue
            condition = f"{dims.text(left)} {relation} {dims.text(right)}"
            lengths = sorted(dims.symbols(left) | dims.symbols(right))
            found = " and ".join("%d" for _ in lengths)
            yield f"if not {condition}:"
            yield (
                f'    raise ValueError("expected {" and ".join(lengths)} with {condition}, '
                f'found {found}" % ({", ".join(lengths)}{"," if len(lengths) == 1 else ""}))'
            )

    def _nested(self, value: str, shape: tuple[Dim, ...]) -> str:
        if len(shape) == 1:
            return value
        return f"{self.file.help('nest')}({value}, {_tuple(shape)})"


def product_form(width: int) -> dict[str, Any]:
    """The texts of a sum of so many products."""
    values, weights = ([f"{letter}{k}" for k in range(width)] for letter in "vw")
    products = [f"+ {v} * {w}" for v, w in zip(values, weights, strict=True)]

    def lines(texts: Sequence[str], count: int, separator: str) -> list[str]:
        return [separator.join(texts[k : k + count]) for k in range(0, width, count)]

    return {
        "width": width,
        "values": [f"{line}," for line in lines(values, 16, ", ")],
        "weights": [f"{line}," for line in lines(weights, 16, ", ")],
        "products": lines(products, 6, " "),
    }


def _holds(left: Dim, relation: str, right: Dim) -> bool:
    """Whether a check holds for all lengths, which are 1 or more."""
    if relation != ">=" or not isinstance(right, int) or isinstance(left, int):
        return False
    plain = all(isinstance(atom, dims.Symbol) and factor > 0 for atom, factor in left.terms)
    return plain and dims.value(left, dict.fromkeys(dims.symbols(left), 1)) >= right


def _is_plain(state: State) -> bool:
    """Whether get_state gives the state as one flat list, as it stands."""
    return len(state.shape) == 1 and not state.line


def shortened(lines: Sequence[str]) -> list[str]:
    """The banner without layer table and sizes."""
    kept = [k for k, line in enumerate(lines) if line.startswith("Model: ")]
    return [*lines[: kept[0] + 1], lines[-1]]


def _is_one_length(lowered: Lowered) -> bool:
    """Whether all inputs with a time axis are equally long."""
    return len({str(p.shape[0]) for p in lowered.whole.inputs if p.time}) <= 1


def _is_one_row(port: Port) -> bool:
    """Whether a step has one row of the tensor, so that its port has no axis of rows."""
    return port.shape != port.buffer.shape


def _symbols(programs: Sequence[Program]) -> Iterator[str]:
    """Free lengths and loop counters."""
    for program in programs:
        yield from program.lengths
        for op in walk_ops(program.ops):
            if isinstance(op, Loop):
                yield op.counter
            elif isinstance(op, Reduce):
                yield from (name for name, _ in op.counters)


def _tuple(shape: Sequence[Dim]) -> str:
    inner = ", ".join(dims.text(n) for n in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def _signature(program: Program) -> str:
    """Inputs and outputs with their shapes."""
    return " -> ".join(
        ", ".join(f"{p.buffer.name} {_tuple(p.shape)}" for p in ports)
        for ports in (program.inputs, program.outputs)
    )


SHORT_ESCAPES = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x22: '\\"', 0x5C: "\\\\"}

_ESCAPES = {
    byte: SHORT_ESCAPES.get(byte, f"\\x{byte:02x}")
    for byte in range(256)
    if byte in SHORT_ESCAPES or not 0x20 <= byte < 0x7F
}


def escaped(data: bytes, short: bool = False) -> str:
    """The inside of a bytes literal in double quotes; `short`: octal where that is shorter."""
    if not short:
        return data.decode("latin-1").translate(_ESCAPES)
    parts = []
    for k, byte in enumerate(data):
        follower = data[k + 1] if k + 1 < len(data) else 0
        if byte in SHORT_ESCAPES:
            parts.append(SHORT_ESCAPES[byte])
        elif 0x20 <= byte < 0x7F:
            parts.append(chr(byte))
        elif byte < 0x40 and not 0x30 <= follower <= 0x37:
            parts.append(f"\\{byte:o}")
        else:
            parts.append(f"\\x{byte:02x}")
    return "".join(parts)
