"""The command line: every command, every exit status, and files that are written whole or not."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import strategies as st

import codegen
from codegen.commands.main import main
from codegen.commands.verify import verify as verify_runner
from codegen.layers.core import Dense, Embedding
from codegen.layers.recurrent import GRUCell, Recurrent
from codegen.lowering import lower
from codegen.model import Graph, Input, Model, Node, Ref
from codegen.targets import TARGETS
from tests.readers.hostile import Sequential, dense, gru
from tests.support.fixtures import FIXTURES
from tests.support.targets import started

ROOT = Path(__file__).parents[1]
SEED = FIXTURES / "keras215" / "seed_like" / "model.h5"
LAMBDA = FIXTURES / "keras215" / "lambda_layer" / "model.h5"
TWO_INPUTS = FIXTURES / "keras3_15" / "multi_io" / "model.keras"
WEIGHTS = FIXTURES / "keras215" / "weights_json_gru"
WHOLE_ONLY = FIXTURES / "keras3_15" / "bidirectional_concat" / "model.keras"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in a folder of its own, with the seed model in it."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(SEED, tmp_path / "model.h5")
    return tmp_path


def call(*words: str) -> Result:
    """The command in this process; nothing may leave it but an exit status."""
    found = CliRunner().invoke(main, list(words))
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    assert "Traceback" not in found.output
    return found


def done(*words: str) -> Result:
    found = call(*words)
    assert found.exit_code == 0, found.output
    return found


def refused(*words: str) -> str:
    """What a command that exits with 1 says on standard error."""
    found = call(*words)
    assert found.exit_code == 1, found.output
    return found.stderr


def misused(*words: str) -> str:
    found = call(*words)
    assert found.exit_code == 2, found.output
    return found.stderr


def left_behind(folder: Path) -> list[str]:
    """Temporary files of an atomic write that did not end."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


# ---- convert ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "more", "first"),
    [
        ("gru.h", (), "/*"),
        ("gru.py", (), '"""'),
        ("gru.py", ("--target", "python"), "#"),
        ("gru.inc", ("--target", "c"), "/*"),
    ],
)
def test_convert_by_suffix_or_target(
    out: str, more: tuple[str, ...], first: str, here: Path
) -> None:
    found = done("convert", "model.h5", "-o", out, *more)
    text = (here / out).read_text()
    assert text.startswith(first)
    assert "runs one step at a time" in found.stderr
    assert not found.stdout
    assert left_behind(here) == []


def test_convert_to_standard_output(here: Path) -> None:
    found = done("convert", "model.h5", "-o", "-", "--target", "c")
    assert "int model_step(model_state *" in found.stdout  # named after MODEL
    assert "rnn-codegen convert model.h5 -o - --target c" in found.stdout
    assert sorted(path.name for path in here.iterdir()) == ["model.h5"]


def test_convert_names_by_out_or_option(here: Path) -> None:
    done("convert", "model.h5", "-o", "My net-2.h")
    assert "int my_net_2_step(" in (here / "My net-2.h").read_text()
    done("convert", "model.h5", "-o", "a.h", "--name", "Speech")
    assert "int speech_step(" in (here / "a.h").read_text()
    assert "SPEECH_INPUT_SIZE" in (here / "a.h").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("convert",), "Missing argument"),
        (("convert", "model.h5"), "--out"),
        (("convert", "model.h5", "-o", "a.h", "--no-such-option"), "--no-such-option"),
        (("convert", "model.h5", "-o", "a.h", "--target", "cobol"), "cobol"),
        (("convert", "model.h5", "-o", "-"), "--target"),
        (
            ("convert", "model.h5", "-o", "a.py", "--profile", "mcu"),
            "not an option of",
        ),
        (("convert", "model.h5", "-o", "a.h", "--dtype", "int8"), "int8"),
        (("convert", "model.h5", "-o", "a.h", "--max-bytes", "0"), "max-bytes"),
        (("convert", "model.h5", "-o", "a.h", "--max-steps", "0"), "max-steps"),
        (("convert", "model.h5", "-o", "a.txt"), "a.txt: use --target"),
        (("convert", "model.h5", "-o", "a.h", "--name", "for"), "'for_model' would be"),
        (("convert", "model.h5", "-o", "a.h", "--name", "2 x"), "'x_2_x' would be"),
        (("verify", "model.h5"), "OUT"),
        (("verify", "model.h5", "a.h", "--steps", "0"), "steps"),
        (("check",), "OUT"),
        (("no-such-command",), "no-such-command"),
    ],
)
def test_wrong_usage_is_2(words: tuple[str, ...], said: str, here: Path) -> None:
    assert said in misused(*words)
    assert sorted(path.name for path in here.iterdir()) == ["model.h5"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("convert", "gone.h5", "-o", "a.h"), r"gone\.h5: no such file"),
        (("convert", "model.h5", "-o", "gone/a.h"), r"gone/a\.h: cannot be written: No such file"),
        (("convert", "model.h5", "-o", "a.h", "--config", "c.json"), r"c\.json"),
        (("convert", "model.h5", "-o", "a.h", "--max-bytes", "100"), "more than 100 bytes.*raise"),
        (("convert", "model.h5", "-o", "a.h", "--keras-version", "old"), "such as 2.1.5"),
        (("convert", "model.h5", "-o", "a.h", "--custom", "gone:f"), "package.module:function"),
        (("convert", "model.h5", "-o", "a.h", "--custom", "nonsense"), "package.module:function"),
        (("convert", "model.h5", "-o", "model.h5", "--target", "c"), "is read here"),
        (("convert", "model.h5", "-o", ".", "--target", "c"), "directory"),
        (("convert", "model.h5", "-o", "/dev/null", "--target", "c"), "not a regular file"),
        (("inspect", "gone.h5"), r"gone\.h5: no such file"),
        (("explain", "gone.h5"), r"gone\.h5: no such file"),
        (("verify", "model.h5", "gone.h"), r"gone\.h: cannot be read"),
        (("verify", "gone.h5", "gone.h"), r"gone\.h5: no such file"),
    ],
)
def test_failure_is_1_with_one_message(words: tuple[str, ...], said: str, here: Path) -> None:
    message = refused(*words)
    assert re.search(said, message), message
    assert message.startswith("Error: ")
    assert message.count("\n") == 1
    assert sorted(path.name for path in here.iterdir()) == ["model.h5"]


def test_every_problem_is_listed_with_file_layer_and_class(here: Path) -> None:
    Sequential(
        [
            gru("odd", 2, 3, activation="wobble"),
            {"class_name": "Lambda", "config": {"name": "magic", "function": ["x", None, None]}},
            {"class_name": "Mystery", "config": {"name": "who"}},
        ]
    ).save(here / "bad.h5")
    message = refused("convert", "bad.h5", "-o", "a.h")
    assert message.startswith("Error: bad.h5: cannot be converted exactly, 3 problem(s):")
    assert "layer 'odd' (GRU): activation \"wobble\" is not an activation" in message
    assert "layer 'magic' (Lambda): it holds Python code, which is never run" in message
    assert "layer 'who' (Mystery): layers of this class are not supported" in message
    assert message.count("--custom") == 3  # what would work
    assert not (here / "a.h").exists()


def test_weights_alone_are_listed_and_pair_with_a_configuration(here: Path) -> None:
    for name in ("weights.h5", "config.json"):
        shutil.copy(WEIGHTS / name, here)
    for command in (("convert", "weights.h5", "-o", "a.py"), ("inspect", "weights.h5")):
        message = refused(*command)
        assert "--config" in message
        assert "gru_1: (3, 15), (5, 15), (15,)" in message
    done("convert", "weights.h5", "-o", "a.py", "--config", "config.json")
    done("verify", "weights.h5", "a.py", "--config", "config.json")
    assert done("check", "a.py").stdout == "a.py: same\n"
    done("convert", "weights.h5", "-o", "b.py", "--config", "config.json", "--by-name")
    assert " --by-name" in (here / "b.py").read_text().split("\n", 5)[3]
    before = (here / "config.json").read_bytes()
    message = refused(
        "convert", "weights.h5", "-o", "config.json", "--target", "c", "--config", "config.json"
    )
    assert "is read here" in message
    assert (here / "config.json").read_bytes() == before


def test_out_never_replaces_a_model(here: Path) -> None:
    before = (here / "model.h5").read_bytes()
    (here / "link.h").symlink_to("model.h5")
    os.link(here / "model.h5", here / "hard.h")
    shutil.copy(TWO_INPUTS, here / "other.h")
    for out in ("link.h", "hard.h", "other.h", "./model.h5"):
        message = refused("convert", "model.h5", "-o", out, "--target", "c")
        assert "is read here" in message or "holds a model" in message
    assert (here / "model.h5").read_bytes() == before
    assert (here / "other.h").read_bytes() == TWO_INPUTS.read_bytes()
    for out, words in (
        ("data.csv", ("convert", "model.h5", "--quantize", "int8", "--calibration", "data.csv")),
        ("start.h", ("convert", "model.h5", "--initial-state", "start.h")),
        ("data.csv", ("inspect", "model.h5", "--calibration", "data.csv")),
    ):
        (here / out).write_text("0\n")
        flags = ("--plot", out) if words[0] == "inspect" else ("-o", out, "--target", "c")
        assert "is read here" in refused(*words, *flags)
        assert (here / out).read_text() == "0\n"
    folder = here / "folder"
    shutil.copytree(FIXTURES / "keras3_15" / "directory" / "model", folder)
    config = (folder / "config.json").read_bytes()
    assert "holds a model" in refused("convert", "folder", "-o", "folder/config.json", "--target=c")
    assert (folder / "config.json").read_bytes() == config


def test_existing_out_survives_failure_and_keeps_permissions(here: Path) -> None:
    out = here / "a.h"
    out.write_text("mine")
    refused("convert", str(LAMBDA), "-o", "a.h")
    assert out.read_text() == "mine"
    out.chmod(0o640)
    done("convert", "model.h5", "-o", "a.h")
    assert out.read_text().startswith("/*")
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
    old = os.umask(0o027)
    try:
        done("convert", "model.h5", "-o", "new.h")
    finally:
        os.umask(old)
    assert stat.S_IMODE((here / "new.h").stat().st_mode) == 0o640
    (here / "elsewhere.h").write_text("")
    (here / "link.h").symlink_to("elsewhere.h")
    done("convert", "model.h5", "-o", "link.h")
    assert (here / "link.h").is_symlink()
    assert (here / "elsewhere.h").read_text().startswith("/*")


def command_of(path: Path) -> list[str]:
    """The command in a banner, as a shell takes it apart."""
    text = re.sub(r"\\\n *(\*|#|//)? +", "", path.read_text())
    found = re.search(r"rnn-codegen convert .*", text)
    assert found is not None
    return shlex.split(found[0])[1:]


@pytest.mark.parametrize(
    ("out", "more"),
    [
        ("a.h", ("--profile", "mcu", "--name", "net")),
        ("a.py", ("--dtype", "float64")),
        ("a b's.py", ("--target", "python")),
        ("a.h", ("--max-bytes", "100000", "--allow-nonfinite", "--keras-version", "2.1.5")),
    ],
)
def test_the_banner_makes_the_file_again(out: str, more: tuple[str, ...], here: Path) -> None:
    done("convert", str(here / "model.h5"), "-o", str(here / out), *more)
    before = (here / out).read_bytes()
    command = command_of(here / out)
    assert command[:4] == ["convert", "model.h5", "-o", out]
    assert str(here).encode() not in before
    (here / out).unlink()
    done(*command)
    assert (here / out).read_bytes() == before


def test_the_banner_holds_any_spaces_and_dashes(here: Path) -> None:
    (here / "model.h5").rename(here / "-my  model.h5")
    done("convert", "-o", "a  b.py", "--", "-my  model.h5")
    before, command = (here / "a  b.py").read_bytes(), command_of(here / "a  b.py")
    (here / "a  b.py").unlink()
    done(*command)
    assert (here / "a  b.py").read_bytes() == before
    assert done("check", "a  b.py").stdout == "a  b.py: same\n"


def test_inference_is_in_the_banner_and_said(here: Path) -> None:
    shutil.copy(FIXTURES / "tf_keras221" / "training_dropout" / "model.h5", here / "dropout.h5")
    assert "use --inference to convert it" in refused("convert", "dropout.h5", "-o", "a.py")
    assert "use --inference to convert it" in done("inspect", "dropout.h5").stdout
    said = "as at inference, though the model calls them with training=True: lstm, dropout"
    assert said in done("inspect", "dropout.h5", "--inference").stdout
    assert said in done("convert", "dropout.h5", "-o", "a.py", "--inference").stderr
    found = json.loads(done("inspect", "dropout.h5", "--inference", "--json").stdout)
    assert found["at_inference"] == ["lstm", "dropout"]
    assert command_of(here / "a.py")[1:] == ["dropout.h5", "-o", "a.py", "--inference"]
    assert done("check", "a.py").stdout == "a.py: same\n"
    assert done("verify", "dropout.h5", "a.py", "--inference").exit_code == 0
    assert "dropout" in done("explain", "dropout.h5", "--inference").stdout


# ---- inspect and explain ------------------------------------------------------------------

KEYS = [
    "name", "format", "writer", "keras_version", "parameters", "macs_per_step", "weight_bytes",
    "state_bytes", "inputs", "outputs", "layers", "at_inference", "stateful", "time_axis",
    "streamable", "warmup", "hop", "reason", "supported", "problems", "tensors", "layers_json",
    "proposed_states",
    "facts", "rate_ratio", "prewarm",
]  # fmt: skip


def inspected(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done("inspect", str(path), "--json").stdout)
    assert list(found) == KEYS
    for layer in found["layers"]:
        assert {"name", "class", "output_shape", "parameters", "stateful"} <= set(layer)
    for tensor in found["inputs"] + found["outputs"]:
        assert list(tensor) == ["name", "shape", "dtype"]
    return found


def test_inspect_json_of_the_seed_model() -> None:
    found = inspected(SEED)
    assert found["format"] == "keras_h5"
    assert found["writer"] == "Keras 2.1.5"
    assert found["keras_version"] == "2.1.5"
    assert found["parameters"] == 696
    assert found["inputs"] == [
        {"name": "input_node_name_input", "shape": [None, 4], "dtype": "float32"}
    ]
    assert found["outputs"] == [{"name": "dense_1", "shape": [None, 2], "dtype": "float32"}]
    assert found["stateful"] is True
    assert found["time_axis"] is True
    assert found["streamable"] is True
    assert found["reason"] is None
    assert found["supported"] is True
    assert found["problems"] == []
    assert found["state_bytes"] == 4 * (7 + 6 + 5)
    assert [layer["class"] for layer in found["layers"]] == [
        "InputLayer", "GRU", "GRU", "GRU", "Dense",
    ]  # fmt: skip


def test_inspect_json_of_a_model_without_step() -> None:
    found = inspected(WHOLE_ONLY)
    assert found["streamable"] is False
    assert "bidirectional" in found["reason"]
    assert found["supported"] is True


def test_inspect_json_of_a_model_without_time(here: Path) -> None:
    layer = dense("d", 4, 2)
    layer["config"]["batch_input_shape"] = [None, 4]
    Sequential([layer]).save(here / "flat.h5")
    found = inspected(here / "flat.h5")
    assert found["time_axis"] is False
    assert found["inputs"][0]["shape"] == [4]
    assert found["reason"] == "the model has no time axis"


def test_inspect_answers_for_what_convert_refuses() -> None:
    found = inspected(LAMBDA)
    assert found["supported"] is False
    assert found["time_axis"] is True
    (problem,) = found["problems"]
    assert list(problem) == ["layer", "class", "message"]
    assert (problem["layer"], problem["class"]) == ("lambda_1", "Lambda")
    text = done("inspect", str(LAMBDA)).stdout
    assert "cannot be converted exactly:" in text
    assert "layer 'lambda_1' (Lambda)" in text


def test_inspect_and_explain_as_text() -> None:
    text = done("inspect", "model.h5").stdout
    assert "model.h5: keras_h5, written by Keras 2.1.5" in text
    assert re.search(r"dense_1 +Dense\(2, softmax\) +Tx2 +12 +10", text)
    assert "runs one step at a time" in text
    assert "no step: layer" in done("inspect", str(WHOLE_ONLY)).stdout
    explained = done("explain", "model.h5").stdout
    assert "gru_layer_1" in explained
    assert max(map(len, explained.splitlines())) <= 80
    assert "input_node_name_h' the state" in explained
    assert refused("explain", str(LAMBDA)).startswith("Error: model.h5: cannot be converted")


def test_nothing_steers_the_terminal(here: Path) -> None:
    name = "\x1b[31mred\u202etfel\nnew"
    Sequential([gru(name, 2, 3), dense("d", 3, 2)]).save(here / "odd.h5")
    Sequential([gru("g", 2, 3, activation=name), {"class_name": name, "config": {}}]).save(
        here / "bad.h5"
    )
    for words in (("inspect", "odd.h5"), ("explain", "odd.h5"), ("convert", "odd.h5", "-oa.h")):
        found = done(*words)
        assert not re.search("[\x1b\u202e]", found.stdout + found.stderr)
    for found in (call("convert", "bad.h5", "-o", "b.h"), done("inspect", "bad.h5")):
        assert not re.search("[\x1b\u202e]", found.stdout + found.stderr)


# ---- verify -------------------------------------------------------------------------------


def test_verify_agrees_and_differs(here: Path) -> None:
    for out, more in (("a.h", ()), ("a.py", ()), ("p.py", ("--target", "python"))):
        done("convert", "model.h5", "-o", out, *more)
        found = done("verify", "model.h5", out, "--steps", "20")
        assert found.stdout.startswith(f"{out}: agrees over 20 steps\n")
        assert "dense_1: largest error" in found.stdout
    text = (here / "a.h").read_text()
    weight = re.search(r"-?0\.\d{6,}", text[text.index("static const") :])
    assert weight is not None
    (here / "a.h").write_text(text.replace(weight[0], "0.75", 1))
    found = call("verify", "model.h5", "a.h")
    assert found.exit_code == 1
    assert "a.h: differs" in found.stdout
    found = call("verify", "model.h5", "a.h", "--json")
    assert found.exit_code == 1
    answer = json.loads(found.stdout)
    assert answer["same"] is False
    assert answer["verdict"].startswith("differs")
    assert answer["outputs"][0]["output"] == "dense_1"
    assert answer["growth"][-1][0] == 100


def test_verify_prints_json_that_any_reader_takes(here: Path) -> None:
    done("convert", "model.h5", "-o", "a.py", "--target", "python")
    text, first = (here / "a.py").read_text(), "    def step(self, x):\n"
    (here / "a.py").write_text(text.replace(first, f"{first}        return [1e999, 0.0]\n"))
    found = call("verify", "model.h5", "a.py", "--json")
    assert found.exit_code == 1

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(found.stdout, parse_constant=refuse)["outputs"][0]["relative"] is None


def test_verify_many_steps_tells_how_errors_grow() -> None:
    done("convert", "model.h5", "-o", "a.h")
    answer = json.loads(done("verify", "model.h5", "a.h", "--steps", "2000", "--json").stdout)
    assert [steps for steps, _ in answer["growth"]][-3:] == [500, 1000, 2000]
    assert answer["steps"] == 2000


def test_verify_with_data_of_ones_own(here: Path) -> None:
    done("convert", "model.h5", "-o", "a.py")
    rows = np.random.default_rng(0).normal(size=(7, 4))
    np.savetxt(here / "x.csv", rows, delimiter=",")
    assert "over 7 steps" in done("verify", "model.h5", "a.py", "--data", "x.csv").stdout
    np.savez(here / "x.npz", x=rows[:5])
    assert "over 5 steps" in done("verify", "model.h5", "a.py", "--data", "x.npz").stdout
    np.save(here / "x.npy", rows[:3])
    assert "over 3 steps" in done("verify", "model.h5", "a.py", "--data", "x.npy").stdout
    done("convert", str(TWO_INPUTS), "-o", "two.py")
    shapes = [i["shape"] for i in inspected(TWO_INPUTS)["inputs"]]
    np.savez(here / "two.npz", *(np.ones((6, n)) for _, n in shapes))
    assert "6 steps" in done("verify", str(TWO_INPUTS), "two.py", "--data", "two.npz").stdout


def test_verify_refuses_data_that_does_not_fit(here: Path) -> None:
    done("convert", "model.h5", "-o", "a.py")
    (here / "text.csv").write_text("a,b,c,d\n")
    (here / "empty.npz").write_bytes(b"")
    (here / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    (here / "a.npy").write_bytes(b"\x93NUMPY")
    np.savez(here / "wide.npz", np.ones((3, 5)))
    np.savez(here / "nan.npz", np.full((3, 4), np.nan))
    np.savez(here / "words.npz", np.array([["a"] * 4]))
    np.savez(here / "none.npz")
    np.savez(here / "object.npz", np.array([{}, None], dtype=object))
    for name, said in {
        "gone.npz": "cannot be read",
        "text.csv": "cannot be read",
        "empty.npz": "cannot be read",
        "cut.npz": "cannot be read",
        "a.npy": "a.npy",
        "wide.npz": r"found shape \(3, 5\), expected \(any, 4\)",
        "nan.npz": "not finite",
        "words.npz": "not finite",
        "none.npz": "0 arrays found, expected 1",
        "object.npz": "cannot be read",
    }.items():
        message = refused("verify", "model.h5", "a.py", "--data", name)
        assert re.search(said, message), message
        assert name in message


def test_verify_refuses_a_file_that_is_not_generated(here: Path) -> None:
    (here / "a.h").write_text("int main(void) { return 0; }\n")
    assert "not a generated file" in refused("verify", "model.h5", "a.h")
    done("convert", "model.h5", "-o", "b.h")
    (here / "b.h").write_text((here / "b.h").read_text().replace("int b_step", "int b step"))
    assert "does not compile" in refused("verify", "model.h5", "b.h")
    done("convert", "model.h5", "-o", "c.py")
    (here / "c.py").write_text((here / "c.py").read_text() + "\n1 / 0\n")
    assert "cannot be imported: ZeroDivisionError" in refused("verify", "model.h5", "c.py")


@pytest.mark.parametrize("out", ["other.h", "other.py", "plain.py"])
def test_verify_refuses_what_another_model_gave(out: str, here: Path) -> None:
    target = ("--target", "python") if out == "plain.py" else ()
    others = (
        Sequential([gru("g", 3, 2)]),
        Sequential([gru("g", 4, 2), gru("h", 2, 7), dense("d", 7, 2)]),
    )
    for model in others:
        model.save(here / "other.h5")
        done("convert", "other.h5", "-o", out, *target)
        assert re.search(
            "made from another model|does not accept", refused("verify", "model.h5", out)
        )
    done(
        "convert", str(WHOLE_ONLY), "-o", out, *target, *(("--max-steps", "9") * (out == "other.h"))
    )
    assert "made from another model" in refused("verify", "model.h5", out)


def random_gru(gain: float, units: int = 64) -> Model:
    """Three GRU layers with weights N(0, gain / sqrt(fan in)), and a Dense."""
    rng = np.random.default_rng(5)

    def weight(rows: int, columns: int) -> Any:
        return (rng.normal(size=(rows, columns)) * gain / np.sqrt(rows)).astype(np.float32)

    nodes = [Node(Input(name="x", class_name="InputLayer", shape=(None, 4)))]
    width = 4
    for number in range(3):
        cell = GRUCell(
            name=f"cell_{number}",
            class_name="GRU",
            kernel=weight(width, 3 * units),
            recurrent_kernel=weight(units, 3 * units),
            bias=None,
        )
        layer = Recurrent(name=f"g{number}", class_name="GRU", cell=cell, return_sequences=True)
        nodes.append(Node(layer, (Ref(number),)))
        width = units
    last = Dense(name="d", class_name="Dense", kernel=weight(units, 2), bias=None)
    nodes.append(Node(last, (Ref(3),)))
    return Model(
        "wild", Graph(tuple(nodes), (0,), (Ref(4),)), "keras_h5", "Keras 3.0.0", "w.h5", "0" * 16
    )


def test_verify_takes_a_single_number(tmp_path: Path) -> None:
    nodes = (
        Node(Input(name="x", class_name="InputLayer", shape=(), dtype="int32")),
        Node(Embedding(name="e", class_name="Embedding", table=np.eye(3)), (Ref(0),)),
    )
    graph = Graph(nodes, (0,), (Ref(1),))
    lowered = lower(Model("one", graph, "keras_h5", "Keras 3.0.0", "w.h5", "0" * 16))
    report = verify_runner(lowered, started("python", lowered, tmp_path))
    assert report.same


def test_a_chaotic_network_is_judged_step_by_step(tmp_path: Path) -> None:
    lowered = lower(random_gru(4.0))
    found = verify_runner(lowered, started("c", lowered, tmp_path), steps=600)
    assert found.outputs[0].relative > 1e-2  # the free run parts completely
    assert found.single_step is not None
    assert found.single_step < 2e-5
    assert found.same
    assert "chaotic" in found.verdict
    calm = lower(random_gru(1.0))
    folder = tmp_path / "calm"
    folder.mkdir()
    report = verify_runner(calm, started("c", calm, folder), steps=600)
    assert report.same
    assert "chaotic" not in report.verdict


@pytest.mark.oracle
def test_verify_against_the_keras_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = str(FIXTURES / "keras3_15" / "stack_mixed" / "model.keras")
    done("convert", model, "-o", "a.py")
    words = ("verify", model, "a.py", "--against", "keras", "--steps", "12", "--layers", "--json")
    answer = json.loads(done(*words).stdout)
    assert answer["keras"].startswith("3.")
    assert answer["verdict"].startswith("agrees with Keras 3.")
    assert [one["layer"] for one in answer["layers"]][:3] == ["gru", "lstm", "simple_rnn"]
    assert max(one["relative"] for one in answer["layers"]) < 2e-5
    # The same layers with another meaning of one of them: the first that differs is named.
    real = codegen.read

    def wrong(*args: Any, **options: Any) -> Model:
        read = real(*args, **options)
        lstm = next(node.layer for node in read.graph.nodes if node.layer.name == "lstm")
        assert isinstance(lstm, Recurrent)
        lstm.cell.recurrent_kernel[0] *= -1
        return read

    monkeypatch.setattr(codegen, "read", wrong)
    found = call(*words)
    layers = {one["layer"]: one["relative"] for one in json.loads(found.stdout)["layers"]}
    assert layers["gru"] < 2e-5 < layers["lstm"]


@pytest.mark.oracle
def test_verify_against_keras_is_about_predict(tmp_path: Path) -> None:
    """There Keras 3 heeds no training=True of a call, though a call of the model does."""
    import keras  # slow, and needed here alone

    x = keras.Input((None, 3))
    y = keras.layers.GRU(2)(keras.layers.BatchNormalization()(x, training=True))
    model = str(tmp_path / "trains.keras")
    keras.Model(x, y).save(model)
    done("convert", model, "-o", "trains.py")
    done("verify", model, "trains.py", "--against", "keras", "--steps", "12")


def test_without_keras_it_says_so(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    done("convert", "model.h5", "-o", "a.py")
    (here / "keras.py").write_text("raise ImportError('No module named keras')\n")
    monkeypatch.setenv("PYTHONPATH", str(here))
    message = refused("verify", "model.h5", "a.py", "--against", "keras")
    assert "--against keras needs Keras" in message
    assert message.count("\n") == 1


# ---- check --------------------------------------------------------------------------------


def test_check_says_the_same_of_fresh_files() -> None:
    for out in ("a.h", "b.py"):
        done("convert", "model.h5", "-o", out)
    assert done("check", "a.h", "b.py").stdout == "a.h: same\nb.py: same\n"


def test_check_says_why_a_file_differs(here: Path) -> None:
    done("convert", "model.h5", "-o", "fine.py")
    for out in ("edited.h", "older.h", "stale.h"):
        done("convert", "model.h5", "-o", out)
    edited = here / "edited.h"
    edited.write_text(edited.read_text().replace("static", "extern", 1))
    older = here / "older.h"
    text = older.read_text().replace("static", "extern", 1)
    older.write_text(text.replace(f"rnn-codegen {codegen.__version__}.", "rnn-codegen 0.0.9.", 1))
    found = call("check", "fine.py", "edited.h", "older.h")
    assert found.exit_code == 1
    assert found.stdout == "fine.py: same\n"
    assert "edited.h: edited by hand" in found.stderr
    assert f"older.h: older generator: made by 0.0.9, this is {codegen.__version__}" in found.stderr
    shutil.copy(FIXTURES / "keras215" / "gru" / "model.h5", here / "model.h5")
    assert "stale.h: stale: the model has changed since" in refused("check", "stale.h")


def test_check_finds_the_model_or_is_told(here: Path) -> None:
    sub = here / "sub"
    sub.mkdir()
    done("convert", "model.h5", "-o", "sub/a.h")
    assert "was not found; give its path with --model" in refused("check", "sub/a.h")
    assert done("check", "sub/a.h", "--model", "model.h5").exit_code == 0
    shutil.copy(here / "model.h5", sub)
    assert done("check", "sub/a.h").stdout == "sub/a.h: same\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("model.h5 -o a.h --bogus", "refused"),
        ("model.h5 -o a.h --help", "refused: No such option"),
        ("model.h5 -o a.py --profile mcu", "refused"),
        ("model.h5", "refused"),
        ("model.h5 -o a.h 'unclosed", "cannot be read"),
        ("'mod\0el.h5' -o a.h", "cannot be read"),
        ("model.h5 -o 'a\u202e.h'", "cannot be read"),
        ("../model.h5 -o a.h", "elsewhere"),
        ("/etc/passwd -o a.h", "elsewhere"),
        ("model.h5 -o a.h --config ../x.json", "elsewhere"),
        ("model.h5 -o a.h --custom evil:run", "give the same --custom here"),
        ("model.h5 -o a.txt", "use --target"),
        ("model.h5 -o a.h --name if", "identifier"),
    ],
)
def test_check_trusts_no_banner(command: str, said: str, here: Path) -> None:
    (here / "evil.py").write_text("import pathlib\npathlib.Path('ran').touch()\nrun = print\n")
    done("convert", "model.h5", "-o", "a.h")
    path = here / "a.h"
    path.write_text(path.read_text().replace("convert model.h5 -o a.h", f"convert {command}"))
    assert said in refused("check", "a.h")
    assert not (here / "ran").exists()


WORDS = [
    *(
        "model.h5",
        "a.h",
        "-o",
        "-",
        "--",
        "",
        ".",
        "..",
        "/",
        "~",
        "a/b",
        "..\\x",
        "-oa.py",
        "x" * 5000,
    ),
    *("\0", "\x1b[31m", "\u202e", "\n", "\ud800", "é", "'", '"', "$(x)", "@a.h", "%s", "--help"),
    *("--target", "c", "python", "--name", "--config", "--package", "arduino", "--board", "uno"),
    *(
        "--custom",
        "os:system",
        "--max-bytes",
        "--max-bytes=1",
        "--max-steps",
        "--max-steps=1",
        "-1",
    ),
    *(
        "9" * 400,
        "--dtype",
        "float64",
        "--keras-version",
        "3",
        "tf1.15",
        "--by-name",
        "--config=\0",
    ),
]


@hypothesis.settings(
    max_examples=25, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(words=st.lists(st.sampled_from(WORDS), max_size=6), quoted=st.booleans())
@hypothesis.example(words=["\0", "-o", "a.h"], quoted=True)
@hypothesis.example(words=["model.h5", "-o", "a.h", "--package", "arduino"], quoted=True)
def test_check_of_any_banner(words: list[str], quoted: bool, here: Path) -> None:
    """Whatever a banner says, check answers in one line and changes nothing."""
    done("convert", "model.h5", "-o", "a.h")
    path = here / "a.h"
    command = " ".join(shlex.quote(word) if quoted else word for word in words)
    text = path.read_text().replace("convert model.h5 -o a.h", f"convert {command}")
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    found = call("check", "a.h")
    assert found.exit_code in (0, 1)
    assert re.fullmatch(r"a\.h: [ -~é]+\n", found.output)
    assert sorted(one.name for one in here.iterdir()) == ["a.h", "model.h5"]


def test_check_of_what_is_no_generated_file(here: Path) -> None:
    (here / "plain.h").write_text("int x;\n")
    (here / "binary.h").write_bytes(bytes(range(256)))
    message = refused("check", "plain.h", "binary.h", "gone.h", ".")
    for name in ("plain.h: not a generated file", "binary.h: ", "gone.h: ", ".: "):
        assert name in message


# ---- as a program -------------------------------------------------------------------------


def program(*words: str, start: tuple[str, str] = ("-m", "codegen")) -> subprocess.Popen[bytes]:
    """`python -m codegen` in a process of its own; `start` is another way to begin it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *start, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )


# What click 8.1 lacks of later releases.
OLD_CLICK = """
import click

def progressbar(*args, new=click.progressbar, **named):
    assert "hidden" not in named
    return new(*args, **named)

click.ParamType.__class_getitem__ = None
click.progressbar = progressbar
from codegen.commands.main import main
main(prog_name="rnn-codegen")
"""


def test_old_releases_of_click_are_enough(here: Path) -> None:
    words = ("convert", "model.h5", "-o", "a.h", "--rate-ratio", "3/2")
    process = program(*words, start=("-c", OLD_CLICK))
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told


def test_as_a_program(here: Path) -> None:
    for words, status, said in (
        (("convert", "model.h5", "-o", "a.h"), 0, b"runs one step"),
        (("convert", "gone.h5", "-o", "b.h"), 1, b"Error: gone.h5: no such file"),
        (("convert", "model.h5", "--frobnicate"), 2, b"--frobnicate"),
        (("verify", "model.h5", "a.h"), 0, b""),
        (("check", "a.h"), 0, b""),
        (("--version",), 0, b""),
    ):
        process = program(*words)
        out, err = process.communicate(timeout=60)
        assert process.returncode == status, err
        assert said in err
        assert b"Traceback" not in err
    assert codegen.__version__.encode() in out


def large_model(path: Path) -> None:
    """A file whose conversion takes a moment."""
    Sequential([gru("g", 48, 120), dense("d", 120, 48)]).save(path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_conversion_leaves_out_as_it_was(number: int, here: Path) -> None:
    large_model(here / "large.h5")
    out = here / "a.h"
    done("convert", "large.h5", "-o", "whole.h", "--name", "a")
    command_line = r"convert large.h5 -o \S+ "
    whole = re.sub(command_line, "", (here / "whole.h").read_text())
    for delay in (0.05, 0.25, 0.45, 0.6, 0.8):
        out.write_text("before")
        process = program("convert", "large.h5", "-o", "a.h", "--name", "a")
        time.sleep(delay)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        text = out.read_text()
        assert text == "before" or re.sub(command_line, "", text) == whole
        if number == signal.SIGINT and process.returncode == 1 and delay >= 0.45:
            assert err.strip().splitlines()[-1].endswith(b"Aborted!")
    if number == signal.SIGINT:
        assert left_behind(here) == []


# The limit is set in the child itself: no Python may run between fork and exec beside threads.
FULL_DISK = """\
import resource, runpy, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
runpy.run_module("codegen", run_name="__main__", alter_sys=True)
"""


def test_a_full_disk_leaves_out_as_it_was(here: Path) -> None:
    out = here / "a.h"
    out.write_text("before")
    process = program("convert", "model.h5", "-o", "a.h", start=("-c", FULL_DISK))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.strip() == b"Error: a.h: cannot be written: File too large"
    assert out.read_text() == "before"
    assert left_behind(here) == []


def test_two_conversions_at_once_leave_one_whole_file(here: Path) -> None:
    large_model(here / "large.h5")
    texts = []
    for profile in ("host", "mcu"):
        done("convert", "large.h5", "-o", "a.h", "--profile", profile)
        texts.append((here / "a.h").read_text())
    assert texts[0] != texts[1]
    for _ in range(2):
        running = [
            program("convert", "large.h5", "-o", "a.h", "--profile", profile)
            for profile in ("host", "mcu", "host")
        ]
        for process in running:
            _, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
        assert (here / "a.h").read_text() in texts
    assert left_behind(here) == []


def test_a_closed_pipe_is_no_traceback() -> None:
    process = program("convert", str(SEED), "-o", "-", "--target", "c")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)


def test_help_names_every_command_without_loading_it() -> None:
    from codegen.commands.cli import COMMANDS
    from codegen.commands.main import SUMMARIES

    assert {name: one.get_short_help_str(200) for name, one in COMMANDS.items()} == SUMMARIES
    code = "import sys, codegen.commands.main; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_layers_of_a_file_of_floats_are_those_of_keras() -> None:
    done("convert", "model.h5", "-o", "a.py")
    assert "--against keras, or a file of integers" in misused(
        "verify", "model.h5", "a.py", "--layers"
    )


def test_help_lists_options_under_their_target() -> None:
    """Each target has its own, with its own words, even where another has one of that name."""
    text = call("convert", "--help").output
    head, *sections = text.split("\nTarget ")
    assert "How MODEL is read:" in head
    shared = {"dtype", "quantize", "calibration", "input_range", "io"}
    assert all(f"--{name.replace('_', '-')}" in head for name in shared)
    assert [section.partition(":")[0] for section in sections] == list(TARGETS)
    for section, target in zip(sections, TARGETS.values(), strict=True):
        flags = [word.split()[0] for word in re.findall(r"^  (--.*)", section, re.MULTILINE)]
        assert flags == [one.flag for one in target.options if one.name not in shared]


def test_help_ends_with_examples_a_line_each() -> None:
    text = call("convert", "--help").output
    assert (
        "\n    rnn-codegen convert model.h5 -o model.h\n    rnn-codegen convert model.keras" in text
    )


def test_a_suffix_of_another_target_is_told(here: Path) -> None:
    told = done("convert", "model.h5", "-o", "net.py", "--target", "c").stderr
    assert "warning: net.py is for target c; its suffix means numpy or python\n" in told
    assert (here / "net.py").read_text().startswith("/*")
    for out, target in (("net.h", "c"), ("net.py", "python"), ("net.mjs", "javascript")):
        assert "warning" not in done("convert", "model.h5", "-o", out, "--target", target).stderr


def test_flash_and_ram_are_told_for_microcontrollers_alone(here: Path) -> None:
    said = {
        words: "flash" in done("convert", "model.h5", "-o", *words).stderr
        for words in (
            ("a.h",),
            ("a.py",),
            ("a.h", "--profile", "mcu"),
            ("a.h", "--board", "uno"),
            ("a.py", "--board", "uno"),
        )
    }
    assert list(said.values()) == [False, False, True, True, True]


# Seconds of CPU time: twice what was measured, for slow machines and a start without bytecode.
@pytest.mark.parametrize(
    ("words", "limit"), [(("--help",), 0.2), (("convert", "model.h5", "-o", "net.h"), 1.0)]
)
def test_cpu_time_of_a_command(words: tuple[str, ...], limit: float, here: Path) -> None:
    """The child process that reads hostile files first is one of ours, too."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "codegen", *words], check=True, capture_output=True)
    after = os.times()
    used = sum(after[2:4]) - sum(before[2:4])
    assert used < limit


def test_readers_and_targets_that_are_not_asked_for_are_not_loaded(here: Path) -> None:
    code = """if True:
        import sys
        from codegen.commands.main import main
        main(["convert", "model.h5", "-o", "net.h"], standalone_mode=False)
        apart = ("codegen.readers.torch", "codegen.readers.audio", "codegen.targets.numpy",
                 "codegen.targets.python", "codegen.targets.javascript", "codegen.commands.verify")
        sys.exit([name for name in sys.modules if name.startswith(apart)] or 0)
    """
    found = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("suffix", [".h", ".py", ".js"])
def test_a_long_command_goes_on_below(suffix: str) -> None:
    out = f"a_file_of_a_name_that_is_rather_long_by_itself{suffix}"
    options = [
        "--name",
        "a_prefix",
        "--by-name",
        "--keras-version",
        "2.1.5",
        "--max-bytes",
        "123456789",
    ]
    assert call("convert", "model.h5", "-o", out, *options).exit_code == 0
    lines = Path(out).read_text(encoding="utf-8").split("\n")
    assert max(map(len, lines)) <= 100
    assert command_of(Path(out))[-2:] == ["--max-bytes", "123456789"]
    assert call("check", out).output == f"{out}: same\n"
