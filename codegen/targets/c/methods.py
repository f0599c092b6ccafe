"""The methods of a C header: `step` and `predict`, the state and its copies, the self-test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codegen.lowered.recorded import LARGEST, SelfTest, record
from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import Array, Buffer, Port, State, in_stream, rows_seen
from codegen.targets.c.expressions import ARENAS, INTEGERS, body_of, indent
from codegen.targets.c.file import Header
from codegen.targets.c.parts import ConstArray, const_array
from codegen.text.names import comment

# ---- step and predict ----------------------------------------------------------------------------


def step(header: Header, body: str) -> dict[str, str]:
    """Declaration, definition, body and comment of `step`; `body` holds the blocks."""
    warmup = header.lowered.warmup
    lines = indent(body).splitlines()
    unused = _unused(header)
    lines = [*(f"    (void){name};" for name in unused), *lines]
    if warmup:
        lines += [
            "",
            f"    if (s->seen < {warmup}) {{",
            "        ++s->seen;",
            "        return 0;",
            "    }",
        ]
    lines.append("    return 1;")
    takes = (
        f", which takes {header.lowered.hop} rows of the input" if header.lowered.hop > 1 else ""
    )
    returns = "1" if not warmup else f"1, or 0 for the first {warmup} steps, which have no output"
    return {
        **_signatures(header, "step", [], restrict=True),
        "body": "\n".join(lines) + "\n",
        "takes": takes,
        "returns": returns,
    }


def predict(header: Header, body: str) -> dict[str, str]:
    """Declaration, definition, body and comment of `predict`."""
    streams = header.lowered.step is not None
    lines = _refusals(header)
    if streams:
        lines += [*rest_check(header), *restart_call(header), *_stream(header)]
    else:
        lines += [f"(void){name};" for name in _unused(header)]
        if header.program.states:
            lines += restart_call(header)
        lines += ["", *body.splitlines()]
    lines.append("return 0;")
    what = "A whole input"
    if header.lengths:
        what += (
            ". Returns 0, or -1 if this number of steps is not accepted; then nothing is written"
        )
    else:
        what += "; returns 0"
    return {
        **_signatures(header, "predict", header.lengths, restrict=not streams),
        "comment": f"{what}.",
        "body": body_of(lines),
    }


def _signatures(
    header: Header, name: str, lengths: Sequence[str], *, restrict: bool
) -> dict[str, str]:
    """Declaration and definition of a function of the model, and the call of its copies.

    The copies are its body and what AVX2 makes of that; both take the function's own arguments.
    """
    first = [f"{header.prefix}_state *s", *(f"int {length}" for length in lengths)]
    plain = ", ".join([*first, *_pointers(header, restrict=False)])
    marked = ", ".join([*first, *_pointers(header, restrict=restrict)])
    stem = f"{header.prefix}_{name}"
    ports = (*header.program.inputs, *header.program.outputs)
    arguments = ["s", *lengths, *(header.parameters[port.buffer] for port in ports)]
    return {
        "name": stem,
        "declaration": f"int {stem}({plain})",
        "definition": f"int {stem}({marked})",
        "body_head": f"static {header.upper}_ALWAYS_INLINE int {stem}_body({marked})",
        "avx2_head": f"static int {stem}_avx2({marked})",
        "arguments": ", ".join(arguments),
    }


def _pointers(header: Header, *, restrict: bool) -> list[str]:
    mark = f"{header.upper}_RESTRICT " if restrict else ""
    result = []
    for port in header.program.inputs:
        kind = header.type_of(port.buffer)
        result.append(f"const {kind} *{mark}{header.parameters[port.buffer]}")
    for port in header.program.outputs:
        kind = header.type_of(port.buffer)
        result.append(f"{kind} *{mark}{header.parameters[port.buffer]}")
    return result


def _unused(header: Header) -> list[str]:
    """The arguments of the function that no op of the model reads or writes."""
    used = header.used
    found = [name for buffer, name in header.parameters.items() if buffer not in used.buffers]
    return [*found, *([] if used.state else ["s"])]


def _refusals(header: Header) -> list[str]:
    """Conditions on the lengths, before anything is written."""
    conditions = [f"{name} < 1" for name in header.lengths]
    if header.max_steps is not None:
        conditions += [f"{name} > {header.upper}_MAX_STEPS" for name in header.lengths]
    for left, relation, right in header.lowered.whole.checks:
        opposite = "!=" if relation == "==" else "<"
        a, b = header.printer.dim(left), header.printer.dim(right)
        text = f"{a} {opposite} {b}"
        if a != b and text not in conditions:
            conditions.append(text)
    if header.lowered.step is not None and header.lowered.warmup and header.lengths:
        first = (header.lowered.warmup + 1) * header.lowered.hop
        hop = header.lowered.hop
        conditions.append(
            f"steps < {first}" if hop == 1 else f"(steps + {hop - 1}) / {hop} * {hop} < {first}"
        )
    if not conditions:
        return []
    return [f"if ({' || '.join(conditions)}) {{", "    return -1;", "}"]


def _stream(header: Header) -> list[str]:
    """The loop over steps."""
    hop = header.lowered.hop
    names = [header.parameters[p.buffer] for p in (*header.program.inputs, *header.program.outputs)]
    call = f"{header.prefix}_step(s, {', '.join(names)})"
    moves: list[str] = []
    outputs: list[str] = []
    for k, port in enumerate(header.program.inputs):
        if port.time:
            size = f"{header.upper}_INPUT_{k}_SIZE"
            moves.append(f"{names[k]} += {size if hop == 1 else f'{size} * {hop}'};")
    for k, port in enumerate(header.program.outputs):
        if port.time:
            size = f"{header.upper}_OUTPUT_{k}_SIZE"
            rows = dims.fixed(port.buffer.size) // max(1, row(header, k))
            name = names[len(header.program.inputs) + k]
            outputs.append(f"{name} += {size if rows == 1 else f'{size} * {rows}'};")
    count = "steps" if hop == 1 else f"steps / {hop}"
    if header.lowered.warmup and outputs:
        inner = [f"if ({call}) {{", *(f"    {o}" for o in outputs), "}"]
    else:
        inner = [f"{call};" if not header.lowered.warmup else f"(void){call};", *outputs]
    loop = [
        f"for (int t = 0; t < {count}; ++t) {{",
        *(f"    {x}" for x in (*inner, *moves)),
        "}",
    ]
    return loop if hop == 1 else [*loop, *rest(header, names)]


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
        zero = header.zero(port.buffer)
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
    inner = ["/* The last output needs the rows left over, then zeros. */", *lines, *run]
    condition = f"if (steps % {hop} != 0 && ({_rest_condition(header)})) {{"
    return [condition, *(f"    {x}" for x in inner), "}"]


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
    whole = header.lowered.whole
    return in_stream(whole, (p.shape[0] for p in whole.outputs if header.varies(p)))


def _grows(header: Header, counts: Sequence[Dim], low: Dim, high: Dim) -> str:
    """The condition that any of the counts is larger at `high` steps than at `low`."""
    pairs = [[dims.substitute(d, {"steps": n}) for n in (high, low)] for d in counts]
    parts = [f"{header.printer.dim(a)} > {header.printer.dim(b)}" for a, b in pairs if a != b]
    return " || ".join(dict.fromkeys(parts)) or "0"


# ---- states --------------------------------------------------------------------------------------


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


# ---- self-test -----------------------------------------------------------------------------------


def selftest(header: Header) -> dict[str, Any]:
    """What the page needs: arrays, the body of the function, what was recorded."""
    test = record(header.lowered, header.max_steps)
    arrays, calls = _inputs(header, test)
    declared, checks = [], []
    due = test.steps - header.lowered.warmup
    for k, (y, port) in enumerate(zip(test.outputs, header.program.outputs, strict=True)):
        expected = f"{header.prefix}_test_y_{k}"
        arrays.append(const_array(header, expected, _stored(y, port), ""))
        size = y.size // due if test.by_step else y.size
        declared.append(f"static {header.type_of(port.buffer)} y_{k}[{size}];")
        calls.append(f"y_{k}")
        if test.by_step:
            t = f"(t - {header.lowered.warmup})" if header.lowered.warmup else "t"
            expected += f" + {t} * {size}"
        check = f"memcmp(y_{k}, {expected}, sizeof y_{k}) == 0"
        if not header.integers:
            check = _close(header, f"y_{k}", expected, size, test.sizes[k])
        checks.append(check)
    lines = _runs(header, test, ", ".join(calls), " && ".join(checks))
    if test.states:
        flat, expected = (
            np.concatenate([np.ravel(s) for s in test.states]),
            f"{header.prefix}_test_states",
        )
        arrays.append(const_array(header, expected, flat, ""))
        declared.append(f"static {header.state_type} states[{header.upper}_STATE_SIZE];")
        check = f"(memcmp(states, {expected}, sizeof {expected}) == 0)"
        if not header.integers:
            check = _close(header, "states", expected, flat.size, test.state_size)
        lines += [f"{header.prefix}_get_state(&state, states);", *_unless(f"!{check}")]
    body = [
        f"static {header.prefix}_state state; /* not on the stack, which may be small */",
        *declared,
        "for (int run = 0; run < 2; ++run) { /* the second run starts from a used state */",
        *(f"    {line}" for line in lines),
        "}",
        "return 0;",
    ]
    what = "input and output of one predict"
    return {
        "arrays": arrays,
        "body": body_of(body),
        "what": f"inputs and outputs of {test.steps} steps" if test.by_step else what,
        "is_finite": test.is_finite,
        "largest": header.number(LARGEST),
    }


def _inputs(header: Header, test: SelfTest) -> tuple[list[ConstArray], list[str]]:
    """The arrays of the inputs, and the arguments that they are in a call."""
    arrays, calls = [], []
    for k, (x, port) in enumerate(zip(test.inputs, header.program.inputs, strict=True)):
        name = f"{header.prefix}_test_x_{k}"
        arrays.append(const_array(header, name, _stored(x, port), ""))
        moves = test.by_step and port.time
        calls.append(f"{name} + t * {dims.fixed(port.buffer.size)}" if moves else name)
    return arrays, calls


def _close(header: Header, found: str, expected: str, size: int, of: float) -> str:
    """The condition that numbers are those expected, to rounding."""
    return f"{header.prefix}_test_close({found}, {expected}, {size}, {header.number(of)})"


def _unless(failed: str) -> list[str]:
    return [f"if ({failed}) {{", "    return 1;", "}"]


def _runs(header: Header, test: SelfTest, arguments: str, condition: str) -> list[str]:
    """One run from reset on: all steps, or one predict."""
    start, warmup = f"{header.prefix}_reset(&state);", header.lowered.warmup
    if not test.by_step:
        lengths = "".join(f"{n}, " for n in test.lengths)
        call = f"{header.prefix}_predict(&state, {lengths}{arguments})"
        return [start, *_unless(f"{call} != 0"), *_unless(f"!({condition})")]
    wanted = f"(t >= {warmup})" if warmup else "1"
    guard = f"t >= {warmup} && " if warmup else ""
    inner = [
        *_unless(f"{header.prefix}_step(&state, {arguments}) != {wanted}"),
        *_unless(f"{guard}!({condition})"),
    ]
    loop = f"for (int t = 0; t < {test.steps}; ++t) {{"
    return [start, loop, *(f"    {line}" for line in inner), "}"]


def _stored(values: Array, port: Port) -> Array:
    """The numbers of an input or an output in its type."""
    dtype = port.buffer.dtype
    return values.astype(dtype) if dtype in INTEGERS else values
