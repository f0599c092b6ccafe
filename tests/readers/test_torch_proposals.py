"""The LAYERS.json that `inspect` writes for weights without a description."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import codegen
from codegen.commands.main import main
from codegen.errors import UnsupportedError
from codegen.lowered import Reference
from codegen.lowering import lower
from codegen.readers import bare_weights
from codegen.readers.options import Options
from codegen.readers.torch import description
from codegen.readers.torch.propose import text
from tests.readers.torch_files import archive, npz, tensor
from tests.support.fixtures import TORCH, Case, torch_cases
from tests.support.targets import TOLERANCE, worst

CASES = list(torch_cases())
# What the tensors tell completely, but for Last and dropout.
WHOLE = {"GRU", "LSTM", "GRUCell", "LSTMCell", "Linear", "Embedding", "Last", "Dropout", "Identity"}

# What has an option that the tensors do not tell, or nothing between two Linears.
OPTIONS = "embedding_max_norm|linear|final|random"


def proposed(path: Path) -> dict[str, Any]:
    found = bare_weights(path, Options())
    assert found is not None
    return found.proposal


def done(*words: str) -> str:
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_proposal_is_a_description_that_uses_every_tensor(case: Case, tmp_path: Path) -> None:
    path = case.weights[0]
    config = tmp_path / "layers.json"
    config.write_text(text(proposed(path)))
    description.parse(config.read_bytes(), config.name)
    model = codegen.read(path, config)
    assert model.problems == ()
    marked = [x for x in proposed(path)["layers"] if None in x.values() or "note" in x]
    if not marked:
        lower(model)


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if set(c.layers) <= WHOLE and not re.match(OPTIONS, c.name)],
    ids=str,
)
def test_what_the_tensors_tell_converts_as_it_is(case: Case, tmp_path: Path) -> None:
    proposal = proposed(case.weights[0])
    if "Last" in case.layers:
        place = case.layers.index("Last")
        proposal["layers"].insert(place, {"class": "Last"})
    config = tmp_path / "layers.json"
    config.write_text(json.dumps(proposal))
    lowered = lower(codegen.read(case.weights[0], config))
    for call in case.calls:
        found = Reference(lowered, len(call.inputs[0])).predict(*call.inputs)
        assert worst(found, call.outputs) <= TOLERANCE


def shapes(**found: tuple[int, ...]) -> bytes:
    """An archive of zeros, in which `a__b` stands for the name `a.b`."""
    return npz(**{n.replace("__", "."): np.zeros(s, np.float32) for n, s in found.items()})


def layers(data: bytes, folder: Path) -> list[dict[str, Any]]:
    path = folder / "w.npz"
    path.write_bytes(data)
    found: list[dict[str, Any]] = proposed(path)["layers"]
    return [{k: v for k, v in layer.items() if k != "note"} for layer in found]


RNN = {"rnn__weight_ih_l0": (12, 3), "rnn__weight_hh_l0": (12, 4)}
FC1, FC2 = {"a__weight": (5, 4), "a__bias": (5,)}, {"b__weight": (2, 5), "b__bias": (2,)}
GRU = {"class": "GRU", "weights": "rnn"}
A, B = {"class": "Linear", "weights": "a"}, {"class": "Linear", "weights": "b"}
UNKNOWN = {"class": "Unknown"}
PROPOSALS: dict[str, tuple[dict[str, tuple[int, ...]], list[dict[str, Any]]]] = {
    "a head of two": ({**RNN, **FC1, **FC2}, [GRU, A, UNKNOWN, B]),
    "in another order": ({**FC2, **FC1, **RNN}, [GRU, A, UNKNOWN, B]),
    "a norm between": (
        {**RNN, **FC1, "layer_norm__weight": (5,), "layer_norm__bias": (5,), **FC2},
        [GRU, A, {"class": "LayerNorm", "weights": "layer_norm"}, UNKNOWN, B],
    ),
    "groups of a norm": (
        {**RNN, "gn__weight": (4,), "gn__bias": (4,)},
        [GRU, {"class": "GroupNorm", "weights": "gn", "num_groups": None}],
    ),
    "a norm of any kind": (
        {**RNN, "n__weight": (4,), "n__bias": (4,)}, [GRU, {"class": "Unknown", "weights": "n"}],
    ),
    "an embedding": (
        {"emb__weight": (9, 3), **RNN}, [{"class": "Embedding", "weights": "emb"}, GRU],
    ),
    "an embedding perhaps": (
        {"x__weight": (9, 3), **RNN}, [{"class": "Unknown", "weights": "x"}, GRU],
    ),
    "groups of a convolution": (
        {**RNN, "c__weight": (6, 2, 3), "c__bias": (6,)},
        [GRU, {"class": "Conv1d", "weights": "c", "stride": None, "padding": None,
               "dilation": None, "groups": 2}],
    ),
    "a transposed convolution": (
        {**RNN, "c__weight": (4, 6, 3), "c__bias": (6,)},
        [GRU, {"class": "ConvTranspose1d", "weights": "c", "stride": None, "padding": None,
               "dilation": None}],
    ),
    "numbers of an nn.Sequential": (
        {"0__weight": (5, 4), "0__bias": (5,), "2__weight": (5,), "2__bias": (5,),
         "2__running_mean": (5,), "2__running_var": (5,), "3__weight": (2, 5)},
        [{"class": "Linear", "weights": "0"}, UNKNOWN, {"class": "BatchNorm1d", "weights": "2"},
         {"class": "Linear", "weights": "3"}],
    ),
    "numbers inside a module": (
        {**RNN, "head__1__weight": (5, 4), "head__1__bias": (5,), "head__3__weight": (2, 5)},
        [GRU, UNKNOWN, {"class": "Linear", "weights": "head.1"}, UNKNOWN,
         {"class": "Linear", "weights": "head.3"}],
    ),
    "numbers without gaps": (
        {"fcs__0__weight": (5, 4), "fcs__0__bias": (5,), "fcs__1__weight": (2, 5)},
        [{"class": "Linear", "weights": "fcs.0"}, UNKNOWN, {"class": "Linear", "weights": "fcs.1"}],
    ),
    "PReLU": (
        {"0__weight": (5, 4), "0__bias": (5,), "1__weight": (1,), "2__weight": (2, 5)},
        [{"class": "Linear", "weights": "0"}, {"class": "PReLU", "weights": "1"},
         {"class": "Linear", "weights": "2"}],
    ),
    "attention": (
        {"t__in_proj_weight": (12, 4), **RNN}, [{"class": "Unknown", "weights": "t"}, GRU],
    ),
    "a strange recurrent layer": (
        {"rnn__weight_ih_l0": (8, 3), "rnn__weight_hh_l0": (8, 4)},
        [{"class": "Unknown", "weights": "rnn"}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(PROPOSALS))
def test_what_is_proposed(case: str, tmp_path: Path) -> None:
    tensors, expected = PROPOSALS[case]
    assert layers(shapes(**tensors), tmp_path) == expected


def test_an_order_that_is_not_that_of_the_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(shapes(**FC2, **FC1, **RNN))
    assert proposed(path)["note"][0].startswith("check the order")
    assert proposed(path)["note"][0].endswith(": b, a, rnn")


def test_the_modules_of_a_sequence_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(shapes(n__0__weight=(4, 4), n__0__bias=(4,), n__3__weight=(2, 4)))
    assert proposed(path)["layers"][1]["note"] == "n.1, n.2: without weights"


def test_widths_that_do_not_follow_are_said(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(shapes(**RNN, a__weight=(5, 7), a__bias=(5,)))
    assert "set their order" in proposed(path)["note"][0]


def test_what_is_not_told_is_refused_until_it_is(tmp_path: Path) -> None:
    path, config = tmp_path / "w.npz", tmp_path / "layers.json"
    rnn = {"r__weight_ih_l0": (4, 3), "r__weight_hh_l0": (4, 4)}
    path.write_bytes(shapes(**rnn, **FC1, **FC2))
    done("inspect", str(path), "--layers", str(config))
    with pytest.raises(UnsupportedError) as caught:
        lower(codegen.read(path, config))
    assert "nonlinearity is null: give what the tensors do not tell" in str(caught.value)
    assert "it is still to be filled in" in str(caught.value)


def test_from_weights_to_a_header_in_two_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.pt").write_bytes((TORCH / "torch213" / "gru" / "weights.pt").read_bytes())
    monkeypatch.chdir(tmp_path)
    said = done("inspect", "model.pt", "--layers", "LAYERS.json")
    command = re.search(r"rnn-codegen (convert .*)", said)
    assert command is not None
    done(*command[1].split())
    header = (tmp_path / "model.h").read_text()
    assert "rnn-codegen convert model.pt -o model.h --config LAYERS.json" in header
    assert "written by PyTorch" in header
    assert done("check", "model.h") == "model.h: same\n"
    assert "agrees" in done("verify", "model.pt", "model.h", "--config", "LAYERS.json")
    assert "GRU" in done("explain", "model.pt", "--config", "LAYERS.json")
    assert "runs one step" in done("inspect", "model.pt", "--config", "LAYERS.json")


def test_inspect_lists_the_tensors(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(
        archive({"fc.weight": tensor(np.zeros((2, 3))), "n": tensor(1.0, shape=(), strides=())})
    )
    said = done("inspect", str(path))
    assert "fc.weight  float32  2x3" in said
    assert "n          float32  scalar" in said
    found = json.loads(done("inspect", str(path), "--json"))
    assert found["tensors"][0] == {"name": "fc.weight", "shape": [2, 3], "dtype": "float32"}
    assert found["layers_json"]["input"] == [None]
    assert (found["writer"], found["format"]) == ("PyTorch", "torch_zip")
    assert (found["supported"], found["parameters"]) == (False, 7)


def test_layers_is_for_weights_alone(tmp_path: Path) -> None:
    words = ["inspect", str(TORCH.parent / "keras215" / "gru" / "model.h5"), "--layers", "x.json"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "--layers works only for weights" in result.output


def test_the_weights_are_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(shapes(**RNN))
    result = CliRunner().invoke(main, ["inspect", str(path), "--layers", str(path)])
    assert result.exit_code != 0
    assert path.read_bytes() == shapes(**RNN)
