"""Where ranges come from, what is refused without them, and what happens beyond them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import codegen
from codegen.commands.main import main
from codegen.errors import CodegenError, UnsupportedError
from codegen.integers import Found, Scheme, to_integers
from codegen.integers.quantisation import quantised
from codegen.layers.recurrent import GRUCell, LSTMCell
from codegen.lowered import Reference
from codegen.lowering import lower
from codegen.lowering.rate import at_ratio
from codegen.model import Array, Layer, Model
from codegen.program.integers import Integers
from codegen.program.ops import Affine, walk_ops
from tests.support.models import chain, conv, dense, gru, lstm, recurrent, rnn

SEED = Path(__file__).parents[2] / "generated_examples" / "seed" / "seed.h5"
INPUT = "input_node_name_input"


def noise(steps: int, width: int, size: float = 1.0, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-size, size, (steps, width))


def sequence(*layers: Layer, inputs: int = 3) -> Model:
    return chain(layers, (None, inputs))


def made(model: Model, **options: Any) -> Found:
    return to_integers(lower(model), Scheme(options.pop("weights", "int8"), **options))


def refusal(model: Model, **options: Any) -> str:
    with pytest.raises(UnsupportedError) as error:
        made(model, **options)
    return str(error.value)


def stepped(found: Found, x: Array) -> tuple[Array, Integers]:
    machine = Integers()
    reference = Reference(found.lowered, machine=machine)
    results = [reference.step(row[None]) for row in x]
    return np.stack([y[0][0] for y in results if y is not None]), machine


# ---- what needs data ---------------------------------------------------------------------------


def test_gates_and_states_of_a_gru_need_no_data() -> None:
    found = made(sequence(gru(3, 4), dense(4, 2, "softmax")), inputs={"input": (-1, 1)})
    assert found.limited == {}
    assert found.inputs == {"input": (-1, 1)}


def test_everything_that_is_missing_is_listed() -> None:
    told = refusal(sequence(lstm(3, 4), rnn(4, 3, activation="relu")))
    assert "--input-range input=LOW:HIGH" in told
    assert "'lstm' (LSTM): its 'c' has no bound" in told
    assert "--calibration DATA.npz" in told
    assert "--quantize weights" in told
    assert "(SimpleRNN)" in told
    assert "3 problem(s)" in told


def test_what_is_missing_is_listed_in_the_order_of_the_layers() -> None:
    layers = [replace(rnn(3, 3, activation="relu"), name=f"rnn_{k}") for k in range(6)]
    lines = refusal(sequence(*layers), inputs={"input": (-1, 1)}).splitlines()[1:]
    named = [line.split("'")[1] for line in lines]
    assert named == sorted(named)
    assert len(set(named)) == 6


def test_data_bound_a_cell() -> None:
    x = noise(50, 3)
    found = made(sequence(lstm(3, 4)), data=[x])
    assert list(found.limited) == ["lstm_c"]
    low, high = found.limited["lstm_c"]
    reference = Reference(lower(sequence(lstm(3, 4))))
    seen = []
    for row in x:
        reference.step(row[None])
        seen.append(reference.get_state()[1])
    assert low < np.min(seen)
    assert high > np.max(seen)
    assert high - low < 1.2 * (np.max(seen) - np.min(seen)) + 1e-9


@pytest.mark.parametrize("ratio", [1.5, 3.0])
def test_data_bound_a_cell_that_is_delayed(ratio: float) -> None:
    """The line that its states wait in has the range of the cell, which alone data show."""
    layer = lstm(3, 4)
    assert isinstance(layer.cell, LSTMCell)
    assert layer.cell.bias is not None
    remembers = layer.cell.bias + np.repeat([0, 5, 0, 0], 4).astype(np.float32)
    layer = replace(layer, cell=replace(layer.cell, bias=remembers))
    model, x = at_ratio(sequence(layer, dense(4, 2)), ratio), noise(200, 3)
    found = made(model, weights="int16", data=[x])
    assert list(found.limited) == ["lstm_c"]
    whole, _ = stepped(found, x)
    floats = Reference(lower(model))
    expected = np.stack([floats.step(row[None])[0][0] for row in x])  # type: ignore[index]
    assert np.max(np.abs(whole - expected)) < 2e-3 * np.max(np.abs(expected))


def test_data_narrow_a_bound_that_is_far_too_wide() -> None:
    wide = replace(dense(3, 4), kernel=np.full((3, 4), 30, np.float32))
    model = sequence(wide, dense(4, 2, "tanh", "last"))
    assert "'dense' (Dense)" in refusal(model, inputs={"input": (-1, 1)})
    x = noise(40, 3) * np.array([1.0, -1.0, 0.01])
    x[:, 1] = -x[:, 0]
    assert made(model, data=[x]).limited


def test_the_range_of_an_input_by_hand_counts_more_than_that_of_the_data() -> None:
    model = sequence(gru(3, 4))
    assert made(model, data=[noise(9, 3, 0.5)], inputs={"input": (-2, 2)}).inputs == {
        "input": (-2, 2)
    }


# ---- bad input -----------------------------------------------------------------------------------


def test_a_range_by_hand_is_told_as_it_is_typed() -> None:
    model = sequence(gru(3, 4))
    typed = codegen.generate(model, "c", quantize="int8", input_range=("input=-2:2",))
    assert "--input-range input=-2:2" in typed
    assert "lies between -2 and 2 (given)" in typed
    assert codegen.generate(model, "c", quantize="int8", input_range={"input": (-2, 2)}) == typed


def test_a_range_without_width_is_refused() -> None:
    assert "is of no width" in refusal(sequence(gru(3, 4)), data=[np.zeros((5, 3))])


def test_weights_that_are_not_finite_are_refused() -> None:
    odd = replace(dense(3, 4), kernel=np.full((3, 4), np.inf, np.float32))
    told = refusal(sequence(odd), data=[noise(5, 3)])
    assert "not finite" in told or "no bound" in told


def test_an_input_beyond_its_range_saturates_and_is_counted() -> None:
    found = made(sequence(gru(3, 4)), inputs={"input": (-1, 1)})
    inside, machine = stepped(found, np.full((6, 3), 0.99))
    assert machine.left == 0
    edge, machine = stepped(found, np.full((6, 3), 1.0))
    assert machine.left == 0
    beyond, machine = stepped(found, np.full((6, 3), 50.0))
    assert machine.left == 18
    np.testing.assert_array_equal(edge, beyond)
    assert np.abs(inside - beyond).max() < 0.05
    _, machine = stepped(found, np.full((6, 3), np.nan))
    assert machine.left == 18


def test_rows_whose_sums_would_overflow_take_larger_steps() -> None:
    wide = replace(
        dense(700, 2),
        kernel=np.stack([np.full(700, 0.5), np.where(np.arange(700) < 3, 0.5, 0.001)], 1).astype(
            np.float32
        ),
    )
    found = made(sequence(wide, inputs=700), inputs={"input": (-1, 1)})
    assert found.wider_rows == 1
    (op,) = (op for op in walk_ops(found.lowered.step.ops) if isinstance(op, Affine))  # type: ignore[union-attr]
    data = np.abs(np.asarray(op.products[0][0].buffer.data).reshape(2, 700).astype(int))
    assert data.sum(axis=1).max() <= 65535
    assert data[1].max() == 127
    y, _ = stepped(found, np.ones((1, 700)))
    assert abs(y[0, 0] - (350 + wide.bias[0])) < 0.6  # type: ignore[index]


# ---- accuracy --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "largest", "changed"), [("int8", 2.5e-2, 2), ("int16", 1.5e-3, 0)]
)
def test_the_seed_model_stays_near_over_1000_steps(
    weights: str, largest: float, changed: int
) -> None:
    lowered = lower(codegen.read(SEED))
    x = np.random.default_rng(7).uniform(-1, 1, (1000, 4))
    found = to_integers(lowered, Scheme(weights, inputs={INPUT: (-1, 1)}))
    exact = Reference(lowered)
    wanted = np.stack([exact.step(row[None])[0][0] for row in x])  # type: ignore[index]
    y, _ = stepped(found, x)
    assert np.abs(y - wanted).max() <= largest
    assert np.sum(y.argmax(axis=1) != wanted.argmax(axis=1)) <= changed
    # each row of probabilities sums to 1
    np.testing.assert_allclose(y.sum(axis=1), 1.0, atol=2.0**-15)


def test_integers_add_little_to_the_error_of_rounded_weights() -> None:
    """What is left of an error when weights alone are rounded: that of the same integers."""
    lowered = lower(codegen.read(SEED))
    x = np.random.default_rng(8).uniform(-1, 1, (600, 4))
    exact = Reference(lowered)
    alone = Reference(quantised(lowered, {"quantize": "weights"}))
    found = to_integers(lowered, Scheme("int8", inputs={INPUT: (-1, 1)}))
    wanted = np.stack([exact.step(row[None])[0][0] for row in x])  # type: ignore[index]
    rounded = np.stack([alone.step(row[None])[0][0] for row in x])  # type: ignore[index]
    y, _ = stepped(found, x)
    rms = [np.sqrt(np.mean((one - wanted) ** 2)) for one in (rounded, y)]
    assert rms[1] <= 1.1 * rms[0]


def test_a_slow_unit_has_no_dead_band() -> None:
    """H <- z h + (1 - z) 0.5 with z = 0.999: an audio model has such units."""
    z = np.log(0.999 / 0.001)
    bias = np.array([z, -9.0, np.arctanh(0.5)], np.float32)
    cell = GRUCell(
        name="slow",
        class_name="GRUCell",
        kernel=np.zeros((1, 3), np.float32),
        recurrent_kernel=np.zeros((1, 3), np.float32),
        bias=bias,
    )
    model = sequence(recurrent(cell, "GRU"), inputs=1)
    for weights in ("int8", "int16"):
        y, _ = stepped(
            made(model, weights=weights, inputs={"input": (-1, 1)}), np.zeros((12000, 1))
        )
        assert abs(y[-1, 0] - 0.5) < 2e-4, weights


# ---- on the command line -----------------------------------------------------------------------


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(SEED, tmp_path / "seed.h5")
    np.savez(tmp_path / "data.npz", x=noise(60, 4))
    return tmp_path


def test_a_file_with_calibration_is_made_again_from_its_banner(folder: Path) -> None:
    out = folder / "m.h"
    done = run(
        "convert",
        folder / "seed.h5",
        "-o",
        out,
        "--quantize",
        "int8",
        "--calibration",
        folder / "data.npz",
    )
    assert done.exit_code == 0, done.output
    text = " ".join(out.read_text().replace("*", " ").split())
    assert "--quantize int8 --calibration data.npz" in text
    assert "(measured)" in text
    assert "Measured on data.npz (SHA-256 " in text
    assert "over 60 steps of data.npz against floats" in text
    assert run("check", out).exit_code == 0
    np.savez(folder / "data.npz", x=noise(60, 4, 2.0))
    assert run("check", out).exit_code == 1
    (folder / "data.npz").unlink()
    assert run("check", out).exit_code == 1
    found = run("verify", folder / "seed.h5", out)
    assert found.exit_code == 1
    assert "made with --calibration data.npz, which is needed to make it again" in found.output
    assert f"copy that file to {folder / 'data.npz'}\n" in found.output


def test_verify_finds_one_changed_weight(folder: Path) -> None:
    out = folder / "m.h"
    words = ("convert", folder / "seed.h5", "-o", out, "--quantize", "int8")
    assert run(*words, "--input-range", f"{INPUT}=-1:1").exit_code == 0
    found = run("verify", folder / "seed.h5", out, "--steps", "30", "--layers", "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.output)
    assert told["same"]
    assert told["left"] == 0
    assert 0 < told["largest"] < 0.025
    assert [one["layer"] for one in told["layer_errors"]][-1] == "dense_1"
    text = out.read_text()
    start = text.index("m_dense_1_kernel[")
    first = text.index("{", start) + 1
    end = text.index(",", first)
    number = int(text[first:end])
    out.write_text(f"{text[:first]}{number + (1 if number < 0 else -1)}{text[end:]}")
    found = run("verify", folder / "seed.h5", out, "--steps", "30")
    assert found.exit_code == 1
    assert "the integers say" in found.output


def test_compare_takes_files_of_floats_and_of_int16(folder: Path) -> None:
    run("convert", folder / "seed.h5", "-o", folder / "f.py")
    words = ("convert", folder / "seed.h5", "--quantize", "int16", "--input-range", f"{INPUT}=-1:1")
    assert run(*words, "-o", folder / "a.h").exit_code == 0
    assert run(*words, "-o", folder / "b.h", "--io", "int16").exit_code == 0
    for name in ("a.h", "b.h"):
        found = run("compare", folder / "f.py", folder / name, "--steps", "50", "--json")
        assert found.exit_code == 0, found.output
        told = json.loads(found.output)
        assert 0 < told["largest"] < 1.5e-3
        assert told["decisions_changed"] == 0


def test_inspect_shows_all_four_side_by_side(folder: Path) -> None:
    words = ("inspect", folder / "seed.h5", "--quantize")
    found = run(*words, "--input-range", f"{INPUT}=-1:1")
    lines = {line.split()[0]: line.split() for line in found.output.splitlines() if line.split()}
    flash = {
        name: int(lines[name][1].replace(",", "")) for name in ("float", "weights", "int16", "int8")
    }
    assert flash["int8"] < 0.3 * flash["float"]
    assert flash["int16"] < 0.55 * flash["float"]
    assert "--input-range" in run(*words).output  # what is missing, in its place


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--input-range", "x=1:-1", "--quantize", "int8"), "LOW below HIGH"),
        (("--input-range", "x=a:b", "--quantize", "int8"), "LOW below HIGH"),
        (("--input-range", "x=-1:1", "--quantize", "int8"), f"the inputs are {INPUT}"),
        (("--input-range", f"{INPUT}=-1:1"), "needs --quantize int8 or int16"),
        (("--io", "int16"), "needs --quantize int8 or int16"),
        (("--calibration", "no.npz", "--quantize", "int8"), "no.npz: cannot be read"),
        (("--quantize", "int8"), "nothing says between which numbers it lies"),
    ],
)
def test_wrong_options_are_refused(folder: Path, words: tuple[str, ...], message: str) -> None:
    found = run("convert", folder / "seed.h5", "-o", folder / "m.h", *words)
    assert found.exit_code in (1, 2)
    assert message in found.output
    assert not (folder / "m.h").exists()


def test_nan_in_calibration_data_is_refused(folder: Path) -> None:
    x = noise(20, 4)
    x[3, 2] = np.nan
    np.savez(folder / "data.npz", x=x)
    lowered = lower(codegen.read(folder / "seed.h5"))
    with pytest.raises(CodegenError, match="not finite"):
        quantised(lowered, {"quantize": "int8", "calibration": str(folder / "data.npz")})


def test_predict_has_the_bits_of_steps_that_take_several_rows() -> None:
    strided = replace(conv(3, 4, size=2), strides=(2,), padding="valid")
    lowered = lower(sequence(strided, gru(4, 3)))
    assert (lowered.hop, lowered.warmup) == (2, 0)
    x = noise(12, 3)
    found = made(sequence(strided, gru(4, 3)), weights="int16", data=[x]).lowered
    steps = Reference(found, machine=Integers())
    wanted = [steps.step(x[t : t + 2][None]) for t in range(0, 12, 2)]
    whole = Reference(found, machine=Integers())
    (y,) = whole.predict(x[None])
    np.testing.assert_array_equal(np.stack([w[0] for w in wanted], axis=1), y)  # type: ignore[index]
    for a, b in zip(steps.get_state(), whole.get_state(), strict=True):
        np.testing.assert_array_equal(a, b)
