"""Random models of the Keras that is installed: what converts has its numbers.

The seeds are the same every time: RANDOM_MODELS=100000 in the environment begins with another than
the one below. `make fuzz` runs for longer.
"""

from __future__ import annotations

import inspect
import os
import random
import re
from collections import Counter
from pathlib import Path

import keras
import pytest

from codegen.readers.operations import KERAS
from docs.make.refusals import REFUSALS
from tests.random_models.build import Spec, kinds_in, options_in, text
from tests.random_models.draw import GOALS, draw
from tests.random_models.judge import CPool, KerasCannotError, Verdict, judged
from tests.random_models.mutate import changes, of_spec
from tests.random_models.mutate import judged as changed_as_keras
from tests.random_models.table import ELSEWHERE, KINDS, LAYERS, NO_EFFECT, OLD, OPS

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Keras' own, of what the models do
]

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
    # formulas of those that are drawn, compared over their domains in test_operations.py
    formulas = {"tan", "arcsin", "arccos", "arccosh", "arctanh"}
    assert {name.lower() for name in KERAS} - of_tensorflow - formulas <= drawn


@pytest.fixture(scope="module")
def specs() -> list[Spec]:
    """One model for each goal: a layer or operation with one option, or one value of it."""
    return [draw(seed) for seed in range(FIRST, FIRST + len(GOALS))]


def test_every_option_is_drawn(specs: list[Spec]) -> None:
    drawn = {name for spec in specs for name in options_in(spec)}
    for kind in KINDS.values():
        assert (kind.key, "", "") in drawn, kind.key
        for name, choice in kind.options.items():
            for value in choice if isinstance(choice, tuple) else ("",):
                assert (kind.key, name, value) in drawn, (kind.key, name, value)


# Why a correct model may be refused besides what the table of docs/layers.md says.
LIMITS = re.compile(
    "length (of its input is free|[a-z_0-9 -]*, which is free)|only the time axis may be"
    "|this number of steps|is called with|several axes|order 1|a norm of order|to decimals|in mode"
    "|does not put its codes along the last axis"
    "|along another axis|with data_format='channels_first'|a product of tensors|no Keras version"
    "|shared_axes is -|(mask|state|differs) .*not supported|from sample to sample|length of time"
    "|takes from all axes|it needs to know the length|does not record its Keras version"
)


def test_random_models_have_the_numbers_of_keras(specs: list[Spec]) -> None:
    pool = CPool()
    found: list[tuple[Spec, Verdict]] = []
    for number, spec in enumerate(specs):
        targets = {1: ("numpy",), 4: ("python",), 7: ("javascript",)}.get(number % 9, ())
        found.append((spec, judged(spec, targets, pool if number % 9 == 2 else None)))
    found += pool.judged()
    failures = [f"{text(s)}\n{v.what}: {v.message}" for s, v in found if v.failed]
    assert not failures, "\n\n".join(failures)

    allowed = re.compile("|".join([LIMITS.pattern, *(row.says for row in REFUSALS)]))
    reasons = [message for _, verdict in found for _, message in verdict.refused]
    unexpected = [message for message in reasons if not allowed.search(message)]
    assert not unexpected, "\n".join(unexpected)
    counts = Counter(verdict.what for _, verdict in found)
    assert counts["agrees"] > 0.8 * len(found), counts
    converted = {kind for s, v in found if v.what == "agrees" for kind in kinds_in(s)}
    assert {kind.key for kind in LAYERS} <= converted
    missing = set(KINDS) - converted  # an operation has few models, and others stand in them
    assert len(missing) <= 2, missing


def test_changed_settings_change_what_keras_changes(specs: list[Spec]) -> None:
    """One value of every setting that is met, in as many models as that takes."""
    seen: set[str] = set()
    failures = []
    for spec in specs[::3]:
        r = random.Random(spec["seed"])
        try:
            config, live = of_spec(spec)
        except KerasCannotError:
            continue
        for change in r.sample(every := changes(config, r), len(every)):
            if change.key in seen:
                continue
            result = changed_as_keras(config, change, live, spec["seed"])
            if result.what in {"differs", "crash"} and judged(spec).what == "agrees":
                failures.append(f"{text(spec)}\n{change}\n{result}")
            if result.matters or result.what == "agrees":
                seen.add(change.key)
    assert not failures, "\n\n".join(failures)
    assert len(seen) > 250, len(seen)
