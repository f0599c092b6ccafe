"""The rules of integers, as they are without 64 bits, and the functions by table."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.integers import fixed
from codegen.integers.expressions import Compiler, Tables, Unsupported
from codegen.integers.fixed import Fixed
from codegen.integers.tables import numeric
from codegen.program.activations import ELEMENTWISE
from codegen.program.integers import Integers, multiplied, shifted
from codegen.program.ops import At, Buffer, Expr, Local, Number, Vec, walk
from tests.support.models import PARAMETERS

RANDOM = np.random.default_rng(5)
EDGES = np.array([0, 1, -1, 2, 32767, -32768, 65535, -65536, 2**30, 2**31 - 1, -(2**31)])


def words(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.concatenate([EDGES, RANDOM.integers(-(2**31), 2**31, count)])


def test_a_product_without_64_bits_is_the_same() -> None:
    for total in words(300).tolist():
        for scale in [0, 1, 16384, 32767, *RANDOM.integers(0, 32768, 20).tolist()]:
            low = ((total & 0xFFFF) * scale & 0xFFFFFFFF) >> 16
            assert (total & 0xFFFF) * scale < 2**32
            assert (total >> 16) * scale + low == multiplied(np.int64(total), scale)


def test_parts_of_a_state_without_64_bits_are_the_same() -> None:
    for q in words(300).tolist():
        for r in [0, 1, 32767, 32768, *RANDOM.integers(0, 32769, 20).tolist()]:
            low = ((q & 0xFFFF) * r) >> 15
            assert (q & 0xFFFF) * r < 2**32
            assert 2 * (q >> 16) * r + low == (q * r) >> 15


def test_shifts_round_half_up() -> None:
    q = np.arange(-9, 10)
    np.testing.assert_array_equal(shifted(q, 1), np.floor(q / 2 + 0.5))
    np.testing.assert_array_equal(shifted(q, 2), np.floor(q / 4 + 0.5))


def test_a_shift_of_the_largest_number_does_not_overflow() -> None:
    x = Fixed(Local("x"), 31, -(2**31), 2**31 - 1)
    node = fixed.with_fraction(x, 3).node
    for q in words(50):
        found = Integers().value(node, {"x": np.full((1, 1), q)})
        assert found.item() == shifted(np.int64(q), 28)


def compiled(node: Expr, fraction: int, most: int) -> tuple[Fixed, Buffer]:
    """An expression of an element of a buffer of int32 in which |q| <= most."""
    buffer = Buffer("x", 1, "temp", "int32", fraction=fraction)

    def read(vec: Vec) -> Fixed:
        return Fixed(At(buffer.vec()), fraction, -most, most)

    return Compiler(read, Tables(), 0, "f").compiled(node), buffer


# Of the largest number, which 16 bits hold to 2^-16. Straight lines between 512 numbers on the way
# from -8 to 8 are further from what bends much.
NEAR = {"softsign": 1e-3, "exponential": 6e-4}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations_are_near_what_they_stand_for(name: str) -> None:
    x = At(Buffer("x", 1, "temp").vec())
    node = ELEMENTWISE[name](x, *PARAMETERS.get(name, ()))
    found, buffer = compiled(node, 16, 8 << 16)
    machine, worst = Integers(), 0.0
    places = np.unique(np.concatenate([np.linspace(-8, 8, 999), [0.0, 0.5, -0.5, 0.3, 1.0, -1.0]]))
    for place in places:
        q = int(np.floor(place * 65536 + 0.5))
        machine.array(buffer)[:] = q
        got = machine.value(found.node, {}).item()
        assert found.low <= got <= found.high
        wanted = numeric(node, x, np.array([q / 65536]))[0]
        worst = max(worst, abs(got / 2.0**found.fraction - wanted))
    largest = float(np.max(np.abs(numeric(node, x, places))))
    assert worst <= NEAR.get(name, 2.0**-13) * max(1.0, largest)


def test_a_function_that_no_table_follows_is_refused() -> None:
    x = At(Buffer("x", 1, "temp").vec())
    with pytest.raises(Unsupported, match="steep"):
        compiled(Number(1.0) / (x * x + 1e-6), 16, 8 << 16)
    with pytest.raises(Unsupported, match="not finite"):
        compiled(Number(1.0) / (x - x + 0.0 * x), 16, 8 << 16)


def test_constants_are_rounded_once() -> None:
    for value in (0.1, -3.7, 1e-6, 12345.678):
        for fraction in (5, 11, 16):
            one = fixed.with_fraction(fixed.number(value), fraction)
            assert isinstance(one.node, Number)
            assert one.node.value == np.floor(value * 2.0**fraction + 0.5)


def test_tables_are_read_at_their_ends() -> None:
    found, buffer = compiled(ELEMENTWISE["sigmoid"](At(Buffer("x", 1, "temp").vec())), 16, 2**30)
    assert any(type(part).__name__ == "Table" for part in walk(found.node))
    machine = Integers()
    for q, wanted in ((-(2**29), 1), (2**29, 32767), (0, 16384)):
        machine.array(buffer)[:] = q
        assert machine.value(found.node, {}).item() == wanted
