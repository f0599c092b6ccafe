"""What holds for every test: nothing is skipped, and random tests can be run again."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Generator
from typing import Any

import hypothesis
import pytest

# The backend of the Keras that is the oracle; its predict carries states, which that of jax does
# not. KERAS_BACKEND=torch asks another opinion, where torch is installed.
os.environ.setdefault("KERAS_BACKEND", "numpy")

# CI sees the same examples every time; elsewhere each run tries new ones, and remembers failures.
# HYPOTHESIS_PROFILE=fuzz looks longer.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default")
)


# `make test-torch` runs these where torch is, in an environment of its own.
collect_ignore = [] if importlib.util.find_spec("torch") else ["live"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write generated_examples/ anew")


def _refuse_skip(report: Any) -> Any:
    """A skipped test is a test that says nothing; `make test` installs what all of them need."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}\nNothing may be skipped: `make test` installs what is missing."
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    return _refuse_skip((yield))
