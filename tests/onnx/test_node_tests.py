"""The published tests of ONNX for single nodes, in every target, many in one generated file."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from codegen.lowered import Lowered, recorded
from codegen.lowering import lower
from codegen.targets.c import methods  # loaded here, before anything of it is replaced
from docs.make import onnx as page
from tests.support.onnx_nodes import Read, joined, node_tests, outputs_of, read_all, wrong
from tests.support.targets import TARGETS, started

AT_ONCE = 100  # tests in one file


@cache
def everything() -> tuple[list[Read], dict[str, str]]:
    return read_all(node_tests())


@cache
def parts() -> list[tuple[list[Read], Lowered]]:
    reads, _ = everything()
    pieces = [reads[k : k + AT_ONCE] for k in range(0, len(reads), AT_ONCE)]
    return [(piece, lower(joined(piece))) for piece in pieces]


@pytest.fixture
def _recorded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The self-tests of one model are the same in all targets."""
    for module in (recorded, methods):
        monkeypatch.setattr(module, "record", RECORDED)


RECORDED = cache(recorded.record)


@pytest.mark.usefixtures("_recorded_once")
@pytest.mark.parametrize("target", TARGETS)
def test_nodes(target: str, tmp_path: Path) -> None:
    found = {}
    for number, (piece, lowered) in enumerate(parts()):
        folder = tmp_path / str(number)
        folder.mkdir()
        model = started(target, lowered, folder)
        ports = lowered.whole.inputs
        feeds = [x for one in piece for x in one.feeds]
        given = [np.asarray(x, p.buffer.dtype) for x, p in zip(feeds, ports, strict=True)]
        for one, outputs in outputs_of(piece, model.predict(*given)):
            found[one.test.name] = wrong(one, outputs)
    assert {name: why for name, why in found.items() if why} == {}
    assert len(found) > 950


def test_what_is_refused_is_on_the_page() -> None:
    _, refused = everything()
    rows = dict.fromkeys(page.REFUSED, 0)
    untold = {}
    for name, message in refused.items():
        told = [row for row in rows if re.search(row.says, message)]
        rows.update({row: rows[row] + 1 for row in told})
        if not told:
            untold[name] = message
    assert untold == {}
    assert [row for row, count in rows.items() if not count] == []


def test_the_page_is_up_to_date() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.page(text) == text, "python -m docs.make.onnx"
