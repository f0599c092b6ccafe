"""What a generated file holds before any language: methods, states, sizes, and its banner."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from codegen.lowered import Lowered, Quantised
from codegen.lowered.differences import text
from codegen.passes import Pass
from codegen.program import dims
from codegen.program.derived import shared
from codegen.program.dims import Dim
from codegen.program.integers import LIMITS
from codegen.program.ops import (
    Buffer,
    Loop,
    Port,
    Program,
    Reduce,
    State,
    bytes_of,
    constants,
    rows_looked_up,
    temps,
    walk_ops,
    width_of,
)
from codegen.text.names import comment
from codegen.version import __version__

# ---- methods and states --------------------------------------------------------------------------


class Outline:
    """The methods of a generated file and what they work on.

    `passes` run on the program of step, and on that of predict where `whole_passes` are not given.
    """

    def __init__(
        self,
        lowered: Lowered,
        options: Mapping[str, Any],
        passes: Sequence[Pass] = (),
        whole_passes: Sequence[Pass] | None = None,
    ) -> None:
        self.lowered = lowered
        self.dtype = dtype_of(lowered, options)
        whole = _after(passes if whole_passes is None else whole_passes, lowered.whole)
        if lowered.step is None:
            (self.whole,), self.step = shared([whole]), None
        else:
            self.step, self.whole = shared([_after(passes, lowered.step), whole])
        self.warmup, self.hop = lowered.warmup, lowered.hop

    @property
    def first(self) -> Program:
        """The program of `step`, or that of `predict` where there is no step."""
        return self.step or self.whole

    @property
    def loops(self) -> bool:
        """Whether predict is a loop around the step: one row a step, one length for all inputs."""
        return self.lowered.loops

    @property
    def printed(self) -> tuple[Program, ...]:
        """The programs that have code of their own."""
        programs = (self.step, None if self.loops else self.whole)
        return tuple(program for program in programs if program is not None)

    # ---- states -----------------------------------------------------------------------------

    @cached_property
    def states(self) -> tuple[State, ...]:
        """All states, each once, as get_state gives them; a number of steps seen comes last."""
        found = {state.buffer: state for program in self.printed for state in program.states}
        return tuple(found.values())

    @property
    def fresh(self) -> tuple[State, ...]:
        """The states that predict puts at their start, with the number of steps seen."""
        return tuple(state for state in self.states if not state.carried)

    @property
    def carried(self) -> tuple[State, ...]:
        """The states that predict goes on from."""
        return tuple(state for state in self.states if state.carried)

    @property
    def restart(self) -> str:
        """What predict calls first: `restart`, `reset` where that does no more, or nothing."""
        if not (self.fresh or self.warmup):
            return ""
        return "restart" if self.carried else "reset"

    # ---- arguments --------------------------------------------------------------------------

    def conditions(self, program: Program) -> tuple[tuple[Dim, str, Dim], ...]:
        """The checks on the lengths that some length of 1 or more can break."""
        return tuple(check for check in program.checks if not _holds(*check))

    def between(self, port: Port) -> str:
        """The least and the largest whole number of an input that takes nothing else, else "".

        Those are rows of tables that it looks up, or what its type holds in a program of integers.
        """
        programs = [program for program in (self.step, self.whole) if program is not None]
        rows = rows_looked_up(port.name, programs)
        if rows is not None:
            return f"0, {rows - 1}"
        whole = self.lowered.whole
        kind = next(own.buffer.dtype for own in whole.inputs if own.name == port.name)
        limit = LIMITS.get(kind) if whole.integers else None
        return "" if limit is None else f"{-limit}, {limit - 1}"

    def ports(self) -> Iterator[tuple[Port, tuple[Buffer, ...]]]:
        """Inputs, then outputs: the port of the first program, and its buffers in all of them."""
        programs = [(*p.inputs, *p.outputs) for p in (self.step, self.whole) if p is not None]
        for ports in zip(*programs, strict=True):
            yield ports[0], tuple(port.buffer for port in ports)

    def symbols(self) -> Iterator[str]:
        """Free lengths and loop counters."""
        for program in (self.step, self.whole):
            if program is None:
                continue
            yield from program.lengths
            for op in walk_ops(program.ops):
                if isinstance(op, Loop):
                    yield op.counter
                elif isinstance(op, Reduce):
                    yield from (name for name, _ in op.counters)

    # ---- sizes ------------------------------------------------------------------------------

    @property
    def item(self) -> int:
        """Bytes of a number."""
        return int(np.dtype(self.dtype).itemsize)

    def sizes(self) -> Sizes:
        """Bytes of the model's own constants, of the states, and of scratch for one step."""
        known = dict.fromkeys(self.whole.lengths, 1)
        weights = sum(bytes_of(buffer, self.item) for buffer in self.consts())
        held = [state.buffer for state in self.states]
        scratch = [buffer for program in self.printed for buffer in temps(program)]
        state, more = (
            sum(dims.value(b.size, known) * width_of(b.dtype, self.item) for b in buffers)
            for buffers in (held, scratch)
        )
        return Sizes(weights, state, more)

    def consts(self) -> tuple[Buffer, ...]:
        """The constants of all programs, each once."""
        return tuple(dict.fromkeys(b for program in self.printed for b in constants(program)))


def _after(passes: Sequence[Pass], program: Program) -> Program:
    for one in passes:
        program = one(program)
    return program


def _holds(left: Dim, relation: str, right: Dim) -> bool:
    """Whether a check holds for all lengths, which are 1 or more."""
    if relation != ">=" or not isinstance(right, int) or isinstance(left, int):
        return False
    plain = all(isinstance(atom, dims.Symbol) and factor > 0 for atom, factor in left.terms)
    return plain and dims.value(left, dict.fromkeys(dims.symbols(left), 1)) >= right


def dtype_of(lowered: Lowered, options: Mapping[str, Any]) -> str:
    """`float32` or `float64`: what was asked for, else the model's own."""
    return str(options.get("dtype") or lowered.model.dtype)


def facts(lowered: Lowered) -> list[tuple[str, str]]:
    """What the model says about its use: names of constants, and numbers as all languages write."""
    return [(name.upper(), f"{value:.9g}") for name, value in lowered.model.facts]


# ---- banner --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Origin:
    """How the file is made again: the base name of OUT (or `-`) and the options given.

    `options` are the words of every option that is not a default, as typed: `("--dtype",
    "float64")`.
    """

    out: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sizes:
    """Bytes, as the target lays things out."""

    weights: int
    state: int
    scratch: int


WIDTH = 96  # of a line of the banner, which stands in a comment


def command(lowered: Lowered, origin: Origin) -> list[str]:
    """The exact command that makes the file again, as typed in a shell, in one line or more."""
    source = lowered.model.source
    words = ["rnn-codegen", "convert", source, "-o", origin.out, *origin.options]
    if source.startswith("-"):  # no option
        words = [*words[:2], *words[3:], "--", source]
    quoted = [comment(shlex.quote(word), 10**4) for word in words]
    if len(" ".join(quoted)) <= WIDTH - 4:
        return [" ".join(quoted)]
    parts: list[str] = []  # an option and its value stay together
    for word in quoted:
        if parts and not word.startswith("-"):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    lines = parts[:1]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) > WIDTH - 7:
            lines[-1] += " \\"
            lines.append(f"    {part}")
        else:
            lines[-1] += f" {part}"
    return lines


def made(lowered: Lowered, origin: Origin) -> list[str]:
    """What made a file: the version, the command and the model, all that `check` needs."""
    model = lowered.model
    wrote = f", written by {model.writer}" if model.writer else ""
    return [
        f"Generated by rnn-codegen {__version__}. Do not edit: change the model and run",
        "",
        *(f"    {line}" for line in command(lowered, origin)),
        "",
        f"Model: {comment(model.source)} ({model.format}, SHA-256 {model.digest}{comment(wrote)})",
    ]


def banner(lowered: Lowered, origin: Origin, sizes: Sizes) -> list[str]:
    """The lines of the comment at the top of a generated file, each safe inside a comment."""
    model = lowered.model
    lines = [
        *made(lowered, origin),
        "",
        *layer_table(lowered),
        "",
    ]
    program = lowered.step or lowered.whole
    per = ", one step" if lowered.step else ""
    for kind, ports in (("Input", program.inputs), ("Output", program.outputs)):
        for port in ports:
            size = "".join(("(", ", ".join(str(n) for n in port.shape), ")"))
            line = f"{kind} {comment(port.name, 40)}: {size} {port.buffer.dtype}{per}"
            lines += textwrap.wrap(line, WIDTH, subsequent_indent="    ")
    if lowered.hop > 1:
        lines.append(f"One step takes {lowered.hop} rows of the input.")
    if lowered.warmup:
        lines.append(f"The first {lowered.warmup} steps give no output.")
    if lowered.quantised is not None:
        lines += ["", *_quantised(lowered.quantised), ""]
    lines += model.running
    lines += [
        f"Bytes: weights {sizes.weights}, state {sizes.state}, scratch {sizes.scratch}.",
        "",
        "This file is yours: its generator lays no claim to it and puts no condition on its use.",
    ]
    return [line.rstrip() for line in lines]


def _quantised(made: Quantised) -> list[str]:
    """How weights are rounded, and what that does."""
    of = f"{made.steps} steps" if made.steps else "one call"
    how = "Matrices of weights are int8 with a scale for each row."
    if made.scheme != "weights":
        how = (
            f"All arithmetic is of integers: weights are {made.scheme} with a scale for each row, "
            "what they are multiplied by is int16, sums and states are int32."
        )
    lines = [how, *(comment(one, 400) for one in made.told)]
    for error in made.errors:
        data = comment(made.data, 60)
        told = f"{comment(error.output, 40)}: {text(error)}, over {of} of {data} against floats."
        lines.append(told)
    return [line for one in lines for line in textwrap.wrap(one, WIDTH)]


def layer_table(lowered: Lowered) -> list[str]:
    """A line for each layer: name, output shape, parameters, what it is.

    What a layer is goes on below where it is too long for the line.
    """
    table = [("layer", "output", "parameters", "")]
    for layer in lowered.layers:
        shape = ", ".join("steps" if n is None else str(n) for n in layer.output_shape)
        what = comment(layer.describe, 90)
        table.append((comment(layer.name, 40), f"({shape})", str(layer.parameters), what))
    widths = [max(len(row[k]) for row in table) for k in range(3)]
    lines = []
    for *cells, what in table:
        start = "".join(f"{text.ljust(n)}  " for text, n in zip(cells, widths, strict=True))
        first, *rest = textwrap.wrap(what, max(WIDTH - len(start), 30)) or [""]
        lines += [start + first, *(" " * len(start) + more for more in rest)]
    return lines


def joined(lines: Sequence[str], prefix: str) -> str:
    """The lines, each after `prefix`, without trailing blanks."""
    return "\n".join(f"{prefix}{line}".rstrip() for line in lines)
