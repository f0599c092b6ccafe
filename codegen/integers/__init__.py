"""From a model of floats to one of integers: ranges, formats, weights, expressions.

split.py        what is written in place gets a place of its own for each meaning
ranges.py       between which numbers each buffer lies, by proof or by calibration
calibration.py  the ranges that data show
conversion.py   the pass: types, fractions, and every op
weights.py      rows of int8 or int16 with scales
expressions.py  an expression of floats as one of integers
fixed.py        numbers of fixed point and their arithmetic
tables.py       functions of one number, of which tables are made
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from codegen.errors import Problem, UnsupportedError
from codegen.integers.calibration import input_ranges, measured
from codegen.integers.conversion import Made, convert
from codegen.integers.ranges import Range, Ranges, find_ranges
from codegen.integers.split import split_in_place
from codegen.lowered import Lowered
from codegen.program.looped import looped
from codegen.program.ops import Array, Buffer, Program


@dataclass(frozen=True)
class Scheme:
    """What is asked for: `weights` int8 or int16, `io` float or int16, and where ranges are from.

    `inputs` are ranges given by hand; `data` is one whole call of predict.
    """

    weights: str
    io: str = "float"
    inputs: Mapping[str, Range] | None = None
    data: Sequence[Array] | None = None


@dataclass(frozen=True)
class Found:
    """The model in integers, the ranges of its inputs, and what of the rest saturates."""

    lowered: Lowered
    inputs: Mapping[str, Range]
    limited: Mapping[str, Range]
    wider_rows: int


def to_integers(lowered: Lowered, scheme: Scheme) -> Found:
    """The model in integers; UnsupportedError lists what has no range, or no arithmetic."""
    step = None if lowered.step is None else split_in_place(lowered.step)
    whole = lowered.whole
    # Predict has the bits of the steps where it can be a loop around them.
    hops = step is not None and lowered.hop > 1 and not lowered.warmup
    by_steps = lowered.loops or (hops and whole.lengths == ("steps",))
    whole = whole if by_steps else split_in_place(whole)
    floats = replace(lowered, step=step, whole=whole)
    programs = [p for p in (step, None if by_steps else whole) if p is not None]
    inputs = dict(scheme.inputs or {})
    data = None
    if scheme.data is not None:
        inputs = input_ranges(floats, scheme.data) | inputs
        data = measured(floats, scheme.data)
    ranges = find_ranges(programs, inputs, data)
    problems = tuple(_missing(floats, programs, ranges, inputs))
    if problems:
        raise UnsupportedError(lowered.model.source, problems)
    classes = {layer.name: layer.class_name for layer in lowered.layers}
    made: Made = convert(
        programs, ranges, scheme.weights, scheme.io, lowered.warmup, lowered.model.source, classes
    )
    found = list(made.programs)
    new_step = None if step is None else found.pop(0)
    if found:
        new_whole = found.pop(0)
    else:
        assert new_step is not None
        shell = lowered.loops
        new_whole = _shell(lowered.whole, new_step) if shell else looped(new_step, lowered.hop)
    limited = {buffer.name: ranges.pinned[buffer] for buffer in made.limited}
    known = {name: one for name, one in inputs.items() if name in {p.name for p in whole.inputs}}
    return Found(replace(lowered, step=new_step, whole=new_whole), known, limited, made.wider_rows)


def _shell(whole: Program, step: Program) -> Program:
    """Predict where it is nothing but a loop around the step: its inputs and outputs."""

    def like(old: Buffer, new: Buffer) -> Buffer:
        return replace(old, dtype=new.dtype, fraction=new.fraction)

    inputs = tuple(
        replace(port, buffer=like(port.buffer, new.buffer))
        for port, new in zip(whole.inputs, step.inputs, strict=True)
    )
    outputs = tuple(
        replace(port, buffer=like(port.buffer, new.buffer))
        for port, new in zip(whole.outputs, step.outputs, strict=True)
    )
    return replace(
        whole, inputs=inputs, outputs=outputs, states=step.states, blocks=(), integers=True
    )


def _missing(
    lowered: Lowered,
    programs: Sequence[Program],
    ranges: Ranges,
    inputs: Mapping[str, Range],
) -> list[Problem]:
    """A problem for each input and each buffer that has no range."""
    found = []
    ports = {port.name: port for program in programs for port in program.inputs}
    for name, port in ports.items():
        if port.buffer.dtype != "int32" and name not in inputs:
            found.append(
                Problem(
                    name,
                    "input",
                    f"nothing says between which numbers it lies: --input-range {name}=LOW:HIGH, "
                    "or --calibration DATA.npz, which measures it",
                )
            )
        elif port.buffer.dtype != "int32" and not inputs[name][0] < inputs[name][1]:
            found.append(
                Problem(
                    name,
                    "input",
                    f"its range {inputs[name][0]:g} to {inputs[name][1]:g} is of no width",
                )
            )
    owners = _owners(programs)
    classes = {layer.name: layer.class_name for layer in lowered.layers}
    told: set[tuple[str, str]] = set()
    for buffer in ranges.missing:
        layer = owners.get(buffer, "")
        role = buffer.name.removeprefix(f"{layer}_").replace("_", " ") or buffer.name
        if (layer, role) in told:
            continue
        told.add((layer, role))
        found.append(
            Problem(
                layer,
                classes.get(layer, "output"),
                f"its {role!r} has no bound of its own that is narrow enough; --calibration "
                "DATA.npz measures it, --quantize weights needs none",
            )
        )
    return found


def _owners(programs: Sequence[Program]) -> dict[Buffer, str]:
    """The block that first writes each buffer."""
    from codegen.program.ops import walk_ops, writes

    found: dict[Buffer, str] = {}
    for program in programs:
        for block in program.blocks:
            for op in walk_ops(block.ops):
                for vec in writes(op):
                    found.setdefault(vec.buffer, block.name)
    return found
