"""Nothing overflows: random models with extreme weights, on inputs far out of their ranges.

The machine of integers asserts that every number fits its type, so a wrong bound fails here.
"""

from __future__ import annotations

from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np
import pytest

from codegen.errors import UnsupportedError
from codegen.integers import Scheme, to_integers
from codegen.layers.recurrent import GRUCell, LSTMCell, SimpleRNNCell
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.model import Array, Layer, Model
from codegen.program.activations import ELEMENTWISE, Activation
from codegen.program.integers import Integers
from tests.support.models import chain, conv, dense, recurrent

STEPS = 40
PLAIN = [
    name
    for name, function in ELEMENTWISE.items()
    if all(p.default is not p.empty for p in list(signature(function).parameters.values())[1:])
]


def extreme(random: np.random.Generator, *shape: int) -> Array:
    """Weights whose size is anything from 1e-9 to 1e4, some rows far larger than others."""
    size = 10.0 ** random.uniform(-9, random.choice([0.0, 0.5, 4.0]))
    rows = 10.0 ** random.uniform(-3, 1, shape[-1]) if random.random() < 0.5 else 1.0
    found = random.normal(size=shape) * size * rows
    if random.random() < 0.2:
        found = np.sign(found) * np.max(np.abs(found))  # every weight is as large as the largest
    return found.astype(np.float32)


def cell(random: np.random.Generator, inputs: int, units: int) -> tuple[Any, str]:
    kind = int(random.integers(4))
    gate = Activation(str(random.choice(["sigmoid", "hard_sigmoid", "hard_sigmoid_3"])))
    act = Activation(str(random.choice(["tanh", "tanh", "relu", "linear", "softsign"])))
    if kind == 3:
        return SimpleRNNCell(
            name="rnn",
            class_name="SimpleRNNCell",
            kernel=extreme(random, inputs, units),
            recurrent_kernel=extreme(random, units, units),
            bias=extreme(random, units),
            activation=act,
        ), "SimpleRNN"
    if kind == 2:
        return LSTMCell(
            name="lstm",
            class_name="LSTMCell",
            kernel=extreme(random, inputs, 4 * units),
            recurrent_kernel=extreme(random, units, 4 * units),
            bias=extreme(random, 4 * units),
            activation=act,
            recurrent_activation=gate,
        ), "LSTM"
    return GRUCell(
        name="gru",
        class_name="GRUCell",
        kernel=extreme(random, inputs, 3 * units),
        recurrent_kernel=extreme(random, units, 3 * units),
        bias=extreme(random, 2, 3 * units) if kind else extreme(random, 3 * units),
        activation=act,
        recurrent_activation=gate,
        reset_after=bool(kind),
    ), "GRU"


def random_model(seed: int) -> Model:
    """Some layers one after the other."""
    random = np.random.default_rng(seed)
    inputs, layers = int(random.integers(1, 6)), list[Layer]()
    width = inputs
    for number in range(int(random.integers(1, 4))):
        units = int(random.integers(1, 9))
        kind = int(random.integers(4))
        if kind == 0:
            activation = str(random.choice(PLAIN))
            layer: Layer = replace(
                dense(width, units, activation, f"dense_{number}"),
                kernel=extreme(random, width, units),
                bias=extreme(random, units),
            )
        elif kind == 1:
            layer = replace(
                conv(width, units),
                name=f"conv_{number}",
                kernel=extreme(random, 2, width, units),
                bias=extreme(random, units),
            )
        else:
            one, class_name = cell(random, width, units)
            layer = replace(recurrent(one, class_name), name=f"{one.name}_{number}")
        layers.append(layer)
        width = units
    if random.random() < 0.3:
        layers.append(dense(width, 3, "softmax", "probabilities"))
    return chain(layers, (None, inputs))


def samples(model: Model, seed: int, size: float) -> Array:
    lowered = lower(model)
    width = int(lowered.whole.inputs[0].shape[-1])  # type: ignore[arg-type]
    return np.random.default_rng([seed, 1]).normal(size=(STEPS, width)) * size


def run(made: Lowered, x: Array) -> Integers:
    machine = Integers()
    reference = Reference(made, machine=machine)
    for row in x:
        reference.step(row[None])
    return machine


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_no_integer_leaves_its_type(first: int) -> None:
    taken = 0
    for seed in range(first, first + 20):
        model = random_model(seed)
        size = 10.0 ** np.random.default_rng([seed, 2]).uniform(-4, 3)
        x = samples(model, seed, size)
        for weights in ("int8", "int16"):
            try:
                made = to_integers(lower(model), Scheme(weights, data=[x]))
            except UnsupportedError:
                continue
            taken += 1
            machine = run(made.lowered, x * 1e3)
            assert machine.left > 0
            run(made.lowered, np.full_like(x, np.nan))
            run(made.lowered, np.where(np.arange(STEPS)[:, None] % 2, 1e30, -1e30) + 0 * x)
    assert taken > 20  # most are no refusals
