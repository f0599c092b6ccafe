"""Generated C on emulated microcontrollers: its numbers, its instructions, its bytes.

Each board of tests/support/emulators.py takes an LSTM(20) with a Dense(1), and the seed model where
it has room, one step a call. The counts are deterministic; a change that raises one past its limit
is either a mistake, or deserves the new number written here.
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import codegen
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.model import Array
from tests.support.agreement import inputs
from tests.support.compilers import CModel, CompileError
from tests.support.emulators import BOARDS, RUNNABLE, measure, run_model
from tests.support.models import conv, dense, gru, lstm
from tests.targets.test_c import model, render

SEED = Path(__file__).parents[1] / "generated_examples" / "seed" / "seed.h5"
STEPS = 12
EXACT = tuple(board for board in RUNNABLE if board != "uno")  # Arm and RISC-V
MATHS = {"expf", "tanhf", "logf", "log1pf", "expm1f", "sqrtf", "erff"}
MEMORY = {"memcpy", "memmove", "memset"}


@cache
def lowered_of(case: str) -> Lowered:
    if case == "seed":
        return lower(codegen.read(SEED))
    if case == "lstm20":
        return model(lstm(1, 20), dense(20, 1), shape=(None, 1))
    if case == "lstm8":
        return model(lstm(1, 8), dense(8, 1), shape=(None, 1))
    if case == "gru12":
        return model(gru(4, 12, stateful=True), dense(12, 2, "softmax"), shape=(None, 4))
    assert case == "windows"
    return model(conv(2, 4, "conv"), gru(4, 8), dense(8, 3, "softmax"), shape=(None, 2))


@cache
def header_of(case: str) -> str:
    return render(lowered_of(case), profile="mcu")


def samples(case: str) -> Array:
    (x,) = inputs(lowered_of(case).whole.inputs, STEPS, 5)
    return x


def wanted(case: str) -> Array:
    """The float64 interpreter's outputs, step after step."""
    reference = Reference(lowered_of(case))
    reference.reset()
    found = [reference.step(row[None]) for row in samples(case)]
    return np.array([y[0].ravel() for y in found if y is not None])


def on_host(case: str, folder: Path) -> Array:
    """The same file as plain C99 on the machine that runs the tests."""
    with CModel(header_of(case), "net", folder) as c:
        found = [c.step(row) for row in samples(case)]
    return np.array([y[0] for y in found if y is not None])


def cases(board: str) -> tuple[str, ...]:
    """What the board has room for."""
    if board == "uno":
        return ("lstm20", "gru12")
    return ("lstm20", "windows", "seed")


RUNS = [(board, case) for board in RUNNABLE for case in cases(board)]


@pytest.mark.emulator
@pytest.mark.parametrize(("board", "case"), RUNS)
def test_every_board_computes_the_model(board: str, case: str, tmp_path: Path) -> None:
    found = run_model(board, header_of(case), "net", samples(case), folder=tmp_path)
    assert not found.heap
    (y,) = found.outputs
    np.testing.assert_allclose(y, wanted(case), rtol=2e-6, atol=2e-6)
    if board in EXACT:
        np.testing.assert_array_equal(y, on_host(case, tmp_path))


@pytest.mark.emulator
@pytest.mark.parametrize("optimise", ["-Os", "-O3"])
def test_optimising_changes_no_bit(optimise: str, tmp_path: Path) -> None:
    for board in ("m4f", "rv32f"):
        found = run_model(
            board, header_of("lstm20"), "net", samples("lstm20"), folder=tmp_path, optimise=optimise
        )
        np.testing.assert_array_equal(found.outputs[0], on_host("lstm20", tmp_path))


@pytest.mark.parametrize("optimise", ["-O2", "-Os"])
def test_the_compiler_of_the_esp8266_takes_it(optimise: str, tmp_path: Path) -> None:
    for case in ("lstm20", "windows", "seed"):
        found = measure("esp8266", header_of(case), "net", tmp_path, optimise=optimise)
        assert (found.data, found.bss) == (0, 0)
        assert found.rodata >= 4 * parameters(case)


def parameters(case: str) -> int:
    return sum(layer.parameters for layer in lowered_of(case).layers)


# ---- what it takes on a Cortex-M4F -----------------------------------------------------------

INSTRUCTIONS = {"lstm20": 6360, "gru12": 2921, "seed": 99780}
STACK = {"lstm20": 108, "gru12": 112, "seed": 136}
TEXT = {"lstm20": (1020, 956), "gru12": (1216, 1188), "seed": (1832, 1610)}  # at -O2, at -Os


@pytest.mark.emulator
@pytest.mark.parametrize("case", INSTRUCTIONS)
def test_instructions_and_stack_of_a_step(case: str, tmp_path: Path) -> None:
    found = run_model("m4f", header_of(case), "net", samples(case), folder=tmp_path)
    assert found.instructions <= 1.01 * INSTRUCTIONS[case]
    assert found.stack <= STACK[case] + 16
    assert not found.heap


@pytest.mark.emulator
@pytest.mark.parametrize("optimise", ["-O2", "-Os"])
def test_fast_math_costs_no_instructions(optimise: str, tmp_path: Path) -> None:
    """Audio and Teensy users set it; gcc then added products in pairs, up to a fifth more."""
    counts = [
        run_model(
            "m4f",
            header_of("seed"),
            "net",
            samples("seed"),
            optimise=optimise,
            options=options,
            folder=tmp_path,
        ).instructions
        for options in ((), ("-ffast-math",))
    ]
    assert counts[1] <= 1.01 * counts[0]


@pytest.mark.emulator
def test_the_compiler_may_load_the_weights_instead(tmp_path: Path) -> None:
    """The numbers stay as they are."""
    x, plain = samples("gru12"), "#define NET_VLDM 0\n" + header_of("gru12")
    one, other = (
        run_model("m4f", header, "net", x, folder=tmp_path)
        for header in (header_of("gru12"), plain)
    )
    np.testing.assert_array_equal(one.outputs[0], other.outputs[0])
    assert other.instructions > 1.15 * one.instructions


@pytest.mark.parametrize("case", TEXT)
def test_bytes_of_code_and_tables(case: str, tmp_path: Path) -> None:
    for optimise, limit in zip(("-O2", "-Os"), TEXT[case], strict=True):
        found = measure("m4f", header_of(case), "net", tmp_path, optimise=optimise)
        assert found.text <= 1.01 * limit
        assert found.rodata <= 1.02 * 4 * parameters(case)
        assert (found.data, found.bss) == (0, 0)  # no weight in RAM


def test_the_layout_for_a_host_stays_small_too(tmp_path: Path) -> None:
    """One copy of each kernel where there are no vectors to win with more."""
    header = render(lowered_of("seed"), profile="host")
    for optimise, limit in (("-O2", 2920), ("-Os", 2452)):
        found = measure("m4f", header, "net", tmp_path, optimise=optimise)
        assert found.text <= 1.01 * limit


# ---- what it needs ---------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["host", "mcu"])
@pytest.mark.parametrize("board", ["gcc", "m3", "m4f", "rv32f", "esp8266"])
@pytest.mark.parametrize("case", ["lstm20", "windows"])
def test_nothing_is_called_that_waits_or_allocates(
    case: str, board: str, profile: str, tmp_path: Path
) -> None:
    text = render(lowered_of(case), profile=profile)
    assert needed(text, board, tmp_path) <= MEMORY
    text = render(lowered_of(case), profile=profile, math="libm")
    assert needed(text, board, tmp_path) <= MEMORY | MATHS


def needed(header: str, board: str, folder: Path) -> set[str]:
    """The symbols that the compiled header leaves to others, the compiler's own left out."""
    kind = BOARDS.get(board)
    prefix, options = (kind.prefix, kind.options) if kind else ("", ())
    (folder / "net.h").write_text(header)
    source, target = folder / "net.c", folder / "net.o"
    source.write_text('#define NET_IMPLEMENTATION\n#include "net.h"\n')
    command = [f"{prefix}gcc", "-std=c99", "-O2", *options, "-c", str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    listing = subprocess.run(
        [f"{prefix}nm", "-u", str(target)], check=True, capture_output=True, text=True
    ).stdout
    names = {line.split()[-1] for line in listing.splitlines()}
    # __aeabi_fmul, __mulsf3 and their kin: arithmetic of cores without an FPU. __cpu_model: what
    # the start-up code found the processor to be, a variable that is reached through a table.
    return {name for name in names if not name.startswith(("__", "_GLOBAL_OFFSET_TABLE_"))}


# ---- AVR -------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["host", "mcu"])
def test_avr_refuses_an_array_that_it_cannot_address(profile: str, tmp_path: Path) -> None:
    text = render(lowered_of("seed"), profile=profile)
    with pytest.raises(CompileError, match=r"#error .* takes \d+ bytes, more than AVR's 32767"):
        measure("uno", text, "net", tmp_path)


def test_weights_stay_in_the_flash_of_an_avr(tmp_path: Path) -> None:
    found = measure("uno", header_of("lstm8"), "net", tmp_path, optimise="-Os")
    assert (found.data, found.bss) == (0, 0)
    assert 4 * parameters("lstm8") <= found.rodata <= 1.02 * 4 * parameters("lstm8")


def test_avr_reads_doubles_of_four_bytes_alone(tmp_path: Path) -> None:
    text = render(lowered_of("lstm8"), profile="mcu", dtype="float64")
    found = measure("uno", text, "net", tmp_path, optimise="-Os")
    assert (found.data, found.bss) == (0, 0)
    assert found.rodata == 4 * parameters("lstm8")
    wide = text.replace("__SIZEOF_DOUBLE__", "8")
    with pytest.raises(CompileError, match=r"#error .weights of eight bytes"):
        measure("uno", wide, "net", tmp_path)
