"""The self-test inside a generated file: whatever weight is wrong, it shows."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import codegen
from codegen.layers.core import Dense
from codegen.layers.normalization import AxisNormalization
from codegen.layers.recurrent import LSTMCell, Recurrent
from codegen.lowered import Lowered
from codegen.lowered.recorded import record
from codegen.lowering import lower
from codegen.model import Array, Graph, Input, Layer, Model, Node, Ref
from codegen.program.activations import Activation
from codegen.program.evaluate import Machine
from tests.support.fixtures import FIXTURES
from tests.support.models import chain
from tests.support.targets import TARGETS, loaded, module, rendered, selftest, started

CASES = [
    "keras215/gru",
    "keras215/lstm",
    "keras215/embedding",
    "keras215/conv_valid_gru",
    "keras215/bidirectional_concat",
    "keras3_15/conv_causal_gru",
    "tf215/gru_last",
]
WEIGHTS = re.compile(r'^([A-Z]\w*) = array\((\([^)]*\)), ("""[^"]*"""|"[^"]*")\)', re.MULTILINE)
NUMBER = re.compile(r'-?\d[^\s"]*')


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_weight_shows(case: str) -> None:
    """One number of each array, the first as well as the last, in turn."""
    path = min((FIXTURES / case).glob("model.*"))
    text = rendered(lower(codegen.read(path)), "numpy")
    assert module(text).selftest() <= 1
    found = list(WEIGHTS.finditer(text))
    assert len(found) >= 3
    for array in found:
        numbers = list(NUMBER.finditer(array[3]))
        # Not every row of a table is looked up in so few steps.
        places = (0, -1) if "EMBEDDING" not in array[1] else (slice(None),)
        for place in places:
            chosen = numbers[place] if isinstance(place, slice) else [numbers[place]]
            changed = array[3]
            for number in reversed(chosen):
                value = str(float(number[0]) + 0.5)
                changed = changed[: number.start()] + value + changed[number.end() :]
            wrong = text[: array.start(3)] + changed + text[array.end(3) :]
            assert module(wrong).selftest() > 1, (array[1], place)


def test_a_small_fault_behind_other_layers_shows() -> None:
    """A hundredth in one number of layers whose output passes through others of two units."""
    text = rendered(
        lower(codegen.read(FIXTURES / "keras208" / "stack_stateful" / "model.h5")), "numpy"
    )
    shown = []
    for array in WEIGHTS.finditer(text):
        numbers = list(NUMBER.finditer(array[3]))
        for number in (numbers[0], numbers[len(numbers) // 2], numbers[-1]):
            start = array.start(3)
            value = str(float(number[0]) + 0.01)
            wrong = text[: start + number.start()] + value + text[start + number.end() :]
            shown.append(module(wrong).selftest() > 1)
    assert sum(shown) >= 0.9 * len(shown)


@pytest.mark.parametrize("target", TARGETS)
def test_a_wrong_state_shows(target: str, tmp_path: Path) -> None:
    """After all outputs were right, too."""
    lowered = lower(codegen.read(FIXTURES / "keras215" / "gru" / "model.h5"))
    value = f"{float(record(lowered).states[0][-1]):.6g}"
    before, _, after = rendered(lowered, target).rpartition(value)
    assert not selftest(loaded(target, f"{before}0.5{after}", lowered, tmp_path))


@pytest.mark.parametrize("target", TARGETS)
def test_a_reset_that_does_nothing_shows(target: str, tmp_path: Path) -> None:
    lowered = lower(codegen.read(FIXTURES / "keras215" / "gru" / "model.h5"))
    text = rendered(lowered, target)
    if target == "c":
        start, early = "void model_reset(model_state *s)\n{\n", "    if (s) { return; }\n"
    elif target == "javascript":
        start, early = "  reset() {\n", "    if (this.used) return;\n    this.used = 1;\n"
    else:  # the first reset makes the states
        start = "    def reset(self):\n"
        early = '        if "used" in self.__dict__:\n            return\n        self.used = 1\n'
    assert text.count(start) == 1
    wrong = text.replace(start, start + early)
    assert selftest(loaded(target, text, lowered, tmp_path))
    (tmp_path / "wrong").mkdir()
    assert not selftest(loaded(target, wrong, lowered, tmp_path / "wrong"))


def dense(kernel: float, bias: float) -> Model:
    layer = Dense(
        name="dense",
        class_name="Dense",
        kernel=np.full((2, 1), kernel),
        bias=np.full(1, bias),
        activation=Activation("exponential"),
    )
    nodes = (
        Node(Input(name="x", class_name="InputLayer", shape=(None, 2))),
        Node(layer, (Ref(0),)),
    )
    graph = Graph(nodes, (0,), (Ref(1),))
    return Model("net", graph, "keras_h5", "2.1.5", "net.h5", "0" * 16, "float32")


def test_inputs_are_small_where_numbers_would_overflow() -> None:
    found = record(lower(dense(kernel=3000.0, bias=0.0)))
    assert all(np.isfinite(y).all() for y in found.outputs)
    assert 0 < max(np.abs(x).max() for x in found.inputs) <= 0.01


@pytest.mark.parametrize("bias", [1000.0, 1.0])
@pytest.mark.parametrize("target", TARGETS)
def test_no_finite_output(target: str, bias: float, tmp_path: Path) -> None:
    """exp(1000) is recorded as no finite number: where another bias makes it one, that shows."""
    options = {"weights": "text"} if target == "python" else {}
    lowered = lower(dense(kernel=1.0, bias=1000.0))
    text = rendered(lowered, target, **options)
    assert text.count("1000.0") == 1
    model = loaded(target, text.replace("1000.0", str(bias)), lowered, tmp_path)
    assert selftest(model) == (bias == 1000.0)


def normalised(spread: float, inputs: int = 16, units: int = 12) -> Lowered:
    """Numbers that differ by `spread` around 3, normalised, through two LSTMs: DTLN's way.

    The smaller the spread, the more of it is what rounding left.
    """
    rng = np.random.default_rng(0)

    def lstm(name: str, size: int) -> Recurrent:
        cell = LSTMCell(
            name=f"{name}_cell",
            class_name="LSTMCell",
            kernel=rng.normal(0, 0.5, (size, 4 * units)).astype(np.float32),
            recurrent_kernel=rng.normal(0, 0.5, (units, 4 * units)).astype(np.float32),
            bias=rng.normal(0, 0.5, 4 * units).astype(np.float32),
        )
        return Recurrent(name=name, class_name="LSTM", cell=cell, return_sequences=True)

    kernel = rng.normal(0, spread / 2, (inputs, inputs)).astype(np.float32)
    layers: list[Layer] = [
        Dense(name="start", class_name="Dense", kernel=kernel, bias=np.full(inputs, 3.0)),
        AxisNormalization(name="norm", class_name="LayerNormalization", kind="layer", epsilon=1e-7),
        lstm("lstm_1", inputs),
        lstm("lstm_2", units),
        Dense(
            name="mask",
            class_name="Dense",
            kernel=rng.normal(0, 0.5, (units, inputs)).astype(np.float32),
            bias=None,
            activation=Activation("sigmoid"),
        ),
    ]
    return lower(chain(layers, (None, inputs), "net", given="x"))


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_allowed_follows_from_the_models_own_rounding(target: str, tmp_path: Path) -> None:
    assert selftest(started(target, normalised(1e-3), tmp_path))


def test_what_is_allowed_is_what_rounding_needs() -> None:
    """The usual where that is enough; and no more than some times the error that there is."""
    usual, poor = record(normalised(1.0)), record(normalised(1e-3))
    assert max(*usual.sizes, usual.state_size) <= 2
    assert poor.state_size > 10
    assert module(rendered(normalised(1.0), "numpy")).selftest() < 0.5
    assert 1e-3 < module(rendered(normalised(1e-3), "numpy")).selftest() < 0.5


def test_inputs_are_larger_where_a_norm_would_be_left_with_rounding() -> None:
    found = record(normalised(0.01))
    assert found.coarseness <= 50
    assert np.abs(found.inputs[0]).max() > 2


@pytest.mark.parametrize("spread", [1.0, 0.01])
def test_a_wrong_weight_shows_behind_a_norm(spread: float) -> None:
    text = rendered(normalised(spread), "numpy")
    assert module(text).selftest() <= 1
    shown = []
    for array in WEIGHTS.finditer(text):
        for number in [*NUMBER.finditer(array[3])][::7]:
            start = array.start(3)
            value = str(float(number[0]) + 0.1)
            wrong = text[: start + number.start()] + value + text[start + number.end() :]
            shown.append(module(wrong).selftest() > 1)
    assert len(shown) > 30
    assert sum(shown) >= 0.9 * len(shown)


@pytest.mark.parametrize("target", TARGETS)
def test_small_outputs_are_compared_by_their_size(target: str, tmp_path: Path) -> None:
    """A mask of 1e-7 that is a tenth off shows."""
    options = {"weights": "text"} if target in ("python", "javascript") else {}
    lowered = lower(dense(kernel=0.5, bias=-16.0))
    text = rendered(lowered, target, **options)
    assert selftest(loaded(target, text, lowered, tmp_path))
    (tmp_path / "wrong").mkdir()
    assert text.count("-16.0") == 1
    wrong = text.replace("-16.0", "-15.9")
    assert not selftest(loaded(target, wrong, lowered, tmp_path / "wrong"))


def test_other_last_digits_find_the_same_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever order the sums of the machine that generates are in."""
    expected = record(normalised(0.01))
    plain = Machine.product

    def other(self: Machine, matrix: Array, x: Array) -> Array:
        return plain(self, matrix, x) * (1 + 2.0**-52)

    monkeypatch.setattr(Machine, "product", other)
    found = record(normalised(0.01))
    assert (found.sizes, found.state_size) == (expected.sizes, expected.state_size)
    for y, same in zip(
        (*found.outputs, *found.states), (*expected.outputs, *expected.states), strict=True
    ):
        assert np.array_equal(y, same)
