"""A convolution that keeps the rows it needs again, one run after another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.layers.convolution import Convolution
from codegen.model import Array, Layer
from codegen.program import dims

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class CachedConvolution(Layer):
    """A convolution along rows, of which a run gives the newest: those before are a delay line."""

    convolution: Convolution
    rows: int  # of the delay line
    start: Array | None  # what is in it before the first run; None for zeros

    @property
    def describe(self) -> str:
        """The convolution and its rows."""
        return f"{self.convolution.describe}, {self.rows} rows kept"

    @property
    def is_stateful(self) -> bool:
        """Always: the rows are kept."""
        return True

    @property
    def inner(self) -> tuple[Layer, ...]:
        """The convolution."""
        return (self.convolution,)

    def lower(
        self, b: Builder, *inputs: Tensor, **keywords: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """The convolution as over a stream, whose rows before the first are known."""
        x = inputs[0]
        shape = (self.rows, *(dims.fixed(n) for n in x.shape[1:]))
        prefix = np.zeros(shape) if self.start is None else self.start.reshape(shape)
        with b.streaming():
            stream = replace(x, time=True, ahead=self.rows, prefix=prefix)
            (y,) = self.convolution.lower(b, stream)
        return (replace(y, time=False, prefix=None),)
