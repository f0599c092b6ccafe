"""The blocks of docs that need torch, which `make test` checks for their syntax alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.make import blocks


@pytest.mark.parametrize("name", ["pytorch.md", "quantisation.md"])
def test_the_blocks_of_a_page_run(name: str, tmp_path: Path) -> None:
    (page,) = (page for page in blocks.PAGES if page.name == name)
    blocks.run_page(page, tmp_path)
