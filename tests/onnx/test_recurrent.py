"""GRU, LSTM and RNN in all their forms against onnxruntime."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codegen.errors import UnsupportedError
from codegen.model import Array
from tests.support.onnx_models import agrees, lowered, make, saved, steps_agree
from tests.support.targets import TARGETS, TOLERANCE

UNITS, INPUTS, STEPS = 4, 3, 6
GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}
OUTPUTS = {"GRU": ["Y", "Y_h"], "LSTM": ["Y", "Y_h", "Y_c"], "RNN": ["Y", "Y_h"]}


def numbers(seed: int, *shape: int) -> Array:
    found = np.random.default_rng(seed).standard_normal(shape) * 0.6
    return found.astype(np.float32)


def graph(
    op: str,
    folder: Path,
    *,
    rows: int = 1,
    steps: int = STEPS,
    bias: bool = True,
    peepholes: bool = False,
    start: str = "",
    lengths: int = 0,
    outputs: str = "",
    **attributes: Any,
) -> Path:
    """A file with one recurrent node; `start`: its initial states are constants or inputs."""
    turns = 2 if attributes.get("direction") == "bidirectional" else 1
    layout = attributes.get("layout", 0)
    gates = GATES[op]
    arrays = {
        "W": numbers(1, turns, gates * UNITS, INPUTS),
        "R": numbers(2, turns, gates * UNITS, UNITS),
    }
    names = ["x", "W", "R", "", "", "", "", ""]
    if bias:
        arrays["B"], names[3] = numbers(3, turns, 2 * gates * UNITS), "B"
    if lengths:
        arrays["lens"], names[4] = np.full(rows, lengths, np.int32), "lens"
    shape = (rows, turns, UNITS) if layout else (turns, rows, UNITS)
    inputs: dict[str, Any] = {"x": (rows, steps, INPUTS) if layout else (steps, rows, INPUTS)}
    for number, name in enumerate(("h0", "c0") if op == "LSTM" else ("h0",)):
        if start:
            names[5 + number] = name
        if start == "constant":
            arrays[name] = numbers(5 + number, *shape)
        if start == "input":
            inputs[name] = shape
    if peepholes:
        arrays["P"], names[7] = numbers(4, turns, 3 * UNITS), "P"
    while names[-1] == "":
        names.pop()
    kept = [o if not outputs or o in outputs.split() else "" for o in OUTPUTS[op]]
    while kept[-1] == "":
        kept.pop()
    node = make(op, names, kept, hidden_size=UNITS, **attributes)
    return saved(folder, [node], inputs, [o for o in kept if o], arrays)


DIRECTIONS = ("forward", "reverse", "bidirectional")
FORMS: dict[str, dict[str, Any]] = {
    f"{op} {direction} {form}": {"op": op, "direction": direction, **extra}
    for op, direction in itertools.product(GATES, DIRECTIONS)
    for form, extra in {
        "plain": {},
        "no bias": {"bias": False},
        "constant start": {"start": "constant"},
        "last": {"outputs": "Y_h"},
        "rows": {"rows": 2, "start": "constant"},
        "lengths": {"lengths": 4},
    }.items()
}
for _direction, _before in itertools.product(DIRECTIONS, (0, 1)):
    FORMS[f"GRU {_direction} before {_before}"] = {
        "op": "GRU",
        "direction": _direction,
        "linear_before_reset": _before,
    }
    FORMS[f"GRU {_direction} clip {_before}"] = {
        "op": "GRU",
        "direction": _direction,
        "linear_before_reset": _before,
        "clip": 0.4,
    }
for _direction in DIRECTIONS:
    FORMS |= {
        f"LSTM {_direction} peepholes": {
            "op": "LSTM",
            "direction": _direction,
            "peepholes": True,
        },
        f"LSTM {_direction} coupled": {"op": "LSTM", "direction": _direction, "input_forget": 1},
        f"LSTM {_direction} clip": {
            "op": "LSTM",
            "direction": _direction,
            "peepholes": True,
            "clip": 0.5,
        },
    }
FORMS |= {
    "RNN clip": {"op": "RNN", "clip": 0.3},
    "GRU activations": {
        "op": "GRU", "activations": ["HardSigmoid", "Softsign"], "activation_alpha": [0.3],
        "activation_beta": [0.4],
    },
    "GRU default hard sigmoid": {"op": "GRU", "activations": ["HardSigmoid", "Tanh"]},
    "LSTM activations": {
        "op": "LSTM", "activations": ["Sigmoid", "ScaledTanh", "relu"],
        "activation_alpha": [1.5], "activation_beta": [0.7],
    },
    "LSTM both": {
        "op": "LSTM", "direction": "bidirectional",
        "activations": ["Sigmoid", "Tanh", "Tanh", "HardSigmoid", "LeakyRelu", "Affine"],
        "activation_alpha": [0.25, 0.1, 0.5], "activation_beta": [0.45, 0.2],
    },
    "RNN elu": {"op": "RNN", "activations": ["Elu"], "activation_alpha": [0.7]},
    "RNN thresholded": {"op": "RNN", "activations": ["ThresholdedRelu"],
                        "activation_alpha": [0.2]},
    "RNN softplus": {"op": "RNN", "activations": ["Softplus"]},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_agrees(form: str, tmp_path: Path) -> None:
    settings = dict(FORMS[form])
    path = graph(settings.pop("op"), tmp_path, **settings)
    rows = settings.get("rows", 1)
    x = numbers(9, STEPS, rows, INPUTS)
    axes = {"axes": {"x": "T__"}} if rows > 1 else {}
    agrees(
        "interpreter",
        path,
        {"x": x},
        tmp_path,
        (lambda x: x) if axes else (lambda x: x[:, 0]),
        **axes,
    )


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("rows", [1, 2])
def test_the_other_layout_is_the_same_turned(
    op: str, direction: str, rows: int, tmp_path: Path
) -> None:
    """Onnxruntime does not run layout 1: the same node with layout 0 has the numbers."""
    from codegen.lowered import Reference

    x = numbers(9, STEPS, rows, INPUTS)
    found = {}
    for layout in (0, 1):
        path = graph(op, tmp_path, rows=rows, start="input", layout=layout, direction=direction)
        turns = 2 if direction == "bidirectional" else 1
        starts = [numbers(20 + k, turns, rows, UNITS) for k in range(2 if op == "LSTM" else 1)]
        given = [s.swapaxes(0, 1) if layout else s for s in starts]
        made = lowered(path, axes={"x": "_T_" if layout else "T__"})
        feeds = [x.swapaxes(0, 1) if layout else x, *given]
        inputs = zip(feeds, made.whole.inputs, strict=True)
        outputs = Reference(made).predict(
            *(
                np.moveaxis(f, 1, 0).reshape(1, *f.shape[1:2], *f.shape[:1], *f.shape[2:])
                if layout and p.time
                else f.reshape(1, *map(int, p.shape))
                if not p.time
                else f[None]
                for f, p in inputs
            )
        )
        found[layout] = outputs
    first, second = found[0], found[1]
    for a, b in zip(first, second, strict=True):
        assert np.sort(np.ravel(a)) == pytest.approx(np.sort(np.ravel(b)), abs=1e-9)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("op", GATES)
def test_states_over_50_steps(op: str, target: str, tmp_path: Path) -> None:
    attributes: dict[str, Any] = {"GRU": {"linear_before_reset": 1}}.get(op, {})
    turns = {"LSTM": {"peepholes": True, "clip": 0.8}}.get(op, {})
    pairs = {"h0": "Y_h", **({"c0": "Y_c"} if op == "LSTM" else {})}
    path = graph(op, tmp_path, start="input", rows=3, steps=1, **turns, **attributes)
    x = numbers(9, 50, 1, 3, INPUTS)
    assert steps_agree(target, path, {"x": x}, tmp_path, states=pairs) <= TOLERANCE


def test_a_wrong_export_of_pytorch_is_refused(tmp_path: Path) -> None:
    node = make("GRU", ["x", "W", "R"], ["Y"], hidden_size=UNITS)
    arrays = {"W": numbers(1, 1, 12, INPUTS), "R": numbers(2, 1, 12, UNITS)}
    shape = {"x": ("T", 1, INPUTS)}
    path = saved(tmp_path, [node], shape, ["Y"], arrays, producer="pytorch")
    with pytest.raises(UnsupportedError, match=r"'Y' \(GRU\): linear_before_reset is 0.*export"):
        lowered(path)
    agrees(
        "interpreter",
        saved(tmp_path, [node], shape, ["Y"], arrays),
        {"x": numbers(3, 5, 1, INPUTS)},
        tmp_path,
        lambda x: x[:, 0],
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip": -1.0}, "clip is -1"),
        ({"activations": ["Tanh"]}, "1 activations, expected 2"),
        ({"activations": ["Sigmoid", "Gelu"]}, 'activation "Gelu" is not known'),
        ({"activations": ["Sigmoid", "Affine"]}, "Affine without alpha"),
        ({"wrong": 1}, 'attribute "wrong" is not known'),
        ({"lengths": 9}, "sequence_lens"),
        ({"direction": "sideways"}, "direction is"),
    ],
)
def test_what_is_no_recurrent_node_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError, match=message):
        lowered(graph("GRU", tmp_path, **change))
