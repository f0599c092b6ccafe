"""The state of a C header: its structure, reset, and the calls that copy it."""

from __future__ import annotations

import numpy as np

from codegen.program import dims
from codegen.program.ops import Buffer, State
from codegen.targets.c.expressions import body_of
from codegen.targets.c.file import Header
from codegen.text.names import comment


def state_size(header: Header) -> int:
    """How many numbers get_state gives."""
    size = sum(dims.fixed(s.buffer.size) for s in header.outline.states)
    return size + (1 if header.lowered.warmup else 0)


def state_order(header: Header) -> str:
    """What these numbers are, for the comment at get_state."""
    parts = [
        f"{s.layer} {s.role}" + (" (oldest first)" if s.line else "") for s in header.outline.states
    ]
    if header.lowered.warmup:
        parts.append("the number of steps seen")
    if not parts:
        return ""
    return comment(f", in this order: {', '.join(parts)}", 400)


def members(header: Header) -> list[str]:
    """The members of the state structure."""
    lines = []
    for state in header.program.states:
        shape = " x ".join(str(n) for n in state.shape)
        name = header.members[state.buffer]
        ring = ", a ring" if state.buffer in header.rings else ""
        lines.append(
            f"{header.real} {name}[{state.buffer.size}];"
            f" /* {comment(f'{state.layer}: {state.role}, {shape}{ring}')} */"
        )
        if ring:
            lines.append(f"int {name}_at; /* its oldest row */")
    if header.lowered.warmup:
        lines.append("int seen; /* steps since reset, up to the warm-up */")
    lines += _padding(header)
    for dtype, kind, name in (
        ("float32", header.real, "scratch"),
        ("int32", "int32_t", "scratch_int"),
    ):
        if header.plan.sizes[dtype]:
            lines.append(
                f"{kind} {name}[{header.plan.sizes[dtype]}]; /* undefined between calls */"
            )
    return lines or ["char unused; /* the model has no state */"]


def _start(header: Header, state: State) -> list[str]:
    name = header.members[state.buffer]
    size = state.buffer.size
    value = header.number(0.0)
    if state.initial is not None and np.any(state.initial):
        buffer = Buffer(
            f"{state.buffer.name}_initial", size, "const", "float32", np.ravel(state.initial)
        )
        header.name_const(buffer, buffer.name)
        header.used.raw[buffer] = None
        value = f"{header.upper}_READ({header.const_names[buffer]}[i])"
    lines = [f"for (int i = 0; i < {size}; ++i) {{", f"    s->{name}[i] = {value};", "}"]
    if state.buffer in header.rings:
        lines.append(f"s->{name}_at = 0;")
    return lines


def resets(header: Header) -> tuple[str, str]:
    """The bodies of reset and restart; the second is empty where one does for both."""
    fresh = [line for s in header.outline.fresh for line in _start(header, s)]
    if header.lowered.warmup:
        fresh.append("s->seen = 0;")
    kept = [line for s in header.outline.carried for line in _start(header, s)]
    if not fresh and not kept:
        return body_of(["(void)s; /* there is no state */"]), ""
    if not kept:
        return body_of(fresh), ""
    if not fresh:
        return body_of(kept), ""
    return body_of([f"{header.prefix}_restart(s);", *kept]), body_of(fresh)


def restart_call(header: Header) -> list[str]:
    """What predict does first: bring the states to their start that are not carried."""
    method = header.outline.restart
    return [f"{header.prefix}_{method}(s);"] if method else []


def state_access(header: Header) -> tuple[str, str]:
    """The bodies of get_state and set_state."""
    get: list[str] = []
    put: list[str] = []
    offset = 0
    for state in header.outline.states:
        name, size = header.members[state.buffer], dims.fixed(state.buffer.size)
        place = f"values[{offset} + i]" if offset else "values[i]"
        loop = f"for (int i = 0; i < {size}; ++i) {{"
        source = f"s->{name}[i]"
        if state.buffer in header.rings:
            _, row = header.rings[state.buffer]
            source = f"s->{name}[(s->{name}_at * {row} + i) % {size}]"
        get += [loop, f"    {place} = {source};", "}"]
        put += [loop, f"    s->{name}[i] = {place};", "}"]
        if state.buffer in header.rings:
            put.append(f"s->{name}_at = 0;")
        offset += size
    if header.lowered.warmup:
        get.append(f"values[{offset}] = ({header.real})s->seen;")
        put.append(f"s->seen = (int)values[{offset}];")
    if not get:
        get = put = ["(void)s;", "(void)values;"]
    return body_of(get), body_of(put)


def _padding(header: Header) -> list[str]:
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
            lines.append(f"{header.real} rest_{k}[{port.buffer.size}]; /* their outputs */")
    return lines
