"""Microcontrollers, emulated: build a C program for a board, run it there, count what it takes.

| board | core |
| --- | --- |
| `microbit` | Cortex-M0, 256 KiB flash, 16 KiB RAM |
| `m3`, `m4`, `m33` | Cortex-M without an FPU |
| `m4f`, `m7`, `m33f`, `m55` | Cortex-M with an FPU |
| `rv32`, `rv32f` | RISC-V without and with an FPU |
| `uno` | ATmega328P, 32 KiB flash, 2 KiB RAM; counts cycles |
| `esp8266` | Xtensa lx106; compiled only, not run |

Counts of instructions are deterministic: the same in every run on every machine, to within 3.

    found = run_model("m4f", header_text, "gru", x, tmp_path)
    assert found.instructions < 9000 and found.stack < 512 and not found.heap
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.support.compilers import WARNINGS, CompileError, parameters

EMULATOR = Path(__file__).parents[1] / "emulator"
Array = npt.NDArray[Any]

MPS2 = {"FLASH_AT": 0, "FLASH_SIZE": 4 << 20, "RAM_AT": 0x20000000, "RAM_SIZE": 4 << 20}
MPS2_SECURE = {
    "FLASH_AT": 0x10000000,
    "FLASH_SIZE": 4 << 20,
    "RAM_AT": 0x38000000,
    "RAM_SIZE": 2 << 20,
}
MPS3 = {"FLASH_AT": 0, "FLASH_SIZE": 512 << 10, "RAM_AT": 0x30000000, "RAM_SIZE": 512 << 10}
MICROBIT = {"FLASH_AT": 0, "FLASH_SIZE": 256 << 10, "RAM_AT": 0x20000000, "RAM_SIZE": 16 << 10}
VIRT = {"__flash": 0x80000000, "__flash_size": 4 << 20, "__ram": 0x80400000, "__ram_size": 4 << 20}


@dataclass(frozen=True)
class Board:
    """One microcontroller: the prefix of its tools, its compiler's options, and its emulator."""

    name: str
    prefix: str
    options: tuple[str, ...]
    runtime: str = ""  # the file in tests/emulator beside common.c
    link: tuple[str, ...] = ()
    emulator: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def _defined(symbols: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(f"-Wl,--defsym={name}={value:#x}" for name, value in symbols.items())


def _semihosting(program: str, machine: str, shift: int) -> tuple[str, ...]:
    """QEMU for one program, which prints to and exits through the debugger's interface."""
    return (
        *(program, "-M", machine, "-display", "none", "-monitor", "none", "-serial", "none"),
        *("-icount", f"shift={shift},align=off,sleep=off", "-chardev", "stdio,id=out"),
        *("-semihosting-config", "enable=on,target=native,chardev=out"),
    )


def _cortex(name: str, machine: str, cpu: str, memory: Mapping[str, int], megahertz: int) -> Board:
    return Board(
        name,
        prefix="arm-none-eabi-",
        options=("-mthumb", *cpu.split(), f"-DBOARD_CLOCK={megahertz}000000u"),
        runtime="cortexm.c",
        link=(
            *("--specs=nano.specs", "-nostartfiles", "-T", str(EMULATOR / "cortexm.ld")),
            *_defined(memory),
        ),
        emulator=(*_semihosting("qemu-system-arm", machine, 6), "-kernel"),
    )


def _riscv(name: str, abi: str) -> Board:
    return Board(
        name,
        prefix="riscv64-unknown-elf-",
        options=("--specs=picolibc.specs", *abi.split(), "-mcmodel=medany"),
        runtime="riscv.c",
        link=(
            *("--crt0=semihost", "--oslib=semihost", "-Wl,--defsym=board_stack_end=__heap_start"),
            *_defined(VIRT),
        ),
        emulator=(*_semihosting("qemu-system-riscv32", "virt", 0), "-bios", "none", "-kernel"),
    )


HARD = "-mfloat-abi=hard"
BOARDS: Mapping[str, Board] = {
    board.name: board
    for board in (
        _cortex("microbit", "microbit", "-mcpu=cortex-m0", MICROBIT, 16),
        _cortex("m3", "mps2-an385", "-mcpu=cortex-m3", MPS2, 25),
        _cortex("m4f", "mps2-an386", f"-mcpu=cortex-m4 -mfpu=fpv4-sp-d16 {HARD}", MPS2, 25),
        _cortex("m4", "mps2-an386", "-mcpu=cortex-m4 -mfloat-abi=soft", MPS2, 25),
        _cortex("m7", "mps2-an500", f"-mcpu=cortex-m7 -mfpu=fpv5-d16 {HARD}", MPS2, 25),
        _cortex(
            "m33f", "mps2-an505", f"-mcpu=cortex-m33 -mfpu=fpv5-sp-d16 {HARD}", MPS2_SECURE, 20
        ),
        _cortex(
            "m33", "mps2-an521", "-mcpu=cortex-m33+nofp+nodsp -mfloat-abi=soft", MPS2_SECURE, 20
        ),
        _cortex("m55", "mps3-an547", f"-mcpu=cortex-m55 {HARD}", MPS3, 32),
        _riscv("rv32", "-march=rv32imac -mabi=ilp32"),
        _riscv("rv32f", "-march=rv32imafc -mabi=ilp32f"),
        Board(
            "uno",
            prefix="avr-",
            options=("-mmcu=atmega328p",),
            runtime="avr.c",
            link=(
                "-Wl,--defsym=board_stack_end=__heap_start",
                *_defined({"__TEXT_REGION_LENGTH__": 32 << 10, "__DATA_REGION_LENGTH__": 2 << 10}),
            ),
            emulator=("simavr", "-m", "atmega328p", "-f", "16000000"),
        ),
        Board(
            "esp8266",
            prefix="xtensa-lx106-elf-",
            options=("-mlongcalls", "-ffreestanding", "-I", str(EMULATOR / "xtensa")),
        ),
    )
}
CORTEX_M = tuple(name for name, board in BOARDS.items() if board.prefix == "arm-none-eabi-")
RUNNABLE = tuple(name for name, board in BOARDS.items() if board.emulator)


@dataclass(frozen=True)
class Sizes:
    """Bytes of an object or a program; `stack`: of each function's own frame, where measured."""

    text: int
    rodata: int
    data: int
    bss: int
    stack: Mapping[str, int] = field(default_factory=dict)

    @property
    def flash(self) -> int:
        """With data, which are copied to RAM at the start."""
        return self.text + self.rodata + self.data

    @property
    def ram(self) -> int:
        """Without stack."""
        return self.data + self.bss


@dataclass(frozen=True)
class Run:
    """How a program ended: its status, and what it wrote.

    Status 124: it took too long; 98: a fault; 97: it asked for heap. A line `name value` of the
    text is values[name], the last one where there are more.
    """

    status: int
    text: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class ModelRun:
    """What a generated header computed on a board, and what one step took there."""

    outputs: tuple[Array, ...]  # (steps, size) each
    instructions: int  # the last step; on `uno` cycles
    stack: int  # bytes below the caller of step, the deepest of all steps
    heap: bool  # whether the program even links an allocator
    sizes: Sizes  # of the whole program
    symbols: Mapping[str, tuple[str, int]]


def build(
    board: str,
    sources: Iterable[Path],
    elf: Path,
    *,
    optimise: str = "-O2",
    strict: bool = False,
    options: Sequence[str] = (),
) -> Path:
    """Compile and link a program, which has `int program(void)` and may include board.h."""
    kind = BOARDS[board]
    runtime = [str(EMULATOR / name) for name in (kind.runtime, "common.c")]
    files = [str(path) for path in sources]
    standard = _standard(kind, strict=strict)
    common = [*standard, optimise, "-ffunction-sections", "-fdata-sections", *options]
    command = [f"{kind.prefix}gcc", *kind.options, *common, "-I", str(EMULATOR), *files, *runtime]
    _compile([*command, *kind.link, "-Wl,--gc-sections", "-o", str(elf), "-lm"])
    return elf


def run(board: str, elf: Path, *, timeout: float = 60) -> Run:
    """Run a program on the emulated board, to its end."""
    command = [*BOARDS[board].emulator, str(elf)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # where simavr shows the serial port
            check=False,
            timeout=timeout,
        )
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, output = 124, late.stdout or b""
    text = output.decode("utf-8", "replace")
    if board == "uno":
        text = _uart(text)
        ended = re.search(r"^status (\d+)\s*\Z", text, flags=re.MULTILINE)
        if ended is not None:
            status, text = int(ended[1]), text[: ended.start()].rstrip() + "\n"
        elif status == 0:
            status = 98
    values = dict(re.findall(r"^(\S+) (.*)$", text, flags=re.MULTILINE))
    return Run(status, text, values)


def measure(
    board: str,
    header: str,
    name: str,
    folder: Path,
    *,
    optimise: str = "-O2",
    strict: bool = True,
    defines: Sequence[str] = (),
) -> Sizes:
    """Compile the header alone; the sizes of its own code and tables, and of its stack frames."""
    target = compiled(
        board, header, name, folder, optimise=optimise, strict=strict, defines=defines
    )
    frames = {}
    for line in target.with_suffix(".su").read_text(encoding="utf-8").splitlines():
        place, size, _ = line.split("\t")
        frames[place.rsplit(":", 1)[-1]] = int(size)
    return sizes(board, target, frames)


def compiled(
    board: str,
    header: str,
    name: str,
    folder: Path,
    *,
    optimise: str = "-O2",
    strict: bool = True,
    defines: Sequence[str] = (),
) -> Path:
    """The header alone as an object."""
    kind = BOARDS[board]
    source = _implementation(folder, name, header, defines)
    target = source.with_suffix(".o")
    command = [f"{kind.prefix}gcc", *kind.options, *_standard(kind, strict=strict), optimise]
    _compile([*command, "-fstack-usage", "-c", str(source), "-o", str(target)])
    return target


def missing(board: str, binary: Path) -> set[str]:
    """What an object takes from elsewhere."""
    return set(re.findall(r"\bU (\S+)", _tool(board, "nm", str(binary))))


def sizes(board: str, binary: Path, stack: Mapping[str, int] | None = None) -> Sizes:
    """The sections of an object or a program, summed by kind."""
    total = dict.fromkeys(("text", "rodata", "data", "bss"), 0)
    for line in _tool(board, "size", "-A", str(binary)).splitlines():
        found = re.match(r"\.s?(text|literal|rodata|progmem|data|bss)\b\S*\s+(\d+)", line)
        if found is not None:
            total[{"literal": "text", "progmem": "rodata"}.get(found[1], found[1])] += int(found[2])
    return Sizes(**total, stack=stack or {})


def symbols(board: str, binary: Path) -> dict[str, tuple[str, int]]:
    """Every symbol that has a size: nm's letter for its section, and its bytes."""
    lines = _tool(board, "nm", "-S", str(binary)).splitlines()
    fields = [line.split() for line in lines]
    return {f[3]: (f[2], int(f[1], 16)) for f in fields if len(f) == 4}


def run_model(
    board: str,
    header: str,
    name: str,
    *inputs: npt.ArrayLike,
    folder: Path,
    optimise: str = "-O2",
    strict: bool = True,
    defines: Sequence[str] = (),
    options: Sequence[str] = (),
    timeout: float = 60,
) -> ModelRun:
    """Run a streamable header from reset: one step for each row of its inputs.

    RuntimeError where a step is refused, or the program does not end well.
    """
    step = parameters(header, f"{name.lower()}_step")
    if step is None:
        raise ValueError(f"{name} has no step")
    implementation = _implementation(folder, name, header, defines)
    source, elf = implementation.with_name("program.c"), implementation.with_name("program.elf")
    rows = [np.asarray(x).reshape(len(np.asarray(x)), -1) for x in inputs]
    kinds = [p.kind for p in step[1:] if p.constant]
    outputs = sum(not p.constant for p in step[1:])
    source.write_text(_program(name, rows, kinds, outputs, defines), encoding="utf-8")
    sources = [source, implementation]
    build(board, sources, elf, optimise=optimise, strict=strict, options=options)
    done = run(board, elf, timeout=timeout)
    if done.status != 0:
        raise RuntimeError(f"{name} on {board}: status {done.status}\n{done.text}")
    every = symbols(board, elf)
    return ModelRun(
        outputs=tuple(
            np.array(
                [_floats(row) for row in re.findall(rf"^y{j} (.*)$", done.text, flags=re.MULTILINE)]
            )
            for j in range(outputs)
        ),
        instructions=int(done.values["instructions"]),
        stack=int(done.values["stack"]),
        heap=any(symbol in every for symbol in ("malloc", "_malloc_r", "_sbrk", "sbrk")),
        sizes=sizes(board, elf),
        symbols=every,
    )


def _floats(row: str) -> Array:
    """The numbers that board_float printed as bits."""
    return np.array([struct.unpack(">f", bytes.fromhex(bits))[0] for bits in row.split()], "f4")


def _program(
    name: str, rows: Sequence[Array], kinds: Sequence[str], outputs: int, defines: Sequence[str]
) -> str:
    """A program that steps through its inputs, and prints every output and what a step took."""
    lower, upper = name.lower(), name.upper()
    steps = len(rows[0])
    text = [*_definitions(defines), f'#include "{name}.h"', '#include "board.h"', ""]
    text.append(f"static {lower}_state state;")
    for i, (x, kind) in enumerate(zip(rows, kinds, strict=True)):
        # as bits, which every compiler reads alike
        bits = np.ascontiguousarray(x, "<i4" if kind == "int32_t" else "<f4").view("<u4").ravel()
        values = ", ".join(f"0x{int(value):08x}u" for value in bits)
        text.append(f"static const uint32_t x{i}[{bits.size}] BOARD_FLASH = {{{values}}};")
        text.append(
            f"static union {{ uint32_t bits[{x.shape[1]}]; {kind} x[{x.shape[1]}]; }} in{i};"
        )
    text += [f"static float out{j}[{upper}_OUTPUT_{j}_SIZE];" for j in range(outputs)]
    arguments = [f"in{i}.x" for i in range(len(rows))] + [f"out{j}" for j in range(outputs)]
    text += [
        "",
        "int program(void)",
        "{",
        "    uint32_t taken = 0, deepest = 0;",
        "    int t, i;",
        f"    {lower}_reset(&state);",
        f"    for (t = 0; t < {steps}; ++t) {{",
        "        uint32_t from, depth;",
        "        int ready;",
    ]
    for i, x in enumerate(rows):
        size = x.shape[1]
        text.append(
            f"        for (i = 0; i < {size}; ++i)"
            f" in{i}.bits[i] = BOARD_READ_BITS(&x{i}[(uint16_t)t * {size}u + (uint16_t)i]);"
        )
    text += [
        "        board_paint();",
        "        from = board_now();",
        f"        ready = {lower}_step(&state, {', '.join(arguments)});",
        "        taken = board_since(from);",
        "        depth = board_stack();",
        "        if (depth > deepest) deepest = depth;",
        "        if (!ready) continue;",
    ]
    for j in range(outputs):
        text += [
            f'        board_text("y{j}");',
            f"        for (i = 0; i < {upper}_OUTPUT_{j}_SIZE; ++i) {{",
            f'            board_text(" "); board_float(out{j}[i]);',
            "        }",
            '        board_text("\\n");',
        ]
    for label, value in (("instructions", "taken"), ("stack", "deepest")):
        line = f'    board_text("{label} "); board_number({value}); board_text("\\n");'
        text += [*(["    }"] if label == "instructions" else []), line]
    return "\n".join([*text, "    return 0;", "}", ""])


def _standard(kind: Board, *, strict: bool) -> tuple[str, ...]:
    """Plain C99, whose arithmetic is the same on every core; warnings where wanted."""
    # Arduino's compiler speaks GNU C, which its own pgmspace.h needs
    standard = "-std=gnu99" if kind.name == "uno" else "-std=c99"
    return (standard, *(WARNINGS if strict else ()))


def _implementation(folder: Path, name: str, header: str, defines: Sequence[str]) -> Path:
    """The one source file that holds the model, in a new folder, beside the header.

    It is apart from the program, so that a call of `step` is a call.
    """
    work = Path(tempfile.mkdtemp(prefix=f"{name.lower()}-", dir=folder))
    (work / f"{name}.h").write_text(header, encoding="utf-8")
    lines = [*_definitions(defines), f"#define {name.upper()}_IMPLEMENTATION"]
    source = work / "model.c"
    source.write_text("\n".join([*lines, f'#include "{name}.h"', ""]), encoding="utf-8")
    return source


def _definitions(defines: Sequence[str]) -> list[str]:
    return [f"#define {define.replace('=', ' ', 1)}" for define in defines]


def _compile(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def _tool(board: str, tool: str, *arguments: str) -> str:
    command = [f"{BOARDS[board].prefix}{tool}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _uart(text: str) -> str:
    """What the program sent, out of simavr's own messages and colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r", "")
    lines = [line for line in plain.split("\n") if not line.startswith(("Loaded ", "avr_"))]
    return "\n".join(line.removesuffix(".") for line in lines)
