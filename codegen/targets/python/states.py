"""The states of a plain Python file: how they start, and how they are given and taken."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from codegen.program import dims
from codegen.program.integers import LIMITS
from codegen.program.ops import Buffer, State
from codegen.targets.python.ops import Printer
from codegen.targets.spine.outline import Outline


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
