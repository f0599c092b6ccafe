"""The C target: one C99 header, also valid C++, that needs no heap and has no changing globals.

`--profile host` stores weights in Keras' orientation for kernels that vectorise; `mcu` stores
eight outputs side by side for kernels that keep sums in registers and code small.

`file` prepares a model, `ops` prints its ops as statements, `methods` what stands around them, and
`parts` what stands before; here the page of the header is put together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from codegen.lowered import Lowered
from codegen.lowered.recorded import TOLERANCE
from codegen.program.ops import Port, constants, width_of
from codegen.targets import TARGETS
from codegen.targets.c import cpp, methods, parts
from codegen.targets.c.expressions import HOOKS, dim_text
from codegen.targets.c.file import Header
from codegen.targets.c.integers import RANGES
from codegen.targets.c.lines import fitted
from codegen.targets.spine.outline import Origin, Sizes, banner, facts
from codegen.text import templates


def render(
    lowered: Lowered, name: str, options: Mapping[str, Any], origin: Origin
) -> Iterator[str]:
    """The header in pieces."""
    return fitted(_text(Header(lowered, name, options, origin)))


def _text(header: Header) -> Iterator[str]:
    """The page, with every part in its place."""
    lowered = header.lowered
    body = "\n".join(header.printer.block(block) for block in header.program.blocks)
    step = methods.step(header, body) if lowered.step is not None else None
    predict = methods.predict(header, body)
    reset, restart = methods.resets(header)
    get_state, set_state = methods.state_access(header)
    selftest = methods.selftest(header)
    weights = parts.weights(header)
    functions = parts.functions(header)
    hooks = [f"{header.upper}_{name.upper()}" for name in HOOKS if name in functions.hooks]
    given = (*constants(header.outline.first), *header.used.raw)
    finite = all(b.data is None or np.isfinite(b.data).all() for b in given)
    int8 = any(array.type == "int8_t" for array in weights) and not header.integers
    reads = ["READ"]
    if int8:
        reads += ["READ_INT8", "READ_UINT16"]
    if header.integers:
        reads = ["READ_INT8", "READ_INT16", "READ_UINT16", "READ_INT32"]
    saturates = any(name in functions.texts for name in RANGES)
    words = [*reads, *["SATURATED"] * saturates, "WEIGHTS"]
    if header.integers:
        words += ["DSP"] if header.profile == "host" else ["DSP", "LPM"]
    own = [f"{header.upper}_{word}" for word in words]
    return templates.render(
        "c/model.h.j2",
        p=header.prefix,
        P=header.upper,
        real=header.real,
        bytes=header.bytes,
        banner=banner(lowered, header.origin, _sizes(header)),
        hooks_note=_hooks_note([*own, *hooks]),
        int8=int8,
        integers=header.integers,
        floats=not header.integers
        or any(port.buffer.dtype == "float32" for _, _, port in _ports(header)),
        saturates=saturates,
        state_type=header.state_type,
        macros=_macros(header),
        members=methods.members(header),
        step=step,
        predict=predict,
        state_order=methods.state_order(header),
        # NaN and infinity are macros of it.
        math_header=functions.math or not (finite and selftest["is_finite"]),
        string_header=functions.string,
        inline=functions.inline,
        compact=functions.compact,
        loads=functions.loads,
        host=header.profile == "host",
        lanes=header.profile == "host" and not header.integers,
        too_large_for_avr=parts.too_large(weights),
        weights=weights,
        functions=functions.texts.values(),
        restart=restart,
        cpp=cpp.wrapper(header) if header.cpp else None,
        reset=reset,
        get_state=get_state,
        set_state=set_state,
        selftest=selftest,
        zero=None if header.integers else header.number(0.0),
        tolerance=None if header.integers else header.number(TOLERANCE),
    )


def _ports(header: Header) -> list[tuple[str, Port, Port]]:
    """Macro stem, port of the whole program, port of the program that runs."""
    result = []
    pairs = (
        ("INPUT", header.lowered.whole.inputs, header.program.inputs),
        ("OUTPUT", header.lowered.whole.outputs, header.program.outputs),
    )
    for kind, whole, run in pairs:
        for k, (a, b) in enumerate(zip(whole, run, strict=True)):
            result.append((f"{header.upper}_{kind}_{k}", a, b))
    return result


def _macros(header: Header) -> list[str]:
    """Sizes and limits that the caller may use."""
    lines = []
    arguments = ", ".join(header.lengths)
    symbols = {name: f"({c})" for name, c in header.symbols.items()}
    for stem, port, _ in _ports(header):
        size = header.size(port)
        if isinstance(size, int):
            lines.append(f"#define {stem}_SIZE {size}")
        else:
            text, _ = dim_text(size, symbols, header.prefix, None, macro=True)
            lines.append(f"#define {stem}_SIZE({arguments}) ({text})")
        if header.varies(port) and "_OUTPUT_" in stem:
            text, _ = dim_text(port.shape[0], symbols, header.prefix, None, macro=True)
            text = text if text in symbols.values() else f"({text})"
            lines.append(f"#define {stem}_STEPS({arguments}) {text}")
    for kind, ports in (
        ("INPUT", header.lowered.whole.inputs),
        ("OUTPUT", header.lowered.whole.outputs),
    ):
        if len(ports) == 1 and isinstance(header.size(ports[0]), int):
            lines.append(f"#define {header.upper}_{kind}_SIZE {header.upper}_{kind}_0_SIZE")
    for stem, port, _ in _ports(header):
        if port.buffer.dtype == "int16":  # a value is q / 2^fraction
            lines.append(f"#define {stem}_FRACTION {port.buffer.fraction}")
    lines.append(f"#define {header.upper}_STATE_SIZE {methods.state_size(header)}")
    if header.lowered.step is not None:
        if header.lowered.warmup:
            lines.append(f"#define {header.upper}_WARMUP {header.lowered.warmup}")
        if header.lowered.hop > 1:
            lines.append(f"#define {header.upper}_HOP {header.lowered.hop}")
    if header.max_steps is not None:
        lines.append(f"#define {header.upper}_MAX_STEPS {header.max_steps}")
    known = header.lowered.model.facts
    for (name, text), (_, value) in zip(facts(header.lowered), known, strict=True):
        lines.append(f"#define {header.upper}_{name} {f'({text})' if value < 0 else text}")
    return lines


def _sizes(header: Header) -> Sizes:
    """Bytes, once the blocks have been printed."""
    total = sum(array.bytes for array in parts.weights(header))
    state = header.outline.sizes().state + 4 * (len(header.rings) + bool(header.lowered.warmup))
    scratch = sum(n * width_of(dtype, header.bytes) for dtype, n in header.plan.sizes.items())
    return Sizes(total, state, scratch)


def _hooks_note(names: Sequence[str]) -> str:
    return f" * {', '.join(names)}."


def sizes(lowered: Lowered, options: Mapping[str, Any]) -> tuple[Sizes, tuple[str, ...]]:
    """Bytes of weights, state and scratch in the header, and the kernels that its step calls."""
    header = Header(lowered, "model", TARGETS["c"].complete(options), Origin("model.h"))
    for block in header.program.blocks:
        header.printer.block(block)
    methods.resets(header)  # the arrays that states start from
    return _sizes(header), tuple(sorted(header.used.kernels))
