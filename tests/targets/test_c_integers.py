"""Programs of integers in C: every compiler and processor gives the integers of the machine."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import codegen
from codegen.integers import Scheme, to_integers
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.program.integers import ONE, Integers
from codegen.program.ops import Affine, Loop, Op
from codegen.targets import TARGETS
from codegen.targets.spine.outline import Origin
from tests.support import emulators
from tests.support.compilers import CModel, compile_c, run
from tests.support.fixtures import cases
from tests.support.integer_programs import PROGRAMS, inputs, random_program
from tests.support.targets import flat, inputs_of_step

STEPS = 9
# Each program is built in some of these ways, so that each way builds some programs.
WAYS: tuple[dict[str, Any], ...] = (
    {"compiler": "gcc", "optimise": "-O0"},
    {"compiler": "clang", "optimise": "-O2"},
    {"compiler": "g++", "optimise": "-O1", "sanitize": "address,undefined"},
    {"compiler": "gcc", "optimise": "-O3", "options": ["-march=native"]},
    {"compiler": "clang", "optimise": "-O1", "sanitize": "address,undefined"},
    {"compiler": "clang++", "optimise": "-O3", "options": ["-march=native"]},
    {"compiler": "gcc", "optimise": "-O2"},
)


def header(lowered: Lowered, profile: str, name: str = "net") -> str:
    """The text of the C file."""
    target = TARGETS["c"]
    more = {} if lowered.step or not lowered.whole.lengths else {"max_steps": STEPS}
    options = target.complete({"profile": profile, "cpp": True, **more})
    return "".join(target.render(lowered, name, options, Origin(f"{name}.h")))


def agrees(lowered: Lowered, profile: str, folder: Path, **how: Any) -> None:
    """Whole, in steps, and on from a state that is put back: all numbers are the machine's."""
    reference = Reference(lowered, machine=Integers())
    given = inputs(lowered, STEPS, seed=2)
    expected = [y[0] for y in reference.predict(*(x[None] for x in given))]
    states = flat(reference.get_state())
    with CModel(header(lowered, profile), "net", folder, defines=["NET_SELFTEST"], **how) as model:
        assert model.selftest() == 0
        for y, wanted in zip(model.predict(*given), expected, strict=True):
            np.testing.assert_array_equal(y.reshape(wanted.shape), wanted.astype(y.dtype))
        found = model.get_state()
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found[: len(states)], states)
        if lowered.step is None:
            return
        model.reset()
        reference.reset()
        for t in range(STEPS):
            row = inputs_of_step(lowered, given, t)
            wanted = reference.step(*(np.asarray(x)[None] for x in row))
            kept = model.get_state()
            outputs = model.step(*row)
            assert (outputs is None) == (wanted is None)
            for y, one in zip(outputs or (), wanted or (), strict=True):
                np.testing.assert_array_equal(y, np.ravel(one).astype(y.dtype))
            after = model.get_state()
            model.set_state(kept, instance=1)
            np.testing.assert_array_equal(model.get_state(instance=1), kept)
            model.step(*row, instance=1)
            np.testing.assert_array_equal(model.get_state(instance=1), after)
        np.testing.assert_array_equal(after[: len(states)], flat(reference.get_state()))


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
@pytest.mark.parametrize("profile", ["host", "mcu"])
def test_a_program_gives_the_integers_of_the_machine(
    profile: str, number: int, tmp_path: Path
) -> None:
    turn = number + 3 * (profile == "mcu")
    lowered = list(PROGRAMS.values())[number](
        seed=5, extreme=turn % 4 == 0, io=("float", "int16")[turn // 2 % 2]
    )
    agrees(lowered, profile, tmp_path, **WAYS[turn % len(WAYS)])


@pytest.mark.parametrize("seed", range(12))
def test_a_random_program_gives_the_integers_of_the_machine(seed: int, tmp_path: Path) -> None:
    lowered = random_program(seed, ("float", "int16")[seed // 2 % 2])
    agrees(lowered, ("host", "mcu")[seed % 2], tmp_path, **WAYS[seed % len(WAYS)])


RECORDED = (
    *("gru_reset_before", "lstm", "bidirectional_concat", "conv_causal_gru", "embedding_mask"),
    *(
        "keyword_spotter",
        "stack_stateful",
        "masking_middle",
        "depthwise_conv1d",
        "multi_io",
        "conv2d",
    ),
)


@pytest.mark.parametrize("number", range(len(RECORDED)))
def test_a_recorded_model_gives_the_integers_of_the_machine(number: int, tmp_path: Path) -> None:
    (case,) = (c for c in cases("keras3_15") if c.name == RECORDED[number])
    floats = lower(codegen.read(*case.sources[0]))
    data = [x[0] for x in case.calls[0].inputs]
    scheme = Scheme(("int8", "int16")[number % 2], ("float", "int16")[number // 2 % 2], data=data)
    lowered = to_integers(floats, scheme).lowered
    reference = Reference(lowered, machine=Integers())
    given = [
        np.clip(np.floor(x * 2.0**port.buffer.fraction + 0.5), -ONE, ONE - 1)
        if port.buffer.dtype == "int16"
        else x
        for x, port in zip(data, lowered.whole.inputs, strict=True)
    ]
    expected = [y[0] for y in reference.predict(*(np.asarray(x)[None] for x in given))]
    text = header(lowered, ("mcu", "host")[number % 3 == 0])
    way = WAYS[number % len(WAYS)]
    with CModel(text, "net", tmp_path, defines=["NET_SELFTEST"], **way) as model:
        assert model.selftest() == 0
        for y, wanted in zip(model.predict(*given), expected, strict=True):
            np.testing.assert_array_equal(y.reshape(wanted.shape), wanted.astype(y.dtype))
        states = flat(reference.get_state())
        np.testing.assert_array_equal(model.get_state()[: len(states)], states)


def test_a_product_may_be_shifted_by_any_number(tmp_path: Path) -> None:
    """Up to 16 the kernels shift, beyond that plain loops do."""
    lowered = PROGRAMS["gru"](io="int16")
    for shift in (1, 16, 17, 30):

        def other(op: Op, shift: int = shift) -> Op:
            if isinstance(op, Affine):
                return replace(op, shifts=tuple(shift for _ in op.shifts))
            return replace(op, body=tuple(map(other, op.body))) if isinstance(op, Loop) else op

        assert lowered.step is not None
        whole, step = (program.map_ops(other) for program in (lowered.whole, lowered.step))
        agrees(replace(lowered, whole=whole, step=step), "mcu", tmp_path, optimise="-O0")


# ---- microcontrollers -------------------------------------------------------------------------

BOARDS = ("microbit", "m3", "m4f", "m33", "m33f", "m55", "rv32", "uno")
CHOSEN = ("gru_int16", "gru_reset_after", "lstm", "rings", "warmup")
RUN = 24  # steps
ON_BOARD = """
static {name}_state {name}_s;
static void run_{name}(void)
{{
    int16_t x[{inputs}], y[{outputs}] = {{0}};
    int32_t states[{upper}_STATE_SIZE];
    uint32_t sum = 0, next = 1;
    int t, i;
    {name}_reset(&{name}_s);
    for (t = 0; t < {run}; ++t) {{
        for (i = 0; i < {inputs}; ++i) {{
            next = next * 1664525u + 1013904223u;
            x[i] = (int16_t)(next >> 16);
        }}
        {name}_step(&{name}_s, x, y);
        for (i = 0; i < {outputs}; ++i) sum = sum * 31u + (uint16_t)y[i];
    }}
    {name}_get_state(&{name}_s, states);
    for (i = 0; i < {kept}; ++i) sum = sum * 31u + (uint32_t)states[i];
    board_text("{name} "); board_number(sum); board_text("\\n");
}}
"""


def summed(values: Any, total: int, bits: int) -> int:
    """What the program on a board makes of some numbers."""
    for value in np.ravel(values).tolist():
        total = (total * 31 + (int(value) & ((1 << bits) - 1))) % (1 << 32)
    return total


def expected_sum(lowered: Lowered) -> int:
    """What the program on a board is to print."""
    reference = Reference(lowered, machine=Integers())
    assert lowered.step is not None
    size = lowered.step.inputs[0].shape[-1]
    assert isinstance(size, int)
    y = np.zeros(lowered.step.outputs[0].shape, np.int64)
    number, total = 1, 0
    for _ in range(RUN):
        x = np.empty(size, np.int64)
        for k in range(size):
            number = (number * 1664525 + 1013904223) % (1 << 32)
            x[k] = np.uint16(number >> 16).astype(np.int16)
        found = reference.step(x[None])
        y = y if found is None else found[0]
        total = summed(y, total, 16)
    return summed(flat(reference.get_state()), total, 32)


@pytest.mark.parametrize("board", BOARDS)
def test_a_board_gives_the_integers_of_the_machine(board: str, tmp_path: Path) -> None:
    text, expected = ['#include "board.h"'], {}
    for name in CHOSEN:
        lowered = PROGRAMS[name](seed=4, io="int16", extreme=name == "lstm")
        assert lowered.step is not None
        (tmp_path / f"{name}.h").write_text(header(lowered, "mcu", name), encoding="utf-8")
        states = sum(state.buffer.vec().size for state in lowered.step.states)
        text += [f"#define {name.upper()}_IMPLEMENTATION", f'#include "{name}.h"']
        text.append(
            ON_BOARD.format(
                name=name,
                upper=name.upper(),
                run=RUN,
                inputs=lowered.step.inputs[0].buffer.size,
                outputs=lowered.step.outputs[0].buffer.size,
                kept=states,
            )
        )
        expected[name] = str(expected_sum(lowered))
    calls = "".join(f"    run_{name}();\n" for name in CHOSEN)
    text.append(f"int program(void)\n{{\n{calls}    return 0;\n}}\n")
    source = tmp_path / "program.c"
    source.write_text("\n".join(text), encoding="utf-8")
    elf = emulators.build(board, [source], tmp_path / "program.elf", strict=True)
    done = emulators.run(board, elf)
    assert (done.status, dict(done.values)) == (0, expected)


@pytest.mark.parametrize("optimise", ["-O0", "-O3"])
def test_an_avr_compiles_it_with_any_optimisation(optimise: str, tmp_path: Path) -> None:
    text = header(PROGRAMS["lstm"](), "mcu")
    emulators.compiled("uno", text, "net", tmp_path, optimise=optimise)


def test_there_are_no_floats_and_no_long_products(tmp_path: Path) -> None:
    """Of all that a compiler might call, only 32-bit products and divisions are left."""
    allowed = {
        "m3": r"",
        "microbit": r"__aeabi_(idiv|idivmod)|__gnu_thumb1_case_\w+",
        "uno": r"__\w*(mul|div)\w*(qi|hi|si)\d|__(pro|epi)logue_\w+|__do_\w+",
    }
    for name in ("gru", "lstm", "embedding", "warmup", "pooling"):
        text = header(PROGRAMS[name](io="int16"), "mcu")
        assert not re.search(r"float|double|math\.h", text.partition("*/")[2])
        for board, pattern in allowed.items():
            found = emulators.missing(board, emulators.compiled(board, text, "net", tmp_path))
            own = rf"mem(set|cpy|move)|{pattern}"
            assert {word for word in found if not re.fullmatch(own, word)} == set(), board


def test_the_code_names_its_functions_and_formats() -> None:
    text = header(PROGRAMS["lstm"](), "mcu")
    for line in (
        "static const int16_t net_sigmoid_table[385] NET_WEIGHTS = {",
        "const int32_t forget_gate = net_sigmoid(lstm_gates[7 + i]);",
        "int32_t lstm_c[7]; /* lstm: c, 7, q / 2^28 */",
        "void net_get_state(const net_state *s, int32_t *values);",
    ):
        assert line in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_a_range_that_is_left_is_told(tmp_path: Path) -> None:
    """NAME_SATURATED counts what the machine counts."""
    lowered = PROGRAMS["lstm"](io="float")
    reference = Reference(lowered, machine=Integers())
    given = inputs(lowered, STEPS, seed=2)
    reference.predict(*(x[None] for x in given))
    assert isinstance(reference.machine, Integers)
    assert reference.machine.left > 0
    (tmp_path / "net.h").write_text(header(lowered, "host"), encoding="utf-8")
    numbers = ", ".join(f"(float){x:.9g}" for x in np.nan_to_num(given[0]).ravel().tolist())
    (tmp_path / "net.c").write_text(
        "static int left;\n#define NET_SATURATED() (++left)\n#define NET_IMPLEMENTATION\n"
        f'#include "net.h"\nint main(void) {{ static net_state s; static float y[{STEPS}];\n'
        f"static const float x[] = {{{numbers}}};\n"
        f"net_reset(&s); net_predict(&s, {STEPS}, x, y); return left; }}\n",
        encoding="utf-8",
    )
    done = run(compile_c(tmp_path / "net.c", tmp_path / "net", strict=False))
    finite = Reference(lowered, machine=Integers())
    finite.predict(np.nan_to_num(given[0])[None])
    assert isinstance(finite.machine, Integers)
    assert done.returncode == finite.machine.left
