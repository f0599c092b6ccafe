"""The methods step and predict of a plain Python file: reading, computing, returning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.integers import LIMITS
from codegen.program.ops import Port, Program, rows_looked_up
from codegen.targets.python.file import tuple_text
from codegen.targets.python.ops import Printer
from codegen.targets.python.states import States, limits
from codegen.targets.python.views import BlockView
from codegen.targets.spine.outline import Outline


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
        between = None
        if port.buffer.dtype == "int32":
            limit = rows_looked_up(port.name, [p.program for p in self.printers])
            if limit is not None:
                between = f"0, {limit - 1}"
            elif self.file.integers:
                between = limits(port.buffer)
        elif port.buffer.dtype in LIMITS:
            between = limits(port.buffer)
        flat = self.file.small and len(shape) == 1 and isinstance(shape[0], int)
        if flat and port.buffer.dtype == "int16":
            limit = LIMITS[port.buffer.dtype]
            return f"{name} = {self.file.help('integers')}({name}, {shape[0]}, {limit})"
        if between is not None:
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
