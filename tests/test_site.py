"""The documentation builds as a site: every link holds, and nothing comes from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs.make.blocks import ROOT

# What a browser fetches by itself.
FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src"}


class Fetched(HTMLParser):
    """Collects the addresses that a page makes a browser fetch, and its pictures without a text."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.addresses.append(found.get(FETCHED.get(tag, "")) or "")
        if tag == "img" and not found.get("alt"):
            self.silent.append(found.get("src") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with every warning an error."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_has_every_page_and_fetches_nothing(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(list((ROOT / "docs").rglob("*.md")))
    for page in pages:
        parser = Fetched()
        parser.feed(page.read_text(encoding="utf-8"))
        assert not [one for one in parser.addresses if re.match(r"(\w+:)?//", one)], page
        assert not parser.silent, page


def test_the_site_shows_the_help_of_every_command(site: Path) -> None:
    text = (site / "commands" / "index.html").read_text(encoding="utf-8")
    for command in ("convert", "inspect", "verify", "check", "explain", "compare", "report"):
        assert f"rnn-codegen {command} [OPTIONS]" in text
    assert "--profile" in text
