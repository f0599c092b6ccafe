"""`convert --package npm`: packed and installed by npm, run by node, typed for TypeScript."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import keras
import keras.layers as kl
import numpy as np
import pytest

from tests.layers.oracle import lowered
from tests.packages.test_python import CASES
from tests.support.packages import blocks, command, package

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "generated_examples"
TYPESCRIPT = ROOT / "tests" / "npm" / "node_modules" / "typescript" / "bin" / "tsc"

USER = """\
import { readFileSync } from "node:fs";
import { Model, selftest } from "chirp";
const model = new Model();
const rows = JSON.parse(readFileSync(0, "utf-8"));
console.log(JSON.stringify([selftest(), ...rows.map((x) => model.step(x)[1])]));
"""


def run(*words: str | Path, cwd: Path, stdin: str = "") -> str:
    done = subprocess.run(words, cwd=cwd, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_npm_packs_and_installs_it(tmp_path: Path) -> None:
    out, user = tmp_path / "Chirp", tmp_path / "user"
    model = EXAMPLES / "seed" / "seed.h5"
    assert command("convert", model, "-o", out, "--package", "npm").exit_code == 0
    packed = run("npm", "pack", "--json", "--pack-destination", tmp_path, cwd=out)
    (found,) = json.loads(packed)
    assert (found["name"], found["version"]) == ("chirp", "1.0.0")
    files = sorted(file["path"] for file in found["files"])
    assert files == ["Chirp.d.ts", "Chirp.js", "README.md", "package.json"]
    user.mkdir()
    (user / "package.json").write_text('{"name": "user", "private": true, "type": "module"}\n')
    (user / "main.js").write_text(USER)
    quiet = ["--offline", "--no-audit", "--no-fund"]
    run("npm", "install", *quiet, tmp_path / found["filename"], cwd=user)
    with np.load(EXAMPLES / "seed" / "recorded.npz") as stored:
        x, y = stored["x"][:100], stored["y"][:100]
    passed, *values = json.loads(run("node", "main.js", cwd=user, stdin=json.dumps(x.tolist())))
    assert passed is True
    (user / "told.js").write_text(blocks(out, "js"))
    assert "Float32Array(2)" in run("node", "told.js", cwd=user)
    np.testing.assert_allclose(values, y[:, 1], atol=2e-6)
    assert "self-test passed" in run("npm", "test", cwd=out)


TYPED = """\
import { Model as Both } from "./several/several.js";
import { Model as Late, selftest } from "./late/late.js";
import { Model as Wide } from "./wide/wide.js";
const both = new Both();
const [rows, last]: Float32Array[] = both.predict([1, 2], [3, 4, 5], 1);
const pair: [Float32Array, Float32Array] = both.step(new Float32Array(2), [3, 4, 5], rows, last);
const late = new Late();
const y: Float32Array | null = late.step([1, 2]);
late.setState(late.getState());
late.reset();
const passed: boolean = selftest();
const wide: Float64Array = new Wide().predict(new Float64Array(20));
export { pair, passed, wide, y };
"""
WRONG = {
    "step may give null": "const n: number = late.step([1, 2]).length;",
    "no such argument": "late.predict([1, 2], 1, 2);",
    "no such method": "new Wide().step([1]);",
    "another type": "const f: Float32Array = new Wide().predict([1]);",
}


def test_typescript_takes_its_types(tmp_path: Path) -> None:
    package("npm", lowered(CASES["several"]()), "several", tmp_path / "several")
    package("npm", lowered(CASES["warming up"]()), "late", tmp_path / "late")
    low = lowered(keras.Sequential([keras.Input((4, 5)), kl.Bidirectional(kl.GRU(2))]))
    package("npm", low, "wide", tmp_path / "wide", dtype="float64")
    (tmp_path / "main.ts").write_text(TYPED)
    for number, line in enumerate(WRONG.values()):
        (tmp_path / f"wrong_{number}.ts").write_text(TYPED + line + "\n")
    flags = [
        "--strict",
        "--noEmit",
        "--pretty",
        "false",
        "--module",
        "nodenext",
        "--target",
        "es2022",
    ]
    done = subprocess.run(
        ["node", TYPESCRIPT, *flags, *sorted(tmp_path.glob("*.ts"))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    place = len(TYPED.splitlines()) + 1
    found = [line.split(": ")[0] for line in done.stdout.splitlines() if "error" in line]
    assert [f.split(",")[0] for f in found] == [
        f"wrong_{number}.ts({place}" for number in range(len(WRONG))
    ], done.stdout


@pytest.mark.parametrize("name", ["http", "Stream"])
def test_names_of_node_are_refused(name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    result = command("convert", EXAMPLES / "seed" / "seed.h5", "-o", out, "--package", "npm")
    assert "means something else there" in result.output
    assert not out.exists()
