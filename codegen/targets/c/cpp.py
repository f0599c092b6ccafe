"""The class that `--cpp` puts beside the functions of a C header."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from codegen.program.ops import Port
from codegen.targets.c.file import Header


def wrapper(header: Header) -> dict[str, Any]:
    """What its template needs."""
    lowered = header.lowered
    lengths = [f"int {length}" for length in header.lengths]
    steps = "true, false while warming up" if lowered.warmup else "true"
    refused = "true, or false if a number of steps or a size does not fit: nothing is written then"
    step = None
    if lowered.step is not None:
        parameters = [
            _fixed(direction, kind, f"{kind_size} * {rows}" if rows != 1 else kind_size, name)
            for direction, kind, kind_size, rows, name in _of_step(header)
        ]
        step = {"parameters": ", ".join(parameters), "arguments": _data(header)}
    return {
        "sizes": _sizes(header),
        "step": step,
        "returns": steps,
        "whole": refused if lengths else "true",
        "lengths": lengths,
        "predict": _predict(header, lengths),
    }


def _names(header: Header) -> list[tuple[str, str, str, Port, Port]]:
    """Of each tensor: `in` or `out`, type, macro stem, ports of the whole and of what runs."""
    whole, run = header.lowered.whole, header.program
    found = []
    for direction, kind, ports in (
        ("in", "INPUT", zip(whole.inputs, run.inputs, strict=True)),
        ("out", "OUTPUT", zip(whole.outputs, run.outputs, strict=True)),
    ):
        for k, (port, own) in enumerate(ports):
            number = header.type_of(port.buffer)
            found.append((direction, number, f"{header.upper}_{kind}_{k}", port, own))
    return found


def _sizes(header: Header) -> list[tuple[str, str]]:
    """The constants of the class: macros of one value, under their own names."""
    prefix = len(header.upper) + 1
    stems = [stem for _, _, stem, port, _ in _names(header) if isinstance(header.size(port), int)]
    whole = header.lowered.whole
    for kind, ports in (("INPUT", whole.inputs), ("OUTPUT", whole.outputs)):
        if len(ports) == 1 and f"{header.upper}_{kind}_0" in stems:
            stems.append(f"{header.upper}_{kind}")
    macros = [*(f"{stem}_SIZE" for stem in stems), f"{header.upper}_STATE_SIZE"]
    return [(macro[prefix:].lower(), macro) for macro in macros]


def _of_step(header: Header) -> Iterator[tuple[str, str, str, int, str]]:
    """Direction, type, macro of a row, number of rows, name: of each tensor of a step."""
    for direction, kind, stem, port, own in _names(header):
        row, total = header.size(port), own.buffer.size
        assert isinstance(row, int)
        assert isinstance(total, int)
        yield direction, kind, f"{stem}_SIZE", total // max(1, row), header.parameters[own.buffer]


def _fixed(direction: str, kind: str, size: str, name: str) -> str:
    """A parameter of a fixed size."""
    return f"{direction}_<{kind}, {size}> {name}"


def _data(header: Header) -> str:
    """The arrays as arguments of the function in C."""
    return ", ".join(f"{header.parameters[own.buffer]}.data()" for *_, own in _names(header))


def _predict(header: Header, lengths: list[str]) -> dict[str, Any]:
    """The parameters of `predict` with and without std::span, and what it checks."""
    given = f"({', '.join(header.lengths)})"
    spans, pointers, tests, plain = [*lengths], [*lengths], [], []
    for direction, kind, stem, port, own in _names(header):
        name = header.parameters[own.buffer]
        const = "const " if direction == "in" else ""
        size = f"{stem}_SIZE" if isinstance(header.size(port), int) else f"{stem}_SIZE{given}"
        if header.varies(port):
            count = f"{stem}_STEPS{given}"
            if direction == "in":
                count = header.printer.dim(port.shape[0])
            size = f"static_cast<std::size_t>({count}) * {size}"
            tests.append(f"{name}.size() != {size}")
            spans.append(f"std::span<{const}{kind}> {name}")
        elif isinstance(header.size(port), int):
            spans.append(_fixed(direction, kind, size, name))
        else:
            tests.append(f"{name}.size() != static_cast<std::size_t>({size})")
            spans.append(f"std::span<{const}{kind}> {name}")
        pointers.append(f"{const}{kind} *{name}")
        plain.append(name)
    return {
        "parameters": ", ".join(spans),
        "pointers": ", ".join(pointers),
        "tests": tests,
        "arguments": ", ".join([*header.lengths, _data(header)]),
        "names": ", ".join([*header.lengths, *plain]),
    }
