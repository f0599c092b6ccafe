"""docs/eras.md is what the recorded models say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import eras, fixtures

PAGE = (Path(__file__).parents[1] / "docs" / "eras.md").read_text(encoding="utf-8")
REMEDY = "python -m tests.support.eras > docs/eras.md"


def columns() -> dict[str, dict[str, str]]:
    """The marks of each era, as the page has them."""
    rows = [line.split("|")[1:-1] for line in PAGE.splitlines() if line.startswith("|")][2:]
    found: dict[str, dict[str, str]] = {era: {} for era in eras.ERAS}
    for name, *cells in rows:
        for era, cell in zip(found, cells, strict=True):
            if cell.strip():
                found[era][name.strip()] = cell.strip()
    return found


@pytest.mark.parametrize("era", eras.ERAS)
def test_a_column_of_the_page_is_current(era: str) -> None:
    assert columns()[era] == eras.marks(era), REMEDY


def test_the_page_is_made_of_its_columns() -> None:
    assert eras.table(columns()) == PAGE, REMEDY


def test_every_era_has_a_column() -> None:
    assert {case.era for case in fixtures.cases()} == set(eras.ERAS)
