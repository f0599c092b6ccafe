"""Runs a generated C header: it is compiled first."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codegen.errors import CodegenError
from codegen.program import dims
from codegen.program.ops import Array, Port
from codegen.running import Made, Outputs, Runner


def start(made: Made) -> Runner:
    """The model in the header."""
    return CRunner(made)


SHIM = """\
#define {upper}_IMPLEMENTATION
#include "{header}"
#include <stddef.h>
#include <stdlib.h>
void *runner_new(void);
int runner_max_steps(void);
void *runner_new(void) {{ return calloc(1, sizeof({lower}_state)); }}
int runner_max_steps(void)
{{
#ifdef {upper}_MAX_STEPS
    return {upper}_MAX_STEPS;
#else
    return -1;
#endif
}}
"""


class CRunner:
    """A C header, compiled to a shared library with the C compiler of `$CC` (cc)."""

    def __init__(self, made: Made, flags: Sequence[str] = ()) -> None:
        header, name, lowered, folder = made.path, made.name, made.lowered, made.folder
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise CodegenError("no C compiler found: install gcc or clang, or set CC")
        lower, upper = name.lower(), name.upper()
        source, library = folder / "runner.c", folder / "runner.so"
        source.write_text(SHIM.format(upper=upper, lower=lower, header=header.resolve()))
        command = [*compiler.split(), "-std=c99", "-O2", *flags, "-shared", "-fPIC"]
        command += ["-o", str(library), str(source), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CodegenError(
                f"{header.name}: does not compile:", *done.stderr.strip().split("\n")
            )
        self.lowered, self.name = lowered, lower
        self.real: Any = np.dtype(made.dtype)
        self.state_type = np.dtype(np.int32) if lowered.whole.integers else self.real
        self.library = ctypes.CDLL(str(library))
        self.library.runner_new.restype = ctypes.c_void_p
        self.state = ctypes.c_void_p(self.library.runner_new())
        program = lowered.step or lowered.whole
        self.sizes = [dims.fixed(s.buffer.size) for s in program.states]
        if lowered.warmup:
            self.sizes.append(1)
        self._check(header)
        self.reset()

    def _check(self, header: Path) -> None:
        """CodegenError where calls would give the functions less memory than they use."""
        text, upper = header.read_text(encoding="utf-8"), self.name.upper()
        found = dict(
            re.findall(rf"#define {upper}_((?:IN|OUT)PUT_\d+_SIZE|STATE_SIZE) (\d+)", text)
        )
        expected = {"STATE_SIZE": str(sum(self.sizes))}
        whole = self.lowered.whole
        for kind, ports in (("INPUT", whole.inputs), ("OUTPUT", whole.outputs)):
            for number, port in enumerate(ports):
                varies = bool(port.shape) and bool(dims.symbols(port.shape[0]))
                size = dims.product(port.shape[1:] if varies else port.shape)
                if isinstance(size, int):
                    expected[f"{kind}_{number}_SIZE"] = str(size)
        steps = hasattr(self.library, f"{self.name}_step")
        if found != expected or steps != (self.lowered.step is not None):
            raise CodegenError(f"{header.name}: made from another model: its sizes are others")

    @property
    def longest(self) -> int | None:
        """The largest length that predict takes."""
        most = int(self.library.runner_max_steps())
        return most if most >= 0 else None

    def _call(self, function: str, *arguments: Any) -> int:
        call: Callable[..., int] = getattr(self.library, f"{self.name}_{function}")
        return call(self.state, *arguments)

    def reset(self) -> None:
        """Every state at its start."""
        self._call("reset")

    def step(self, *inputs: Array) -> Outputs | None:
        """One step."""
        program = self.lowered.step
        if program is None:
            raise CodegenError(f"the model has no step: {self.lowered.reason}")
        given = [self._given(x, port) for x, port in zip(inputs, program.inputs, strict=True)]
        outputs = tuple(np.zeros(_known(p, {}), self._type(p)) for p in program.outputs)
        if not self._call("step", *(_pointer(x) for x in (*given, *outputs))):
            return None
        return tuple(y.astype(np.float64) for y in outputs)

    def predict(self, *inputs: Array) -> Outputs:
        """A whole input."""
        program = self.lowered.whole
        lengths: dict[str, int] = {}
        for x, port in zip(inputs, program.inputs, strict=True):
            for name in dims.symbols(port.shape[0]) if port.shape else ():
                lengths.setdefault(name, len(x))
        order = [lengths[name] for name in program.lengths]
        if self.lowered.step is not None:  # all inputs of a stream share one length
            if len(set(order)) > 1:
                raise ValueError(f"expected inputs of one length, found {order}")
            order = order[:1]
        given = [self._given(x, port) for x, port in zip(inputs, program.inputs, strict=True)]
        shapes = [_known(p, lengths) for p in program.outputs]
        if any(n < 0 for shape in shapes for n in shape):
            raise ValueError("this number of steps is not accepted")
        outputs = tuple(
            np.zeros(shape, self._type(p)) for shape, p in zip(shapes, program.outputs, strict=True)
        )
        steps = [ctypes.c_int(n) for n in order]
        if self._call("predict", *steps, *(_pointer(x) for x in (*given, *outputs))):
            raise ValueError("this number of steps is not accepted")
        return tuple(y.astype(np.float64) for y in outputs)

    def get_state(self) -> list[Array]:
        """Copies of the states."""
        flat = np.zeros(max(1, sum(self.sizes)), self.state_type)
        if self.sizes:
            self._call("get_state", _pointer(flat))
        parts = np.split(flat[: sum(self.sizes)], np.cumsum(self.sizes)[:-1]) if self.sizes else []
        return [part.astype(np.float64) for part in parts]

    def set_state(self, states: Sequence[Array]) -> None:
        """Put back what get_state gave."""
        if self.sizes:
            flat = np.concatenate([np.ravel(s) for s in states]).astype(self.state_type)
            self._call("set_state", _pointer(flat))

    def _given(self, x: Array, port: Port) -> Array:
        return np.ascontiguousarray(x, self._type(port))

    def _type(self, port: Port) -> Any:
        """Of the numbers of an input or an output."""
        return self.real if port.buffer.dtype == "float32" else np.dtype(port.buffer.dtype)


def _known(port: Port, lengths: dict[str, int]) -> tuple[int, ...]:
    return tuple(dims.value(n, lengths) for n in port.shape)


def _pointer(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
