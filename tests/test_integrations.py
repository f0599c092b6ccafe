"""What other projects call: the action of GitHub, and the hook of pre-commit."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SEED = ROOT / "generated_examples" / "last_step"


def parsed(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a model and its files, and what the first step of the action installs."""
    models = tmp_path / "project" / "models"
    models.mkdir(parents=True)
    for name in ("last_step.h5", "last_step.h", "last_step_numpy.py"):
        shutil.copy(SEED / name, models)
    program = tmp_path / "rnn-codegen" / "bin" / "rnn-codegen"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m codegen "$@"\n')
    program.chmod(0o755)
    return models.parent


def run(step: dict[str, Any], project: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """A step of the action, as a runner starts it."""
    environment = dict(os.environ)
    for name, value in step.get("env", {}).items():
        assert value == f"${{{{ inputs.{name.lower()} }}}}"
        environment[name] = inputs[name.lower()]
    environment["RUNNER_TEMP"] = str(project.parent)
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_action_is_a_composite_one() -> None:
    action = parsed("action.yml")
    assert {"name", "description", "inputs", "runs"} == set(action)
    assert action["runs"]["using"] == "composite"
    assert all(step["shell"] == "bash" for step in action["runs"]["steps"])
    assert all("description" in value for value in action["inputs"].values())
    install, check = action["runs"]["steps"]
    assert '"$GITHUB_ACTION_PATH"' in install["run"]
    assert "inputs." not in check["run"]  # they come as variables, which no shell executes


def test_the_action_checks_and_verifies(project: Path) -> None:
    action = parsed("action.yml")
    _, step = action["runs"]["steps"]
    given = {name: value.get("default") for name, value in action["inputs"].items()}
    given["files"] = "models/*.h\nmodels/*.py"
    done = run(step, project, **given)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "models/last_step.h: same; agrees over 100 steps\n"
        "models/last_step_numpy.py: same; agrees over 100 steps\n"
    )
    header = project / "models" / "last_step.h"
    header.write_text(header.read_text() + "\n")
    for verify, found in (("false", "same"), ("true", "same; agrees over 100 steps")):
        done = run(step, project, **{**given, "verify": verify})
        assert done.returncode == 1
        assert "last_step.h: edited by hand" in done.stderr
        assert done.stdout == f"models/last_step_numpy.py: {found}\n"


def test_the_hook_checks_the_files_that_it_is_given(project: Path) -> None:
    (hook,) = parsed(".pre-commit-hooks.yaml")
    assert {"id", "name", "description", "entry", "language", "files"} <= set(hook)
    assert hook["language"] == "python"  # pre-commit installs this repository
    bin_folder = project.parent / "rnn-codegen" / "bin"
    environment = {**os.environ, "PATH": os.pathsep.join([str(bin_folder), os.environ["PATH"]])}
    files = sorted(str(path) for path in (project / "models").glob("*[hy]"))
    for text, status in (("", 0), ("\n", 1)):
        path = project / "models" / "last_step.h"
        path.write_text(path.read_text() + text)
        done = subprocess.run(
            [*shlex.split(hook["entry"]), *files], env=environment, check=False, capture_output=True
        )
        assert done.returncode == status, done.stderr
