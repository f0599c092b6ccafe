"""`step` and `predict` of a C header."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.program import dims
from codegen.program.dims import Dim
from codegen.program.ops import in_stream, rows_seen
from codegen.targets.c.expressions import body_of, indent
from codegen.targets.c.file import Header
from codegen.targets.c.states import restart_call


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
