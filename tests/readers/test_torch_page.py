"""docs/pytorch.md says what the reader takes, and its examples are read."""

from __future__ import annotations

import json
import re

import pytest

from codegen.readers.torch import description
from codegen.readers.torch.layers import KINDS
from docs.make import pytorch

PAGE = pytorch.PAGE.read_text(encoding="utf-8")


def test_the_table_is_current() -> None:
    assert pytorch.markdown() == PAGE, "python -m docs.make.pytorch"


def test_notes_are_of_classes_that_there_are() -> None:
    assert set(pytorch.NOTES) <= set(KINDS)


@pytest.mark.parametrize("text", re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
def test_an_example_is_a_description(text: str) -> None:
    found = description.parse(text.encode(), "example")
    assert len(found.layers) == len(json.loads(text)["layers"])
    assert all(entry.class_name in KINDS for entry in found.layers)
