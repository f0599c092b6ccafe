"""`--prewarm`: the file starts as N steps of zeros leave its model, wherever it was made."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import keras.layers as kl
import numpy as np
import pytest
from click.testing import CliRunner

import codegen
from codegen.commands import boards
from codegen.commands.main import main
from codegen.errors import UnsupportedError
from codegen.integers import Scheme, to_integers
from codegen.lowered import Lowered, Reference
from codegen.lowered.prewarm import prewarmed
from codegen.lowering import lower
from codegen.program import portable
from codegen.program.evaluate import MEANING
from codegen.program.integers import Integers
from tests.layers.oracle import lowered as lowered_keras
from tests.layers.oracle import randomised
from tests.readers import audio_files, audio_reference
from tests.support import targets
from tests.support.models import chain, dense, lstm

MODELS = {**audio_files.small(), **audio_files.nam_models()}
# Windows, gates, two layers with an initial state of their own, dilated windows that are gated.
AUDIO = ("convolutions", "aida-x", "lstm", "gated wavenet")
SILENCE = 23


def written(folder: Path, value: object) -> Path:
    """A file with the object."""
    path = folder / "model.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize("target", targets.TARGETS)
@pytest.mark.parametrize("name", AUDIO)
def test_it_goes_on_as_if_silence_had_been_played(name: str, target: str, tmp_path: Path) -> None:
    lowered = lower(codegen.read(written(tmp_path, MODELS[name]), prewarm=SILENCE))
    model = targets.started(target, lowered, tmp_path)
    width = lowered.model.inputs[0].shape[-1] or 0
    x = np.random.default_rng(1).normal(0, 1, (19, width)).astype(np.float32)
    silent = np.concatenate([np.zeros((SILENCE, width)), x])
    expected = audio_reference.outputs(MODELS[name], silent)[SILENCE:]
    cold = audio_reference.outputs(MODELS[name], x.astype(np.float64))
    assert targets.worst([cold], [expected]) > 1e-3  # else nothing is tested here
    for cut in (0, 1, 7):  # predict starts as reset does, and step goes on
        model.reset()
        parts = [model.predict(x[:cut])[0]] if cut else []
        parts += targets.stepped(model, lowered, [x[cut:]])
        assert targets.worst([np.concatenate(parts)], [expected]) < targets.TOLERANCE
    assert targets.selftest(model)


def of_keras() -> dict[str, Any]:
    """Models with a warm-up, a hop of two rows, carried states, rings, and a last row alone."""
    x = keras.Input((None, 2))
    stateful = [kl.GRU(3, stateful=True, return_sequences=True), kl.LSTM(3, stateful=True)]
    return {
        "warm-up": keras.Sequential([x, kl.Conv1D(3, 4), kl.GRU(3, return_sequences=True)]),
        "hop": keras.Sequential([x, kl.Conv1D(3, 3, strides=2, padding="causal"), kl.GRU(2)]),
        "carried": keras.Sequential([keras.Input(batch_shape=(1, None, 2)), *stateful]),
        "ring": keras.Sequential([x, kl.Conv1D(3, 2, dilation_rate=9, padding="causal")]),
    }


@pytest.mark.oracle
@pytest.mark.parametrize("target", targets.TARGETS)
@pytest.mark.parametrize("name", of_keras())
def test_whatever_streams_can_start_so(name: str, target: str, tmp_path: Path) -> None:
    cold = lowered_keras(randomised(of_keras()[name]))
    warm = prewarmed(cold, SILENCE)
    x = np.random.default_rng(2).normal(0, 1, (12, 2)).astype(np.float32)
    reference = Reference(cold)
    for _ in range(SILENCE):
        reference.step(np.zeros((1, *(warm.step or cold.whole).inputs[0].shape)))
    rows = [reference.step(row[None]) for row in np.split(x, 12 // warm.hop)]
    found = [row[0][0] for row in rows if row is not None]
    assert len(found) == len(rows)
    port = cold.whole.outputs[0]
    expected = np.reshape(found if port.time else found[-1], (-1, 3) if port.time else port.shape)
    model = targets.started(target, warm, tmp_path)
    assert targets.worst(model.predict(x), [expected]) < targets.TOLERANCE
    model.reset()
    assert targets.worst(targets.stepped(model, warm, [x]), [expected]) < targets.TOLERANCE
    assert targets.selftest(model)


def test_rows_that_make_up_no_whole_step_are_refused(tmp_path: Path) -> None:
    warm = prewarmed(lowered_keras(randomised(of_keras()["hop"])), SILENCE)
    for target in targets.TARGETS:
        model = targets.started(target, warm, tmp_path)
        with pytest.raises(ValueError, match=r"steps|number"):
            model.predict(np.zeros((5, 2), np.float32))


def test_silence_that_changes_nothing_more_is_not_played_to_its_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def states(steps: int) -> list[Any]:
        found = lower(codegen.read(path, prewarm=steps)).step
        assert found is not None
        return [state.initial for state in found.states]

    path = written(tmp_path, MODELS["wavenet"])
    taken = list[int]()
    step = Reference.step
    monkeypatch.setattr(Reference, "step", lambda self, *x: taken.append(1) or step(self, *x))
    settled = states(200_000)
    assert len(taken) < 100
    assert all(map(np.array_equal, settled, states(60)))


# ---- the same everywhere --------------------------------------------------------------------

ACROSS = np.concatenate([np.linspace(-40, 40, 2001), np.geomspace(1e-12, 700, 300)])


@pytest.mark.parametrize("name", sorted(portable.OWN))
def test_functions_are_those_of_the_library(name: str) -> None:
    x = np.concatenate([ACROSS, -ACROSS, [0.0, -0.0, np.inf, -np.inf, np.nan, 1e300, -1e300]])
    arguments = (x, np.full(x.shape, 2.5)) if name == "pow" else (x,)
    with np.errstate(all="ignore"):
        expected = MEANING[name](*arguments)
        found = portable.OWN[name](*arguments)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    finite = np.isfinite(expected) & (np.abs(expected) > 1e-300)
    np.testing.assert_array_equal(found[np.isinf(expected)], expected[np.isinf(expected)])
    np.testing.assert_allclose(
        found[finite], expected[finite], rtol=1e-12 if name == "pow" else 4e-15
    )


def test_powers_keep_their_sign() -> None:
    x = np.array([-2.0, -2.0, -2.0, 0.0, 0.0, 3.0, 1.0])
    y = np.array([3.0, 2.0, 0.5, 0.0, 2.0, -1.0, np.inf])
    with np.errstate(invalid="ignore"):  # infinity times log(1)
        found = portable.power(x, y)
    np.testing.assert_allclose(found, [-8, 4, math.nan, 1, 0, 1 / 3, 1], rtol=1e-15)


@pytest.mark.parametrize("more", [[], ["--quantize", "weights"]], ids=["floats", "int8"])
def test_the_text_does_not_depend_on_the_instructions_of_the_machine(
    more: list[str], tmp_path: Path
) -> None:
    path = written(tmp_path, MODELS["lstm"])
    command = [sys.executable, "-m", "codegen", "convert", str(path), "-o", "-", *more]
    command += ["--target", "c", "--dtype", "float64", "--prewarm", "400"]
    older = {
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX",
        "OPENBLAS_CORETYPE": "Nehalem",
    }
    found = [
        subprocess.run(command, env={**os.environ, **own}, capture_output=True, check=True).stdout
        for own in ({}, older)
    ]
    assert found[0] == found[1]
    assert b"--prewarm 400" in found[0]


# ---- the commands ---------------------------------------------------------------------------


def run(*words: object) -> tuple[int, str]:
    """Exit status and output of a command."""
    result = CliRunner().invoke(main, list(map(str, words)))
    return result.exit_code, result.output


def test_the_file_says_how_it_starts(tmp_path: Path) -> None:
    path = written(tmp_path, MODELS["aida-x"])
    for suffix in (".h", ".py", ".js"):
        out = tmp_path / f"amp{suffix}"
        assert run("convert", path, "-o", out, "--prewarm", 9)[0] == 0
        text = out.read_text(encoding="utf-8")
        assert "--prewarm 9\n" in text
        assert "Starts from the state after 9 steps of silence.\n" in text
        assert run("check", out)[0] == 0
        assert run("verify", path, out, "--steps", 30)[0] == 0
        # The model that starts with zeros is another one.
        out.write_text(text.replace(" --prewarm 9", ""), encoding="utf-8")
        assert "edited by hand" in run("check", out)[1]
        assert run("verify", path, out, "--steps", 30)[0] == 1
    found = json.loads(run("inspect", path, "--json", "--prewarm", 9)[1])
    assert (found["prewarm"], found["supported"]) == (9, True)
    for command in ("inspect", "explain"):
        said = run(command, path, "--prewarm", 9)[1]
        assert "Starts from the state after 9 steps of silence.\n" in said
    status, said = run("verify", path, tmp_path / "amp.h", "--against", "keras", "--prewarm", 9)
    assert (status, "Keras has no --rate-ratio and --prewarm" in said) == (2, True)


def test_the_start_counts_in_the_flash(tmp_path: Path) -> None:
    path = written(tmp_path, MODELS["aida-x"])
    flash = [boards.cost(lower(codegen.read(path, prewarm=n))).layers[2].flash for n in (0, 9)]
    assert flash[1] - flash[0] == 4 * 8  # h and c of four units
    total = [boards.cost(lower(codegen.read(path, prewarm=n))).weights for n in (0, 9)]
    assert total[1] - total[0] == 4 * 8


def cold(kind: str) -> Lowered:
    """A model that has no state after silence."""
    models = {
        "ids": [keras.Input((None,), dtype="int32"), kl.Embedding(4, 2), kl.GRU(2)],
        "late": [keras.Input((None, 2)), kl.Conv1D(2, 40)],
        "backwards": [keras.Input((None, 2)), kl.Bidirectional(kl.GRU(2, name="gru"), name="both")],
        "no memory": [keras.Input((None, 2)), kl.Dense(2)],
    }
    return lowered_keras(randomised(keras.Sequential(models[kind])))


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("ids", r"takes integers, none of which means silence"),
        ("late", r"23 steps, expected 39 or more"),
        ("backwards", r"no step: layer 'both' \(Bidirectional\)"),
        ("no memory", r"no state, so silence changes nothing"),
    ],
)
def test_what_has_no_state_after_silence_is_refused(kind: str, message: str) -> None:
    with pytest.raises(UnsupportedError, match=f"--prewarm: .*{message}"):
        prewarmed(cold(kind), SILENCE)


@pytest.mark.oracle
def test_a_state_that_explodes_is_refused() -> None:
    x = keras.Input((None, 1))
    model = keras.Sequential([x, kl.SimpleRNN(2, activation="relu")])
    model.set_weights([np.ones((1, 2)), 2 * np.eye(2), np.ones(2)])
    with pytest.raises(UnsupportedError, match=r"the state after 200 steps of silence is not fini"):
        prewarmed(lowered_keras(model), 200)


def test_a_number_that_is_none_of_steps_is_refused(tmp_path: Path) -> None:
    for steps in (-1, 200_001):
        with pytest.raises(UnsupportedError, match=r"--prewarm: .* steps, expected 1 to 200000"):
            lower(codegen.read(written(tmp_path, MODELS["gru"]), prewarm=steps))


def test_integers_start_from_the_state_that_silence_leaves_in_integers() -> None:
    model = chain([lstm(1, 4), dense(4, 1)], (None, 1))
    data = [np.random.default_rng(0).uniform(-1, 1, (60, 1))]
    cold = to_integers(lower(model), Scheme("int16", data=data)).lowered
    warm = prewarmed(cold, 90)
    silent = Reference(cold, machine=Integers())
    for _ in range(90):
        silent.step(np.zeros((1, 1)))
    started = Reference(warm, machine=Integers())
    for wanted, found in zip(silent.get_state(), started.get_state(), strict=True):
        np.testing.assert_array_equal(wanted, found)
    x = data[0][None]
    wanted = np.stack([silent.step(row[None])[0] for row in data[0]], axis=1)  # type: ignore[index]
    np.testing.assert_array_equal(started.predict(x)[0], wanted)
