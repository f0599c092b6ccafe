"""If with a condition that is known, Loop and Scan, functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from codegen.errors import UnsupportedError
from codegen.model import Array
from tests.support.onnx_models import agrees, lowered, make, saved
from tests.support.targets import TARGETS

KERNEL = np.random.default_rng(1).standard_normal((3, 3)).astype(np.float32) * 0.5


def numbers(*shape: int) -> Array:
    return np.random.default_rng(2).standard_normal(shape).astype(np.float32)


def body(nodes: list[Any], inputs: dict[str, int], outputs: dict[str, int]) -> Any:
    """A graph inside a node; `inputs` and `outputs` with their types."""
    sides = (
        [
            helper.make_tensor_value_info(name, kind, None if kind == F else [])
            for name, kind in side.items()
        ]
        for side in (inputs, outputs)
    )
    return helper.make_graph(nodes, "body", *sides)


F, WHOLE, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def test_the_branch_of_a_constant_is_taken(tmp_path: Path) -> None:
    """As Silero selects by the rate: the other branch may hold anything."""
    good = body([make("Relu", ["x"], ["a"])], {}, {"a": F})
    bad = body([make("NonZero", ["x"], ["b"])], {}, {"b": F})
    nodes = [
        make("Equal", ["sr", "rate"], ["is"]),
        make("If", ["is"], ["y"], then_branch=good, else_branch=bad),
    ]
    path = saved(
        tmp_path, nodes, {"x": (1, 3), "sr": ()}, ["y"], {"rate": np.array(16000)},
        types={"sr": TensorProto.INT64},
    )  # fmt: skip
    with pytest.raises(UnsupportedError, match=r"'y' \(If\): its condition.*--constant IN=NUMBER"):
        lowered(path)
    made = lowered(path, constants={"sr": 16000})
    assert [port.name for port in made.whole.inputs] == ["x"]
    assert [layer.class_name for layer in made.layers] == ["Input", "Relu", "Output"]
    with pytest.raises(UnsupportedError, match=r"'b' \(NonZero\)"):
        lowered(path, constants={"sr": 8000})


def test_a_condition_on_shapes_is_known(tmp_path: Path) -> None:
    squeezed = body([make("Squeeze", ["x", "one"], ["a"])], {}, {"a": F})
    same = body([make("Identity", ["x"], ["b"])], {}, {"b": F})
    nodes = [
        make("Shape", ["x"], ["s"], start=1, end=2),
        make("Equal", ["s", "one"], ["is"]),
        make("If", ["is"], ["c"], then_branch=squeezed, else_branch=same),
        make("Neg", ["c"], ["y"]),
    ]
    path = saved(tmp_path, nodes, {"x": (1, 1, 3)}, ["y"], {"one": np.array([1])})
    agrees("interpreter", path, {"x": numbers(1, 1, 3)}, tmp_path)


def loop(**outputs: int) -> Any:
    """H = tanh(h K) + x[:, i], and h as it was."""
    nodes = [
        make("Gather", ["x", "i"], ["row"], axis=1),
        make("MatMul", ["h", "kernel"], ["p"]),
        make("Tanh", ["p"], ["t"]),
        make("Add", ["t", "row"], ["next"]),
        make("Identity", ["goes"], ["on"]),
        make("Identity", ["h"], ["before"]),
    ]
    return body(
        nodes, {"i": WHOLE, "goes": B, "h": F}, {"on": B, "next": F, "before": F, **outputs}
    )


@pytest.mark.parametrize("count", [1, 4])
def test_a_loop_is_written_out(count: int, tmp_path: Path) -> None:
    nodes = [make("Loop", ["n", "true", "start"], ["h", "all"], body=loop())]
    arrays = {"n": np.array(count), "true": np.array(True), "kernel": KERNEL,
              "start": np.zeros((1, 3), np.float32)}  # fmt: skip
    path = saved(tmp_path, nodes, {"x": (1, 4, 3)}, ["h", "all"], arrays)
    axes = {"all": "_B_"}
    agrees("interpreter", path, {"x": numbers(1, 4, 3)}, tmp_path, axes=axes)


def test_a_loop_without_an_end_is_refused(tmp_path: Path) -> None:
    arrays = {"true": np.array(True), "kernel": KERNEL, "start": np.zeros((1, 3), np.float32)}
    nodes = [make("Loop", ["", "true", "start"], ["h", "all"], body=loop())]
    path = saved(tmp_path, nodes, {"x": (1, 4, 3)}, ["h", "all"], arrays)
    with pytest.raises(UnsupportedError, match="it runs until its body says so"):
        lowered(path)


def scan(folder: Path, steps: int | str, **attributes: Any) -> Path:
    """H' = tanh(h K) + x and y = h + h', for each row of x (steps, 1, 3)."""
    nodes = [
        make("MatMul", ["h", "kernel"], ["p"]),
        make("Tanh", ["p"], ["t"]),
        make("Add", ["t", "row"], ["next"]),
        make("Add", ["h", "next"], ["out"]),
    ]
    graph = body(nodes, {"h": F, "row": F}, {"next": F, "out": F})
    node = make("Scan", ["start", "x"], ["last", "y"], num_scan_inputs=1, body=graph, **attributes)
    arrays = {"kernel": KERNEL, "start": numbers(1, 3)}
    return saved(folder, [node], {"x": (steps, 1, 3)}, ["last", "y"], arrays)


@pytest.mark.parametrize("target", [*TARGETS, "interpreter"])
def test_a_scan_along_time_keeps_its_states(target: str, tmp_path: Path) -> None:
    path = scan(tmp_path, "T")
    x = numbers(6, 1, 3)
    made = lowered(path, axes={"x": "TB_"})
    assert made.step is not None
    assert len(made.step.states) == 1
    agrees(target, path, {"x": x}, tmp_path, lambda x: x[:, 0], axes={"x": "TB_"})


@pytest.mark.parametrize("back", [0, 1])
def test_a_scan_over_known_rows_is_written_out(back: int, tmp_path: Path) -> None:
    path = scan(tmp_path, 4, scan_input_directions=[back], scan_output_directions=[back])
    axes = {"x": "_B_", "y": "_B_"}
    agrees("interpreter", path, {"x": numbers(4, 1, 3)}, tmp_path, lambda x: x[:, 0], axes=axes)


def test_what_a_scan_along_time_reads_outside_is_refused(tmp_path: Path) -> None:
    nodes = [make("Add", ["h", "row"], ["next"]), make("Mul", ["next", "z"], ["out"])]
    graph = body(nodes, {"h": F, "row": F}, {"next": F, "out": F})
    node = make("Scan", ["start", "x"], ["last", "y"], num_scan_inputs=1, body=graph)
    path = saved(tmp_path, [node], {"x": ("T", 1, 3), "z": (1, 3)}, ["y"],
                 {"start": numbers(1, 3)})  # fmt: skip
    with pytest.raises(UnsupportedError, match="reads 'z', which is computed outside"):
        lowered(path, axes={"x": "TB_"})


def test_functions_are_put_in_the_place_of_their_calls(tmp_path: Path) -> None:
    slope = make("LeakyRelu", ["a"], ["b"])
    slope.attribute.add(name="alpha", ref_attr_name="slope", type=1)
    imports = [helper.make_opsetid("", 17)]
    function = helper.make_function("own", "leaky", ["a"], ["b"], [slope], imports, ["slope"])
    nodes = [
        make("leaky", ["x"], ["m"], domain="own", slope=0.25),
        make("leaky", ["m"], ["y"], domain="own", slope=0.5),
    ]
    path = saved(tmp_path, nodes, {"x": (1, 5)}, ["y"], functions=[function])
    agrees("interpreter", path, {"x": numbers(1, 5)}, tmp_path)
