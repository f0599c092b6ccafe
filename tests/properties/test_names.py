"""Names from a model file are input: whatever they are, the code runs and computes the same."""

from __future__ import annotations

import ast
import keyword
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from codegen.layers.convolution import Convolution
from codegen.layers.core import Dense, Embedding
from codegen.layers.recurrent import GRUCell, LSTMCell, Recurrent, SimpleRNNCell
from codegen.lowered import Lowered
from codegen.lowering import lower
from codegen.model import Array, Input, Layer, Node, Ref
from codegen.program.evaluate import Reference
from codegen.targets import TARGETS
from codegen.text.banner import Origin
from tests.support.compilers import compile_c
from tests.support.models import chain as chained
from tests.support.models import of_nodes
from tests.support.targets import TOLERANCE, rendered, started, worst

# Words of the languages, names that generated files use themselves, and text that ends a comment,
# a string or a line.
NASTY = """
for int float double struct static restrict inline auto and or not class lambda None True yield
def print async await match self model Model np numpy array math exp tanh zeros i j k t n s x y h c
w steps state step predict reset selftest main printf errno EOF NULL INFINITY M_PI linux unix near
far step_1 gates kernel bias scratch y_0 x_0 line seen lead out update candidate FLOAT affine
""".split()
NASTY += [
    "*/",
    "/*",
    '"""',
    "'''",
    "//",
    "\\",
    "??/",
    "a\nb",
    "a\r\nb",
    "\x00",
    "\u2028",
    "%s",
    "{}",
]
NASTY += ["{{ x }}", "{% x %}", "#", "é", "名", "1", "1a", "a-b", "a/b", "a b", " ", "", "_", "__"]
NASTY += ["\\u0022", "\\N{BEL}", "\u202e", "a" * 300, "$", "a:0", "-->", "<!--", "*\\\n/"]
NAMES = st.one_of(st.sampled_from(NASTY), st.text(max_size=12))

SIX = st.lists(NAMES, min_size=6, max_size=6, unique=True)


def random(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def chain(names: list[str], source: str, ids: bool) -> Lowered:
    """Five layers and an input with these names, in a file called `source`."""
    first: Layer
    if ids:
        first = Embedding(name=names[1], class_name="Embedding", table=random(0, 5, 3))
    else:
        first = Dense(name=names[1], class_name="Dense", kernel=random(0, 2, 3), bias=random(1, 3))
    gru = GRUCell(
        name=names[2],
        class_name="GRUCell",
        kernel=random(2, 3, 12),
        recurrent_kernel=random(3, 4, 12),
        bias=random(4, 2, 12),
        reset_after=True,
    )
    lstm = LSTMCell(
        name=names[3],
        class_name="LSTMCell",
        kernel=random(5, 4, 8),
        recurrent_kernel=random(6, 2, 8),
        bias=random(7, 8),
    )
    layers = [
        first,
        Recurrent(name=names[2], class_name="GRU", cell=gru, return_sequences=True),
        Recurrent(name=names[3], class_name="LSTM", cell=lstm, return_sequences=True),
        Convolution(
            name=names[4],
            class_name="Conv1D",
            kernel=random(8, 2, 2, 3),
            bias=random(9, 3),
            strides=(1,),
            dilations=(2,),
            padding="causal",
        ),
        Dense(name=names[5], class_name="Dense", kernel=random(10, 3, 2), bias=random(11, 2)),
    ]
    shape, kind = ((None,), "int32") if ids else ((None, 2), "float32")
    return lower(chained(layers, shape, names[0], source=source, given=names[0], kind=kind))


@hypothesis.settings(
    max_examples=30, suppress_health_check=list(hypothesis.HealthCheck), deadline=None
)
@hypothesis.given(
    names=st.lists(NAMES, min_size=6, max_size=6, unique=True), source=NAMES, ids=st.booleans()
)
@hypothesis.example(names=["x", "i", "i_1", "I", "i 1", "X"], source="x", ids=False)
@hypothesis.example(names=["a b", "a_b", "a-b", "A_B", "a/b", "ab"], source="*/", ids=True)
def test_any_names_in_any_target(names: list[str], source: str, ids: bool) -> None:
    lowered = chain(names, source, ids)
    steps = 3
    x = np.array([1, 4, 0]) if ids else random(12, steps, 2)
    expected = [y[0] for y in Reference(lowered).predict(x[None])]
    with tempfile.TemporaryDirectory() as folder:
        for target in TARGETS:
            model = started(target, lowered, Path(folder))
            assert worst(model.predict(x), expected) <= TOLERANCE
            assert model.step(x[0]) is not None


def several(names: list[str]) -> Lowered:
    """A model with inputs of these names, each with as many features as its place, and outputs."""
    inputs = [
        Input(name=name, class_name="InputLayer", shape=(None, number + 1))
        for number, name in enumerate(names)
    ]
    nodes = [Node(one) for one in inputs]
    for number in range(len(inputs)):
        cell = SimpleRNNCell(
            name=f"rnn_{number}",
            class_name="SimpleRNNCell",
            kernel=random(number, number + 1, 2),
            recurrent_kernel=random(10 + number, 2, 2),
            bias=random(20 + number, 2),
        )
        layer = Recurrent(name=cell.name, class_name="RNN", cell=cell, return_sequences=True)
        nodes.append(Node(layer, (Ref(number),)))
    outputs = tuple(Ref(number) for number in range(len(inputs), len(nodes)))
    return lower(of_nodes(nodes, outputs, "several"))


@hypothesis.settings(
    max_examples=30, suppress_health_check=list(hypothesis.HealthCheck), deadline=None
)
@hypothesis.given(names=st.lists(NAMES, min_size=2, max_size=4, unique=True))
@hypothesis.example(names=["x", "X", "y_0", "steps_1"])
@hypothesis.example(names=["INFINITY", "I", "expf", "t"])
@hypothesis.example(names=["array", "lead", "tanh", "Model"])
@hypothesis.example(names=["s", "y", "steps", "self"])
@hypothesis.example(names=["t", "row", "i", "found"])
def test_any_names_of_arguments(names: list[str]) -> None:
    lowered = several(names)
    inputs = [random(30 + n, 3, n + 1) for n in range(len(names))]
    expected = [y[0] for y in Reference(lowered).predict(*(x[None] for x in inputs))]
    with tempfile.TemporaryDirectory() as folder:
        for target in TARGETS:
            model = started(target, lowered, Path(folder))
            assert worst(model.predict(*inputs), expected) <= TOLERANCE
            model.reset()
            assert model.step(*(x[0] for x in inputs)) is not None


def test_arguments_carry_the_names_of_the_inputs() -> None:
    lowered = several(["decoder/tokens", "Übergang", "class", "x"])
    for target, signature in (
        ("numpy", "def step(self, decoder_tokens, Ubergang, class_2, x):"),
        ("python", "def predict(self, decoder_tokens, Ubergang, class_2, x):"),
        ("javascript", "step(decoder_tokens, Ubergang, class_2, x"),
        ("c", "const float *decoder_tokens"),
    ):
        assert signature in rendered(lowered, target)


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(names=SIX, source=NAMES)
def test_rendering_repeats_and_shows_what_it_is(names: list[str], source: str) -> None:
    """No name may hide a part of the text, turn it around or end its line."""
    for target in TARGETS:
        text = rendered(chain(names, source, False), target)
        assert text == rendered(chain(names, source, False), target)
        kinds = {unicodedata.category(sign) for sign in set(text) - {"\n"}}
        assert not kinds & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        assert all(line == line.rstrip() for line in text.split("\n"))
        if target in ("numpy", "python"):
            ast.parse(text)


def named(lowered: Lowered, target: str, name: str, **options: Any) -> str:
    chosen = TARGETS[target]
    origin = Origin(name + chosen.suffixes[0], ())
    return "".join(chosen.render(lowered, name, chosen.complete(options), origin))


OWN = [word for word in NASTY if word.isidentifier() and word.isascii() and len(word) < 80]
OWN = [word for word in OWN if not keyword.iskeyword(word) and word.strip("_")]


@pytest.mark.parametrize("compiler", ["gcc", "g++"])
def test_any_name_of_the_file(compiler: str, tmp_path: Path) -> None:
    """Prefixes that are words of C or of its library, all headers in one program."""
    lowered = chain(list("xabcde"), "m.h5", False)
    lines = []
    words = sorted({word.lower() for word in OWN})
    for word in words:
        (tmp_path / f"{word}_.h").write_text(named(lowered, "c", word))
        lines += [f"#define {word.upper()}_IMPLEMENTATION", f'#include "{word}_.h"']
    lines += ["int main(void)", "{"]
    for word in words:
        lines += [f"    {{ {word}_state s; float x[2] = {{0.5f, 1.0f}}, y[2];"]
        lines += [f"      {word}_reset(&s); if ({word}_step(&s, x, y) != 1) return 1; }}"]
    lines += ["    return 0;", "}", ""]
    source = tmp_path / "all.c"
    source.write_text("\n".join(lines))
    program = compile_c(source, tmp_path / "all", compiler=compiler, optimise="-O0")
    assert program.exists()
