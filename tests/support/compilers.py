"""C and C++ compilers of this machine, and generated headers as objects that tests can call.

A header runs in a process of its own, behind pipes, whatever compiler and sanitizer it was built
with: what it does wrong ends that process, with a message, and not the tests.

    with CModel(header_text, "gru", tmp_path, compiler="clang", sanitize="address,undefined") as m:
        (y,) = m.predict(x)
        m.reset()
        (y0,) = m.step(x[0])
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

WARNINGS = (
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Wdouble-promotion",
    "-Wshadow",
    "-Wundef",
    "-Werror",
)
LANGUAGE: Mapping[str, tuple[str, ...]] = {
    "gcc": ("-std=c99",),
    "clang": ("-std=c99",),
    "g++": ("-x", "c++", "-std=c++17"),
    "clang++": ("-x", "c++", "-std=c++17"),
    "tcc": ("-std=c99",),
}
C_COMPILERS = ("gcc", "clang", "tcc")
CPP_COMPILERS = ("g++", "clang++")
COMPILERS = C_COMPILERS + CPP_COMPILERS

HARNESS = Path(__file__).with_name("harness.c")


class CompileError(Exception):
    """The compiler refused; the text is the command and what it said."""


class RunError(Exception):
    """The program ended when it should not have; the text is its standard error."""


def compile_c(
    source: Path,
    output: Path,
    *,
    compiler: str = "gcc",
    optimise: str = "-O2",
    sanitize: str = "",
    strict: bool = True,
    options: Sequence[str] = (),
) -> Path:
    """Compile and link one file; the path of the executable, or CompileError.

    `sanitize` is what -fsanitize takes: "address,undefined", or with clang "memory".
    """
    command = [compiler, *LANGUAGE[compiler], optimise]
    if compiler == "tcc":  # knows no warnings worth naming
        command += ["-Wall"]
    elif strict:
        command += WARNINGS
    if sanitize:
        command += ["-g", f"-fsanitize={sanitize}", "-fno-sanitize-recover=all"]
    command += [*options, str(source), "-o", str(output), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or (strict and done.stderr.strip()):
        raise CompileError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return output


def run(
    executable: Path, *arguments: str, stdin: bytes = b"", timeout: float = 60
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end; its status, output and errors, whatever they are."""
    return subprocess.run(
        [str(executable), *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=timeout,
    )


@dataclass(frozen=True)
class Parameter:
    """One parameter of a generated function: its C type without const and stars, and its name."""

    kind: str
    name: str
    constant: bool
    pointer: bool


def parameters(header: str, function: str) -> tuple[Parameter, ...] | None:
    """The parameters of `function` as the header declares it, None where it declares none."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", header, flags=re.DOTALL)
    found = re.search(rf"\bint\s+{function}\s*\(([^)]*)\)\s*;", text)
    if found is None:
        return None
    result = []
    for part in found[1].split(","):
        words = re.findall(r"\w+", re.sub(r"\[[^]]*\]", "*", part))
        pointer = "*" in part or "[" in part
        kinds = [w for w in words[:-1] if w not in ("const", "restrict") and "RESTRICT" not in w]
        result.append(Parameter(kinds[0], words[-1], "const" in words, pointer))
    return tuple(result)


TYPES: Mapping[str, Any] = {
    "float": np.dtype("<f4"),
    "double": np.dtype("<f8"),
    "int32_t": np.dtype("<i4"),
    "int16_t": np.dtype("<i2"),
}
UNTOUCHED = 0xA5  # the harness fills outputs with this byte before every call


class CModel:
    """A generated header, compiled and running; `instance` 0 and 1 are two independent states."""

    def __init__(
        self,
        header: str | Path,
        name: str,
        folder: Path,
        *,
        compiler: str = "gcc",
        optimise: str = "-O2",
        sanitize: str = "",
        defines: Sequence[str] = (),
        options: Sequence[str] = (),
        runner: Sequence[str] = (),
    ) -> None:
        """Compile the header, which is text or a file, in `folder`.

        `defines` become lines before the include, such as "GRU_SELFTEST"; `runner` is a command
        that runs the program, such as valgrind.
        """
        text = header.read_text(encoding="utf-8") if isinstance(header, Path) else header
        self.name = name
        self.lower, self.upper = name.lower(), name.upper()
        work = Path(tempfile.mkdtemp(prefix=f"{self.lower}-", dir=folder))
        (work / f"{name}.h").write_text(text, encoding="utf-8")
        predict = parameters(text, f"{self.lower}_predict")
        if predict is None:
            raise CompileError(f"the header declares no {self.lower}_predict")
        self.lengths = tuple(p.name for p in predict if not p.pointer)
        self.inputs = tuple(TYPES[p.kind] for p in predict[1:] if p.pointer and p.constant)
        outputs = [p for p in predict[1:] if p.pointer and not p.constant]
        self.kinds = tuple(TYPES[p.kind] for p in outputs)  # of the outputs
        self.outputs = len(outputs)
        found = re.search(rf"{self.lower}_get_state\([^)]*?(\w+) \*\w+\)", text)
        assert found is not None
        self.state = TYPES[found[1]]
        self.streamable = parameters(text, f"{self.lower}_step") is not None
        source = work / "harness.c"
        source.write_text(self._harness(text, defines), encoding="utf-8")
        self.program = compile_c(
            source,
            work / "harness",
            compiler=compiler,
            optimise=optimise,
            sanitize=sanitize,
            options=options,
        )
        self._errors = (work / "stderr").open("w+b")
        self._process = subprocess.Popen(
            [*runner, str(self.program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._send(b"d")
        self.state_bytes, self.state_size, self.max_steps = self._integers(3)
        self.input_sizes = self._integers(len(self.inputs))
        self.output_sizes = self._integers(self.outputs)
        self.reset()
        self.reset(instance=1)

    def __enter__(self) -> CModel:  # noqa: PYI034 (Python 3.10 has no Self)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; RunError where it fails to, as a leak under a sanitizer makes it."""
        process = self._process
        if process.stdin is None or process.stdin.closed:
            return
        try:
            process.stdin.close()
            process.wait(timeout=30)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")
        self._errors.close()
        if process.returncode:
            raise RunError(f"{self.name}: status {process.returncode}\n{said}")

    def reset(self, *, instance: int = 0) -> None:
        """Call NAME_reset."""
        self._send(b"r", instance)
        self._receive(1)

    def step(self, *inputs: npt.ArrayLike, instance: int = 0) -> tuple[Array, ...] | None:
        """Call NAME_step; the outputs, flat, or None while it is warming up."""
        if not self.streamable:
            raise AttributeError(f"{self.lower}_step")
        self._send(b"s", instance)
        for number, (x, kind) in enumerate(zip(inputs, self.inputs, strict=True)):
            data = np.ascontiguousarray(x, kind).ravel()
            if data.size != self.input_sizes[number]:
                raise ValueError(
                    f"input {number}: {self.input_sizes[number]} values, not {data.size}"
                )
            self._send(data.tobytes())
        return self._outputs(self._integers(1)[0] == 1, self.output_sizes)

    def predict(
        self, *inputs: npt.ArrayLike, lengths: Sequence[int] | None = None, instance: int = 0
    ) -> tuple[Array, ...]:
        """Call NAME_predict; the outputs as (steps, size), or (size,) where no time axis varies.

        `lengths` are its `int` arguments, for where the shapes of the inputs do not tell them.
        ValueError where the header refuses the number of steps.
        """
        arrays = [np.ascontiguousarray(x, t) for x, t in zip(inputs, self.inputs, strict=True)]
        lengths = self._lengths(arrays) if lengths is None else lengths
        self._send(b"p", instance, struct.pack(f"<{len(lengths)}i", *lengths))
        for x in arrays:
            self._send(struct.pack("<i", x.size), x.tobytes())
        accepted = self._integers(1)[0] == 0
        steps = self._integers(self.outputs)
        outputs = self._outputs(
            accepted, [max(n, 1) * size for n, size in zip(steps, self.output_sizes, strict=True)]
        )
        if outputs is None:
            raise ValueError(f"{self.lower}_predict refused {list(lengths)} steps")
        return tuple(y.reshape(n, -1) if n >= 0 else y for y, n in zip(outputs, steps, strict=True))

    def get_state(self, *, instance: int = 0) -> Array:
        """Call NAME_get_state; all states in one flat array."""
        self._send(b"g", instance)
        return np.array(
            np.frombuffer(self._receive(self.state_size * self.state.itemsize), self.state)
        )

    def set_state(self, state: npt.ArrayLike, *, instance: int = 0) -> None:
        """Call NAME_set_state with one flat array."""
        data = np.ascontiguousarray(state, self.state).ravel()
        if data.size != self.state_size:
            raise ValueError(f"the state has {self.state_size} values, not {data.size}")
        self._send(b"t", instance, data.tobytes())
        self._receive(1)

    def copy(self, *, source: int, target: int) -> None:
        """Assign one state structure to the other, as C does."""
        self._send(b"c", source, bytes([target]))
        self._receive(1)

    def selftest(self) -> int:
        """Call NAME_selftest; the header must have been compiled with NAME_SELFTEST defined."""
        self._send(b"q")
        return self._integers(1)[0]

    def nanoseconds(self, steps: int, *inputs: npt.ArrayLike) -> float:
        """The mean time of one step, over `steps` calls with the same input."""
        self._send(b"m", 0, struct.pack("<i", steps))
        for x, kind in zip(inputs, self.inputs, strict=True):
            self._send(np.ascontiguousarray(x, kind).tobytes())
        return float(np.frombuffer(self._receive(8), "<f8")[0])

    def _lengths(self, arrays: Sequence[Array]) -> list[int]:
        """The first axis of the inputs whose time axis varies, in their order."""
        if not self.lengths:
            return []
        sizes = zip(arrays, self.input_sizes, strict=True)
        varying = [len(x) for x, size in sizes if x.ndim and x.size == len(x) * size]
        if len(varying) < len(self.lengths):
            raise ValueError(f"{self.lower}_predict: name the {len(self.lengths)} lengths")
        return varying[: len(self.lengths)]

    def _outputs(self, written: bool, sizes: Sequence[int]) -> tuple[Array, ...] | None:
        """Read the outputs; None, and a check that they were left alone, where `written` is no."""
        pairs = list(zip(sizes, self.kinds, strict=True))
        data = [self._receive(size * kind.itemsize) for size, kind in pairs]
        if not written:
            assert set(b"".join(data)) <= {UNTOUCHED}, f"{self.name} refused, and wrote an output"
            return None
        return tuple(
            np.frombuffer(part, kind).copy() for part, kind in zip(data, self.kinds, strict=True)
        )

    def _harness(self, header: str, defines: Sequence[str]) -> str:
        """The C program around this header."""
        lengths = [f"lengths[{i}]" for i in range(len(self.lengths))]
        names = {kind: name for name, kind in TYPES.items()}
        x = [f"(const {names[kind]} *)x[{i}]" for i, kind in enumerate(self.inputs)]
        y = [f"({names[kind]} *)y[{j}]" for j, kind in enumerate(self.kinds)]
        sizes = [f"{self.upper}_INPUT_{i}_SIZE" for i in range(len(self.inputs))]
        widths = [str(kind.itemsize) for kind in self.inputs]
        outputs = [f"{self.upper}_OUTPUT_{j}" for j in range(self.outputs)]
        steps = [self._steps_of(f"{output}_STEPS", header) for output in outputs]
        holes = {
            "DEFINES": "\n".join(f"#define {d.replace('=', ' ', 1)}" for d in defines),
            "HEADER": f"{self.name}.h",
            "lower": self.lower,
            "UPPER": self.upper,
            "STATE": names[self.state],
            "OUTPUT_WIDTHS": ", ".join(str(kind.itemsize) for kind in self.kinds),
            "INPUTS": str(len(self.inputs)),
            "OUTPUTS": str(self.outputs),
            "LENGTHS": str(len(self.lengths)),
            "STREAMABLE": str(int(self.streamable)),
            "INPUT_SIZES": ", ".join(f"(size_t)({s})" for s in sizes),
            "INPUT_WIDTHS": ", ".join(widths),
            "OUTPUT_SIZES": ", ".join(f"(size_t)({output}_SIZE)" for output in outputs),
            "OUTPUT_STEPS": ", ".join(steps),
            "PREDICT": ", ".join([*lengths, *x, *y]),
            "STEP": ", ".join([*x, *y]),
        }
        return re.sub(r"@(\w+)@", lambda hole: holes[hole[1]], HARNESS.read_text(encoding="utf-8"))

    def _steps_of(self, macro: str, header: str) -> str:
        """The call of an output's STEPS macro; its parameters are named or ordered as predict's."""
        found = re.search(rf"#\s*define\s+{macro}\(([^)]*)\)", header)
        if found is None:
            return "-1"
        last = len(self.lengths) - 1
        given = [
            self.lengths.index(name) if name in self.lengths else min(place, last)
            for place, name in enumerate(re.findall(r"\w+", found[1]))
        ]
        return f"(int32_t)({macro}({', '.join(f'lengths[{i}]' for i in given)}))"

    def _send(self, *parts: bytes | int) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        data = b"".join(bytes([p]) if isinstance(p, int) else p for p in parts)
        try:
            pipe.write(data)
        except BrokenPipeError:
            self._fail()

    def _receive(self, size: int) -> bytes:
        pipe = self._process
        assert pipe.stdin is not None
        assert pipe.stdout is not None
        try:
            pipe.stdin.flush()
        except BrokenPipeError:
            self._fail()
        data = pipe.stdout.read(size)
        if len(data) != size:
            self._fail()
        return data

    def _integers(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}i", self._receive(4 * count))

    def _fail(self) -> None:
        """Say how the process ended."""
        self.close()
        raise RunError(f"{self.name}: ended with status 0 before it was asked to")
