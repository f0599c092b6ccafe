"""docs/layers.md is what the code says today, and no Keras layer is left out of it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from keras import layers

from codegen.readers.keras.table import TABLE
from codegen.targets import TARGETS
from docs.make.support import MISSING, answer, examples, markdown

PAGE = Path(__file__).parents[2] / "docs" / "layers.md"


def test_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), (
        "python -m docs.make.support > docs/layers.md"
    )


def test_every_target_makes_every_example() -> None:
    for example in examples():
        found = answer(example)
        assert found.predict == "yes", (example.class_name, example.option, found.predict)
        assert found.targets == tuple(TARGETS), (example.class_name, example.option)


def test_every_layer_that_is_read_is_named() -> None:
    """In the table or below it; AttentionProjection is a part of MultiHeadAttention."""
    words = set(re.findall(r"\w+", PAGE.read_text(encoding="utf-8").split("## What")[0]))
    same = {"AttentionProjection", "GroupedQueryAttention"} | {"CuDNNGRUCell", "CuDNNLSTMCell"}
    assert set(TABLE) - same <= words


def test_every_keras_layer_is_there_or_has_a_reason() -> None:
    given = " ".join(MISSING)
    random = "Random..., "
    for layer in vars(layers).values():
        if not (inspect.isclass(layer) and issubclass(layer, layers.Layer)):
            continue
        name = layer.__name__
        known = name in TABLE or name in ("InputLayer", "GroupedQueryAttention")
        covered = name in given or (name.startswith("Random") and random in given)
        assert known or covered, name
