"""Many numbers as text: the same as one by one, and quickly."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from codegen.text.numbers import FEW, number, rows, texts

BITS = st.integers(0, 2**32 - 1)


@given(arrays.arrays(np.uint32, st.integers(FEW, 300), elements=BITS))
def test_any_bits(bits: np.ndarray) -> None:
    values = bits.view(np.float32)
    values = np.where(np.isfinite(values), values, np.float32(0))
    assert texts(values) == [number(v) for v in values]


@pytest.mark.parametrize("seed", range(3))
def test_ordinary_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate(
        [
            rng.normal(size=4000),
            10.0 ** rng.uniform(-6, 8, 4000),
            np.round(rng.normal(size=2000), 3),
            np.arange(-500, 500),
            2.0 ** np.arange(-30, 30),
            [0.0, -0.0, 0.1, 1e-4, 1e6, 999999.94],
        ]
    ).astype(np.float32)
    found = texts(values)
    assert found == [number(v) for v in values]
    assert np.array_equal(np.array(found, np.float64).astype(np.float32), values)


def test_a_million_numbers_take_no_minute() -> None:
    values = np.random.default_rng(0).normal(size=10**6).astype(np.float32)
    start = time.process_time()
    text = "".join(rows(values))
    assert time.process_time() - start < 10  # about one
    assert text.count("\n") == -(-(10**6) // 6)
