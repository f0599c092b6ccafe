"""What a terminal is shown beside text, and that nothing else is shown it."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result

from codegen.commands.cli import COMMANDS
from codegen.commands.main import main
from codegen.text import terminal

EXAMPLES = Path(__file__).parents[1] / "generated_examples"
LAST = EXAMPLES / "last_step"
DRAWN = set(terminal.STEPS + terminal.PARTS) - {" "}


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def in_terminal(*words: object, **environment: str) -> str:
    """What the command writes to a terminal, on both outputs."""
    master, slave = pty.openpty()
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
    settings = {"TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environment}
    command = [sys.executable, "-m", "codegen", *map(str, words)]
    child = subprocess.Popen(command, stdout=slave, stderr=slave, env={**plain, **settings})
    os.close(slave)
    text = b""
    try:
        while part := os.read(master, 1 << 16):
            text += part
    except OSError:  # Linux' end of a terminal
        pass
    finally:
        os.close(master)
        child.wait()
    return text.decode("utf-8")


# ---- curves and bars ----------------------------------------------------------------------------


def test_a_curve_is_logarithmic_and_keeps_the_largest() -> None:
    assert terminal.curve([1e-8, 1e-7, 1e-6]) == "▁▅█"
    assert terminal.curve([0, 1e-3, float("nan"), float("inf")]) == " ▁██"
    assert terminal.curve([0.0, 0.0]) == "  "
    assert terminal.curve([]) == ""
    long = [1e-8] * 1000
    long[777] = 1.0
    found = terminal.curve(long, 50)
    assert len(found) == 50
    assert found.index("█") == 777 * 50 // 1000
    assert found.count("▁") == 49


def test_what_varies_little_is_nearly_flat() -> None:
    assert set(terminal.curve([1.0, 1.1, 1.0])) == {"▁"}


@pytest.mark.parametrize(
    ("part", "shown"),
    [(0, "    "), (1, "████"), (0.5, "██  "), (1 / 32, "▏   "), (-1, "    "), (7, "████")],
)
def test_a_bar_fills_its_part(part: float, shown: str) -> None:
    assert terminal.bar(part, 4) == shown


# ---- commands -----------------------------------------------------------------------------------


def test_verify_draws_and_colours_in_a_terminal() -> None:
    words = ("verify", EXAMPLES / "seed" / "seed.h5", EXAMPLES / "seed" / "seed_numpy.py")
    text = in_terminal(*words, "--steps", 12)
    assert re.search(r"errors over time: [▁▂▃▄▅▆▇█ ]{12}  largest \S+ at step \d+", text)
    assert "\x1b[32magrees over 12 steps\x1b[0m" in text


@pytest.mark.parametrize("columns", [80, 110])
def test_lines_fit_the_terminal(columns: int) -> None:
    seed = EXAMPLES / "seed"
    for words in (
        ("inspect", seed / "seed.h5"),
        ("verify", seed / "seed.h5", seed / "seed_numpy.py", "--steps", 90),
    ):
        lines = in_terminal(*words, COLUMNS=str(columns), NO_COLOR="1").splitlines()
        shown = [line for line in lines if "(" in line or DRAWN & set(line)]
        assert shown
        assert max(map(len, shown)) <= columns


def test_no_color_keeps_the_curve_and_an_ascii_terminal_gets_none() -> None:
    words = ("inspect", LAST / "last_step.h5")
    plain = in_terminal(*words, NO_COLOR="1")
    assert "█" in plain
    assert "\x1b" not in plain
    assert not DRAWN & set(in_terminal(*words, PYTHONIOENCODING="ascii"))


def test_a_pipe_gets_neither_curves_nor_colours(tmp_path: Path) -> None:
    model, numpy, plain = (LAST / f"last_step{end}" for end in (".h5", "_numpy.py", "_plain.py"))
    for words in (
        ("inspect", model),
        ("verify", model, numpy),
        ("compare", numpy, plain),
        ("check", numpy),
    ):
        found = run(*words)
        assert found.exit_code == 0, found.output
        assert not DRAWN & set(found.output)
        assert "\x1b" not in found.output
    assert set(json.loads(run("verify", model, numpy, "--json").stdout)) >= {"same", "growth"}
    assert "curve" not in run("verify", model, numpy, "--json").stdout


def test_plots_are_files_of_svg(tmp_path: Path) -> None:
    model, numpy, plain = (
        EXAMPLES / "seed" / f"seed{end}" for end in (".h5", "_numpy.py", "_plain.py")
    )
    for words in (
        ("inspect", model),
        ("verify", model, numpy, "--steps", 9),
        ("compare", numpy, plain, "--steps", 9),
    ):
        out = tmp_path / f"{words[0]}.svg"
        found = run(*words, "--plot", out)
        assert found.exit_code == 0, found.output
        root = ET.fromstring(out.read_text())  # noqa: S314  # our own
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert float(root.get("width", "0")) > 300
        first = out.read_bytes()
        run(*words, "--plot", out)
        assert out.read_bytes() == first


def test_a_plot_is_never_written_over_what_is_read(tmp_path: Path) -> None:
    model, numpy = tmp_path / "last_step.h5", tmp_path / "last_step_numpy.py"
    for path in (model, numpy):
        shutil.copy(LAST / path.name, path)
    for words, over in (
        (("inspect", model), model),
        (("verify", model, numpy), numpy),
        (("compare", numpy, numpy), numpy),
    ):
        before = over.read_bytes()
        found = run(*words, "--plot", over)
        assert found.exit_code == 1
        assert "choose another" in found.output
        assert over.read_bytes() == before


def test_a_model_without_steps_has_no_curve(tmp_path: Path) -> None:
    model, made, out = (tmp_path / f"dense{end}" for end in (".keras", ".py", ".svg"))
    keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)]).save(model)
    assert run("convert", model, "-o", made).exit_code == 0
    found = run("verify", model, made, "--plot", out)
    assert found.exit_code == 1
    assert "there is no curve" in found.output
    assert not out.exists()


def test_report_shows_in_a_terminal_how_far_it_is(tmp_path: Path) -> None:
    words = ("report", LAST / "last_step.h5", "--steps", 5, "-o", tmp_path / "r.html")
    assert re.search(r"report +\[#+\] +100%", in_terminal(*words))
    assert "%" not in run(*words).output
    assert run(*words[:-1], "-").stdout == (tmp_path / "r.html").read_text()


def test_long_calibration_and_silence_show_how_far_they_are(tmp_path: Path) -> None:
    model = LAST / "last_step.h5"
    np.save(tmp_path / "data.npy", np.random.default_rng(0).uniform(-1, 1, (2000, 3)))
    integers = ("--quantize", "int8", "--calibration", tmp_path / "data.npy")
    for label, options in (("calibration", integers), ("prewarm", ("--prewarm", 2100))):
        words = ("convert", model, "-o", tmp_path / "m.py", *options)
        # silence ends where nothing changes any more
        assert re.search(rf"{label} +\[[#-]+\] +\d+%", in_terminal(*words)), label
        assert "%" not in run(*words).output


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_each_command_has_examples(name: str) -> None:
    text = run(name, "--help").output
    assert "Examples:" in text
    assert f"  rnn-codegen {name} " in text.split("Examples:")[1]


def test_the_first_help_has_examples_that_are_commands() -> None:
    shown = run("--help").output.split("Examples:\n")[1].splitlines()
    assert [line.split()[:2] for line in shown] == [
        ["rnn-codegen", name] for name in ("inspect", "convert", "verify", "convert")
    ]


def test_a_shell_completes_commands_options_and_choices() -> None:
    for typed, wanted in (
        ("con", "convert"),
        ("convert --boa", "--board"),
        ("report --da", "--data"),
    ):
        words = ["rnn-codegen", *typed.split()]
        settings = {
            "_RNN_CODEGEN_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        program = "from codegen.commands.main import main; main(prog_name='rnn-codegen')"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"plain,{wanted}" in done.stdout.splitlines()
