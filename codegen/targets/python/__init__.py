"""The python target: one file for CPython 3.6 and later, PyPy and MicroPython, without NumPy.

With `--runtime micropython` the file is as small as it can be, for boards with a few kilobytes.

This file knows the options and the page. `ops` prints ops by `expressions` as
`views`; `methods`, `states` and `selftest` are the methods around them;
`file` keeps what all of them share, which `weights` and `parts` write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from codegen.lowered import Lowered
from codegen.passes.fold_gates import EXACT, fold_gates
from codegen.program import dims
from codegen.program.derived import Derived
from codegen.program.ops import Loop, Program, Reduce, temps, walk_ops
from codegen.recorded import TOLERANCE
from codegen.running.python import start
from codegen.targets.base import SHARED, Option, Target, dtype_of
from codegen.targets.python.file import File
from codegen.targets.python.methods import Methods
from codegen.targets.python.ops import Printer, states_of, uses_infinity
from codegen.targets.python.parts import (
    FUNCTIONS,
    RUNTIME,
    SMALL,
    WITHOUT_MATH,
    function_texts,
    part_text,
    runtime_texts,
    used_functions,
)
from codegen.targets.python.selftest import selftest_parts, small_selftest
from codegen.targets.python.states import States
from codegen.targets.python.weights import Weights
from codegen.text.banner import Origin, Sizes, banner
from codegen.text.names import Names, comment
from codegen.text.templates import render

# What no name from a model may take: what is built in, and names of the file besides its parts.
BUILT_IN = ("abs", "float", "int", "len", "list", "max", "min", "print", "range", "zip")
LOCAL_WORDS = ("array", "math", "matrix", "result", "rows", "store", "t", "vector", "zeros")
METHODS = ("get_state", "set_state", "selftest")
CONSTANT_WORDS = (
    *("FLOAT", "REAL", "SMALL", "INF", "NAN"),
    *("TOLERANCE", "INPUTS", "EXPECTED", "STATES"),
)

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


TARGET = Target("python", (".py",), OPTIONS, generate, start)


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
        own = (*RUNTIME, *SMALL, *FUNCTIONS, *BUILT_IN, *LOCAL_WORDS, *METHODS)
        names = Names((*own, *_symbols(programs)))
        constants = Names(CONSTANT_WORDS)
        self.file = File(names, constants, self.small, self.derived)
        for number, port in enumerate((*self.first.inputs, *self.first.outputs)):
            name = names(port.buffer.name)
            for program in programs:  # the same tensor in another program is another buffer
                other = (*program.inputs, *program.outputs)[number]
                self.file.ports[other.buffer] = name
        for state in self.states:
            names(state.buffer.name, state.buffer)
        self.printers = [
            Printer(self.file, p, kept=k == 0 and lowered.step is not None, notes=not self.small)
            for k, p in enumerate(self.printed)
        ]

    def _folded(self, program: Program) -> Program:
        """The program with sigmoid gates as tanh, which costs no call of a function of ours."""
        ops = iter(fold_gates(program.ops, self.derived, EXACT))
        blocks = [replace(b, ops=tuple(next(ops) for _ in b.ops)) for b in program.blocks]
        return replace(program, blocks=tuple(blocks))

    # ---- the file -------------------------------------------------------------------------

    def text(self) -> Iterator[str]:
        """All of it in pieces."""
        states = States(self.lowered, self.printers[0], self.states)
        methods = Methods(self.lowered, self.printers, states, self.loops)
        step = methods.step() if self.lowered.step is not None else None
        predict = methods.predict()
        reset_all, restart = states.resets()
        kept = dict.fromkeys(b for printer in self.printers for b in printer.kept)
        if any(b.kind == "temp" for b in kept):
            self.file.help("zeros")
        get_state, set_state = states.get_state(), states.set_state()
        test: Any = None
        if self.has_test:
            test = (
                small_selftest(self.lowered, self.file.help)
                if self.small
                else selftest_parts(self.lowered)
            )
        weights = Weights(self.file, self.dtype, self.options["weights"] == "text")
        tables = [weights.table(table) for table in self.file.tables.values()]
        runtime = runtime_texts(self.file)
        if test is not None and not self.small:
            runtime.append(part_text("runtime", "close"))
        used = used_functions(self.file)
        infinity = "INF" in used or "constants" in self.file.runtime
        functions = function_texts(used)
        arguments = ", ".join(self.file.port(p) for p in self.first.inputs)
        lines = banner(self.lowered, self.origin, self._sizes())
        return render(
            "python/small.py.j2" if self.small else "python/model.py.j2",
            banner=shortened(lines) if self.small else lines,
            title=f"{comment(self.name)}, from {comment(self.lowered.model.source)}.",
            uses_math=bool(functions) and not used <= WITHOUT_MATH,
            uses_infinity=infinity or uses_infinity(self.printed),
            typecode="d" if self.dtype == "float64" else "f",
            dtype=self.dtype,
            tolerance=TOLERANCE if self.has_test else None,
            small=self.small,
            runtime=runtime,
            functions=functions,
            tables=tables,
            kept=[(self.printers[0].name(b), b.size) for b in kept],
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


def shortened(lines: Sequence[str]) -> list[str]:
    """The banner without layer table and sizes."""
    kept = [k for k, line in enumerate(lines) if line.startswith("Model: ")]
    return [*lines[: kept[0] + 1], lines[-1]]


def _is_one_length(lowered: Lowered) -> bool:
    """Whether all inputs with a time axis are equally long."""
    return len({str(p.shape[0]) for p in lowered.whole.inputs if p.time}) <= 1


def _symbols(programs: Sequence[Program]) -> Iterator[str]:
    """Free lengths and loop counters."""
    for program in programs:
        yield from program.lengths
        for op in walk_ops(program.ops):
            if isinstance(op, Loop):
                yield op.counter
            elif isinstance(op, Reduce):
                yield from (name for name, _ in op.counters)
