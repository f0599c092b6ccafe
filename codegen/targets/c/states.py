"""The state of a C header: its structure, reset, and the calls that copy it."""

from __future__ import annotations

import numpy as np

from codegen.program import dims
from codegen.program.ops import Buffer, State
from codegen.targets.c.expressions import ARENAS, INTEGERS, body_of
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
        fraction = f", q / 2^{state.buffer.fraction}" if state.buffer.fraction else ""
        lines.append(
            f"{header.type_of(state.buffer)} {name}[{state.buffer.size}];"
            f" /* {comment(f'{state.layer}: {state.role}, {shape}{ring}{fraction}')} */"
        )
        if ring:
            lines.append(f"int {name}_at; /* its oldest row */")
    if header.lowered.warmup:
        lines.append("int seen; /* steps since reset, up to the warm-up */")
    lines += _padding(header)
    for dtype, name in ARENAS.items():
        if header.plan.sizes[dtype]:
            kind, size = INTEGERS.get(dtype, header.real), header.plan.sizes[dtype]
            lines.append(f"{kind} {name}[{size}]; /* undefined between calls */")
    return lines or ["char unused; /* the model has no state */"]


def _start(header: Header, state: State) -> list[str]:
    name = header.members[state.buffer]
    size = state.buffer.size
    value = header.zero(state.buffer)
    if state.initial is not None and np.any(state.initial):
        wanted, kind = f"{state.buffer.name}_initial", state.buffer.dtype
        initial = np.ravel(state.initial)
        initial = initial.astype(kind) if header.integers else initial
        buffer = Buffer(wanted, size, "const", kind, initial, fraction=state.buffer.fraction)
        header.name_const(buffer, wanted)
        value = header.printer.element(buffer.vec(), "i")
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
        cast = "(int16_t)" if state.buffer.dtype == "int16" else ""
        put += [loop, f"    s->{name}[i] = {cast}{place};", "}"]
        if state.buffer in header.rings:
            put.append(f"s->{name}_at = 0;")
        offset += size
    if header.lowered.warmup:
        get.append(f"values[{offset}] = ({header.state_type})s->seen;")
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
            kind = header.type_of(port.buffer)
            lines.append(f"{kind} padded_{k}[{port.buffer.size}]; /* last rows of an input */")
    for k, port in enumerate(header.program.outputs):
        if port.time:
            kind = header.type_of(port.buffer)
            lines.append(f"{kind} rest_{k}[{port.buffer.size}]; /* their outputs */")
    return lines
