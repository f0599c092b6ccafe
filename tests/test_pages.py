"""What README and docs show is what happens: their code runs, their figures are those measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import pictures, report
from docs.make import blocks, comparison, drawings
from docs.make.blocks import ROOT, Block, PageError, Runner

RESULTS = ROOT / "benchmarks" / "results"


@pytest.mark.parametrize(
    "page", blocks.PAGES, ids=lambda page: page.relative_to(ROOT).with_suffix("").as_posix()
)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    blocks.run_page(page, tmp_path)


def test_files_of_the_source_that_pages_name_are_there() -> None:
    """But the changelog, which tells of the past; names in capitals stand for any."""
    pattern = re.compile(r"`((?:codegen|templates|tests|scripts|docs|benchmarks)/[\w./-]+)`")
    pages = [path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"]
    for page in [*pages, *(ROOT / "docs").rglob("*.md")]:
        for name in pattern.findall(page.read_text(encoding="utf-8")):
            assert (ROOT / name).exists() or re.search("[A-Z]{3}", name), (page.name, name)


def test_pictures_are_of_the_results() -> None:
    c, python, mcu = (report.load(name) for name in ("c", "python", "mcu"))
    assert c
    assert python
    assert mcu
    assert pictures.speed(c, python) == (RESULTS / "speed.svg").read_text(encoding="utf-8")
    assert pictures.size(mcu) == (RESULTS / "size.svg").read_text(encoding="utf-8")


def test_drawings_are_as_they_are_drawn() -> None:
    for name, draw in drawings.DRAWINGS.items():
        text = (drawings.FOLDER / name).read_text(encoding="utf-8")
        assert draw() == text, "python -m docs.make.drawings"


def test_the_table_of_alternatives_is_of_the_results() -> None:
    for page in comparison.PAGES:
        text = page.read_text(encoding="utf-8")
        assert comparison.markdown(page) == text, "python -m docs.make.comparison"


def test_the_first_page_shows_what_it_is_about() -> None:
    """Equations beside the loop on the first screen, and a terminal session; both are run."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = blocks.blocks(text, "README.md")
    loop = found[0]
    assert "convert" in loop.markers["excerpt"]
    assert "s->gru_h[i] = update * s->gru_h[i] + (1.0f - update) * candidate;" in loop.text
    assert text.count("\n", 0, text.index("## ")) < 30
    assert re.search(r"^\| \*h.* \| `s->gru_h\[i\] = ", text, re.MULTILINE)
    sessions = [blocks.commands(block.text) for block in found if block.language == "console"]
    words = [[command.split()[:2] for command, printed in one if printed] for one in sessions]
    assert [["rnn-codegen", one] for one in ("inspect", "convert", "verify", "check")] in words


# ---- the runner of blocks itself ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "text", "said"),
    [
        ("sh", "false\n", "status 1"),
        ("console", "$ echo one\ntwo\n", "printed\none"),
        ("console", "$ echo one\n...\ntwo\n", "printed\none"),
        ("python", "assert not 1\n", "AssertionError"),
        ("c", '#include "there_is_none.h"\n', "there_is_none.h"),
        ("c", "int main(void) { return 3; }\n", "status 3"),
        ("js", "throw new Error('so');\n", "Error: so"),
        ("text", "pip install x\n", "this is code"),
        ("", "anything\n", "no language"),
    ],
)
def test_a_block_that_fails_is_told(language: str, text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(PageError, match=r"page\.md:1") as error:
        Runner(tmp_path).run(Block("page.md:1", language, text))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("html", "<script>const = 1</script>\n"),
        ("sh", "if\n"),
        ("console", "$ if\n"),
        ("c", "int main(void) {\n"),
        ("js", "const = 1\n"),
        ("cpp", "int x = ;\n"),
    ],
)
def test_a_block_that_is_not_run_has_its_syntax_checked(
    language: str, text: str, tmp_path: Path
) -> None:
    with pytest.raises(PageError):
        Runner(tmp_path).run(Block("page.md:1", language, text, {"check": "it needs a board"}))


def test_a_session_that_is_not_run_may_be_of_any_command(tmp_path: Path) -> None:
    Runner(tmp_path).run(Block("page.md:1", "console", "$ python x\n1\n", {"check": "a board"}))


def test_an_excerpt_stands_in_what_is_printed(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    runner.run(Block("page.md:1", "c", "a;\nb;\n", {"excerpt": "printf '  a;\\n  b;\\n'"}))
    with pytest.raises(PageError, match="not printed"):
        runner.run(Block("page.md:1", "c", "a;\nc;\n", {"excerpt": "printf '  a;\\n  b;\\n'"}))


def test_blocks_are_found_with_their_markers() -> None:
    page = (
        "<!-- files: a=b -->\nwords\n\n<!-- file: x.py -->\n```python\npass\n```\n\n```sh\n:\n```\n"
    )
    assert blocks.blocks(page, "page.md") == [
        Block("page.md:5", "python", "pass\n", {"file": "x.py"}),
        Block("page.md:9", "sh", ":\n"),
    ]


def test_code_in_the_last_column_of_a_table_is_an_excerpt(tmp_path: Path) -> None:
    page = (
        "```sh\n:\n```\n<!-- excerpt: printf 'a;\\nb;\\n' -->\n"
        "| A | B |\n| --- | --- |\n| `x` | `a;` |\n| `y` | `b;` |\n\n"
        "| a table | `of no command` |\n\n```sh\nfalse\n```\n"
    )
    found = blocks.blocks(page, "page.md")
    assert [block.place for block in found] == ["page.md:1", "page.md:5", "page.md:12"]
    assert found[1].text == "a;\nb;"
    runner = Runner(tmp_path)
    runner.run(found[1])
    with pytest.raises(PageError, match=r"page\.md:5: not printed"):
        runner.run(blocks.blocks(page.replace("`b;`", "`c;`"), "page.md")[1])


def test_console_blocks_are_recorded_anew_where_something_changed(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    block = Block("page.md:1", "console", "$ echo 1.2e-7\n3.4e-8\n$ echo new\nold\n")
    assert blocks.recorded(runner, block) == "$ echo 1.2e-7\n3.4e-8\n$ echo new\nnew\n"
