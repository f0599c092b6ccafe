"""Count what one step takes on an emulated Cortex-M4F: instructions, flash, RAM and stack.

    python -m benchmarks.run_mcu [--only W1 ...]

Counts do not depend on the machine or on its load. They are instructions, not cycles: the emulator
models no pipeline, flash wait states or caches.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import prepare, report_mcu
from benchmarks.networks import NETWORKS, Case
from tests.support import emulators

RESULTS = Path(__file__).parent / "results"
BOARD = "m4f"
KEYS = [network.key for network in NETWORKS if not network.key.startswith("W4")]  # 4 MB of weights
WARM, COUNTED = 1, 8  # steps
PROGRAM = """
#include "board.h"
{data}
static float bench_y[{steps} * {outputs}];
int program(void)
{{
    uint32_t from, taken;
    int i;
    bench_reset();
    bench_run({warm}, {steps}, (const float *)bench_x, bench_y);
    board_paint();
    from = board_now();
    bench_run({counted}, {steps}, (const float *)bench_x + {warm} * {inputs},
              bench_y + {warm} * {outputs});
    taken = board_since(from);
    board_text("stack "); board_number(board_stack()); board_text("\\n");
    board_text("instructions "); board_number(taken); board_text("\\n");
    board_text("y");
    for (i = 0; i < {steps} * {outputs}; i++) {{ board_text(" "); board_float(bench_y[i]); }}
    board_text("\\n");
    return 0;
}}
"""
EMPTY = "void bench_reset(void) {}\nvoid bench_run(int n, int m, const float *x, float *y)\n"
EMPTY += "{ (void)n; (void)m; (void)x; (void)y; }\n"


def _program(case: Case) -> str:
    """What follows the source of a competitor."""
    steps = WARM + COUNTED
    bits = np.ascontiguousarray(case.x[:steps]).view(np.uint32).ravel()
    values = ", ".join(f"0x{int(value):08x}u" for value in bits)
    return PROGRAM.format(
        data=f"static const uint32_t bench_x[{bits.size}] = {{{values}}};",
        steps=steps,
        warm=WARM,
        counted=COUNTED,
        inputs=case.network.input_size,
        outputs=case.network.output_size,
    )


def run(case: Case, text: str, flags: str, headers: Path, board: str = BOARD) -> dict[str, Any]:
    """What a source takes on a board, with all that is linked."""
    with tempfile.TemporaryDirectory() as folder:
        source, elf = Path(folder, "bench.c"), Path(folder, "bench.elf")
        source.write_text(text + _program(case), encoding="utf-8")
        first, *more = flags.split()
        options = ["-I", str(headers), *more]
        emulators.build(board, [source], elf, optimise=first, options=options)
        done = emulators.run(board, elf)
        if done.status:
            raise RuntimeError(f"status {done.status}: {done.text}")
        found = emulators.sizes(board, elf)
    numbers = [int(word, 16) for word in done.values["y"].split()]
    y = np.array(numbers, np.uint32).view(np.float32).reshape(-1, case.network.output_size)
    return {
        "instructions": round(int(done.values["instructions"]) / COUNTED),
        "stack": int(done.values["stack"]),
        "text": found.text,
        "rodata": found.rodata,
        "ram": found.data + found.bss,
        "error": float(np.abs(y - case.y[: len(y)]).max()),
    }


def measure(case: Case, flags: str) -> list[dict[str, Any]]:
    """All competitors; sizes less those of a program without a model."""
    mcu = prepare.ours_source(case, "--profile", "mcu", variant="_mcu")
    libm = prepare.ours_source(case, "--profile", "mcu", "--math", "libm", variant="_mcu_libm")
    sources = {
        "ours, --profile mcu": mcu,
        "ours, --profile mcu --math libm": libm,
        "ours, --profile host": prepare.ours_source(case),
        "handwritten": prepare.handwritten_source(case),
        "emx-onnx-cgen": prepare.emx_source(case),
    }
    empty = run(case, EMPTY, flags, mcu.parent)
    rows = []
    for who, path in sources.items():
        row = run(case, path.read_text(encoding="utf-8"), flags, path.parent)
        for key in ("text", "rodata", "ram"):
            row[key] -= empty[key]
        rows.append({"who": who, "flags": flags, **row})
    return rows


def main() -> None:
    """Measure, keep the results, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=KEYS, default=KEYS)
    options = parser.parse_args()
    cases = prepare.models(tuple(n for n in NETWORKS if n.key in options.only))
    results: dict[str, Any] = {"board": "Cortex-M4F (QEMU, mps2-an386)", "workloads": {}}
    for case in cases:
        results["workloads"][case.network.key] = {
            "title": case.network.title,
            "parameters": case.parameters,
            "entries": [row for flags in report_mcu.FLAGS for row in measure(case, flags)],
        }
    if options.only == KEYS:
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps(results, indent=1) + "\n"
        (RESULTS / "mcu.json").write_text(text, encoding="utf-8")
    print(report_mcu.markdown(results))


if __name__ == "__main__":
    main()
