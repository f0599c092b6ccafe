"""The rest of the steps of a C `predict` that is shorter than a hop."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import rows_seen
from codegen.targets.c.file import Header


def rest_check(header: Header) -> list[str]:
    """Refuse a rest where the zeros after it would show."""
    hop, steps = header.lowered.hop, dims.symbol("steps")
    if hop == 1:
        return []
    seen = rows_seen(header.lowered.whole)
    shows = _grows(header, seen, steps, (steps + (hop - 1)) // hop * hop)
    if header.lowered.fills_up:
        shows = "1"
    if shows == "0":
        return []
    conditions = [f"steps % {hop} != 0"]
    conditions += [f"({c})" for c in (_rest_condition(header), shows) if c != "1"]
    return [f"if ({' && '.join(conditions)}) {{", "    return -1;", "}"]


def rest(header: Header, names: Sequence[str]) -> list[str]:
    """One more step on the rest, filled up with zeros, where an output is due."""
    hop = header.lowered.hop
    lines = []
    arguments = list(names)
    for k, port in enumerate(header.program.inputs):
        if not port.time:
            continue
        size = dims.fixed(port.buffer.size)
        zero = "0" if port.buffer.dtype == "int32" else header.number(0.0)
        have = f"steps % {hop} * {header.upper}_INPUT_{k}_SIZE"
        lines += [
            f"for (int i = 0; i < {size}; ++i) {{",
            f"    s->padded_{k}[i] = i < {have} ? {names[k]}[i] : {zero};",
            "}",
        ]
        arguments[k] = f"s->padded_{k}"
    copies = []
    for k, port in enumerate(header.program.outputs):
        if not port.time:
            continue
        place = len(header.program.inputs) + k
        arguments[place] = f"s->rest_{k}"
        rows = dims.fixed(port.buffer.size) // max(1, row(header, k))
        total = header.printer.dim(header.lowered.whole.outputs[k].shape[0], 2)
        done = (
            f"(steps / {hop} - {header.lowered.warmup})"
            if header.lowered.warmup
            else (f"steps / {hop}")
        )
        left = f"{total} - {done}" if rows == 1 else f"{total} - {done} * {rows}"
        copies += [
            f"for (int i = 0; i < ({left}) * {header.upper}_OUTPUT_{k}_SIZE; ++i) {{",
            f"    {names[place]}[i] = s->rest_{k}[i];",
            "}",
        ]
    call = f"{header.prefix}_step(s, {', '.join(arguments)})"
    if header.lowered.warmup and copies:
        run = [f"if ({call}) {{", *(f"    {c}" for c in copies), "}"]
    else:
        run = [f"(void){call};", *copies]
    inner = ["/* An output is due that needs the rest, with zeros after it. */", *lines, *run]
    condition = f"if (steps % {hop} != 0 && ({_rest_condition(header)})) {{"
    return [condition, *(f"    {x}" for x in inner), "}"]


def padding_members(header: Header) -> list[str]:
    """Room for the last input, padded, and its outputs, where a step takes several rows."""
    if header.lowered.step is None or header.lowered.hop == 1:
        return []
    lines = []
    for k, port in enumerate(header.program.inputs):
        if port.time:
            kind = "int32_t" if port.buffer.dtype == "int32" else header.real
            lines.append(f"{kind} padded_{k}[{port.buffer.size}]; /* last rows of an input */")
    for k, port in enumerate(header.program.outputs):
        if port.time:
            lines.append(f"{header.real} rest_{k}[{port.buffer.size}]; /* what they give */")
    return lines


def row(header: Header, output: int) -> int:
    """Values of one row of an output."""
    size = header.size(header.lowered.whole.outputs[output])
    return size if isinstance(size, int) else 1


def _rest_condition(header: Header) -> str:
    hop, steps = header.lowered.hop, dims.symbol("steps")
    counts = [*_due(header), *rows_seen(header.lowered.whole)]
    return _grows(header, counts, steps // hop * hop, steps)


def _due(header: Header) -> list[Dim]:
    """How many rows of each output predict gives."""
    return list(dict.fromkeys(p.shape[0] for p in header.lowered.whole.outputs if header.varies(p)))


def _grows(header: Header, counts: Sequence[Dim], low: Dim, high: Dim) -> str:
    """The condition that any of the counts is larger at `high` steps than at `low`."""
    pairs = [[dims.substitute(d, {"steps": n}) for n in (high, low)] for d in counts]
    parts = [f"{header.printer.dim(a)} > {header.printer.dim(b)}" for a, b in pairs if a != b]
    return " || ".join(dict.fromkeys(parts)) or "0"
