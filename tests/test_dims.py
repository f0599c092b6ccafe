"""Lengths and offsets that depend on the number of steps have one form."""

from __future__ import annotations

from codegen.program import dims

STEPS, TAP = dims.symbol("steps"), dims.symbol("tap")


def test_a_product_has_one_form() -> None:
    assert STEPS * TAP == TAP * STEPS
    assert (STEPS + 2) * (TAP - 3) == TAP * STEPS + 2 * TAP - 3 * STEPS - 6
    assert dims.value((STEPS + 2) * (TAP - 3), {"steps": 4, "tap": 5}) == 12


def test_a_stride_of_free_length_loses_the_counter() -> None:
    """A pooling over rows whose length is free, as channels_first makes them."""

    def offset(at: dims.Dim) -> dims.Dim:
        return at * (5 * STEPS)

    assert offset(TAP + 1) - offset(TAP) == 5 * STEPS
