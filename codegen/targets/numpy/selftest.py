"""The self-test of a NumPy file: recorded inputs and outputs, and the code that compares."""

from __future__ import annotations

import numpy as np

from codegen.lowered import Lowered
from codegen.recorded import LARGEST, TOLERANCE, record
from codegen.targets.numpy.weights import Weights


def selftest_lines(lowered: Lowered, weights: Weights) -> list[str]:
    """The body of selftest, which gives the worst error as a part of what is allowed."""
    test = record(lowered)
    lines = []
    program = lowered.step if test.by_step else lowered.whole
    assert program is not None
    count = len(program.inputs)
    inputs = ["x"] if count == 1 else [f"x_{n}" for n in range(count)]
    for name, values, port in zip(inputs, test.inputs, program.inputs, strict=True):
        lines += f"{name} = {''.join(weights.array(values, port.buffer.dtype))}".split("\n")
    expected = [f"expected_{n}" for n in range(len(test.outputs))]
    for name, values in zip(expected, test.outputs, strict=True):
        lines += f"{name} = {''.join(weights.array(values))}".split("\n")
    if test.states:
        flat = np.concatenate([np.ravel(state) for state in test.states])
        lines += f"expected_states = {''.join(weights.array(flat))}".split("\n")
    lines += [
        "model = Model()",
        "for _ in range(2):  # the second time from a used state",
        "    model.reset()",
    ]
    single = len(expected) == 1
    if test.by_step:
        rows = [
            f"{name}[t]" if port.time else name
            for name, port in zip(inputs, program.inputs, strict=True)
        ]
        lines += [
            f"    found = [model.step({', '.join(rows)}) for t in range({test.steps})]",
            "found = [y for y in found if y is not None]",
        ]
        if not single:
            lines.append("found = [np.stack(rows) for rows in zip(*found)]")
    else:
        lines.append(f"    found = model.predict({', '.join(inputs)})")
    sizes = [f"{size:g}" for size in test.sizes]
    pairs = f"[(found, {expected[0]}, {sizes[0]})]"
    if not single:
        pairs = f"zip(found, ({', '.join(expected)}), ({', '.join(sizes)}))"
    if test.states:  # the steps seen, which come last with a warm-up, are not recorded
        shown = f"[:{len(test.states)}]" if lowered.warmup else ""
        lines += [
            f"compared = {pairs if single else f'list({pairs})'}",
            f"states = np.concatenate([np.ravel(state) for state in model.get_state(){shown}])",
            f"compared.append((states, expected_states, {test.state_size:g}))",
        ]
        pairs = "compared"
    lines += [
        "worst = 0.0",
        f"for left, right, size in {pairs}:",
        "    left = np.asarray(left).reshape(right.shape)",
        "    error = np.abs(left - right) / (size + np.abs(right))",
    ]
    if not test.is_finite:
        lines += [
            "    # NaN was recorded where there is no finite number, or a very large one.",
            f"    error = np.where(np.isnan(right), np.abs(left) < {LARGEST:g}, error)",
        ]
    lines += [
        "    worst = max(worst, float(np.max(error)) if np.all(error == error) else np.inf)",
        f"return worst / {TOLERANCE:g}",
    ]
    return lines
