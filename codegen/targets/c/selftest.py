"""The self-test of a C header: recorded inputs and outputs, and a function that compares."""

from __future__ import annotations

from typing import Any

import numpy as np

from codegen.lowered.recorded import LARGEST, record
from codegen.program import dims
from codegen.program.ops import Array, Port
from codegen.targets.c.expressions import INTEGERS, body_of
from codegen.targets.c.file import Header
from codegen.targets.c.weights import const_array


def selftest(header: Header) -> dict[str, Any]:
    """What the page needs: arrays, the body of the function, what was recorded."""
    test = record(header.lowered, header.max_steps)
    arrays = []
    calls: list[str] = []
    for k, (x, port) in enumerate(zip(test.inputs, header.program.inputs, strict=True)):
        name = f"{header.prefix}_test_x_{k}"
        arrays.append(const_array(header, name, _stored(x, port), ""))
        per = dims.fixed(port.buffer.size) if test.by_step else 0
        calls.append(f"{name} + t * {per}" if test.by_step and port.time else name)
    declared = []
    checks = []
    due = test.steps - header.lowered.warmup
    for k, y in enumerate(test.outputs):
        name = f"{header.prefix}_test_y_{k}"
        arrays.append(const_array(header, name, _stored(y, header.program.outputs[k]), ""))
        size = y.size // due if test.by_step else y.size
        kind = header.type_of(header.program.outputs[k].buffer)
        declared.append(f"static {kind} y_{k}[{size}];")
        calls.append(f"y_{k}")
        place = name
        if test.by_step:
            t = f"(t - {header.lowered.warmup})" if header.lowered.warmup else "t"
            place = f"{name} + {t} * {size}"
        if header.integers:
            checks.append(f"memcmp(y_{k}, {place}, sizeof y_{k}) == 0")
            continue
        of = header.number(test.sizes[k])
        checks.append(f"{header.prefix}_test_close(y_{k}, {place}, {size}, {of})")
    condition = " && ".join(checks)
    after = []
    if test.states:
        flat = np.concatenate([np.ravel(state) for state in test.states])
        arrays.append(const_array(header, f"{header.prefix}_test_states", flat, ""))
        declared.append(f"static {header.state_type} states[{header.upper}_STATE_SIZE];")
        expected = f"{header.prefix}_test_states"
        close = f"(memcmp(states, {expected}, sizeof {expected}) == 0)"
        if not header.integers:
            close = f"{header.prefix}_test_close(states, {header.prefix}_test_states, {flat.size}, "
            close += f"{header.number(test.state_size)})"
        after = [
            f"{header.prefix}_get_state(&state, states);",
            f"if (!{close}) {{",
            "    return 1;",
            "}",
        ]
    body = [f"static {header.prefix}_state state; /* not on the stack, which may be small */"]
    lines = [f"{header.prefix}_reset(&state);"]
    if test.by_step:
        call = f"{header.prefix}_step(&state, {', '.join(calls)})"
        wanted = "1" if not header.lowered.warmup else f"(t >= {header.lowered.warmup})"
        guard = f"t >= {header.lowered.warmup} && " if header.lowered.warmup else ""
        test_line = f"if ({guard}!({condition})) {{"
        lines += [
            f"for (int t = 0; t < {test.steps}; ++t) {{",
            f"    if ({call} != {wanted}) {{",
            "        return 1;",
            "    }",
            "    " + test_line,
            "        return 1;",
            "    }",
            "}",
        ]
        what = f"inputs and outputs of {test.steps} steps"
    else:
        lengths = [str(n) for n in test.lengths]
        call = f"{header.prefix}_predict(&state, {', '.join([*lengths, *calls])})"
        lines += [
            f"if ({call} != 0) {{",
            "    return 1;",
            "}",
            f"if (!({condition})) {{",
            "    return 1;",
            "}",
        ]
        what = "input and output of one predict"
    body += [
        *declared,
        "for (int run = 0; run < 2; ++run) { /* the second run starts from a used state */",
        *(f"    {line}" for line in (*lines, *after)),
        "}",
        "return 0;",
    ]
    return {
        "arrays": arrays,
        "body": body_of(body),
        "what": what,
        "is_finite": test.is_finite,
        "largest": header.number(LARGEST),
    }


def _stored(values: Array, port: Port) -> Array:
    """The numbers of an input or an output in its type."""
    dtype = port.buffer.dtype
    return values.astype(dtype) if dtype in INTEGERS else values
