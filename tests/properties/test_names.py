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

from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.model import Input, Node, Ref
from codegen.targets import TARGETS
from codegen.targets.spine.outline import Origin
from tests.support.compilers import compile_c
from tests.support.models import chain as chained
from tests.support.models import conv, dense, embedding, gru, lstm, of_nodes, rnn, weights
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


def chain(names: list[str], source: str, ids: bool) -> Lowered:
    """Five layers and an input with these names, in a file called `source`."""
    layers = [
        embedding(5, 3, names[1]) if ids else dense(2, 3, name=names[1]),
        gru(3, 4, names[2], reset_after=True),
        lstm(4, 2, names[3]),
        conv(2, 3, names[4], 2, activation="linear", size=2),
        dense(3, 2, name=names[5]),
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
    x = np.array([1, 4, 0]) if ids else weights(steps, 2)
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
        layer = rnn(number + 1, 2, f"rnn_{number}", seed=number)
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
    inputs = [weights(3, n + 1) for n in range(len(names))]
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
