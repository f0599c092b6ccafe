"""The documentation builds as a site: every link holds, and nothing comes from elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs.make.blocks import ROOT
from tests.support.browser import reported, serving

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


# Opens every page in a window as wide as a phone's and in a wide one, and tells what is wrong.
LOOK = """<!DOCTYPE html>
<body style="margin:0">
<script>
const inside = "pre, code, svg, .md-typeset__scrollwrap";
function look(page, frame, width) {
  const found = [], across = page.documentElement.scrollWidth;
  if (across > width) found.push(`it is ${across} wide`);
  for (const image of page.querySelectorAll("article img")) {
    if (!image.naturalWidth) found.push(`no picture: ${image.src}`);
  }
  for (const node of page.querySelectorAll("article *")) {
    if (node.getBoundingClientRect().right > width + 1 && !node.closest(inside)) {
      found.push(`cut: ${node.tagName} ${node.textContent.slice(0, 40)}`);
    }
  }
  for (const entry of frame.performance.getEntriesByType("resource")) {
    if (!entry.name.startsWith(location.origin)) found.push(`asked for ${entry.name}`);
  }
  return found;
}
(async () => {
  const wrong = {};
  for (const address of PAGES) {
    for (const width of [390, 1280]) {
      const frame = document.createElement("iframe");
      frame.style = `border:0;width:${width}px;height:900px`;
      const loaded = new Promise((done) => { frame.onload = done; });
      frame.src = address;
      document.body.append(frame);
      await loaded;
      const found = look(frame.contentDocument, frame.contentWindow, width);
      if (found.length) wrong[`${address} at ${width}`] = found;
      frame.remove();
    }
  }
  await fetch("found", { method: "POST", body: JSON.stringify(wrong) });
})().catch((error) => fetch("found", { method: "POST", body: JSON.stringify(String(error)) }));
</script>
"""


def test_every_page_fits_a_phone_and_a_wide_window(site: Path, tmp_path: Path) -> None:
    pages = sorted(str(page.relative_to(site)) for page in site.rglob("*.html"))
    folder = tmp_path / "site"  # the other tests see the site without this page
    shutil.copytree(site, folder)
    (folder / "look.html").write_text(LOOK.replace("PAGES", json.dumps(pages)))
    with serving(folder) as server:
        assert reported(server, "look.html", tmp_path / "profile") == {}
        assert len([path for path in server.asked if path.endswith(".html")]) > len(pages)
