"""The methods of a plain Python file: `step` and `predict`, the states, the self-test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from codegen.lowered import Lowered
from codegen.lowered.recorded import LARGEST, TOLERANCE, recorded
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.integers import LIMITS
from codegen.program.ops import Array, Buffer, Port, Program, State
from codegen.targets.python.file import tuple_text
from codegen.targets.python.ops import Printer
from codegen.targets.python.views import BlockView
from codegen.targets.spine.lines import WIDTH, filled
from codegen.targets.spine.outline import Outline

# ---- step and predict ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Method:
    """The texts of one method of the class."""

    title: str
    read: tuple[str, ...]
    fresh: tuple[str, ...] = ()
    body: tuple[BlockView, ...] = ()
    finish: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    simple: bool = False  # advance gives what step gives


class Methods:
    """Both methods of one model."""

    def __init__(self, outline: Outline, printers: Sequence[Printer], states: States) -> None:
        self.outline, self.lowered = outline, outline.lowered
        self.printers, self.states = printers, states
        self.file = printers[0].file

    def step(self) -> Method:
        """The method step, around advance, which takes and gives flat lists."""
        program = self.lowered.step
        assert program is not None
        lowered, printer = self.lowered, self.printers[0]
        read = tuple(self._read(p, p.shape) for p in program.inputs)
        names = [self.file.port(p) for p in program.outputs]
        call = f"self.advance({', '.join(self.file.port(p) for p in program.inputs)})"
        results = [
            self.file.nested(n, p.shape) for n, p in zip(names, program.outputs, strict=True)
        ]
        if results == names:
            finish = [f"return {call}"]
        elif lowered.warmup:
            finish = [f"result = {call}", "if result is None:", "    return None"]
            finish += [f"{', '.join(names)} = result", f"return {', '.join(results)}"]
        elif len(names) == 1:
            finish = [f"return {self.file.nested(call, program.outputs[0].shape)}"]
        else:
            finish = [f"{', '.join(names)} = {call}", f"return {', '.join(results)}"]
        done = []
        if lowered.warmup:
            done += [f"if self.seen < {lowered.warmup}:"]
            done += ["    self.seen = self.seen + 1", "    return None"]
        done.append(f"return {', '.join(names)}")
        return Method(
            f"One time step: {_signature(program)}.",
            read,
            self._fresh(printer),
            tuple(printer.blocks()),
            tuple(finish),
            tuple(done),
            self._is_simple,
        )

    def predict(self) -> Method:
        """The method predict."""
        return self._by_steps() if self.outline.loops else self._whole()

    @property
    def _is_simple(self) -> bool:
        """Whether the flat lists of a step are its inputs and outputs as they are."""
        step = self.lowered.step
        if not self.outline.loops or step is None:
            return False
        return all(len(p.shape) == 1 for p in (*step.inputs, *step.outputs)) and all(
            p.time and _is_one_row(p) for p in step.outputs
        )

    def _by_steps(self) -> Method:
        """Predict as a loop around the step."""
        lowered, whole, step = self.lowered, self.lowered.whole, self.lowered.step
        assert step is not None
        if self.file.small and self._is_simple and len(step.inputs) == len(step.outputs) == 1:
            shown = f"[self.step(row) for row in {self.file.port(step.inputs[0])}]"
            done = f"return {shown}[{lowered.warmup}:]" if lowered.warmup else f"return {shown}"
            return Method("", (*self.states.restart(), done))
        lines = [*self._lengths(whole), *(self._read(p, p.shape) for p in whole.inputs)]
        if lowered.warmup:
            lines += [
                f"if steps <= {lowered.warmup}:",
                f'    raise ValueError("expected {lowered.warmup + 1} or more, found %d" % steps)',
            ]
        lines += [*self._checks(whole), *self.states.restart()]
        given, names = [], [self.file.port(p) for p in step.outputs]
        for port in step.inputs:
            size = dims.fixed(port.buffer.size)
            at = "t" if size == 1 else f"{size} * t"
            name = self.file.port(port)
            given.append(f"{name}[{at} : {at} + {size}]" if port.time else name)
        over_time = [p.time for p in whole.outputs]
        rows = [f"rows_{n}" if len(names) > 1 else "rows" for n in range(len(names))]
        lines += [f"{row} = []" for row, time in zip(rows, over_time, strict=True) if time]
        lines.append("for t in range(steps):")
        method = "step" if self.file.small and self._is_simple else "advance"
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
            shown = self.file.nested(name, port.shape)
            if time:
                method = "append" if _is_one_row(port) else "extend"
                appended.append(f"{indent}{row}.{method}({shown})")
            results.append(row if time else shown)
        if lowered.warmup and not appended and len(names) == 1:
            lines.pop()  # the last result is the model's; the steps before it gave None or more
        lines += appended
        return Method(
            f"A whole input: {_signature(whole)}.",
            tuple(lines),
            done=(f"return {', '.join(results)}",),
        )

    def _whole(self) -> Method:
        """Predict with code of its own."""
        whole, printer = self.lowered.whole, self.printers[-1]
        lines = [*self._lengths(whole), *(self._read(p, p.shape) for p in whole.inputs)]
        lines += [*self._checks(whole), *self.states.restart()]
        done = []
        if self.lowered.warmup:
            done.append(f"self.seen = min(steps // {self.lowered.hop}, {self.lowered.warmup})")
        results = [self.file.nested(self.file.port(p), p.shape) for p in whole.outputs]
        done.append(f"return {', '.join(results)}")
        body = tuple(printer.blocks())
        return Method(
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
                lines.append(f"{printer.name(buffer)} = [{printer.number(0.0)}] * {size}")
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
                    yield f'{name} = {help_}({self.file.port(port)}, "{self.file.port(port)}")'

    def _read(self, port: Port, shape: tuple[Dim, ...]) -> str:
        """The line that checks an input and makes it one flat list."""
        name = self.file.port(port)
        between = self.outline.between(port) if port.buffer.dtype in LIMITS else ""
        flat = self.file.small and len(shape) == 1 and isinstance(shape[0], int)
        if flat and port.buffer.dtype == "int16":
            limit = LIMITS[port.buffer.dtype]
            return f"{name} = {self.file.help('integers')}({name}, {shape[0]}, {limit})"
        if between:
            self.file.help("read")
            read = self.file.help("read_whole")
            return f'{name} = {read}({name}, {tuple_text(shape)}, "{name}", {between})'
        if flat:
            return f"{name} = {self.file.help('numbers')}({name}, {shape[0]})"
        read = self.file.help("read")
        return f'{name} = {read}({name}, {tuple_text(shape)}, "{name}")'

    def _checks(self, program: Program) -> Iterator[str]:
        """Lines that refuse lengths which do not fit."""
        for left, relation, right in self.outline.conditions(program):
            condition = f"{dims.text(left)} {relation} {dims.text(right)}"
            lengths = sorted(dims.symbols(left) | dims.symbols(right))
            found = " and ".join("%d" for _ in lengths)
            yield f"if not {condition}:"
            yield (
                f'    raise ValueError("expected {" and ".join(lengths)} with {condition}, '
                f'found {found}" % ({", ".join(lengths)}{"," if len(lengths) == 1 else ""}))'
            )


def _is_one_row(port: Port) -> bool:
    """Whether a step has one row of the tensor, so that its port has no axis of rows."""
    return port.shape != port.buffer.shape


def _signature(program: Program) -> str:
    """Inputs and outputs with their shapes."""
    return " -> ".join(
        ", ".join(f"{p.buffer.name} {tuple_text(p.shape)}" for p in ports)
        for ports in (program.inputs, program.outputs)
    )


# ---- states --------------------------------------------------------------------------------------


class States:
    """Bodies of the methods that have to do with states."""

    def __init__(self, outline: Outline, printer: Printer) -> None:
        self.outline, self.printer, self.file = outline, printer, printer.file

    def _start(self, state: State) -> Iterator[str]:
        """Lines that put a state at its start."""
        printer = self.printer
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

    def resets(self) -> tuple[list[str], list[str]]:
        """The bodies of reset and of restart; no restart where reset does or nothing is to do."""
        seen = ["self.seen = 0  # steps since the start"] if self.outline.warmup else []
        fresh = [line for s in self.outline.fresh for line in self._start(s)]
        carried = [line for s in self.outline.carried for line in self._start(s)]
        if not carried:
            return [*fresh, *seen] or ["pass  # there are no states"], []
        if not fresh and not seen:
            return carried, []
        return ["self.restart()", *carried], [*fresh, *seen]

    def restart(self) -> list[str]:
        """What predict does first."""
        method = self.outline.restart
        return [f"self.{method}()"] if method else []

    def get_state(self) -> list[str]:
        """The body of get_state."""
        printer = self.printer
        lines = []
        items = []
        for state in self.outline.states:
            name = f"self.{printer.name(state.buffer)}"
            value = f"list({name})"
            if printer.is_ring(state.buffer):
                oldest = f"self.{printer.oldest(state.buffer)}"
                value = f"{self.file.help('turned')}({name}, {oldest})"
            items.append(self.file.nested(value, state.shape))
        if self.outline.warmup:
            items.append("[self.seen]")
        lines.append("return [")
        lines += [f"    {item}," for item in items]
        lines.append("]")
        return lines if items else ["return []"]

    def set_state(self) -> list[str]:
        """The body of set_state."""
        printer = self.printer
        count = len(self.outline.states) + bool(self.outline.warmup)
        states = "state" if count == 1 else "states"
        lines = [
            f"if len(states) != {count}:",
            f'    raise ValueError("expected {count} {states}, found %d" % len(states))',
        ]
        plain = not self.outline.warmup and all(_is_plain(s) for s in self.outline.states)
        if self.file.small and plain and self.file.integers and self.outline.states:
            integers = self.file.help("integers")
            names = [f"self.{printer.name(s.buffer)}" for s in self.outline.states]
            return [
                "values = [",
                *(
                    f"    {integers}(states[{n}], {s.shape[0]}, {LIMITS[s.buffer.dtype]}),"
                    for n, s in enumerate(self.outline.states)
                ),
                "]",
                f"{', '.join(names)}{',' if len(names) == 1 else ''} = values",
            ]
        if self.file.small and plain:
            numbers = self.file.help("numbers")
            return [
                f"self.{printer.name(s.buffer)} = {numbers}(states[{n}], {s.shape[0]})"
                for n, s in enumerate(self.outline.states)
            ] or ["pass"]
        read = self.file.help("read")
        self.file.help("store")
        items = []
        for n, state in enumerate(self.outline.states):
            given = f'(states[{n}], {state.shape}, "{printer.name(state.buffer)}"'
            if self.file.integers:
                within = f", {limits(state.buffer)}"
                items.append(f"{self.file.help('read_whole')}{given}{within}),")
            else:
                items.append(f"{read}{given}),")
        if self.outline.warmup:
            items.append(f'{read}(states[{len(items)}], (1,), "steps seen"),')
        if not items:
            return lines
        lines += ["values = [", *(f"    {item}" for item in items), "]"]
        for n, state in enumerate(self.outline.states):
            lines.append(f"store(self.{printer.name(state.buffer)}, 0, values[{n}])")
            if printer.is_ring(state.buffer):
                lines.append(f"self.{printer.oldest(state.buffer)} = 0")
        if self.outline.warmup:
            lines.append(f"self.seen = int(values[{len(self.outline.states)}][0])")
        return lines


def limits(buffer: Buffer) -> str:
    """The least and the largest number of a buffer of integers."""
    limit = LIMITS[buffer.dtype]
    return f"{-limit}, {limit - 1}"


def _is_plain(state: State) -> bool:
    """Whether get_state gives the state as one flat list, as it stands."""
    return len(state.shape) == 1 and not state.line


# ---- self-test -----------------------------------------------------------------------------------


def selftest_parts(lowered: Lowered) -> dict[str, Any]:
    """The data of the self-test, and the body of the function that judges."""
    record = recorded(lowered)
    data = ["INPUTS = ("]
    for call in record.calls:
        data += _indented(f"{', '.join(literal(x) for x in call)},", "(", "),")
    data += [")", "EXPECTED = ("]
    for result in record.results:
        values = ", ".join(literal(y) for y in result)
        data += _indented(values, "", ",") if len(result) == 1 else _indented(values, "(", "),")
    data.append(")")
    if record.test.states:
        data.append("STATES = (")
        for state in record.test.states:
            data += _indented(literal(state), "", ",")
        data.append(")")
    code = ["for run in range(2):  # the second run starts from a used state", "    model.reset()"]
    rest = "INPUTS"
    if record.waiting:
        code += [f"    for x in INPUTS[:{record.waiting}]:"]
        code += ["        if model.step(*x) is not None:", "            return False"]
        rest = f"INPUTS[{record.waiting}:]"
    code += [f"    found = [model.{record.method}(*x) for x in {rest}]"]
    sizes = [f"{size:g}" for size in record.test.sizes]
    checks = [f"close(found, EXPECTED, {', '.join(sizes)})"]
    if lowered.whole.integers:
        checks = ["same(found, EXPECTED)"]
    elif len(sizes) > 1:
        checks = ["all([close(*y) for y in outputs])"]
        code += [
            "outputs = []",
            "for call, expected in zip(found, EXPECTED):",
            f"    outputs += zip(call, expected, ({', '.join(sizes)}))",
        ]
    if record.test.states:  # the steps seen, which come last with a warm-up, are not recorded
        shown = f"[:{len(record.test.states)}]" if record.waiting else ""
        states = f"model.get_state(){shown}, STATES"
        exact = lowered.whole.integers
        size = record.test.state_size
        checks += [f"same({states})" if exact else f"close({states}, {size:g})"]
    code += [f"return {' and '.join(checks)}"]
    return {"data": "\n".join(data), "lines": code}


def small_selftest(lowered: Lowered, help_: Callable[[str], str]) -> str:
    """The same for a small board: it lives only while the file runs as a program.

    All is compared as flat lists, by few lines: a board with 16 KB has room for little more.
    """
    record = recorded(lowered)
    call = f"model.{record.method}({'x' if len(record.calls[0]) == 1 else '*x'})"
    wrong = f"not abs(f - e) <= {TOLERANCE} * (size + abs(e))"
    exact = lowered.whole.integers
    if exact:
        wrong = "f != e"
    elif not record.test.is_finite:  # NaN was recorded where there is no finite number
        wrong = f"abs(f) < {LARGEST:g} if e != e else {wrong}"

    def check(found: str, expected: str, size: float, shape: tuple[int, ...]) -> str:
        flat = found if len(shape) == 1 else f'{help_("read")}({found}, {shape}, "result")'
        return f"check({flat}, {expected}{'' if exact else f', {size:g}'})"

    def rows(inputs: Sequence[tuple[Array, ...]], *results: Sequence[str]) -> list[str]:
        given = [literal(x[0] if len(x) == 1 else x) for x in inputs]
        lines = [", ".join(parts) for parts in zip(given, *results, strict=True)]
        if results:
            lines = [f"({line})" for line in lines]
        return [part for line in lines for part in _indented(line, "", ",", 12)]

    lines = [
        f"def check(found, expected{'' if exact else ', size'}):",
        "    for f, e in zip(found, expected):",
        f"        if {wrong}:",
        "            raise SystemExit(1)",
        "",
        "",
        'if __name__ == "__main__":',
        "    model = Model()",
        "    for run in range(2):",
        "        model.reset()  # the second run starts from a used state",
    ]
    if record.waiting:
        lines += ["        for x in (", *rows(record.calls[: record.waiting]), "        ):"]
        lines += [f"            if {call} is not None:", "                raise SystemExit(1)"]
    shapes = [y.shape for y in record.results[0]]
    flat = [[literal(np.ravel(y)) for y in results] for results in record.results]
    results = [one[0] if len(one) == 1 else f"({', '.join(one)})" for one in flat]
    lines += [
        "        for x, y in (",
        *rows(record.calls[record.waiting :], results),
        "        ):",
    ]
    found, wanted = [call], ["y"]
    if len(shapes) > 1:
        wanted = [f"y[{n}]" for n in range(len(shapes))]
        lines.append(f"            found = {call}")
        found = [f"found[{n}]" for n in range(len(shapes))]
    for n, size in enumerate(record.test.sizes or [1.0] * len(shapes)):
        lines.append(f"            {check(found[n], wanted[n], size, shapes[n])}")
    for n, state in enumerate(record.test.states):
        expected = literal(np.ravel(state))
        left = f"model.get_state()[{n}]"
        lines.append(f"        {check(left, expected, record.test.state_size, state.shape)}")
    return "\n".join([*lines, '    print("self-test passed")'])


def literal(values: Array | tuple[Array, ...]) -> str:
    """Nested tuples (never lists, which MicroPython is slow to compile)."""
    if not isinstance(values, tuple) and np.ndim(values) == 0:
        if np.asarray(values).dtype.kind in "iu":
            return str(int(values))
        number = float(values)
        if not np.isfinite(number):
            return f'float("{number}")'
        return repr(number)
    inner = ", ".join(literal(v) for v in values)
    return f"({inner},)" if len(values) == 1 else f"({inner})"


def _indented(text: str, opening: str, closing: str, by: int = 4) -> list[str]:
    """A line of the self-test's data, broken at commas where it is long."""
    start = " " * by
    if len(line := f"{start}{opening}{text}{closing}") <= WIDTH:
        return [line]
    if opening:
        return [f"{start}{opening}", *filled(text, f"{start}    "), f"{start}{closing}"]
    return filled(text + closing, start, f"{start}    ")
