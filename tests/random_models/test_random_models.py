"""What random models of the Keras that is installed are drawn from.

The seeds are the same every time: RANDOM_MODELS=100000 in the environment begins with another than
the one below. `make fuzz` runs for longer.
"""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

import keras
import pytest

from codegen.readers.keras.ops import MAKERS
from tests.random_models.build import Spec, options_in
from tests.random_models.draw import GOALS, draw
from tests.random_models.table import ELSEWHERE, KINDS, LAYERS, NO_EFFECT, OLD, OPS

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

FIRST = int(os.environ.get("RANDOM_MODELS", "1"))
PAGE = Path(__file__).parents[2] / "docs" / "layers.md"


def test_every_layer_of_the_table_is_known() -> None:
    rows = re.findall(
        r"^\| (\w+)", PAGE.read_text(encoding="utf-8").split("## What")[0], re.MULTILINE
    )
    named = set(rows) - {"Layer"}
    assert named - {kind.name for kind in LAYERS} <= set(OLD)


def test_every_option_of_every_layer_is_known() -> None:
    for kind in LAYERS:
        layer = getattr(keras.layers, kind.name)
        given = inspect.signature(layer.__init__).parameters
        named = [n for n in given if not re.search("initializer|regularizer|constraint", n)]
        own = set(named) - {"self", "kwargs", "args", "activity_regularizer"}
        known = {*kind.options, *NO_EFFECT, *ELSEWHERE}
        missing = {name for name in own - known if f"{kind.name}.{name}" not in known}
        assert not missing, (kind.name, missing)


def test_every_operation_that_converts_is_known() -> None:
    """By the names of the table of the reader; some are TensorFlow's own, or another's name."""
    drawn = {kind.name.replace("_", "") for kind in OPS}
    of_tensorflow = {"squareddifference", "addn", "l2normalize", "identity", "flatten", "mish"}
    assert {name.lower() for name in MAKERS} - of_tensorflow <= drawn


@pytest.fixture(scope="module")
def specs() -> list[Spec]:
    """One model for each goal: a layer or operation with one option, or one value of it."""
    return [draw(seed) for seed in range(FIRST, FIRST + len(GOALS))]


def test_every_option_is_drawn(specs: list[Spec]) -> None:
    drawn = {name for spec in specs for name in options_in(spec)}
    for kind in KINDS.values():
        assert kind.key in drawn, kind.key
        for name, choice in kind.options.items():
            for value in choice if isinstance(choice, tuple) else ("",):
                assert (kind.key, name, value) in drawn, (kind.key, name, value)
