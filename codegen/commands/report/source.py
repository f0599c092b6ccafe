"""The recurrent layers of a model: their formulas, and the lines of C that compute them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from codegen.commands.report.formulas import Formulas
from codegen.layers.recurrent import Cell, Recurrent
from codegen.lowered import Lowered
from codegen.program import dims
from codegen.program.ops import Block, Loop, Program, State, walk_ops, writes
from codegen.targets import TARGETS
from codegen.targets.c.expressions import indent
from codegen.targets.c.file import Header
from codegen.targets.c.lines import fitted
from codegen.targets.spine.outline import Origin
from codegen.text.names import identifier

MOST = 24  # layers that are shown
ANY_LENGTH = 256  # --max-steps of lines that are only shown


@dataclass(frozen=True)
class Shown:
    """One layer."""

    title: str
    given: str  # the only input, as the code calls it; empty where there are several
    sizes: tuple[str, ...]  # of its states, in words
    formulas: tuple[Markup, ...]
    code: str


def recurrent_layers(lowered: Lowered, options: Mapping[str, Any]) -> list[Shown]:
    """All layers that go on from a state, their own or one that is given to them, in order."""
    program = lowered.step or lowered.whole
    chosen = {"profile": "mcu", **options}
    free = lowered.step is None and bool(lowered.whole.lengths)
    if free and not chosen.get("max_steps"):
        chosen["max_steps"] = ANY_LENGTH
    name = identifier(lowered.name)
    header = Header(lowered, name, TARGETS["c"].complete(chosen), Origin(f"{name}.h"))
    layers = {layer.name: (layer, *layer.inner) for layer in lowered.model.layers}
    kinds = (Recurrent, Cell)
    named = {k for k, v in layers.items() if any(isinstance(layer, kinds) for layer in v)}
    printed = {b.title: b for b in header.program.blocks}
    found = []
    for block in program.blocks:
        if block.name not in named and not is_recurrent(block, program):
            continue
        formulas = Formulas(block.name, block.ops)
        lines = tuple(line for op in block.ops for line in formulas.lines(op))
        text = indent(header.printer.block(printed.get(block.title, block)))
        sizes = tuple(_size(s) for s in program.states if s.layer == block.name)
        given = "" if formulas.input is None else formulas.input.name
        code = textwrap.dedent("".join(fitted([text])))  # broken as in a function
        found.append(Shown(block.title, given, sizes, lines, code))
    return found


def is_recurrent(block: Block, program: Program) -> bool:
    """Whether the layer goes on from what it has computed itself; a delay line is its input."""
    lines = {state.buffer for state in program.states if state.line}
    for op in walk_ops(block.ops):
        if isinstance(op, Loop) and op.carried:
            return True
        if any(v.buffer.kind == "state" and v.buffer not in lines for v in writes(op)):
            return True
    return False


def _size(state: State) -> str:
    shape = "\N{MULTIPLICATION SIGN}".join(str(n) for n in state.shape)
    return f"{state.role} {shape or dims.text(state.buffer.size)}"
