"""Which layers pass a mask on, as tests/fixtures/make/mask_support.py asked each release.

It matters in tf.keras and Keras 3, which drop a mask at a layer that knows none; Keras 1 and 2
refuse to build such a model.
"""

from __future__ import annotations

import json

import pytest

from codegen.readers.keras.era import from_option
from codegen.readers.keras.table import ALIASES, TABLE
from tests.support.fixtures import FIXTURES

RECORDED: dict[str, dict[str, bool]] = json.loads(
    (FIXTURES / "mask_support.json").read_text(encoding="utf-8")
)
VERSIONS = {  # as --keras-version takes them
    "tf115": "tf1.15",
    "tf21": "tf2.1",
    "tf24": "tf2.4",
    "tf210": "tf2.10",
    "tf212": "tf2.12",
    "tf215": "tf2.15",
    "tf_keras221": "2.21.0",
    "keras3_0": "3.0.5",
    "keras3_5": "3.5.0",
    "keras3_15": "3.15.1",
}


@pytest.mark.parametrize("era", VERSIONS)
def test_masks_go_as_far_as_in_that_release(era: str) -> None:
    writer = from_option(VERSIONS[era])
    passes = {
        name: TABLE[ALIASES.get(name, name)].mask == "pass" and writer.passes_mask(name)
        for name in RECORDED[era]
    }
    assert passes == RECORDED[era]


def test_every_release_is_recorded() -> None:
    assert set(VERSIONS) == set(RECORDED)
    assert all(len(recorded) > 40 for recorded in RECORDED.values())
