"""The blocks of docs that need torch, which `make test` checks for their syntax alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.make import blocks


@pytest.mark.parametrize("page", ["pytorch.md", "quantisation.md", "tutorials/pytorch.md"])
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path) -> None:
    blocks.run_page(blocks.ROOT / "docs" / page, tmp_path)
