"""Graphs read whole: one with an axis of time, one whose states are bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codegen.model import Array
from tests.support.onnx_models import agrees, make, saved, steps_agree
from tests.support.targets import TARGETS, TOLERANCE

RNG = np.random.default_rng(0)
UNITS, INPUTS = 5, 3


def numbers(*shape: int) -> Array:
    return (RNG.standard_normal(shape) * 0.4).astype(np.float32)


WEIGHTS = {
    "W": numbers(1, 3 * UNITS, INPUTS),
    "R": numbers(1, 3 * UNITS, UNITS),
    "B": numbers(1, 6 * UNITS),
    "dense": numbers(UNITS, 2),
    "bias": numbers(2),
    "axis": np.array([1]),
    "half": np.array(0.5, np.float32),
}


@pytest.mark.parametrize("target", [*TARGETS, "interpreter"])
def test_a_sequence_axis_of_the_graph_is_time(target: str, tmp_path: Path) -> None:
    nodes = [
        make("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        make("GRU", ["t", "W", "R", "B"], ["y"], hidden_size=UNITS, linear_before_reset=1),
        make("Squeeze", ["y", "axis"], ["s"]),
        make("Transpose", ["s"], ["u"], perm=[1, 0, 2]),
        make("MatMul", ["u", "dense"], ["d"]),
        make("Add", ["bias", "d"], ["e"]),
        make("Sigmoid", ["e"], ["out"]),
    ]
    path = saved(tmp_path, nodes, {"x": ("batch", "time", INPUTS)}, ["out"], WEIGHTS)
    agrees(target, path, {"x": numbers(1, 7, INPUTS)}, tmp_path)


@pytest.mark.parametrize("target", [*TARGETS, "interpreter"])
def test_states_are_carried_over_50_steps(target: str, tmp_path: Path) -> None:
    nodes = [
        make("GRU", ["x", "W", "R", "B", "", "h0"], ["y", "hn"], hidden_size=UNITS,
             linear_before_reset=1),
        make("Squeeze", ["y", "axis"], ["s"]),
        make("Gemm", ["s2", "dense", "bias"], ["d"]),
        make("Flatten", ["s"], ["s2"]),
        make("Mul", ["old", "half"], ["less"]),
        make("Add", ["less", "d"], ["new"]),
    ]  # fmt: skip
    nodes[2], nodes[3] = nodes[3], nodes[2]
    inputs = {"x": (1, "batch", INPUTS), "h0": (1, "batch", UNITS), "old": (1, 2)}
    path = saved(tmp_path, nodes, inputs, ["d", "hn", "new"], WEIGHTS)
    states = {"h0": "hn", "old": "new"}
    x = numbers(50, 1, 1, INPUTS)
    assert steps_agree(target, path, {"x": x}, tmp_path, states=states) <= TOLERANCE
