"""The self-test of a plain Python file: recorded calls and results, and the code that compares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from codegen.lowered import Lowered
from codegen.lowered.recorded import LARGEST, TOLERANCE, recorded
from codegen.program.ops import Array
from codegen.targets.spine.lines import WIDTH, filled


def selftest_parts(lowered: Lowered) -> dict[str, Any]:
    """The data of the self-test, and the body of the function that judges."""
    record = recorded(lowered)
    data = ["INPUTS = ("]
    for call in record.calls:
        data += _indented(f"{', '.join(literal(x) for x in call)},", "(", "),")
    data += [")", "EXPECTED = ("]
    for result in record.results:
        values = ", ".join(literal(y) for y in result)
        data += _indented(values, "", ",") if len(result) == 1 else _indented(values, "(", "),")
    data.append(")")
    if record.test.states:
        data.append("STATES = (")
        for state in record.test.states:
            data += _indented(literal(state), "", ",")
        data.append(")")
    code = ["for run in range(2):  # the second run starts from a used state", "    model.reset()"]
    rest = "INPUTS"
    if record.waiting:
        code += [f"    for x in INPUTS[:{record.waiting}]:"]
        code += ["        if model.step(*x) is not None:", "            return False"]
        rest = f"INPUTS[{record.waiting}:]"
    code += [f"    found = [model.{record.method}(*x) for x in {rest}]"]
    sizes = [f"{size:g}" for size in record.test.sizes]
    checks = [f"close(found, EXPECTED, {', '.join(sizes)})"]
    if lowered.whole.integers:
        checks = ["same(found, EXPECTED)"]
    elif len(sizes) > 1:
        checks = ["all([close(*y) for y in outputs])"]
        code += [
            "outputs = []",
            "for call, expected in zip(found, EXPECTED):",
            f"    outputs += zip(call, expected, ({', '.join(sizes)}))",
        ]
    if record.test.states:  # the steps seen, which come last with a warm-up, are not recorded
        shown = f"[:{len(record.test.states)}]" if record.waiting else ""
        states = f"model.get_state(){shown}, STATES"
        exact = lowered.whole.integers
        size = record.test.state_size
        checks += [f"same({states})" if exact else f"close({states}, {size:g})"]
    code += [f"return {' and '.join(checks)}"]
    return {"data": "\n".join(data), "lines": code}


def small_selftest(lowered: Lowered, help_: Callable[[str], str]) -> str:
    """The same for a small board: it lives only while the file runs as a program.

    All is compared as flat lists, by few lines: a board with 16 KB has room for little more.
    """
    record = recorded(lowered)
    call = f"model.{record.method}({'x' if len(record.calls[0]) == 1 else '*x'})"
    wrong = f"not abs(f - e) <= {TOLERANCE} * (size + abs(e))"
    exact = lowered.whole.integers
    if exact:
        wrong = "f != e"
    elif not record.test.is_finite:  # NaN was recorded where there is no finite number
        wrong = f"abs(f) < {LARGEST:g} if e != e else {wrong}"

    def check(found: str, expected: str, size: float, shape: tuple[int, ...]) -> str:
        flat = found if len(shape) == 1 else f'{help_("read")}({found}, {shape}, "result")'
        return f"check({flat}, {expected}{'' if exact else f', {size:g}'})"

    def rows(inputs: Sequence[tuple[Array, ...]], *results: Sequence[str]) -> list[str]:
        given = [literal(x[0] if len(x) == 1 else x) for x in inputs]
        lines = [", ".join(parts) for parts in zip(given, *results, strict=True)]
        if results:
            lines = [f"({line})" for line in lines]
        return [part for line in lines for part in _indented(line, "", ",", 12)]

    lines = [
        f"def check(found, expected{'' if exact else ', size'}):",
        "    for f, e in zip(found, expected):",
        f"        if {wrong}:",
        "            raise SystemExit(1)",
        "",
        "",
        'if __name__ == "__main__":',
        "    model = Model()",
        "    for run in range(2):",
        "        model.reset()  # the second run starts from a used state",
    ]
    if record.waiting:
        lines += ["        for x in (", *rows(record.calls[: record.waiting]), "        ):"]
        lines += [f"            if {call} is not None:", "                raise SystemExit(1)"]
    shapes = [y.shape for y in record.results[0]]
    flat = [[literal(np.ravel(y)) for y in results] for results in record.results]
    results = [one[0] if len(one) == 1 else f"({', '.join(one)})" for one in flat]
    lines += [
        "        for x, y in (",
        *rows(record.calls[record.waiting :], results),
        "        ):",
    ]
    found, wanted = [call], ["y"]
    if len(shapes) > 1:
        wanted = [f"y[{n}]" for n in range(len(shapes))]
        lines.append(f"            found = {call}")
        found = [f"found[{n}]" for n in range(len(shapes))]
    for n, size in enumerate(record.test.sizes or [1.0] * len(shapes)):
        lines.append(f"            {check(found[n], wanted[n], size, shapes[n])}")
    for n, state in enumerate(record.test.states):
        expected = literal(np.ravel(state))
        left = f"model.get_state()[{n}]"
        lines.append(f"        {check(left, expected, record.test.state_size, state.shape)}")
    return "\n".join([*lines, '    print("self-test passed")'])


def literal(values: Array | tuple[Array, ...]) -> str:
    """Nested tuples (never lists, which MicroPython is slow to compile)."""
    if not isinstance(values, tuple) and np.ndim(values) == 0:
        if np.asarray(values).dtype.kind in "iu":
            return str(int(values))
        number = float(values)
        if not np.isfinite(number):
            return f'float("{number}")'
        return repr(number)
    inner = ", ".join(literal(v) for v in values)
    return f"({inner},)" if len(values) == 1 else f"({inner})"


def _indented(text: str, opening: str, closing: str, by: int = 4) -> list[str]:
    """A line of the self-test's data, broken at commas where it is long."""
    start = " " * by
    if len(line := f"{start}{opening}{text}{closing}") <= WIDTH:
        return [line]
    if opening:
        return [f"{start}{opening}", *filled(text, f"{start}    "), f"{start}{closing}"]
    return filled(text + closing, start, f"{start}    ")
