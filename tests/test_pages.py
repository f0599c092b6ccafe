"""What README and docs show is what happens: their code runs, their figures are those measured."""

from __future__ import annotations

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


def test_console_blocks_are_recorded_anew_where_something_changed(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    block = Block("page.md:1", "console", "$ echo 1.2e-7\n3.4e-8\n$ echo new\nold\n")
    assert blocks.recorded(runner, block) == "$ echo 1.2e-7\n3.4e-8\n$ echo new\nnew\n"
