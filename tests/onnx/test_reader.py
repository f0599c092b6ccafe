"""Graphs read whole: one with an axis of time, one whose states are bound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto

import codegen
from codegen.commands.main import main
from codegen.errors import ReadError, UnsupportedError
from codegen.model import Array
from codegen.readers.onnx.states import proposed
from tests.support.onnx_models import agrees, lowered, make, saved, steps_agree
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


# ---- proposed states ------------------------------------------------------------------------

PROPOSED = {
    "names": ({"x": (1, 4), "h0": (1, 1, 8), "c0": (1, 1, 8)},
              {"y": (1, 4), "hn": (1, 1, 8), "cn": (1, 1, 8)}, (("h0", "hn"), ("c0", "cn"))),
    "a digit more": ({"input": (1, None), "state": (2, None, 128)},
                     {"output": (None, 1), "stateN": (None, None, None)}, (("state", "stateN"),)),
    "shape alone": ({"input_2": (1, 1, 257), "input_3": (1, 2, 128, 2)},
                    {"activation_2": (1, 1, 257), "stack": (1, 2, 128, 2)},
                    (("input_3", "stack"),)),
    "caches": ({"mix": (1, 257, 1, 2), "conv_cache": (2, 1, 16), "tra_cache": (2, 3, 1)},
               {"enh": (1, 257, 1, 2), "conv_cache_out": (2, 1, 16), "tra_cache_out": (2, 3, 1)},
               (("conv_cache", "conv_cache_out"), ("tra_cache", "tra_cache_out"))),
    "numbers": ({"x": (1, 3), "buf_0_in": (1, 5), "buf_1_in": (1, 5)},
                {"y": (1, 3), "buf_1_out": (1, 5), "buf_0_out": (1, 5)},
                (("buf_0_in", "buf_0_out"), ("buf_1_in", "buf_1_out"))),
    "nothing is like a state": ({"x": (1, 3)}, {"y": (1, 3)}, ()),
    "two of one shape": ({"x": (1, 3), "p": (1, 9), "q": (1, 9)},
                         {"y": (1, 3), "u": (1, 9), "v": (1, 9)}, ()),
}  # fmt: skip


@pytest.mark.parametrize("name", PROPOSED)
def test_states_are_proposed_by_shape_and_name(name: str) -> None:
    inputs, outputs, expected = PROPOSED[name]
    assert proposed(inputs, outputs) == expected


def test_inspect_prints_the_command_that_binds_them(tmp_path: Path) -> None:
    node = make("GRU", ["x", "W", "R", "B", "", "h0"], ["", "hn"], hidden_size=UNITS)
    out = make("Squeeze", ["hn", "axis"], ["y"])
    inputs = {"x": (1, 1, INPUTS), "h0": (1, 1, UNITS)}
    path = saved(tmp_path, [node, out], inputs, ["y", "hn"], WEIGHTS)
    runner = CliRunner()
    text = runner.invoke(main, ["inspect", str(path)]).output
    assert "\n  rnn-codegen convert model.onnx --state h0=hn -o model.h\n" in text
    found = json.loads(runner.invoke(main, ["inspect", str(path), "--json"]).output)
    assert found["proposed_states"] == [["h0", "hn"]]
    out_file = tmp_path / "model.h"
    bound = ["--state", "h0=hn"]
    assert not runner.invoke(main, ["convert", str(path), *bound, "-o", str(out_file)]).exit_code
    assert not runner.invoke(main, ["check", str(out_file)]).exit_code
    assert not runner.invoke(main, ["verify", str(path), str(out_file), *bound]).exit_code
    assert "GRU" in runner.invoke(main, ["explain", str(path), *bound]).output


def test_problems_beside_bound_states_are_told(tmp_path: Path) -> None:
    nodes = [make("NonZero", ["x"], ["n"]), make("Add", ["h0", "n"], ["hn"])]
    path = saved(tmp_path, nodes, {"x": (1, 3), "h0": (1, 3)}, ["n", "hn"])
    with pytest.raises(UnsupportedError) as caught:
        lowered(path, states={"h0": "hn"})
    assert [problem.class_name for problem in caught.value.problems] == ["NonZero"]


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        ({"states": {"h0": "no"}}, "there is no output 'no'; found: y, hn"),
        ({"states": {"no": "hn"}}, "there is no input 'no'; found: x, h0"),
        ({"states": {"h0": "hn", "x": "hn"}}, "two states become output 'hn'"),
        ({"axes": {"no": "BT_"}}, "no input or output is called so; found: x, h0, y, hn"),
        ({"axes": {"x": "BT"}}, "2 axes, the input has 3"),
        ({"axes": {"x": "BBT"}}, "two axes B"),
        ({"axes": {"x": "BTX"}}, "expected a letter for each axis"),
        ({"constants": {"no": 1}}, "there is no such input; found: x, h0"),
        ({"constants": {"h0": 1}, "states": {"h0": "hn"}}, "--constant h0=1: it is a state"),
        ({"initial_state": "no.npz"}, "--initial-state without --state"),
    ],
)
def test_options_that_fit_nothing_are_refused(
    reading: dict[str, Any], message: str, tmp_path: Path
) -> None:
    node = make("GRU", ["x", "W", "R", "", "", "h0"], ["y", "hn"], hidden_size=UNITS)
    inputs = {"x": (1, 1, INPUTS), "h0": (1, 1, UNITS)}
    path = saved(tmp_path, [node], inputs, ["y", "hn"], WEIGHTS)
    with pytest.raises(ReadError, match=message):
        codegen.read(path, **reading)


@pytest.mark.parametrize(
    ("kind", "shape", "number", "message"),
    [
        (TensorProto.INT64, (1,), 0.5, "no number of type int64"),
        (TensorProto.INT64, (1,), float("nan"), "no number of type int64"),
        (TensorProto.INT64, (1,), 1e30, "no number of type int64"),
        (TensorProto.UINT8, (1,), -1.0, "no number of type uint8"),
        (TensorProto.FLOAT, (1 << 20, 1 << 20), 1.0, "is too large"),
    ],
)
def test_a_constant_that_its_input_cannot_hold_is_refused(
    kind: int, shape: tuple[int, ...], number: float, message: str, tmp_path: Path
) -> None:
    nodes = [make("Cast", ["k"], ["f"], to=1), make("Add", ["x", "f"], ["y"])]
    path = saved(tmp_path, nodes, {"x": (1, 3), "k": shape}, ["y"], types={"k": kind})
    with pytest.raises(ReadError, match=f"--constant k.*{message}"):
        codegen.read(path, constants={"k": number})


@pytest.mark.parametrize("option", ["--state h0=y", "--axes h0=_B_", "--constant h0=2"])
def test_an_input_is_named_once_for_each_option(option: str, tmp_path: Path) -> None:
    path = saved(tmp_path, [make("Add", ["x", "h0"], ["y"])], {"x": (1, 3), "h0": (1, 3)}, ["y"])
    key, text = option.split()
    once = {"--state": "h0=hn", "--axes": "h0=B__", "--constant": "h0=1"}[key]
    result = CliRunner().invoke(main, ["inspect", str(path), key, once, key, text])
    assert result.exit_code
    assert f"{option}: h0 is named twice" in result.output


def test_an_axis_is_not_called_time_beside_one_that_is(tmp_path: Path) -> None:
    path = saved(tmp_path, [make("Relu", ["x"], ["y"])], {"x": (1, "a", "b")}, ["y"])
    with pytest.raises(UnsupportedError) as caught:
        lowered(path, axes={"x": "BT_"})
    assert str(caught.value).endswith("say how long it is: --axes x=B,T,LENGTH")


def test_options_of_other_formats_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, [make("Relu", ["x"], ["y"])], {"x": (1, 3)}, ["y"])
    with pytest.raises(ReadError, match="leave --config and --by-name out"):
        codegen.read(path, by_name=True)
    seed = Path(__file__).parents[2] / "generated_examples/seed/seed.h5"
    with pytest.raises(ReadError, match="--constant and --initial-state are for ONNX models"):
        codegen.read(seed, states={"h": "hn"})


def test_initial_states_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    node = make("GRU", ["x", "W", "R", "", "", "h0"], ["y", "hn"], hidden_size=UNITS)
    inputs = {"x": (1, 1, INPUTS), "h0": (1, 1, UNITS)}
    path = saved(tmp_path, [node], inputs, ["y", "hn"], WEIGHTS)
    start = tmp_path / "start.npz"
    wrong: dict[str, Any] = {"h0": np.zeros((1, UNITS)), "h1": np.zeros(1)}
    for name, message in (("h0", r"shape \(1, 5\), expected"), ("h1", "'h1' is no state")):
        np.savez(start, **{name: wrong[name]})
        with pytest.raises(ReadError, match=message):
            codegen.read(path, states={"h0": "hn"}, initial_state=start)
    start.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(ReadError, match=r"cannot be read as \.npz"):
        codegen.read(path, states={"h0": "hn"}, initial_state=start)
