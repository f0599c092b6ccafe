"""Recorded models in integers: each in one target after the other, the bits of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codegen.errors import UnsupportedError
from codegen.integers import Scheme, to_integers
from codegen.lowered import Lowered, Reference
from codegen.model import Array
from codegen.program.integers import ONE, Integers
from codegen.running.javascript import JavaScriptRunner
from codegen.running.python import PythonRunner
from tests.integers.test_fixtures import models
from tests.support.targets import flat, selftest, started

FORMS = (
    ("numpy", {}),
    ("python", {}),
    ("javascript", {}),
    ("python", {"runtime": "micropython"}),
)


def taken(lowered: Lowered, inputs: Sequence[Array]) -> list[Array]:
    """Inputs as a file takes them: floats of 32 bits, or the integers that stand for them."""
    found = []
    for x, port in zip(inputs, lowered.whole.inputs, strict=True):
        if port.buffer.dtype == "int16":
            q = np.floor(np.asarray(x, np.float64) * 2.0**port.buffer.fraction + 0.5)
            found.append(np.clip(q, -ONE, ONE - 1).astype(np.int64))
        else:
            found.append(np.asarray(x, port.buffer.dtype))
    return found


def test_every_model_has_the_bits_of_the_machine(tmp_path: Path) -> None:
    count = 0
    for case, floats, inputs in models("keras3_15"):
        scheme = Scheme(("int8", "int16")[count % 2], ("float", "int16")[count // 2 % 2])
        try:
            lowered = to_integers(floats, Scheme(scheme.weights, scheme.io, data=inputs)).lowered
        except UnsupportedError:
            continue
        target, options = FORMS[(count + count // 4) % 4]
        count += 1
        folder = tmp_path / str(count)
        folder.mkdir()
        given, machine = taken(lowered, inputs), Integers()
        reference = Reference(lowered, machine=machine)
        wanted = reference.predict(*(x[None] for x in given))
        made = started(target, lowered, folder, **options)
        for y, right in zip(made.predict(*given), wanted, strict=True):
            # Some files give float32, plain Python what it was before.
            np.testing.assert_array_equal(np.float32(y), np.float32(right[0]), str(case))
        kept = made.get_state()[: -1 if lowered.warmup else None]
        np.testing.assert_array_equal(flat(kept), flat(reference.get_state()), str(case))
        assert isinstance(made, (PythonRunner, JavaScriptRunner))
        assert made.saturated == machine.left, case
        if not options:
            assert selftest(made), case
    assert count > 100
