"""What `inspect` prints and `convert` ends with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from codegen.commands import boards as microcontroller
from codegen.errors import LONGEST_CELL, Problem, UnsupportedError, cut, visible
from codegen.lowered import Lowered
from codegen.lowered.differences import text as measures
from codegen.lowering import time_inputs
from codegen.model import Graph, Input, Model
from codegen.program import dims
from codegen.program.ops import bytes_of, constants
from codegen.text import terminal

if TYPE_CHECKING:
    from codegen.readers.torch.reader import Bare

LEAST_WHAT = 20  # columns of what a layer is, on a terminal however narrow


def weight_bytes(lowered: Lowered, size: int = 4) -> int:
    """Bytes of all constants of the program that steps (or predicts)."""
    program = lowered.step or lowered.whole
    return sum(bytes_of(buffer, size) for buffer in constants(program))


def state_bytes(lowered: Lowered, size: int = 4) -> int:
    """Bytes of all states."""
    program = lowered.step or lowered.whole
    return sum(size * dims.fixed(state.buffer.size) for state in program.states)


def inspect_json(model: Model, lowered: Lowered | None, problems: tuple[Problem, ...]) -> Any:
    """The object of `inspect --json`; `lowered` is None for a model that is refused."""
    size = 8 if model.dtype == "float64" else 4
    keys = ("name", "class", "output_shape", "parameters", "macs_per_step", "stateful")
    rows: list[tuple[Any, ...]]
    outputs = []
    if lowered is None:
        rows = [
            (
                *(x.name, x.class_name, list(x.shape) if isinstance(x, Input) else None),
                *(x.parameters, None, x.is_stateful),
            )
            for x in model.layers
        ]
    else:
        rows = [
            (r.name, r.class_name, list(r.output_shape), r.parameters, r.macs, r.stateful)
            for r in lowered.layers
        ]
        for port in lowered.whole.outputs:
            shape = [n if isinstance(n, int) else None for n in port.shape]
            outputs.append({"name": port.name, "shape": shape, "dtype": model.dtype})
    return {
        "name": model.name,
        "format": model.format,
        "writer": model.writer,
        "keras_version": model.keras_version,
        "parameters": sum(layer.parameters for layer in model.layers),
        "macs_per_step": sum(r.macs for r in lowered.layers) if lowered else None,
        "weight_bytes": weight_bytes(lowered, size) if lowered else None,
        "state_bytes": state_bytes(lowered, size) if lowered else None,
        "inputs": [
            {
                "name": layer.name,
                "shape": _shown_shape(layer, n, lowered),
                "dtype": layer.dtype,
            }
            for n, layer in enumerate(model.inputs)
        ],
        "outputs": outputs,
        "layers": [dict(zip(keys, row, strict=True)) for row in rows],
        "at_inference": list(model.at_inference),
        "stateful": any(layer.is_stateful for layer in model.layers),
        "time_axis": any(time_inputs(model)),
        "streamable": bool(lowered and lowered.step is not None),
        "warmup": lowered.warmup if lowered else 0,
        "hop": lowered.hop if lowered else 1,
        "reason": lowered.reason if lowered else "the model cannot be converted",
        "supported": not problems,
        "problems": [
            {"layer": p.layer, "class": p.class_name, "message": p.message} for p in problems
        ],
        "tensors": [],
        "layers_json": None,
        "proposed_states": [list(pair) for pair in model.proposed_states],
        "facts": dict(model.facts),
        "rate_ratio": model.rate_ratio,
        "prewarm": model.prewarm,
    }


def bare_json(found: Bare) -> Any:
    """The object of `inspect --json` for weights without a description."""
    empty = inspect_json(
        Model(found.source, Graph((), (), ()), found.format, found.writer, found.source, ""),
        None,
        (Problem(found.source, "tensors", "their layers are not described; see layers_json"),),
    )
    tensors = [{"name": n, "shape": list(s), "dtype": t} for n, s, t in found.tensors]
    return {
        **empty,
        "name": found.source,
        "parameters": found.parameters,
        "tensors": tensors,
        "layers_json": found.proposal,
    }


def bare_text(found: Bare) -> str:
    """The tensors, a line each."""
    width = max(len(visible(name, LONGEST_CELL)) for name, _, _ in found.tensors)
    lines = [
        f"  {visible(name, LONGEST_CELL):{width}}  {dtype}  {'x'.join(map(str, shape)) or 'scalar'}"
        for name, shape, dtype in found.tensors
    ]
    return "\n".join(lines)


def _shown_shape(layer: Input, number: int, lowered: Lowered | None) -> list[int | None]:
    if lowered is None:
        return list(layer.shape)
    port = lowered.whole.inputs[number]
    return [n if isinstance(n, int) else None for n in port.shape]


def table(lowered: Lowered, width: int | None = None) -> str:
    """One line a layer, and the totals; what layers are is cut to a width of lines, if possible."""
    rows = [("layer", "what", "output", "parameters", "multiply-adds")]
    scopes = _scopes([r.name for r in lowered.layers])
    for number, r in enumerate(lowered.layers):
        shape = "x".join("T" if n is None else str(n) for n in r.output_shape)
        scope, name = scopes[number]
        if scope and scope != scopes[number - 1][0]:
            rows.append((visible(scope, LONGEST_CELL), "", "", "", ""))
        name, what = visible(name, LONGEST_CELL), visible(r.describe, LONGEST_CELL)
        name = f"  {name}" if scope else name
        rows.append((name, what, shape, f"{r.parameters:,}", f"{r.macs:,}"))
    total = sum(r.parameters for r in lowered.layers)
    work = sum(r.macs for r in lowered.layers)
    rows.append(("total", "", "", f"{total:,}", f"{work:,}"))
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    if width is not None:
        others = sum(widths) - widths[1] + len("  ") * 4
        widths[1] = min(widths[1], max(LEAST_WHAT, width - others))
        rows = [(row[0], cut(row[1], widths[1]), *row[2:]) for row in rows]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        lines.append("  ".join(left + right).rstrip())
    return "\n".join(lines)


def _scopes(names: Sequence[str]) -> list[tuple[str, str]]:
    """The scope of each name and what is left; none where the name stands alone in its scope."""
    own = [name.rpartition("/")[::2] for name in names]
    around = [("", ""), *own, ("", "")]
    return [
        (scope, rest) if scope in (around[k][0], around[k + 2][0]) else ("", names[k])
        for k, (scope, rest) in enumerate(own)
    ]


def states(model: Model) -> list[str]:
    """The command that binds what may be states, if anything may."""
    if not model.proposed_states:
        return []
    pairs = " ".join(
        f"--state {shlex.quote(f'{before}={after}')}" for before, after in model.proposed_states
    )
    return [
        "these may be states, by shape and name; if they are, one run is one step with",
        visible(f"  rnn-codegen convert {shlex.quote(model.source)} {pairs} -o model.h", 2000),
    ]


def bars(lowered: Lowered) -> str:
    """For a terminal: the multiply-adds of each layer that has some, a line each."""
    shown = [r for r in lowered.layers if r.macs]
    total = sum(r.macs for r in shown)
    names = [visible(r.name, LONGEST_CELL) for r in shown]
    width = max(map(len, names), default=0)
    lines = [
        f"{name:{width}}  {terminal.bar(r.macs / total)}  {100 * r.macs / total:3.0f} %"
        for name, r in zip(names, shown, strict=True)
    ]
    return "\n".join(["", "multiply-adds", *lines, ""])


def streaming(lowered: Lowered) -> str:
    """One sentence about step."""
    if lowered.by_row:
        rows = "predict of one row" if any(time_inputs(lowered.model)) else "predict"
        why = "given the states that the one before returned"
        return f"no step: {lowered.reason}; {rows} is one step, {why}"
    if lowered.step is None:
        return f"no step: {lowered.reason}"
    hop = "" if lowered.hop == 1 else f", {lowered.hop} rows at a time"
    warm = "" if not lowered.warmup else f", first output after {lowered.warmup} steps"
    return f"runs one step at a time{hop}{warm}"


def taken(model: Model) -> list[str]:
    """Which layers are not as the model calls them, on one line, if any."""
    if not model.at_inference:
        return []
    names = ", ".join(model.at_inference)
    line = f"as at inference, though the model calls them with training=True: {names}"
    return [visible(line)]


UNITS = {
    "sample_rate": "Hz",
    "loudness": "dB",
    "input_level_dbu": "dBu",
    "output_level_dbu": "dBu",
}


def facts(model: Model) -> list[str]:
    """What the file says about its use, and how else the model runs, a line each, if anything."""
    lines = list(model.running)
    if model.facts:
        named = (
            f"{k.removesuffix('_dbu').replace('_', ' ')} {v:g} {UNITS[k]}" for k, v in model.facts
        )
        lines.append(", ".join(named))
    return lines


def summary(lowered: Lowered, out: str, size: int) -> str:
    """What convert says of the file it made, of so many bytes."""
    return f"{visible(out)}: {size:,} bytes, {streaming(lowered)}"


def footprint(lowered: Lowered, options: Mapping[str, Any], board: str | None) -> str:
    """Flash, RAM and stack of the C header, a line a layer, and whether a board holds it."""
    if not has_size(lowered, options):
        return "flash and RAM depend on --max-steps"
    found = microcontroller.cost(lowered, options)
    text = f"as C, --profile {options.get('profile') or 'mcu'}, bytes:\n"
    text += microcontroller.table(found)
    if board is not None:
        text += f"\n{found.verdict(microcontroller.BOARDS[board])}"
    return text


def schemes(lowered: Lowered, known: Mapping[str, Any]) -> str:
    """Flash, RAM and error of the C header in floats and rounded in each way, a line each.

    `known` has the options that say between which numbers things lie.
    """
    from codegen.integers.quantisation import INTEGERS, quantised

    rows = [("", "flash", "RAM", "error")]
    for name in ("float", "weights", "int16", "int8"):
        options = {} if name == "float" else {"quantize": name}
        options |= dict(known) if name in INTEGERS else {}
        try:
            made = quantised(lowered, options)
        except UnsupportedError as refused:
            rows.append((name, "", "", "; ".join(map(str, refused.problems))))
            continue
        cells = ("?", "?")
        if has_size(made, options):
            found = microcontroller.cost(made, options)
            cells = (f"{found.flash:,}", f"{found.ram:,}")
        errors = made.quantised.errors if made.quantised else ()
        told = "; ".join(f"{e.output[:LONGEST_CELL]}: {measures(e)}" for e in errors)
        rows.append((name, *cells, told))
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    lines = []
    for name, flash, ram, error in rows:
        start = f"{name:{widths[0]}}  {flash:>{widths[1]}}  {ram:>{widths[2]}}  "
        lines.append((start + error).rstrip())
    return "\n".join(lines)


def has_size(lowered: Lowered, options: Mapping[str, Any]) -> bool:
    """Whether flash and RAM are known without --max-steps, or with it."""
    chosen = lowered.step is not None or lowered.by_row or options.get("max_steps")
    return bool(chosen) or not lowered.whole.lengths
