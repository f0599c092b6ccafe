from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.compilers import CompileError
from tests.support.emulators import (
    BOARDS,
    CORTEX_M,
    RUNNABLE,
    Run,
    build,
    measure,
    run,
    run_model,
)
from tests.support.samples import LEAKY

pytestmark = pytest.mark.emulator

X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.array([[1, 2, 3], [4.5, 6, 7.5], [9.25, 11, 12.75], [14.625, 16.5, 18.375]])
PROGMEM = ["LEAKY_TABLE=static const PROGMEM", "LEAKY_READ=pgm_read_float"]

# A loop of 2000 instructions (on AVR 4000 cycles), 512 bytes of stack, a function of the C library.
PROBE = """\
#include "board.h"
#include <math.h>

__attribute__((noinline)) static void loop(void)
{
    unsigned n = 1000u;
#if defined(__AVR__)
    __asm__ volatile("1: sbiw %0, 1\\n\\tbrne 1b" : "+w"(n));
#elif defined(__riscv)
    __asm__ volatile("1: addi %0, %0, -1\\n\\tbnez %0, 1b" : "+r"(n));
#else
    __asm__ volatile(".syntax unified\\n1: subs %0, %0, #1\\n\\tbne 1b" : "+l"(n) : : "cc");
#endif
}

__attribute__((noinline)) static void dig(void)
{
    volatile char hole[512];
    hole[0] = 1;
    hole[511] = hole[0];
}

int program(void)
{
    volatile float half = 0.5f;
    uint32_t before, taken;
    before = board_now();
    taken = board_since(before);
    board_text("nothing "); board_number(taken); board_text("\\n");
    before = board_now();
    loop();
    taken = board_since(before);
    board_text("loop "); board_number(taken); board_text("\\n");
    board_paint();
    dig();
    taken = board_stack();
    board_text("stack "); board_number(taken); board_text("\\n");
    board_text("tanh "); board_float(tanhf(half)); board_text("\\n");
    return 5;
}
"""


def probe(board: str, text: str, folder: Path) -> Run:
    source = folder / "probe.c"
    source.write_text(text)
    return run(board, build(board, [source], folder / "probe.elf"), timeout=20)


@pytest.mark.parametrize("board", RUNNABLE)
def test_a_board_counts_and_tells_its_status(board: str, tmp_path: Path) -> None:
    found = probe(board, PROBE, tmp_path)
    assert found.status == 5, found.text
    assert int(found.values["nothing"]) <= (30 if board == "uno" else 6)
    assert abs(int(found.values["loop"]) - (4000 if board == "uno" else 2000)) <= (
        40 if board == "uno" else 10
    )
    assert 512 <= int(found.values["stack"]) <= 600
    assert abs(int(found.values["tanh"], 16) - 0x3EEC9A9F) <= 2


@pytest.mark.parametrize("board", RUNNABLE)
def test_a_header_runs_on_every_board(board: str, tmp_path: Path) -> None:
    defines = PROGMEM if board == "uno" else []
    header = LEAKY.replace("#define LEAKY_H\n", "#define LEAKY_H\n#include <avr/pgmspace.h>\n")
    found = run_model(
        board,
        header if board == "uno" else LEAKY,
        "leaky",
        X,
        folder=tmp_path,
        defines=defines,
    )
    np.testing.assert_array_equal(found.outputs[0], Y)
    assert 0 < found.instructions < 2000
    assert 0 < found.stack < 200
    assert not found.heap
    assert found.symbols["leaky_step"][0] == "T"


@pytest.mark.parametrize("board", BOARDS)
def test_the_code_of_a_header_is_measured(board: str, tmp_path: Path) -> None:
    found = measure(board, LEAKY, "leaky", tmp_path, optimise="-Os")
    assert 100 < found.text < 600
    assert 12 <= found.rodata <= 16
    assert (found.data, found.bss) == (0, 0)
    assert 0 <= found.stack["leaky_step"] < 100


def test_counts_are_the_same_in_every_run(tmp_path: Path) -> None:
    counts = [run_model("m4f", LEAKY, "leaky", X, folder=tmp_path).instructions for _ in range(2)]
    assert abs(counts[0] - counts[1]) <= 3


# QEMU's M0 does not mind such a read, and on the other two boards something is there.
@pytest.mark.parametrize("board", [b for b in CORTEX_M if b not in ("microbit", "m7", "m55")])
def test_a_wild_pointer_is_a_fault(board: str, tmp_path: Path) -> None:
    found = probe(board, "int program(void) { return *(volatile int *)0xA0000000; }\n", tmp_path)
    assert found.status == 98
    assert found.text.startswith("fault ")


@pytest.mark.parametrize("board", CORTEX_M)
def test_a_wild_jump_is_a_fault(board: str, tmp_path: Path) -> None:
    found = probe(board, 'int program(void) { __asm__("udf #0"); return 0; }\n', tmp_path)
    assert found.status == 98


@pytest.mark.parametrize("board", CORTEX_M)
def test_a_program_that_wants_heap_is_stopped(board: str, tmp_path: Path) -> None:
    text = "#include <stdlib.h>\nint program(void) { return malloc(8) == 0; }\n"
    assert probe(board, text, tmp_path).status == 97


@pytest.mark.parametrize("board", ["m3", "rv32", "uno"])
def test_a_program_that_hangs_is_ended(board: str, tmp_path: Path) -> None:
    source = tmp_path / "hang.c"
    source.write_text("int program(void) { for (;;) {} }\n")
    assert run(board, build(board, [source], tmp_path / "hang.elf"), timeout=1).status == 124


@pytest.mark.parametrize("board", ["uno", "microbit"])
def test_a_program_larger_than_the_board_is_refused(board: str, tmp_path: Path) -> None:
    text = "char space[20000];\nint program(void) { return space[123]; }\n"
    with pytest.raises(CompileError, match=r"not within region|will not fit|less than 1 KiB"):
        probe(board, text, tmp_path)


def test_an_allocator_is_noticed_everywhere(tmp_path: Path) -> None:
    text = LEAKY.replace("return 1;", "{ void *volatile p = malloc(1u); free(p); return 1; }")
    text = text.replace("#define LEAKY_H\n", "#define LEAKY_H\n#include <stdlib.h>\n")
    assert run_model("rv32", text, "leaky", X, folder=tmp_path).heap
