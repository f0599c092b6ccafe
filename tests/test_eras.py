"""docs/eras.md is what the recorded models say."""

from __future__ import annotations

from pathlib import Path

from tests.support import eras, fixtures


def test_the_page_is_current() -> None:
    page = Path(__file__).parents[1] / "docs" / "eras.md"
    assert page.read_text(encoding="utf-8") == eras.table(), "python -m tests.support.eras"


def test_every_era_has_a_column() -> None:
    assert {case.era for case in fixtures.cases()} == set(eras.ERAS)
