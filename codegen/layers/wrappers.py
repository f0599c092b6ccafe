"""A layer or model applied to every step by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from codegen.errors import LayerError
from codegen.layers.shared.calls import of_graph
from codegen.model import Graph, Layer, Unsupported

if TYPE_CHECKING:
    from codegen.program.builder import Builder
    from codegen.program.tensor import Tensor

Tensors = tuple["Tensor", ...]


MASK_OF_ROWS = (
    "it is given a mask of more than one axis, which TimeDistributed passes on from the layer in "
    "it; masks of whole steps are supported (put both layers into one model inside TimeDistributed)"
)


@dataclass(frozen=True, eq=False, kw_only=True)
class TimeDistributed(Layer):
    """A layer or model applied to each step by itself."""

    graph: Graph  # with one input
    passes_masks: bool = False  # on, if its layer makes one

    @property
    def describe(self) -> str:
        """What is inside."""
        names = [n.layer.describe for n in self.graph.nodes if n.inputs]
        return f"TimeDistributed({', '.join(names)})"

    @property
    def inner(self) -> tuple[Layer, ...]:
        """The layers of the graph."""
        return self.graph.layers

    def lower(self, b: Builder, *inputs: Tensor, **keywords: Tensors) -> Tensors:
        """A parallel loop over the steps."""
        for layer in self.inner:
            if isinstance(layer, Unsupported):
                raise LayerError(layer.message)
        x = inputs[0]
        if x.mask is not None and x.mask.refusal:
            raise LayerError(x.mask.refusal)
        out: Tensor | None = None
        with b.loop(x.shape[0]) as t, b.part("step", inner=True):
            (y,) = of_graph(b, self.graph, [x.at(t)])
            if x.shape[0] == 1:
                out = y.reshape((1, *y.shape))
            else:
                out = b.outer_tensor("output", (x.shape[0], *y.shape))
                b.copy(out.row(t), y.vec())
        assert out is not None
        mask = x.mask
        if self.passes_masks and y.mask is not None:
            mask = replace(y.mask, shape=(x.shape[0], *y.mask.shape), refusal=MASK_OF_ROWS)
        return (b.like(out, x, mask=mask),)
