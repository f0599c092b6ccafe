"""Generated C against the interpreter: hand-made models, every option, compilers, sanitizers."""

from __future__ import annotations

import math
import platform
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import codegen
from codegen.errors import CodegenError
from codegen.layers.core import ActivationLayer
from codegen.layers.merging import Concatenate
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.model import Array, Graph, Input, Layer, Model, Node, Ref
from codegen.program.activations import ELEMENTWISE, Activation
from codegen.program.evaluate import MEANING
from codegen.program.ops import FUNCTIONS
from codegen.targets import TARGETS
from codegen.targets.c import parts
from codegen.targets.c.expressions import HOOKS
from codegen.targets.c.file import own_words
from codegen.targets.c.lines import broken, fitted
from codegen.targets.spine.outline import Origin
from codegen.text import templates
from tests.support.agreement import agree, inputs
from tests.support.compilers import COMPILERS, LANGUAGE, WARNINGS, CModel
from tests.support.models import PARAMETERS, bidirectional, chain, conv, dense, embedding, gru, lstm

TARGET = TARGETS["c"]
TOLERANCE = 2e-6


def model(
    *layers: Layer, shape: tuple[int | None, ...], dtype: str = "float32", ids: bool = False
) -> Lowered:
    """A chain of layers, lowered."""
    kind = "int32" if ids else "float32"
    return lower(chain(layers, shape, "net", dtype, kind=kind))


CASES: dict[str, Any] = {
    "seed": lambda: model(
        gru(4, 16, "gru_1", gate="hard_sigmoid", stateful=True),
        gru(16, 9, "gru_2", gate="hard_sigmoid_3", stateful=True),
        dense(9, 2, "softmax"),
        shape=(1, 4),
    ),
    "reset_after": lambda: model(
        gru(3, 21, reset_after=True), dense(21, 6, "log_softmax"), shape=(None, 3)
    ),
    "lstm_last": lambda: model(lstm(2, 13, return_sequences=False), dense(13, 1), shape=(None, 2)),
    "warmup": lambda: model(
        conv(3, 10, "conv", padding="valid"), gru(10, 5), dense(5, 3, "gelu"), shape=(None, 3)
    ),
    "rings": lambda: model(
        conv(2, 16, "conv_1"), conv(16, 8, "conv_2", 9), conv(8, 3, "conv_3", 2), shape=(None, 2)
    ),
    "several_rows": lambda: model(
        conv(5, 70, "conv_1", padding="same"),
        replace(conv(70, 9, "conv_2", padding="same", activation="linear"), bias=None),
        shape=(None, 5),
    ),
    "embedding": lambda: model(embedding(), gru(5, 7), shape=(None,), ids=True),
    "both_ways": lambda: model(bidirectional(3, 6), dense(12, 4, "softmax"), shape=(None, 3)),
    "no_time": lambda: model(dense(5, 11, "selu"), dense(11, 3, "softmax", "out"), shape=(5,)),
}


def render(lowered: Lowered, **options: Any) -> str:
    if lowered.step is None and lowered.whole.lengths:
        options = {"max_steps": 16, **options}
    return "".join(TARGET.render(lowered, "net", TARGET.complete(options), Origin("net.h")))


def close(found: Array, expected: Array, tolerance: float = TOLERANCE) -> None:
    np.testing.assert_allclose(np.ravel(found), np.ravel(expected), rtol=tolerance, atol=tolerance)


@pytest.fixture(params=COMPILERS)
def compiler(request: pytest.FixtureRequest) -> str:
    assert shutil.which(request.param), f"no {request.param}: `make test` installs it"
    return str(request.param)


@pytest.mark.parametrize("profile", ["host", "mcu"])
@pytest.mark.parametrize("case", CASES)
def test_every_compiler(case: str, profile: str, compiler: str, tmp_path: Path) -> None:
    lowered = CASES[case]()
    text = render(lowered, profile=profile)
    with CModel(text, "net", tmp_path, compiler=compiler, defines=["NET_SELFTEST"]) as c:
        assert c.selftest() == 0
        agree(lowered, c, TOLERANCE)


@pytest.mark.parametrize("profile", ["host", "mcu"])
@pytest.mark.parametrize("case", CASES)
def test_sanitized(case: str, profile: str, tmp_path: Path) -> None:
    lowered = CASES[case]()
    text = render(lowered, profile=profile)
    checked = "address,undefined"
    with CModel(text, "net", tmp_path, sanitize=checked, defines=["NET_SELFTEST"]) as c:
        assert c.selftest() == 0
        agree(lowered, c, TOLERANCE)


@pytest.mark.parametrize("profile", ["host", "mcu"])
@pytest.mark.parametrize("case", CASES)
def test_library_math_and_double(case: str, profile: str, tmp_path: Path) -> None:
    lowered = CASES[case]()
    text = render(lowered, profile=profile, math="libm")
    with CModel(text, "net", tmp_path, defines=["NET_SELFTEST"]) as c:
        assert c.selftest() == 0
        agree(lowered, c, TOLERANCE)
    text = render(lowered, profile=profile, dtype="float64")
    assert not re.search(r"\bfloat\b|\df\b", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))
    with CModel(text, "net", tmp_path, defines=["NET_SELFTEST"]) as c:
        assert c.selftest() == 0
        agree(lowered, c, 1e-12)


HOSTILE = (
    0.0,
    -0.0,
    1e-9,
    -1e-4,
    0.2,
    -0.34,
    0.36,
    2.5,
    -2.5,
    7.9,
    8.1,
    -9.5,
    30.0,
    -100.0,
    1000.0,
    -1000.0,
)


@pytest.mark.parametrize("profile", ["host", "mcu"])
def test_activations(profile: str, tmp_path: Path) -> None:
    """Every activation on ordinary and extreme values, close to the interpreter and finite."""
    for name in sorted(ELEMENTWISE):
        layer = ActivationLayer(
            name="act",
            class_name="Activation",
            activation=Activation(name, PARAMETERS.get(name, ())),
        )
        lowered = model(layer, shape=(len(HOSTILE),))
        x = np.array(HOSTILE, np.float32)
        if name == "exponential":
            x = np.clip(x, -100, 80)
        (expected,) = Reference(lowered).predict(x[None].astype(np.float64))
        with CModel(render(lowered, profile=profile), "net", tmp_path) as c:
            (found,) = c.predict(x)
        assert np.isfinite(found).all(), name
        # float32 loses what cancels: x + sqrt(x x + 4) at -1000 is wrong by an ulp of 1000.
        bound = 3e-6 * (1 + np.abs(expected[0])) + 1.2e-7 * np.abs(x)
        assert (np.abs(found - expected[0]) <= bound).all(), name


def test_softmax_of_far_values(tmp_path: Path) -> None:
    layer = ActivationLayer(name="act", class_name="Activation", activation=Activation("softmax"))
    with CModel(render(model(layer, shape=(2,))), "net", tmp_path) as c:
        (found,) = c.predict(np.array([100.0, 0.0]))
    close(found, np.array([1.0, math.exp(-100)]))


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "exp", "expm1", "softplus"])
def test_built_in_function(name: str, tmp_path: Path) -> None:
    """Dense over the whole range: the error, no value out of range, in both forms."""
    assert name in FUNCTIONS
    x = np.concatenate([np.linspace(-12, 12, 20001), np.geomspace(1e-6, 85, 2000)])
    x = np.concatenate([x, -x]).astype(np.float32)
    activation = {"exp": "exponential", "expm1": "elu"}.get(name, name)
    layer = ActivationLayer(name="act", class_name="Activation", activation=Activation(activation))
    expected = MEANING[name](x.astype(np.float64))
    if name == "expm1":
        expected = np.where(x > 0, x, expected)
    for profile in ("host", "mcu"):
        text = render(model(layer, shape=(x.size,)), profile=profile)
        with CModel(text, "net", tmp_path) as c:
            (found,) = c.predict(x)
        error = np.abs(found - expected) / np.maximum(1, np.abs(expected))
        assert error.max() <= 4.5e-7, (name, profile)
        if name in ("tanh", "sigmoid"):
            low = -1.0 if name == "tanh" else 0.0
            assert found.min() >= low
            assert found.max() <= 1.0


def test_index_out_of_range_reads_inside(tmp_path: Path) -> None:
    lowered = CASES["embedding"]()
    with CModel(render(lowered), "net", tmp_path, sanitize="address,undefined") as c:
        for index in (-1, 9, 2**31 - 1, -(2**31)):
            found = c.step(np.array([index]))
            assert found is not None
            assert np.isfinite(found[0]).all()


def test_lengths_that_are_refused(tmp_path: Path) -> None:
    lowered = CASES["warmup"]()
    with CModel(render(lowered), "net", tmp_path) as c:
        for steps in (0, 1, 2):
            with pytest.raises(ValueError, match="refused"):
                c.predict(np.zeros((steps, 3)), lengths=[steps])
        assert c.predict(np.zeros((3, 3)))[0].shape == (1, 3)
    with CModel(render(CASES["both_ways"]()), "net", tmp_path) as c:
        assert c.max_steps == 16
        with pytest.raises(ValueError, match="refused"):
            c.predict(np.zeros((17, 3)))


def test_max_steps_is_asked_for() -> None:
    with pytest.raises(CodegenError, match="--max-steps"):
        TARGET.render(CASES["both_ways"](), "net", TARGET.complete({}), Origin("net.h"))


def test_hooks(tmp_path: Path) -> None:
    """The user's own functions and weight access are used, once the macros are defined."""
    lowered = CASES["seed"]()
    for profile in ("host", "mcu"):
        text = render(lowered, profile=profile)
        for hook in ("TANH", "EXP", "READ", "WEIGHTS"):
            assert f"#ifndef NET_{hook}" in text
        defines = ["NET_TANH(x)=own(x)", "NET_SELFTEST", "NET_READ(w)=(w)", "NET_WEIGHTS="]
        own = "#include <math.h>\nstatic float own(float x) { return tanhf(x); }\n" + text
        assert "(x)" in own
        with CModel(own, "net", tmp_path, defines=defines) as c:
            assert c.selftest() == 0
            agree(lowered, c, TOLERANCE)


NAMES = [
    "for",
    "*/",
    "gru step\n#error",
    "x",
    "s",
    "scratch",
    "int",
    "a" * 5000,
    "net_step",
    "??/",
    "ü",
]


def test_hostile_names(tmp_path: Path) -> None:
    for name in NAMES:
        lowered = model(gru(2, 4, name), dense(4, 2, "softmax", name + "_2"), shape=(None, 2))
        with CModel(render(lowered), "net", tmp_path, defines=["NET_SELFTEST"]) as c:
            assert c.selftest() == 0
            agree(lowered, c, TOLERANCE)


def test_rendering_twice_is_identical() -> None:
    for case in CASES.values():
        assert render(case()) == render(case())


def test_nothing_changes_but_the_state() -> None:
    """No heap, no static data that is not const (outside the self-test)."""
    for case in CASES.values():
        text = render(case()).split("#ifdef NET_SELFTEST\n\n")[0]
        assert "malloc" not in text
        assert not re.search(
            r"^\s*static (?!const |inline |NET_)[a-z0-9_]+ \w+(\[|;| =)", text, re.MULTILINE
        )


FOLDER = Path(codegen.__file__).parents[1] / "templates/c"
SOURCES = [
    path for name in ("functions", "kernels") for path in sorted(FOLDER.glob(f"{name}/*.j2"))
]
# What only the built-in mathematics uses, which is that of float.
OF_FLOAT = {"exp", "expm1", "softplus", "tanh", "gate_sigmoid"}
OF_FLOAT |= {f"{name}_each" for name in ("tanh", "sigmoid", "gate_sigmoid", "hard_sigmoid")}


def source(path: Path, real: str = "float") -> str:
    """A function or a kernel for numbers of a type, without its comments."""
    suffix = "f" if real == "float" else ""
    names = {"p": "rnn", "P": "RNN", "real": real, "f": suffix, "of_kind": ""}
    text = "".join(templates.render(f"c/{path.parent.name}/{path.name}", **names))
    assert text.startswith("/*")
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_sources_take_the_type_of_numbers(path: Path) -> None:
    number = r"\d\.\d*(?:e[+-]?\d+)?"
    text = source(path)
    assert "double" not in text
    assert not re.search(rf"{number}(?![\def])", text)
    if path.name.split(".")[0] not in OF_FLOAT:
        text = source(path, "double")
        assert "float" not in text
        assert not re.search(f"{number}f", text)


@pytest.mark.parametrize(
    "line",
    [
        f"    if (first_of_two(alpha, beta) > {'0' * 50} && the_second(alpha) < 3 * b + 1) {{",
        f"int {'a' * 48}_step({'a' * 48}_state *s, const float *{'A' * 48}_RESTRICT x, float *y)",
        f"        {'a' * 48}_product(conv_6_output, conv_6_out, the_long_line + 64, 16, 16);",
        f"    float h[4]; /* {'word ' * 20}*/",
        f"/* {'word ' * 30}*/",
    ],
)
def test_long_lines_break_outside_parentheses_first(line: str) -> None:
    lines = broken([line]).split("\n")
    assert len(lines) > 1
    assert max(map(len, lines)) <= 100
    assert sorted("".join(lines).replace(" ", "")) == sorted(line.replace(" ", ""))
    if "&&" in line:
        assert lines[1].strip().startswith("&& the_second")


def test_a_macro_of_several_lines_stays_one() -> None:
    long = f"    (({'a' * 40})(words) << (24 - 8 * (j)) >> 24, {'b' * 40}_of_the_very_same_word)"
    text = f"#define NARROW(words, j) \\\n{long} \\\n    + 1\nint x;\n"
    lines = "".join(fitted([text])).split("\n")
    assert max(map(len, lines)) <= 100
    assert len(lines) == 6
    assert [line.endswith(" \\") for line in lines] == [True, True, True, False, False, False]
    words = [part.replace("\\", "").split() for part in ("\n".join(lines), text)]
    assert words[0] == words[1]


LONG = "a_name_as_long_as_any_that_a_person_would_write"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["net", LONG])
def test_no_line_is_longer_than_100(case: str, name: str) -> None:
    lowered = CASES[case]()
    whole = lowered.step is None and lowered.whole.lengths
    options = TARGET.complete({"max_steps": 9} if whole else {})
    text = "".join(TARGET.render(lowered, name, options, Origin(f"{name}.h")))
    assert [line for line in text.splitlines() if len(line) > 100] == []


def test_words_of_templates_are_reserved() -> None:
    """No name of a model takes a word that the header uses behind its prefix."""
    floats, both = set(own_words()), {*own_words(), *own_words(integers=True)}
    for path in FOLDER.rglob("*.j2"):
        text = path.read_text(encoding="utf-8").lower()
        own = floats if path in SOURCES else both
        for word in re.findall(r"\{\{ p \}\}_(\w+)", text):
            stem = word.endswith("_") and any(name.startswith(word) for name in own)
            assert stem or word in own, (path.name, word)


def test_concatenated_inputs(tmp_path: Path) -> None:
    nodes = (
        Node(Input(name="a", class_name="InputLayer", shape=(None, 3))),
        Node(gru(3, 6), (Ref(0),)),
        Node(Concatenate(name="join", class_name="Concatenate"), (Ref(0), Ref(1))),
        Node(dense(9, 10, "tanh"), (Ref(2),)),
        Node(dense(6, 1, "sigmoid", "side"), (Ref(1),)),
    )
    graph = Graph(nodes, (0,), (Ref(3), Ref(4)))
    lowered = lower(Model("net", graph, "keras_zip", "Keras 3.0", "net.keras", "0" * 16))
    for profile in ("host", "mcu"):
        text = render(lowered, profile=profile)
        with CModel(text, "net", tmp_path, defines=["NET_SELFTEST"]) as c:
            assert c.selftest() == 0
            agree(lowered, c, TOLERANCE)


def assembly(lowered: Lowered, folder: Path, compiler: str, *flags: str, **options: Any) -> str:
    """What the compiler makes of the header, with the model's numbers left out of the way."""
    header = folder / "net.h"
    header.write_text(render(lowered, **options), encoding="utf-8")
    source = folder / "net.c"
    source.write_text('#define NET_IMPLEMENTATION\n#include "net.h"\n', encoding="utf-8")
    language = LANGUAGE["g++" if compiler.endswith("++") else "gcc"]
    command = [compiler, *language, *flags, "-S", "-o", "-", str(source)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


ON_X86 = platform.machine() == "x86_64"


@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
def test_clamps_are_single_instructions(gate: str, tmp_path: Path) -> None:
    """GCC makes a compare and three logical operations of a clamp to a number that it knows."""
    if ON_X86:
        text = assembly(model(gru(4, 16, gate=gate), shape=(None, 4)), tmp_path, "gcc", "-O2")
        assert "minps" in text
        assert "maxps" in text
        assert "andnps" not in text


FAST_MATH = ("gcc", "clang", "g++", "clang++")


@pytest.mark.parametrize("profile", ["host", "mcu"])
@pytest.mark.parametrize("compiler", FAST_MATH)
def test_fast_math_changes_no_number(compiler: str, profile: str, tmp_path: Path) -> None:
    """It would take NaN for a number, and reorder sums."""
    lowered = CASES["reset_after"]()
    text = render(lowered, profile=profile)
    x = inputs(lowered.whole.inputs, 8)[0]
    x[-1, 2] = np.nan
    found = []
    for options in ([], ["-ffast-math"]):
        with CModel(text, "net", tmp_path, compiler=compiler, options=options) as c:
            found.append(np.array([c.step(row) for row in x]))
    assert np.isnan(found[0][-1]).all()
    np.testing.assert_array_equal(*found)


def test_gates_share_one_tanh() -> None:
    """With halved weights a sigmoid is a tanh too; the halves come back where gates are read."""
    text = render(model(lstm(3, 8), shape=(None, 3)))
    assert "net_tanh_each(lstm_gates, 32);" in text
    assert "const float forget_gate = 0.5f * lstm_gates[8 + i] + 0.5f;" in text
    assert "sigmoid_each" not in text
    # The update gate is needed later than the reset gate, but computed with it.
    assert "net_tanh_each(gru_gates, 16);" in render(model(gru(3, 8), shape=(None, 3)))


def test_lengths_without_a_rest_warn_of_nothing(tmp_path: Path) -> None:
    """Where int is as long as a pointer, GCC warns of a loop over a rest that it finds empty."""
    lowered = model(dense(24, 1), shape=(None, 24))
    flags = ("-O2", "-mthumb", "-mcpu=cortex-m4", *WARNINGS)
    assert assembly(lowered, tmp_path, "arm-none-eabi-gcc", *flags)
    for rows in (36, 60, 516):  # rows in fours, with a rest of none
        lowered = model(dense(rows, 250), shape=(None, rows))
        for level in ("-O2", "-O3"):
            assert assembly(lowered, tmp_path, "gcc", level, *WARNINGS)


@pytest.mark.parametrize("compiler", ["gcc", "g++"])
def test_loading_eight_weights_at_once_warns_of_nothing(compiler: str, tmp_path: Path) -> None:
    flags = [*WARNINGS, "-Wcast-qual", "-O2", "-mthumb", "-mcpu=cortex-m4"]
    flags += ["-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
    flags += ["-Wold-style-cast"] if compiler == "g++" else []
    lowered = model(gru(3, 8), shape=(None, 3))
    text = assembly(lowered, tmp_path, f"arm-none-eabi-{compiler}", *flags, profile="mcu")
    assert "vldmia" in text


def test_a_product_starts_from_its_bias() -> None:
    """No pass over the sums for the bias alone."""
    text = render(model(dense(9, 8), shape=(None, 9)))
    assert "net_product(y, net_dense_bias, net_dense_kernel, x, 9, 8);" in text
    assert "= NET_READ(net_dense_bias" not in text


@pytest.mark.parametrize("name", range(60, 90))
def test_a_long_line_breaks_at_no_pointer(name: int) -> None:
    text = f"int f{'x' * name}(const float *RESTRICT x, float *const y, int a);\nz = b * c;"
    lines = "".join(fitted([text + "\n"])).rstrip().split("\n")
    assert " ".join(line.strip() for line in lines).replace("( ", "(") == " ".join(text.split())
    assert [line for line in lines if line.endswith((" float", " const", "(const"))] == []


def test_the_table_of_sources_says_what_they_take() -> None:
    """The page includes and defines by these tables, and never by looking at the text."""
    for path in SOURCES:
        text, name = source(path), path.name.split(".")[0]
        hooks = {h for h in HOOKS if re.search(rf"\bRNN_{h.upper()}\b", text)}
        assert hooks == set(parts.CALLS.get(name, ())), name
        assert ("memcpy" in text) == (name in parts.WITH_STRING), name
        assert ("RNN_COMPACT" in text) == (name in parts.WITH_COMPACT), name
        in_functions = path.parent.name == "functions"
        inline = in_functions and name not in parts.WITHOUT_INLINE
        assert ("RNN_INLINE" in text) == inline, name
        library = r"\b(expm?1?|log(1p)?|tanh|erf|pow|sqrt|fabs|floor|rint)f?\("
        assert not re.search(rf"{library}|HUGE_VAL|INFINITY|NAN", text), name


@pytest.mark.parametrize(
    ("activation", "options", "included"),
    [
        ("softmax", {}, False),  # of which a comment names exp
        ("softmax", {"math": "libm"}, True),
        ("tanh", {}, False),
        ("sigmoid", {"dtype": "float64"}, True),
        ("log_softmax", {}, True),
    ],
)
def test_math_h_is_included_where_something_of_it_is_used(
    activation: str, options: dict[str, str], included: bool
) -> None:
    text = render(model(dense(3, 2, activation), shape=(None, 3)), **options)
    assert ("#include <math.h>" in text) == included
