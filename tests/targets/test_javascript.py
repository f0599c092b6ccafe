"""JavaScript as its users have it: run by node, imported, in a browser's audio thread."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import codegen
from codegen.commands.main import main
from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.running import javascript
from tests.support.fixtures import FIXTURES
from tests.support.targets import rendered, started, worst

EXAMPLES = Path(__file__).parents[2] / "generated_examples"


def gru() -> Lowered:
    return lower(codegen.read(FIXTURES / "keras215" / "gru" / "model.h5"))


def run(script: str, folder: Path) -> str:
    """What a module beside `model.mjs` prints."""
    (folder / "use.mjs").write_text(script)
    done = subprocess.run(
        ["node", "use.mjs"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- in node ------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["text", "base64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_node_runs_the_self_test(weights: str, dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "a b#%41?.mjs"  # a name that looks otherwise as a URL
    path.write_text(rendered(gru(), "javascript", weights=weights, dtype=dtype))
    link = tmp_path / "link.mjs"
    link.symlink_to(path)
    for file in (path, link):
        done = subprocess.run(["node", file], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "self-test passed\n")
    text = path.read_text()
    expected = re.search(r"\], \[\[(-?[\d.]+)", text)
    assert expected is not None
    wrong = tmp_path / "wrong.mjs"
    wrong.write_text(text[: expected.start(1)] + "0.5" + text[expected.end(1) :])
    done = subprocess.run(["node", wrong], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "self-test failed\n")


def test_an_import_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.mjs").write_text(rendered(gru(), "javascript"))
    assert run('import "./model.mjs";', tmp_path) == ""


def test_base64_holds_the_same_numbers(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5, 3))
    found = []
    for weights in ("text", "base64"):
        folder = tmp_path / weights
        folder.mkdir()
        lowered = gru()
        size = lowered.whole.inputs[0].shape[1]
        model = started("javascript", lowered, folder, weights=weights)
        found.append(model.predict(np.resize(x, (5, size)))[0])
    np.testing.assert_array_equal(*found)


def test_what_comes_back_is_the_callers(tmp_path: Path) -> None:
    (tmp_path / "model.mjs").write_text(rendered(gru(), "javascript"))
    script = """
        import { Model } from "./model.mjs";
        const a = new Model(), b = new Model();
        const size = a.x.length;
        const x = new Float32Array(size).fill(0.5);
        const first = a.step(x), kept = [...first];
        const states = a.getState(), before = states.map((state) => [...state]);
        a.step(x);
        const own = new Float32Array(first.length);
        const same = b.step(x, own) === own;
        b.setState(states);
        console.log(JSON.stringify([
            kept.every((v, k) => v === first[k]),
            before.every((state, n) => state.every((v, k) => v === states[n][k])),
            same, kept.every((v, k) => v === own[k]),
            first instanceof Float32Array,
        ]));
    """
    assert json.loads(run(script, tmp_path)) == [True] * 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("step([1])", "RangeError: x: expected 3 numbers, found 1"),
        ("step()", "RangeError: x: expected 3 numbers, found undefined"),
        ("step(2)", "RangeError: x: expected 3 numbers, found 2"),
        ("step([[1], [2], [3]])", "TypeError: x: expected a number at 0, found 1"),
        ("step([1, 2, '3'])", "TypeError: x: expected a number at 2, found 3"),
        ("step([1, 2, 3], [0])", "RangeError: y: expected 5 numbers, found 1"),
        ("predict([1, 2, 3, 4])", "steps: expected a whole number of 1 or more, found 1.33"),
        ("predict([], 0)", "RangeError: steps: expected a whole number of 1 or more, found 0"),
        ("predict([1, 2, 3, 4], 1)", "RangeError: x: expected 3 numbers, found 4"),
        ("setState([])", "RangeError: states: expected 1 number, found 0"),
        ("setState([[1]])", "RangeError: states[0]: expected 5 numbers, found 1"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_changes_nothing(
    call: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "model.mjs").write_text(rendered(gru(), "javascript"))
    script = f"""
        import {{ Model }} from "./model.mjs";
        const model = new Model();
        model.step([0.1, 0.2, 0.3]);
        const before = JSON.stringify(model.getState());
        try {{
            model.{call};
        }} catch (error) {{
            console.log(`${{error.name}}: ${{error.message}}`);
        }}
        console.log(before === JSON.stringify(model.getState()));
    """
    said, same = run(script, tmp_path).splitlines()
    assert message in said
    assert same == "true"


def test_a_delay_line_may_start_over_many_times(tmp_path: Path) -> None:
    """Its array has room for two of it: what is read has to be right at every place."""
    lowered = lower(codegen.read(EXAMPLES / "causal_conv" / "causal_conv.keras"))
    x = np.random.default_rng(1).normal(size=(200, 3))
    (expected,) = Reference(lowered).predict(x[None])
    model = started("javascript", lowered, tmp_path)
    for t, row in enumerate(x):
        if t % 7 == 0:
            model.set_state(model.get_state())
        found = model.step(row)
        assert found is not None
        assert worst(found, [expected[0, t]]) < 2e-5


def test_without_node_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = EXAMPLES / "last_step"
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(javascript, "node", javascript.Node)
    words = ["verify", str(folder / "last_step.h5"), str(folder / "last_step.js")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "install Node.js" in result.stderr


@pytest.mark.parametrize("suffix", [".js", ".mjs"])
def test_the_suffix_chooses_the_language(
    suffix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copy(EXAMPLES / "last_step" / "last_step.h5", tmp_path)
    monkeypatch.chdir(tmp_path)
    invoke, out = CliRunner().invoke, f"made{suffix}"
    assert invoke(main, ["convert", "last_step.h5", "-o", out]).exit_code == 0
    assert f"//     rnn-codegen convert last_step.h5 -o {out}\n" in Path(out).read_text()
    assert invoke(main, ["check", out]).exit_code == 0
    assert invoke(main, ["verify", "last_step.h5", out]).exit_code == 0
    Path(out).write_text(Path(out).read_text().replace("update * ", "0.5 * ", 1))
    assert invoke(main, ["check", out]).exit_code == 1
    assert invoke(main, ["verify", "last_step.h5", out]).exit_code == 1
