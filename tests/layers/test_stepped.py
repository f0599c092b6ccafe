"""A graph of which one run is one step: states that change places, several inputs and outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codegen.layers.core import Dense
from codegen.layers.merging import Merge
from codegen.lowered import Reference
from codegen.lowering import lower
from codegen.model import Array, Graph, Input, Model, Node, Ref, State
from tests.support.targets import TARGETS, TOLERANCE, started, worst

KERNEL = np.array([[0.5, -0.25], [0.75, 0.1]])
STEPS = np.linspace(-1, 1, 10).reshape(5, 2), np.linspace(2, -1, 10).reshape(5, 2)


def model() -> Model:
    """Of states a' = a K + x and b' = a, the outputs b + y and b as they were before the step."""
    nodes = [
        *(Node(Input(name=name, class_name="Input", shape=(None, 2))) for name in "xy"),
        *(Node(State(name=name, class_name="State", shape=(2,))) for name in "ab"),
        Node(Dense(name="fc", class_name="Dense", kernel=KERNEL, bias=None), (Ref(2),)),
        Node(Merge(name="next", class_name="Add", mode="add"), (Ref(4), Ref(0))),
        Node(Merge(name="sum", class_name="Add", mode="add"), (Ref(3), Ref(1))),
    ]
    graph = Graph(tuple(nodes), (0, 1), (Ref(6), Ref(3)), {2: Ref(5), 3: Ref(2)})
    return Model("net", graph, "", "", "net", "")


def expected() -> tuple[Array, Array]:
    a, b = np.zeros(2), np.zeros(2)
    sums, before = [], []
    for x, y in zip(*STEPS, strict=True):
        sums.append(b + y)
        before.append(b)
        a, b = a @ KERNEL + x, a
    return np.array(sums), np.array(before)


def test_states_are_read_before_they_are_written() -> None:
    lowered = lower(model())
    assert lowered.step is not None
    assert any(layer.is_stateful for layer in lowered.model.layers)
    reference = Reference(lowered, 1)
    found = [reference.predict(*(x[None, rows] for x in STEPS)) for rows in (slice(2), slice(2, 5))]
    joined = [np.concatenate([part[k][0] for part in found]) for k in range(2)]
    assert worst(joined, expected()) <= TOLERANCE


@pytest.mark.parametrize("target", list(TARGETS))
def test_every_target_steps_through_it(target: str, tmp_path: Path) -> None:
    lowered = lower(model())
    running = started(target, lowered, tmp_path)
    for number, wanted in enumerate(zip(*expected(), strict=True)):
        assert worst(running.step(*(x[number] for x in STEPS)), wanted) <= TOLERANCE
    running.reset()
    assert worst(running.predict(*STEPS), expected()) <= TOLERANCE
