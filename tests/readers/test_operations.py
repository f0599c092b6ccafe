from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable

import pytest

from codegen.layers.operations import RULES
from codegen.layers.shared.formulas import FORMULAS
from codegen.program.activations import ELEMENTWISE
from codegen.readers.keras import ops
from codegen.readers.operations import TABLE, Row

NAMES: dict[str, Callable[[Row], str]] = {
    "function": lambda row: row.function,
    "node": lambda row: row.node,
    "torch": lambda row: row.torch,
}


@pytest.mark.parametrize("column", NAMES)
def test_a_name_stands_in_one_row(column: str) -> None:
    found = Counter(name for row in TABLE for name in NAMES[column](row).split())
    assert [name for name, count in found.items() if count > 1] == []


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.name} {row.node}")
def test_a_row_gives_what_its_rule_takes(row: Row) -> None:
    """Nothing else is made of a call: an argument without a kind would be dropped in silence."""
    read = [one.name for one in row.arguments if one.kind not in ops._CHECKS]
    assert {one.kind for one in row.arguments} <= {*ops._KINDS, *ops._CHECKS}
    if row.curve:
        assert row.curve in ELEMENTWISE or row.curve.endswith("softmax")
    elif row.rule not in {*FORMULAS, *ops._MAKERS}:
        parameters = inspect.signature(RULES[row.rule]).parameters.values()
        taken = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
        assert sorted(taken) == sorted([*read, *row.fixed]), row.rule
