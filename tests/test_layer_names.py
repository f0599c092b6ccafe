"""Names of layers only label the output: no choice of them changes what a model computes."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.layers.merging import Merge
from codegen.layers.wrappers import TimeDistributed
from codegen.lowered import Reference
from codegen.lowering import lower
from codegen.model import Array, Graph, Input, Layer, Model, Node, Ref
from tests.support.models import dense, gru


def predicted(model: Model) -> list[Array]:
    x, y = np.ones((1, 5, 2)), np.full((1, 5, 2), 0.3)
    return list(Reference(lower(model)).predict(*(x, y)[: len(model.inputs)]))


def given(name: str, *shape: int | None) -> Layer:
    return Input(name=name, class_name="InputLayer", shape=shape)


def model(graph: Graph) -> Model:
    return Model("m", graph, "keras_h5", "Keras 3.0.0", "m.h5", "0" * 16)


def shared_and_single(first: str, second: str, third: str) -> list[Array]:
    """A GRU called twice, another GRU, and a Dense with as many weights as the gates have."""
    shared, single, last = gru(2, 3, first), gru(2, 3, second, seed=1), dense(2, 6, name=third)
    add = Merge(name="add", class_name="Add", mode="add")
    nodes = (
        Node(given("a", None, 2)),
        Node(given("b", None, 2)),
        Node(shared, (Ref(0),)),
        Node(shared, (Ref(1),)),
        Node(single, (Ref(0),)),
        Node(add, (Ref(2), Ref(3), Ref(4))),
        Node(last, (Ref(0),)),
    )
    return predicted(model(Graph(nodes, (0, 1), (Ref(5), Ref(6)))))


@pytest.mark.parametrize(
    "names",
    [
        ("gru", "gru_2", "dense"),  # the second call of the first is not the second layer
        ("gru", "other", "gru_gates"),  # "gru" + "gates_kernel", "gru_gates" + "kernel"
        ("gru_2", "gru", "gru_candidate"),
        ("a b", "a_b", "a/b"),
    ],
)
def test_names_that_run_together(names: tuple[str, str, str]) -> None:
    for found, expected in zip(
        shared_and_single(*names), shared_and_single("p", "q", "z"), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("names", [("a/d", "b/d"), ("d", "d_2")])
def test_layers_of_one_name_in_two_models_inside_time_distributed(names: tuple[str, str]) -> None:
    def built(first: str, second: str) -> list[Array]:
        one, other = dense(2, 2, name=first), dense(2, 2, name=second, seed=1)
        nodes = (
            Node(given("in", 2)),
            Node(one, (Ref(0),)),
            Node(one, (Ref(1),)),
            Node(other, (Ref(2),)),
        )
        inner = Graph(nodes, (0,), (Ref(3),))
        wrapper = TimeDistributed(name="td", class_name="TimeDistributed", graph=inner)
        outer = Graph((Node(given("x", None, 2)), Node(wrapper, (Ref(0),))), (0,), (Ref(1),))
        return predicted(model(outer))

    np.testing.assert_array_equal(built(*names)[0], built("p", "q")[0])
