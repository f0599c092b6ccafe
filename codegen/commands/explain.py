"""The model as equations, with its own numbers of units: the Program printed for a reader."""

from __future__ import annotations

import textwrap

from codegen.errors import visible
from codegen.lowered import Lowered
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.targets.spine.equations import LONGEST_EQUATION, Equations


def explain(lowered: Lowered, width: int = 80) -> str:
    """One paragraph of equations for each layer, in lines of `width` columns."""
    program = lowered.step or lowered.whole
    lines = [f"{lowered.name}, from {lowered.model.source}", *lowered.model.running, ""]
    for kind, ports in (("input", program.inputs), ("output", program.outputs)):
        lines += [f"  {p.buffer.name}: {kind} {p.name!r} {_shape(p.shape)}" for p in ports]
    for state in program.states:
        kept = "kept between predict calls" if state.carried else "starts again at each predict"
        lines.append(f"  {state.buffer.name}: state {_shape(state.shape)}, {kept}")
    if program.states:
        example = program.states[0].buffer.name
        lines += ["", f"{example} is the state before the step, {example}' the state after it."]
    lines.append("")
    if lowered.step is not None:
        rows = "" if lowered.hop == 1 else f" of {lowered.hop} rows"
        after = f"; the first {lowered.warmup} give no output" if lowered.warmup else ""
        lines.append(f"In one step{rows}{after}:")
    else:
        lines.append(f"For a whole input (no step: {lowered.reason}):")
    for block in program.blocks:
        lines += ["", f"  {block.title}"]
        for op in block.ops:
            lines += [f"    {line}" for line in Equations().lines(op)]
    shown = (visible(line, LONGEST_EQUATION) for line in lines)
    return "".join(f"{part}\n" for line in shown for part in _wrapped(line, width))


def _wrapped(line: str, width: int) -> list[str]:
    """The line, which goes on below, further to the right, where it is too long."""
    start = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(
        line,
        max(width, len(start) + 40),
        subsequent_indent=f"{start}    ",
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def _shape(shape: tuple[Dim, ...]) -> str:
    return "(" + ", ".join(dims.text(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"
