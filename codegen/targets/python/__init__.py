"""The python target: one file for CPython 3.6 and later, PyPy and MicroPython, without NumPy.

With `--runtime micropython` the file is as small as it can be, for boards with a few kilobytes.

This file knows the options and the page. `ops` prints ops by `expressions` as `views`; `methods`
has what stands around them, states and self-test included; `file` keeps what all of them share,
which `weights` and `parts` write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from codegen.lowered import Lowered
from codegen.lowered.recorded import TOLERANCE
from codegen.model import FACTS
from codegen.passes.fold_gates import halve_gates
from codegen.program import dims
from codegen.program.derived import is_int8
from codegen.program.ops import width_of
from codegen.targets.python.file import File
from codegen.targets.python.integers import IntegerPrinter
from codegen.targets.python.methods import Methods, States, selftest_parts, small_selftest
from codegen.targets.python.ops import Printer, uses_infinity
from codegen.targets.python.parts import (
    FUNCTIONS,
    INTEGER_PARTS,
    RUNTIME,
    SMALL,
    WITHOUT_MATH,
    function_texts,
    method_texts,
    part_text,
    runtime_texts,
    used_functions,
)
from codegen.targets.python.weights import Weights
from codegen.targets.spine.integers import apart, fractions
from codegen.targets.spine.lines import fitted
from codegen.targets.spine.outline import Origin, Outline, Sizes, banner, facts, made
from codegen.targets.spine.python_lines import broken
from codegen.text import templates
from codegen.text.names import Names, comment
from codegen.text.words import PYTHON_WORDS

# What no name from a model may take: what is built in, and names of the file besides its parts.
BUILT_IN = ("abs", "float", "int", "len", "list", "max", "min", "print", "range", "zip")
LOCAL_WORDS = (
    "added array implementation math matrix product result row_of rows store sumprod t vector zeros"
).split()
METHODS = ("get_state", "set_state", "selftest")
CONSTANT_WORDS = (
    *("ADD", "CPYTHON", "FLOAT", "REAL", "SMALL", "INF", "NAN"),
    *("TOLERANCE", "INPUTS", "EXPECTED", "STATES"),
    *(name.upper() for name in FACTS),
)


def render(
    lowered: Lowered, name: str, options: Mapping[str, Any], origin: Origin
) -> Iterator[str]:
    """The text of the file in pieces."""
    return _File(lowered, name, options, origin).text()


# Sigmoid gates as tanh cost no call of a function of ours.
PASSES = (halve_gates,)


class _File:
    """One generated file in the making."""

    def __init__(
        self, lowered: Lowered, name: str, options: Mapping[str, Any], origin: Origin
    ) -> None:
        self.lowered, self.name, self.options, self.origin = lowered, name, options, origin
        passes = (apart,) if lowered.whole.integers else PASSES
        self.outline = outline = Outline(lowered, options, passes)
        self.dtype = outline.dtype
        self.small = options["runtime"] == "micropython"
        self.has_test = not options["no_selftest"]
        self.first, self.printed = outline.first, outline.printed
        is_integer = lowered.whole.integers
        parts = INTEGER_PARTS if is_integer else FUNCTIONS
        own = (*RUNTIME, *SMALL, *parts, *BUILT_IN, *LOCAL_WORDS, *METHODS)
        names = Names(PYTHON_WORDS, own, outline.symbols())
        constants = Names(PYTHON_WORDS, CONSTANT_WORDS)
        self.file = File(names, constants, self.small, is_integer)
        for port, buffers in outline.ports():
            self.file.ports.update(dict.fromkeys(buffers, names(port.buffer.name)))
        for state in outline.states:
            names(state.buffer.name, state.buffer)
        kind = IntegerPrinter if is_integer else Printer
        self.printers = [
            kind(self.file, p, kept=p is outline.step, notes=not self.small) for p in self.printed
        ]

    # ---- the file -------------------------------------------------------------------------

    def text(self) -> Iterator[str]:
        """All of it in pieces."""
        states = States(self.outline, self.printers[0])
        methods = Methods(self.outline, self.printers, states)
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
            folder, part = ("integers", "same") if self.file.integers else ("runtime", "close")
            runtime.append(part_text(folder, part))
        used = used_functions(self.file)
        infinity = "INF" in used or "constants" in self.file.runtime
        functions = function_texts(self.file, used)
        uses_math = bool(functions) and not used <= WITHOUT_MATH
        if self.file.integers:
            uses_math = "fixed" in self.file.methods
        arguments = ", ".join(self.file.port(p) for p in self.first.inputs)
        lines = banner(self.lowered, self.origin, self._sizes())
        pieces = templates.render(
            "python/small.py.j2" if self.small else "python/model.py.j2",
            # What made the file, and whose it is: no layer table and no sizes.
            banner=[*made(self.lowered, self.origin), lines[-1]] if self.small else lines,
            title=f"{comment(self.name)}, from {comment(self.lowered.model.source)}.",
            uses_math=uses_math,
            uses_infinity=infinity or uses_infinity(self.printed),
            integers=self.file.integers,
            methods=method_texts(self.file),
            fractions=fractions(self.lowered),
            typecode="d" if self.dtype == "float64" else "f",
            dtype=self.dtype,
            facts=facts(self.lowered),
            tolerance=TOLERANCE if self.has_test and not self.file.integers else None,
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
        return fitted(pieces, broken)

    def _sizes(self) -> Sizes:
        parts = [part for table in self.file.tables.values() for part in table.parts]
        weights = 0
        for part in parts:
            count, item = dims.fixed(part.rows) * dims.fixed(part.columns), self.outline.item
            if self.file.integers:
                each = 2 * dims.fixed(part.rows) * (part.buffer.scales is not None)
                weights += count * width_of(part.buffer.dtype, item) + each
            elif is_int8(part):
                weights += count + 2 * dims.fixed(part.rows)
            elif part.buffer is not self.file.zero:
                weights += count * item
        return replace(self.outline.sizes(), weights=weights)
