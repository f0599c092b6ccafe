"""What a Program may hold though no layer makes it today, in every target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codegen.lowered import Lowered, Reference
from codegen.lowering import lower
from codegen.model import Graph, Input, Layer, Model, Node, Ref
from codegen.program.builder import Builder
from codegen.program.ops import At, Buffer, Elementwise, Mat, Vec
from codegen.program.tensor import Tensor
from codegen.targets.spine.expressions import waiting
from tests.support.targets import TARGETS, started, worst


@dataclass(frozen=True, eq=False, kw_only=True)
class Lookup(Layer):
    """Row number x of a table that is stored in columns `column_stride` apart."""

    row_stride: int
    column_stride: int

    @property
    def describe(self) -> str:
        return "Lookup"

    def lower(self, b: Builder, *inputs: Tensor, **_: Any) -> tuple[Tensor, ...]:
        """Four rows of three."""
        (x,) = inputs
        numbers = np.random.default_rng(0).normal(size=40).astype(np.float32)
        table = b.weight("table", numbers[None]).buffer
        out = b.tensor("output", (*x.shape, 3))
        with b.each(x.shape) as at:
            rows = Mat(table, 1, 4, 3, self.row_stride, self.column_stride)
            b.gather(out.row(*at), rows, x.at(*at).vec())
        return (b.like(out, x),)


def looked_up(name: str, row_stride: int, column_stride: int) -> Lowered:
    layer = Lookup(
        name=name, class_name="Lookup", row_stride=row_stride, column_stride=column_stride
    )
    ids = Input(name="ids", class_name="InputLayer", shape=(None,), dtype="int32")
    graph = Graph((Node(ids), Node(layer, (Ref(0),))), (0,), (Ref(1),))
    return lower(Model("net", graph, "keras_h5", "Keras 2.1.5", "net.h5", "0" * 16, "float32"))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("row_stride", "column_stride"), [(3, 1), (1, 4), (5, 2), (7, 1)])
def test_rows_of_a_table_that_has_gaps(
    row_stride: int, column_stride: int, target: str, tmp_path: Path
) -> None:
    """`project` has the letter of a loop counter in its name."""
    lowered = looked_up("project", row_stride, column_stride)
    x = np.array([3, 0, 2, 1, 3])
    expected = Reference(lowered).predict(x[None])[0][0]
    assert worst(started(target, lowered, tmp_path).predict(x), [expected]) < 1e-6


def test_every_value_that_waits_has_a_name_of_its_own() -> None:
    """Of one buffer many a part may be stored before a later store reads it."""
    x = Buffer("gates", 16, "temp", "float32", None, (), (16,))
    part = [Vec(x, k, 1) for k in range(5)]
    stores = tuple((part[k], At(part[k]) + At(part[4])) for k in range(5))
    names = waiting(Elementwise(1, (), stores))
    assert list(names) == [0, 1, 2, 3]
    assert len(set(names.values())) == 4
