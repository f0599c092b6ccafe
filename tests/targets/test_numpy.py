"""The numpy target against the interpreter of the Program, which defines what every op means."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.errors import UnsupportedError
from codegen.layers.recurrent import Bidirectional, Recurrent, StackedCells
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.model import Graph, Layer, Model
from codegen.passes.fold_gates import fold_gates
from codegen.passes.split_loops import split_loops
from codegen.program import dims
from codegen.program.activations import ELEMENTWISE, Activation
from codegen.program.ops import (
    Affine,
    At,
    Block,
    Buffer,
    Compare,
    Count,
    Elementwise,
    Gather,
    Index,
    Local,
    Loop,
    Mat,
    Number,
    Op,
    Port,
    Program,
    Reduce,
    Select,
    Shift,
    Softmax,
    State,
    Vec,
    When,
    call,
    const,
    walk_ops,
)
from codegen.targets import TARGETS
from codegen.targets.numpy.views import Base, view
from codegen.targets.spine.outline import Origin
from tests.support.agreement import agree
from tests.support.fixtures import Case
from tests.support.models import PARAMETERS, chain, conv, dense, embedding, gru, lstm, rnn, weights
from tests.support.recorded import KEPT, read
from tests.support.targets import worst

TARGET = TARGETS["numpy"]

RNG = np.random.default_rng(7)
T = dims.symbol("t")
STEPS = dims.symbol("steps")


def text_of(lowered: Lowered, **options: Any) -> str:
    return "".join(TARGET.render(lowered, "model", TARGET.complete(options), Origin("model.py")))


def load(text: str) -> Any:
    module = types.ModuleType("generated")
    exec(compile(text, "model.py", "exec"), module.__dict__)  # noqa: S102
    return module


def generated(lowered: Lowered, dtype: str = "float64", **options: Any) -> Any:
    return load(text_of(lowered, dtype=dtype, **options))


# ---- models by hand ------------------------------------------------------------------------


def without_gates(*sizes: Any, gate: str = "", **settings: Any) -> Recurrent:
    """A SimpleRNN, whatever the function of gates is."""
    return rnn(*sizes, **settings)


KINDS: dict[str, Callable[..., Recurrent]] = {
    "gru": gru,
    "gru_after": partial(gru, reset_after=True),
    "lstm": lstm,
    "rnn": without_gates,
}


SEED = chain(
    [
        gru(4, 6, "gru_1", gate="hard_sigmoid", stateful=True),
        gru(6, 5, "gru_2", reset_after=True),
        lstm(5, 4, "lstm_1", gate="hard_sigmoid_3"),
        dense(4, 2, "softmax", "out"),
    ],
    (None, 4),
)


def check(
    lowered: Lowered,
    dtype: str = "float64",
    lengths: Sequence[int] = (5, 1, 9),
    batches: Sequence[int | None] = (None, 3),
    tolerance: float | None = None,
) -> None:
    """The self-test passes, and every batch agrees with the interpreter."""
    module = generated(lowered, dtype)
    assert module.selftest() <= 1
    limit = tolerance or {"float64": 1e-12, "float32": 2e-6}[dtype]
    for batch in batches:
        agree(lowered, module.Model(batch=batch), limit, lengths, batch)


# ---- models --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid", "hard_sigmoid_3", "tanh", "softmax"])
@pytest.mark.parametrize("kind", ["gru", "gru_after", "lstm", "rnn"])
def test_recurrent_layers(kind: str, gate: str, dtype: str) -> None:
    layers = [
        KINDS[kind](3, 5, "first", gate=gate),
        KINDS[kind](5, 4, "second", activation="softsign", stateful=True),
        KINDS[kind](4, 3, "third", return_sequences=False),
        dense(3, 2, "sigmoid", "out"),
    ]
    check(lower(chain(layers, (None, 3))), dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations(name: str, dtype: str) -> None:
    layer = replace(
        dense(4, 9, "linear", "a"), activation=Activation(name, PARAMETERS.get(name, ()))
    )
    check(lower(chain([layer, dense(9, 3, name="b")], (None, 4))), dtype)


def test_stacked_cells_and_two_directions() -> None:
    cells = (gru(3, 4, "a").cell, lstm(4, 5, "b").cell)
    stacked = StackedCells(name="s", class_name="StackedRNNCells", cells=cells)
    layer = Recurrent(name="rnn", class_name="RNN", cell=stacked, return_sequences=True)
    check(lower(chain([layer], (None, 3))))
    both = Bidirectional(
        name="both",
        class_name="Bidirectional",
        forward=gru(3, 4, "f"),
        backward=lstm(3, 4, "g"),
        merge_mode="concat",
        return_sequences=True,
    )
    check(lower(chain([both, dense(8, 2, name="d")], (None, 3))))


def test_integers() -> None:
    table = embedding(5, 3, mask_zero=True)
    check(lower(chain([table, gru(3, 4, "g")], (None,), kind="int32")))


@pytest.mark.parametrize(
    "case", [c for c in KEPT if c.era in ("keras3_15", "keras215") and c.models], ids=str
)
def test_recorded_models(case: Case) -> None:
    """Models that Keras saved: all that they hold, at several lengths and batched."""
    for number in range(len(case.models)):
        check(read(case, number), lengths=(7, 20, 50), batches=(None, 2), tolerance=1e-10)


# ---- programs --------------------------------------------------------------------------------


def program(
    ops: Sequence[Op],
    x: Buffer,
    y: Buffer,
    states: Sequence[State] = (),
    lengths: tuple[str, ...] = (),
) -> Program:
    inputs = (Port("in", x, x.shape, bool(lengths)),)
    outputs = (Port("out", y, y.shape, bool(lengths)),)
    blocks = (Block("block", "block: by hand", tuple(ops)),)
    return Program("model", inputs, outputs, tuple(states), blocks, lengths)


def by_hand(whole: Program, step: Program | None = None, warmup: int = 0) -> Lowered:
    graph = Graph((), (), ())
    model = Model("model", graph, "keras_h5", "", "model.h5", "0" * 16)
    reason = None if step else "by hand"
    return Lowered(model, whole, step, reason, warmup, 1, ())


def tensor(name: str, kind: str, *shape: dims.Dim, scope: tuple[str, ...] = ()) -> Buffer:
    return Buffer(name, dims.product(shape), kind, "float32", None, scope, shape)


def in_rows(make: Callable[[Vec, Vec], list[Op]], features: int = 6, size: int = 6) -> None:
    """Check ops on one row of the input: alone in a step, and for all rows at once."""
    x, y = tensor("x", "input", STEPS, features), tensor("y", "output", STEPS, size)
    body = make(Vec(x, T * features, features), Vec(y, T * size, size))
    for carried in (False, True):
        loop = Loop("t", STEPS, tuple(body), carried)
        check(by_hand(program([loop], x, y, lengths=("steps",))))
    one, two = tensor("x", "input", features), tensor("y", "output", size)
    single = program(make(one.vec(), two.vec()), one, two)
    check(by_hand(single, single), lengths=(1,))


def constant(name: str, *shape: int) -> Vec:
    return const(name, weights(*shape)).vec()


def kernel(name: str, rows: int, columns: int) -> Mat:
    return Mat(const(name, weights(rows, columns)), 0, rows, columns, columns)


def temp(name: str, size: int) -> Vec:
    return tensor(name, "temp", size, scope=("t",)).vec()


def test_an_affine_of_parts_with_gaps() -> None:
    def make(x: Vec, y: Vec) -> list[Op]:
        every_other = Vec(x.buffer, x.offset, 3, 2)
        products = ((kernel("k", 6, 3), every_other), (kernel("u", 6, 2), x[1:3]))
        return [Affine(y, constant("b", 6), products)]

    in_rows(make)


def test_an_affine_into_a_part_and_one_without_products() -> None:
    def make(x: Vec, y: Vec) -> list[Op]:
        return [
            Affine(y[1:4], None, ((kernel("k", 3, 6), x),)),
            Affine(y[4:6], constant("b", 2), ()),
            Affine(y[:1], None, ()),
        ]

    in_rows(make)


def test_a_matrix_that_is_computed() -> None:
    def make(x: Vec, y: Vec) -> list[Op]:
        square = Mat(x.buffer, x.offset, 2, 3, 3)
        turned = Mat(x.buffer, x.offset, 3, 2, 1, 3)
        return [
            Affine(y[:2], None, ((square, x[3:6]),)),
            Affine(y[2:5], constant("b", 3), ((turned, x[:2]),)),
            Elementwise(1, (), ((y[5:6], Number(1.5)),)),
        ]

    in_rows(make)


def test_stores_see_only_old_values() -> None:
    def make(x: Vec, y: Vec) -> list[Op]:
        a, b = temp("a", 3), temp("b", 3)
        return [
            Elementwise(3, (), ((a, At(x[:3])), (b, At(x[3:6]) * 2.0))),
            Elementwise(3, (), ((a, At(b)), (b, At(a)))),
            Elementwise(
                3,
                (("sum", At(a) + At(b)), ("product", At(a) * At(b))),
                ((a, Local("sum") * Local("product")), (b, Local("sum") - At(a))),
            ),
            Elementwise(3, (), ((y[:3], At(a)), (y[3:6], call("tanh", a) + At(b)))),
        ]

    in_rows(make)


def test_select_compare_index_and_count() -> None:
    def make(x: Vec, y: Vec) -> list[Op]:
        above = Compare(">", At(x), Number(0.0))
        inner = Select(Index(), call("log1p", call("abs", x)), At(x[:1].every(6)) + Count(3))
        value = Select(above, At(x) * Index(), inner)
        return [Elementwise(6, (), ((y, value + Compare("<=", At(x), Index())),))]

    in_rows(make)


def test_a_step_may_end_with_any_function() -> None:
    for name in ("erf", "tanh", "hard_sigmoid", "softplus"):
        in_rows(lambda x, y, name=name: [Elementwise(6, (), ((y, call(name, x)),))])  # type: ignore[misc]


def test_every_function_is_stable() -> None:
    names = ("exp", "tanh", "sigmoid", "hard_sigmoid", "hard_sigmoid_3", "softplus", "erf", "expm1")

    def make(x: Vec, y: Vec) -> list[Op]:
        stores = [(y[n : n + 1], call(name, At(x[:1]))) for n, name in enumerate(names)]
        return [Elementwise(1, (), tuple(stores))]

    x, y = tensor("x", "input", 1), tensor("y", "output", len(names))
    lowered = by_hand(program(make(x.vec(), y.vec()), x, y))
    for dtype, limit in (("float64", 1e-15), ("float32", 3e-7)):
        model = generated(lowered, dtype).Model()
        for value in (-1000.0, -100.0, -1.5, -1e-3, 0.0, 0.3, 2.0, 5.5, 80.0):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = model.predict([value])
            (expected,) = Reference(lowered).predict(np.array([[value]]))
            error = np.abs(found - expected[0]) / (1 + np.abs(expected[0]))
            assert np.isfinite(found).all()
            assert error.max() <= (3e-5 if value == 80 and dtype == "float32" else limit)


def test_reductions_over_nested_counters() -> None:
    a, b = dims.symbol("a"), dims.symbol("b")

    def make(x: Vec, y: Vec) -> list[Op]:
        window = Vec(x.buffer, x.offset + a + b, 2)
        counters = (("a", 2), ("b", 3))
        return [
            Reduce(y[:2], "sum", counters, At(window) * Count(a + 1)),
            Reduce(y[2:4], "max", counters, At(window)),
            Reduce(y[4:6], "min", (("a", 3),), At(x[:1].every(2))),
        ]

    in_rows(make)


def test_softmax_along_another_axis_and_in_place() -> None:
    def make(x: Vec, y: Vec) -> list[Op]:
        column = Vec(x.buffer, x.offset + 1, 3, 2)
        copied = temp("copied", 3)
        return [
            Elementwise(3, (), ((copied, At(x[:3]) * 50.0),)),
            Softmax(copied, copied),
            Softmax(Vec(y.buffer, y.offset, 3, 2), column, log=True),
            Elementwise(3, (), ((Vec(y.buffer, y.offset + 1, 3, 2), At(copied)),)),
        ]

    in_rows(make)


def test_rows_of_a_table() -> None:
    def make(x: Vec, y: Vec) -> list[Op]:
        index = temp("index", 1)
        whole = call("min", call("floor", call("abs", x[:1])), 3.0)
        return [Elementwise(1, (), ((index, whole),)), Gather(y, kernel("table", 4, 6), index)]

    in_rows(make)


def test_a_loop_whose_offsets_no_view_can_follow() -> None:
    x, y = tensor("x", "input", STEPS, 2), tensor("y", "output", STEPS, 2)
    half = Vec(x, (T // 2) * 2, 2)
    body = Elementwise(2, (), ((Vec(y, T * 2, 2), At(half) + Count(T)),))
    check(by_hand(program([Loop("t", STEPS, (body,), False)], x, y, lengths=("steps",))))


def test_a_loop_whose_lengths_change() -> None:
    """A causal sum: iteration t reduces the first t + 1 rows."""
    x, y = tensor("x", "input", STEPS, 2), tensor("y", "output", STEPS, 2)
    k = dims.symbol("k")
    body = Reduce(Vec(y, T * 2, 2), "sum", (("k", T + 1),), At(Vec(x, k * 2, 2)))
    check(by_hand(program([Loop("t", STEPS, (body,), False)], x, y, lengths=("steps",))))


def test_backwards_and_overlapping_windows() -> None:
    x, y = tensor("x", "input", STEPS, 3), tensor("y", "output", STEPS, 3)
    padded = tensor("padded", "temp", STEPS + 2, 3)
    backwards = Vec(x, (STEPS - 1 - T) * 3, 3)
    ops: list[Op] = [
        Elementwise(6, (), ((padded.vec()[:6], Number(0.0)),)),
        Loop(
            "t", STEPS, (Elementwise(3, (), ((Vec(padded, T * 3 + 6, 3), At(backwards)),)),), False
        ),
        Loop(
            "t",
            STEPS,
            (Affine(Vec(y, T * 3, 3), None, ((kernel("k", 3, 9), Vec(padded, T * 3, 9)),)),),
            False,
        ),
    ]
    check(by_hand(program(ops, x, y, lengths=("steps",))))


def test_a_delay_line_and_a_warm_up() -> None:
    line = tensor("line", "state", 3, 2)
    state = State(line, (3, 2), "block", "line", False, line=True)
    x, y = tensor("x", "input", 2), tensor("y", "output", 2)
    ops: list[Op] = [
        Shift(line, x.vec()),
        When(2, (Elementwise(2, (), ((y.vec(), At(line.vec()[:2]) - At(line.vec()[4:6])),)),)),
    ]
    step = program(ops, x, y, [state])
    whole_x, whole_y = tensor("x", "input", STEPS, 2), tensor("y", "output", STEPS - 2, 2)
    difference_ = At(Vec(whole_x, T * 2, 2)) - At(Vec(whole_x, T * 2 + 4, 2))
    body = Elementwise(2, (), ((Vec(whole_y, T * 2, 2), difference_),))
    last = Elementwise(6, (), ((line.vec(), At(Vec(whole_x, (STEPS - 3) * 2, 6))),))
    whole = program(
        [Loop("t", STEPS - 2, (body,), False), last], whole_x, whole_y, [state], ("steps",)
    )
    lowered = by_hand(whole, step, warmup=2)
    check(lowered, lengths=(5, 9))
    model = generated(lowered).Model()
    assert model.step([1, 2]) is None
    assert [s.shape for s in model.get_state()] == [(3, 2), (1,)]
    assert model.get_state()[1][0] == 1
    saved = model.get_state()
    model.reset()
    model.set_state(saved)
    assert model.step([1, 2]) is None
    assert model.step([5, 5]) is not None


def test_a_row_of_another_method_is_taken_with_its_states_alone() -> None:
    """A delay line that is as long as what a GRU reads beside its state does not live there."""
    line, h = tensor("line", "state", 2), tensor("h", "state", 2)
    states = [
        State(line, (2,), "block", "line", False, line=True),
        State(h, (2,), "block", "h", False),
    ]
    x, y, a = tensor("x", "input", 2), tensor("y", "output", 2), tensor("a", "temp", 2)
    bias, weight = constant("b", 2), kernel("k", 2, 2)
    ops: list[Op] = [
        Affine(a.vec(), bias, ((weight, x.vec()), (kernel("u", 2, 2), h.vec()))),
        Elementwise(2, (), ((h.vec(), call("tanh", At(a.vec()))),)),
    ]
    late: list[Op] = [
        Affine(y.vec(), bias, ((weight, line.vec()), (kernel("v", 2, 2), h.vec()))),
        Shift(line, h.vec()),
    ]
    blocks = (Block("one", "one: by hand", tuple(ops)), Block("two", "two: by hand", tuple(late)))
    single = dataclasses.replace(program([], x, y, states), blocks=blocks)
    check(by_hand(single, single), lengths=(1,))


def test_a_row_is_filled_again_after_a_loop_that_may_fill_it_with_something_else() -> None:
    x, y, z = tensor("x", "input", 4), tensor("y", "output", 4), tensor("z", "temp", 4)
    a, b = tensor("a", "temp", 2), tensor("b", "temp", 2, scope=("k",))
    bias, weight, part = constant("b", 2), kernel("k", 2, 2), z.vec()[2:]
    body = (
        Affine(b.vec(), bias, ((weight, part),)),
        Elementwise(2, (), ((part, call("tanh", At(b.vec()))),)),
    )
    ops: list[Op] = [
        Elementwise(4, (), ((z.vec(), At(x.vec()) * 0.5),)),
        Affine(a.vec(), bias, ((weight, x.vec()[:2]),)),
        Elementwise(2, (), ((y.vec()[:2], At(a.vec())),)),
        Loop("k", 3, body, True),
        Affine(y.vec()[2:], bias, ((kernel("u", 2, 2), x.vec()[:2]),)),
    ]
    single = program(ops, x, y)
    check(by_hand(single, single), lengths=(1,))


def test_what_a_state_starts_from_is_one_array() -> None:
    h, kept = tensor("h", "state", 2), tensor("kept", "state", 2)
    states = [
        State(h, (2,), "block", "h", False, np.array([1.0, 2.0])),
        State(kept, (2,), "block", "kept", True, np.array([3.0, 4.0])),
    ]
    x, y = tensor("x", "input", 2), tensor("y", "output", 2)
    total = At(x.vec()) + At(h.vec()) + At(kept.vec())
    stores = tuple((buffer.vec(), total) for buffer in (y, h, kept))
    single = program([Elementwise(2, (), stores)], x, y, states)
    lowered = by_hand(single, single)
    check(lowered, lengths=(1,))
    text = text_of(lowered)
    assert text.count("H_INITIAL = ") == text.count("KEPT_INITIAL = ") == 1
    assert "_INITIAL_2" not in text


@st.composite
def stacks(draw: st.DrawFn) -> Model:
    """Random stacks of dense and recurrent layers."""
    width = draw(st.integers(1, 5))
    first = width
    layers: list[Layer] = []
    for n in range(draw(st.integers(1, 4))):
        units = draw(st.integers(1, 6))
        kind = draw(st.sampled_from(["gru", "gru_after", "lstm", "rnn", "dense"]))
        act = draw(st.sampled_from(["tanh", "relu", "elu", "softmax", "gelu", "linear"]))
        if kind == "dense":
            layers.append(dense(width, units, act, f"layer {n}"))
        else:
            gate = draw(st.sampled_from(["sigmoid", "hard_sigmoid", "linear"]))
            act = draw(st.sampled_from(["tanh", "softsign", "softmax", "hard_sigmoid"]))
            layers.append(
                KINDS[kind](
                    width,
                    units,
                    f"layer {n}",
                    gate="sigmoid" if gate == "linear" else gate,
                    activation=act,
                    stateful=draw(st.booleans()),
                    go_backwards=draw(st.integers(0, 5)) == 0,
                )
            )
        width = units
    return chain(layers, (None, first))


@given(stacks())
def test_random_stacks(model: Model) -> None:
    check(lower(model), lengths=(4, 7), tolerance=1e-10)


# ---- passes ----------------------------------------------------------------------------------


def test_passes_keep_the_meaning() -> None:
    """Folded gates and split loops are programs too: the interpreter runs both forms."""
    lowered = lower(SEED)
    assert lowered.step is not None
    step, whole = fold_gates(lowered.step), split_loops(fold_gates(lowered.whole))
    other = Lowered(lowered.model, whole, step, None, 0, 1, lowered.layers)
    calls = [c.function for op in walk_ops(step.ops) for c in _calls(op)]
    assert "sigmoid" not in calls
    assert "hard_sigmoid" not in calls
    assert any(isinstance(op, Loop) and not op.carried for op in whole.ops)
    one, two = Reference(lowered, 2), Reference(other, 2)
    x = RNG.standard_normal((2, 6, 4))
    assert worst(one.predict(x), two.predict(x)) < 1e-6
    for t in range(6):
        expected = two.step(x[:, t])
        found = one.step(x[:, t])
        assert found is not None
        assert expected is not None
        assert worst(found, expected) < 1e-6


def _calls(op: Op) -> list[Any]:
    from codegen.program.ops import Call, walk

    if not isinstance(op, Elementwise):
        return []
    roots = [e for _, e in op.locals] + [e for _, e in op.stores]
    return [node for root in roots for node in walk(root) if isinstance(node, Call)]


def test_one_product_and_one_tanh_for_all_gates() -> None:
    model = chain([lstm(3, 4, "lstm")], (None, 3))
    text = text_of(lower(model))
    step = text[text.index("def step") : text.index("def predict")]
    assert step.count(".dot(") == 1
    code = [line for line in step.splitlines() if not line.strip().startswith("#")]
    assert sum("tanh(" in line for line in code) == 2  # all gates at once, and the cell
    assert not any("sigmoid" in line for line in code)


def test_layers_compute_into_what_the_next_one_reads() -> None:
    layers = [lstm(3, 4, "one"), gru(4, 5, "two", reset_after=True)]
    layers += [gru(5, 5, "three"), dense(5, 2, name="out")]
    text = text_of(lower(chain(layers, (None, 3))))
    step = text[text.index("def step") : text.index("def predict")]
    copies = [line.split() for line in step.splitlines() if "[...] =" in line]
    # Only what a layer gives to the next recurrent one is copied, from the row where it lives.
    assert copies == [
        ["self.x[...]", "=", "x"],
        ["one_h_in[...]", "=", "one_h"],
        ["two_h_in[...]", "=", "two_h"],
    ]
    predict = text[text.index("def predict") : text.index("def reset")]
    assert sum("_in[...] =" in line for line in predict.splitlines()) == 3  # what each step reads
    assert "_MATRIX_2" not in text  # one matrix serves both methods


def test_inputs_of_products_lie_side_by_side_whatever_is_read() -> None:
    """The same vector twice, with and without a bias, what is no whole buffer, what changes."""

    def make(x: Vec, y: Vec) -> list[Op]:
        a, b, c = temp("a", 2), temp("b", 2), temp("c", 3)
        first = Affine(a, constant("p", 2), ((kernel("k", 2, 6), x), (kernel("l", 2, 6), x)))
        second = Affine(b, None, ((kernel("m", 2, 6), x), (kernel("n", 2, 2), x[1:3])))
        third = Affine(c, constant("q", 3), ((kernel("o", 3, 2), x[1:3]), (kernel("r", 3, 2), a)))
        scaled = temp("scaled", 3)
        again = temp("again", 3)
        return [
            first,
            second,
            Elementwise(3, (), ((scaled, At(x[:3]) * 2.0),)),
            Affine(y[:3], constant("s", 3), ((kernel("t", 3, 3), scaled),)),
            third,
            Elementwise(3, (), ((scaled, At(c) + At(scaled)),)),
            Affine(again, None, ((kernel("u", 3, 2), b), (kernel("v", 3, 3), scaled))),
            Affine(
                y[3:], constant("w", 3), ((kernel("z", 3, 3), scaled), (kernel("j", 3, 3), again))
            ),
        ]

    in_rows(make)


def test_products_of_the_same_weights_share_a_matrix() -> None:
    """Whatever they read: the row of the first is filled anew for the second."""
    x, y = tensor("x", "input", 6), tensor("y", "output", 4)
    one, two, bias = kernel("k", 2, 2), kernel("u", 2, 2), constant("b", 2)
    a, b = tensor("a", "temp", 2).vec(), tensor("b", "temp", 2).vec()
    ops = [
        Affine(a, bias, ((one, x.vec()[:2]), (two, x.vec()[2:4]))),
        Affine(b, bias, ((one, x.vec()[4:]), (two, a))),
        Elementwise(2, (), ((y.vec()[:2], At(a)), (y.vec()[2:], call("tanh", b)))),
    ]
    single = program(ops, x, y)
    lowered = by_hand(single, single)
    check(lowered, lengths=(1,))
    text = text_of(lowered)
    assert text.count(" = matrix(") == 1
    # What the first computes is copied for the second: in the row, it would change what it reads.
    assert " a = empty((2,) + lead, float32)" in text[: text.index("def step")]


def test_products_of_one_input_are_one_product() -> None:
    """Results lie side by side, and a bias that is computed is added afterwards."""

    def make(x: Vec, y: Vec) -> list[Op]:
        a, b, c, d = temp("a", 2), temp("b", 3), temp("c", 2), temp("d", 2)
        return [
            Elementwise(2, (), ((c, At(x[:2]) * 2.0),)),
            Affine(a, constant("p", 2), ((kernel("k", 2, 6), x),)),
            Affine(b, None, ((kernel("l", 3, 6), x),)),
            Elementwise(2, (), ((y[:2], At(c)),)),
            Affine(c, None, ((kernel("m", 2, 6), x),)),  # not before what reads the old c
            Affine(d, a, ((kernel("n", 2, 6), x),)),
            Elementwise(2, (), ((y[2:4], At(c) + At(d)),)),
            Elementwise(2, (), ((y[4:], call("tanh", At(b[1:]))),)),
        ]

    in_rows(make)


def test_bounds_are_one_call_in_any_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered = lower(chain([gru(3, 4, "g", gate="hard_sigmoid")], (None, 3)))
    text = text_of(lowered)
    step = text[text.index("def step") : text.index("def predict")]
    assert step.count("\n        clip(") == 1
    assert "minimum(" not in step
    check(lowered)
    for name in ("numpy._core.umath", "numpy.core.umath"):
        monkeypatch.setitem(sys.modules, name, None)  # as in a NumPy that has no such function
    check(lowered)


def test_small_products_stay_in_the_loop_over_time() -> None:
    for inputs, early in ((3, False), (2100, True)):
        layers = [lstm(inputs, 8, "lstm"), gru(8, 5, "gru")]
        lowered = lower(chain([*layers, dense(5, 2, name="out")], (None, inputs)))
        check(lowered)
        text = text_of(lowered)
        predict = text[text.index("def predict") : text.index("def reset")]
        assert ("product(LSTM_KERNEL_SCALED, x, 1)" in predict) == early
        # What the states are multiplied by lies in the row that step has for it.
        assert "h[...] =" not in predict.replace("output", "")


def test_a_stack_of_convolutions_has_no_loop_over_time() -> None:
    layers = [
        conv(4, 4, f"conv_{n}", 2**n, padding, "relu")
        for n, padding in enumerate(("causal", "same", "valid"))
    ]
    lowered = lower(chain(layers, (None, 4)))
    check(lowered, lengths=(20, 11), batches=(None, 3, 16))
    text = text_of(lowered)
    predict = text[text.index("def predict") : text.index("def reset")]
    code = [line for line in predict.splitlines() if not line.strip().startswith("#")]
    assert not any(line.strip().startswith("for ") for line in code)


# ---- views -----------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(0, 8),
    st.lists(st.tuples(st.integers(1, 4), st.integers(-6, 8)), min_size=1, max_size=3),
    st.booleans(),
)
def test_the_text_of_a_view_is_the_view(
    shape: list[int], offset: int, spans: list[tuple[int, int]], lead: bool
) -> None:
    """Every view, however it is written, picks the elements that it must."""
    size = int(np.prod(shape))
    lowest = offset + sum(min(0, (n - 1) * s) for n, s in spans)
    highest = offset + sum(max(0, (n - 1) * s) for n, s in spans)
    if lowest < 0 or highest >= size:
        return
    behind = (2,) if lead else ()
    array = np.arange(int(np.prod(behind)) * size).reshape(tuple(shape) + behind)
    grid = load(text_of(_overlapping())).grid
    text = str(view(Base("array", tuple(shape)), offset, spans, str))
    found = eval(text, {"array": array, "lead": behind, "grid": grid})  # noqa: S307
    flat = array.reshape((size, *behind))
    index = np.full((1,) * len(spans), offset)
    for k, (count, stride) in enumerate(spans):
        steps = (np.arange(count) * stride).reshape((-1,) + (1,) * (len(spans) - 1 - k))
        index = index + steps
    counts = tuple(n for n, _ in spans)
    expected = np.broadcast_to(flat[index], (*counts, *behind))
    assert np.array_equal(np.broadcast_to(found, expected.shape), expected)


def _overlapping() -> Lowered:
    """A program whose file holds the helper `grid`."""
    x, y = tensor("x", "input", 4), tensor("y", "output", 3)
    body = Affine(Vec(y, T, 1), None, ((kernel("k", 1, 2), Vec(x, T, 2)),))
    return by_hand(program([Loop("t", 3, (body,), False)], x, y))


# ---- the interface ---------------------------------------------------------------------------


def test_shapes_are_checked_before_anything_is_computed() -> None:
    model = generated(lower(SEED)).Model()
    model.step(np.ones(4))
    before = model.get_state()
    for wrong in (np.ones(5), np.ones((1, 4)), 1.0, [[1, 2], [3, 4]]):
        with pytest.raises(ValueError, match=r"expected x of shape \(4\), found"):
            model.step(wrong)
    for wrong in (np.ones(4), np.ones((3, 5)), np.ones((0, 4)), np.ones((2, 3, 4))):
        with pytest.raises(ValueError, match=r"expected x of shape \(any, 4\), found"):
            model.predict(wrong)
    with pytest.raises(ValueError, match="expected 4 states, found 1"):
        model.set_state([np.ones(6)])
    with pytest.raises(ValueError, match=r"expected state 3 of shape \(4\), found \(5,\)"):
        model.set_state([np.ones(6), np.ones(5), np.ones(4), np.ones(5)])
    for a, b in zip(before, model.get_state(), strict=True):
        assert np.array_equal(a, b)
    with pytest.raises(ValueError, match="batch"):
        generated(lower(SEED)).Model(batch=0)


def test_what_comes_back_is_the_callers() -> None:
    model = generated(lower(SEED)).Model(batch=2)
    y = model.step(np.ones((2, 4)))
    kept = y.copy()
    states = model.get_state()
    states_kept = [s.copy() for s in states]
    model.step(np.ones((2, 4)))
    Y = model.predict(np.ones((2, 3, 4)))
    again = Y.copy()
    model.predict(np.zeros((2, 3, 4)))
    assert np.array_equal(y, kept)
    assert np.array_equal(Y, again)
    assert all(np.array_equal(a, b) for a, b in zip(states, states_kept, strict=True))
    x = np.ones((2, 3, 4))
    model.predict(x)
    assert (x == 1).all()


def test_lists_and_other_types_are_taken() -> None:
    model = generated(lower(SEED), "float32").Model()
    y = model.step([1, 2, 3, 4])
    model.reset()
    z = model.step(np.array([1, 2, 3, 4], np.float64))
    assert y.dtype == z.dtype == np.float32
    assert np.array_equal(y, z)
    assert model.predict([[1, 2, 3, 4]]).shape == (1, 2)


def test_a_batch_is_a_loop_over_samples() -> None:
    module = generated(lower(SEED))
    many, one = module.Model(batch=3), module.Model()
    x = RNG.standard_normal((3, 5, 4))
    found = many.predict(x)
    stepped = many.step(x[:, 0])
    for k in range(3):
        one.reset()
        assert np.allclose(one.predict(x[k]), found[k], rtol=0, atol=1e-14)
        assert np.allclose(one.step(x[k, 0]), stepped[k], rtol=0, atol=1e-14)


def test_steps_are_predict() -> None:
    module = generated(lower(SEED))
    one, two = module.Model(), module.Model()
    x = RNG.standard_normal((20, 4))
    expected = one.predict(x)
    found = np.stack([two.step(row) for row in x])
    assert np.abs(found - expected).max() < 1e-13
    for a, b in zip(one.get_state(), two.get_state(), strict=True):
        assert np.abs(a - b).max() < 1e-13


def _pickled(model: Any) -> Any:
    return pickle.loads(pickle.dumps(model))  # noqa: S301 (written a moment ago, right here)


def test_copies_and_pickles_are_instances_of_their_own() -> None:
    module = generated(lower(SEED))
    sys.modules["generated"] = module
    try:
        model = module.Model()
        model.step(np.ones(4))
        others = [copy.deepcopy(model), copy.copy(model), _pickled(model)]
        expected = [model.step(np.ones(4)) for _ in range(3)]
        for other in others:
            found = [other.step(np.ones(4)) for _ in range(3)]
            assert np.array_equal(found, expected)
    finally:
        del sys.modules["generated"]


def test_base64_holds_the_same_numbers() -> None:
    lowered = lower(SEED)
    text, short = text_of(lowered), text_of(lowered, weights="base64")
    x = RNG.standard_normal((4, 4))
    assert np.array_equal(load(text).Model().predict(x), load(short).Model().predict(x))
    assert len(short) < len(text)
    assert "base64" not in text


def test_the_text_is_always_the_same() -> None:
    assert text_of(lower(SEED)) == text_of(lower(SEED))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_file_proves_itself(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "model.py"
    text = text_of(lower(SEED), dtype=dtype)
    path.write_text(text)
    run = [sys.executable, "-W", "error", str(path)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    broken = text.replace(
        "GRU_1_GATES_BIAS = array((12,), ", "GRU_1_GATES_BIAS = 1 + array((12,), "
    )
    path.write_text(broken)
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "FAILED" in done.stdout


def test_names_from_a_file_are_data() -> None:
    names = ['x"""\nimport os', "for", "np", "self", "*/ \\", "états", "Model", "add", "1", ""]
    layers = [dense(3, 3, "tanh", name or f"d{n}") for n, name in enumerate(names)]
    layers.append(gru(3, 3, "step"))
    layers.append(gru(3, 3, "predict"))
    lowered = lower(chain(layers, (None, 3)))
    assert "\nimport os" not in text_of(lowered)
    check(lowered, lengths=(3,))


def test_refusals_come_from_the_lowering() -> None:
    model = chain([dense(3, 4, name="a"), dense(5, 2, name="b")], (None, 3))
    with pytest.raises(UnsupportedError, match="its kernel expects 5 values"):
        lower(model)
